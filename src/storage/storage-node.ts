/** The storage node: keeps blocks on a disk for its server, and trusts nobody's word about them. It knows no sockets. */
import type { NodeBlockStore } from '#blocks/node-block-store.ts';
import { toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { ClusterId } from '#core/ids.ts';
import type { KeyList } from '#core/key-list.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Handler } from '#protocol/wire.ts';
import type { DirectoryLock } from '#world/directory-lock.ts';
import type { Disk } from '#world/disk.ts';
import type { Log } from '#world/log.ts';
import type { Random } from '#world/random.ts';
import { countStart, IDENTITY_FILE, type NodeIdentity } from './node-identity.ts';
import { Compactor } from './compactor.ts';
import { DeleteOrders } from './delete-orders.ts';
import { nodeHandler, type NodeStatus } from './node-verbs.ts';
import { KeptRoots } from './kept-roots.ts';
import { TrustedKeys } from './trusted-keys.ts';

export type StorageNodeOptions = {
  /** The node's directory. */
  readonly disk: Disk;
  /** Keeps other processes out of that directory: throws `data_in_use`. */
  readonly lock: () => DirectoryLock;
  /** Called once it is certain whose directory it is. */
  readonly openBlocks: (identity: NodeIdentity) => Promise<NodeBlockStore>;
  readonly primitives: Primitives;
  readonly random: Random;
  readonly log: Log;
  /** Of the program. */
  readonly version: string;
  /** Refuses with `wrong_cluster` where the directory is not that cluster's. */
  readonly cluster?: ClusterId;
};

export interface StorageNode {
  readonly identity: NodeIdentity;
  /** Serves callers whose pin the kept key list names, and anybody who brings a newer list. */
  readonly handler: Handler;
  /** The newest list that was kept; null before the first. */
  keyList(): KeyList | null;
  /** Keeps a list that came another way than by the handler: with the answer to a join. */
  offerKeyList(bytes: Uint8Array): Promise<KeyList>;
  status(): Promise<NodeStatus>;
  /** What was begun ends first. */
  close(): Promise<void>;
}

/**
 * The directory was made a node's by `writeNodeIdentity`. Rejects with `data_in_use`, `folder_missing`, `wrong_cluster`,
 * `newer_version` or `integrity`, and then has changed nothing but the count of starts.
 */
export async function startStorageNode(options: StorageNodeOptions): Promise<StorageNode> {
  const { disk, primitives, log } = options;
  const lock = options.lock();
  try {
    const identity = await countStart(disk, primitives, options.cluster ?? null);
    const own = whileMounted(disk);
    const keys = await TrustedKeys.load(own, primitives, identity.cluster);
    const orders = await DeleteOrders.load(own, primitives, identity, keys);
    const roots = await KeptRoots.load(own, primitives, identity.cluster, log);
    const blocks = await options.openBlocks(identity);
    const run = toHex(options.random.bytes(8));
    const status = () => statusOf(identity, run, options.version, blocks);
    const compactor = new Compactor(blocks, log);
    // What a crash cut off, or an earlier version left, is taken up again.
    compactor.begin();
    log.info('storage node started', { node: identity.node, pool: identity.pool, boot: identity.boot });
    return {
      identity,
      handler: nodeHandler({ blocks, keys, roots, orders, primitives, status, onDeleted: () => compactor.begin() }),
      keyList: () => keys.list,
      offerKeyList: (bytes) => keys.offer(bytes),
      status,
      close: async () => {
        await blocks.close();
        await compactor.ended();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Blocks go into open files; what is written under a name would go elsewhere where the disk was unmounted meanwhile, and be acknowledged. */
function whileMounted(disk: Disk): Disk {
  const mounted = async (): Promise<void> => {
    if (await disk.read(IDENTITY_FILE)) return;
    throw new HoldfastError(
      'folder_missing',
      'the storage node is not in its directory any more: is its disk mounted?',
    );
  };
  return {
    ...disk,
    replace: async (path, bytes) => mounted().then(() => disk.replace(path, bytes)),
    makeDirectory: async (path) => mounted().then(() => disk.makeDirectory(path)),
  };
}

async function statusOf(
  identity: NodeIdentity,
  run: string,
  version: string,
  blocks: NodeBlockStore,
): Promise<NodeStatus> {
  const { node, cluster, boot, pool } = identity;
  return { node, cluster, version, boot, run, pool, ...(await blocks.status()) };
}
