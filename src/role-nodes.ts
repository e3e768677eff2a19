/** Storage nodes on one thread: each with its directory, its key and its port. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { MessagePort } from 'node:worker_threads';
import { openDiskBlockStore } from '#blocks/disk/disk-block-store.ts';
import type { NodePlan, StartedNode } from '#cli/launcher.ts';
import { must } from '#core/assert.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { NodeId, Pin } from '#core/ids.ts';
import { parseInvite } from '#core/invite.ts';
import type { KeyList } from '#core/key-list.ts';
import { nodeHere, nodeJoin } from '#protocol/account.ts';
import { ask } from '#protocol/call.ts';
import type { Handler } from '#protocol/wire.ts';
import { readNodeIdentity, writeNodeIdentity } from '#storage/node-identity.ts';
import { startStorageNode, type StorageNode } from '#storage/storage-node.ts';
import type { Listening, TlsIdentity } from '#world/net.ts';
import { pinnedPeer } from '#world/pinned-peer.ts';
import { realChecksum } from '#world/real/checksum.ts';
import { lockDirectory } from '#world/real/directory-lock.ts';
import { realDisk } from '#world/real/disk.ts';
import { stderrLog } from '#world/real/log.ts';
import { realNet } from '#world/real/net.ts';
import { pinnedOverPort, servePort } from '#world/real/port.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { addressesOf } from './addresses.ts';
import { nodeKeyFile, storeNodeKey, tlsIdentityOf, type NodeKey } from './node-key-file.ts';
import type { Role } from './role.ts';
import { version } from './version.ts';

const JOIN_MS_MAX = 30_000;
const log = stderrLog('warn');

type RunningNode = { readonly started: StartedNode; readonly storage: StorageNode; readonly listening: Listening };

export async function start(plan: unknown): Promise<Role> {
  const { nodes: plans } = plan as { readonly nodes: readonly NodePlan[] };
  const running: RunningNode[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(running.map(({ listening }) => listening.close()));
    await Promise.all(running.map(({ storage }) => storage.close()));
  };
  try {
    for (const each of plans) running.push(await startNode(each));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    info: running.map(({ started }) => started),
    control: async () => ({}),
    accept: (purpose, port) => serveServer(running, purpose as { readonly node: NodeId; readonly pin: Pin }, port),
    close,
  };
}

/** The server's end of this port stands for its pinned key: both ends were made by this process. */
function serveServer(
  running: readonly RunningNode[],
  { node, pin }: { readonly node: NodeId; readonly pin: Pin },
  port: MessagePort,
): void {
  const found = must(
    running.find(({ started }) => started.node === node),
    'a port is given to a node that runs here',
  );
  servePort(port, found.storage.handler, pinnedOverPort(pin));
}

async function startNode(plan: NodePlan): Promise<RunningNode> {
  const directory = plan.dataDirectory;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const disk = realDisk(directory);
  // The identity is looked at first: a directory of another cluster or a newer version is not written to.
  const known = await readNodeIdentity(disk, nodePrimitives);
  if (!known && plan.ticket === null) {
    throw new HoldfastError(
      'not_linked',
      `${directory} is no storage node's directory yet; make a ticket with "holdfast invite --node" where the server runs, then start the node with --join TICKET (or is its disk not mounted?)`,
    );
  }
  const key = await nodeKeyFile(directory, realNet, known?.node ?? null);
  let handler: Handler = async () => {
    throw new HoldfastError('busy', 'the storage node is starting');
  };
  const listening = await realNet.listen({ host: plan.host, port: plan.port }, (...request) => handler(...request), {
    identity: tlsIdentityOf(key),
  });
  try {
    const addresses = addressesOf(realNet, 'https', plan.host, listening.port);
    const joined = plan.ticket === null ? null : await joinCluster(plan, key, addresses, disk);
    const storage = await startStorageNode({
      disk,
      lock: () => lockDirectory(directory),
      openBlocks: ({ node }) =>
        openDiskBlockStore({
          disk,
          sql: sqliteOpener,
          indexPath: join(directory, 'index.db'),
          node,
          log,
          checksum: realChecksum,
          primitives: nodePrimitives,
        }),
      primitives: nodePrimitives,
      random: realRandom,
      log,
      version,
      ...(plan.cluster === null ? {} : { cluster: plan.cluster }),
    });
    if (joined) await storage.offerKeyList(joined);
    handler = storage.handler;
    const { node, pool, cluster } = storage.identity;
    // With the cluster known beforehand, the server runs in this process and is given a port.
    if (!joined && plan.cluster === null) void sayWhere(key, storage, addresses);
    return { started: { node, pool, port: listening.port, cluster }, storage, listening };
  } catch (error) {
    await listening.close();
    throw error;
  }
}

/** Answers with the key list that the server gave. */
async function joinCluster(
  plan: NodePlan,
  key: NodeKey,
  addresses: readonly string[],
  disk: ReturnType<typeof realDisk>,
): Promise<Uint8Array> {
  const invite = parseInvite(nodePrimitives, must(plan.ticket, 'a node joins with a ticket'));
  if (invite.kind !== 'node')
    throw new HoldfastError(
      'invalid_usage',
      'this is a link for a device: use it with "holdfast join LINK FOLDER"; a ticket for a node comes from "holdfast invite --node"',
    );
  const known = await readNodeIdentity(disk, nodePrimitives);
  if (known && known.cluster !== invite.cluster)
    throw new HoldfastError(
      'wrong_cluster',
      `${plan.dataDirectory} belongs to another cluster (${known.cluster}); nothing was changed`,
    );
  const peer = pinnedPeer(realNet, {
    primitives: nodePrimitives,
    addresses: invite.addresses,
    cluster: invite.cluster,
    keyList: null,
    pins: invite.pin === null ? [] : [invite.pin],
    webpki: invite.webPki,
    ...shownTo(invite.addresses, key),
    onKeyList: async () => undefined,
  });
  try {
    const request = {
      ticket: { id: invite.tokenId, secret: invite.secret },
      node: key.node,
      pin: key.pin,
      name: plan.name,
      pool: plan.pool,
      ...(plan.site === null ? {} : { site: plan.site }),
      spaceBytes: (await disk.space()).freeBytes,
      addresses: [...addresses],
    };
    const { response, parts } = await ask(peer, nodeJoin, request, AbortSignal.timeout(JOIN_MS_MAX));
    storeNodeKey(plan.dataDirectory, { ...key, server: { addresses: [...invite.addresses], webpki: invite.webPki } });
    await writeNodeIdentity(disk, nodePrimitives, {
      node: key.node,
      cluster: invite.cluster,
      publicKey: invite.publicKey,
      pool: response.pool,
    });
    return must(parts[0], 'a join is answered with the key list');
  } finally {
    await peer.close();
  }
}

/** Tells the server the present addresses. A server that is down finds the node where it was, or is told at its next start. */
async function sayWhere(key: NodeKey, storage: StorageNode, addresses: readonly string[]): Promise<void> {
  if (!key.server) return;
  const peer = pinnedPeer(realNet, {
    primitives: nodePrimitives,
    addresses: key.server.addresses,
    cluster: storage.identity.cluster,
    keyList: storage.keyList(),
    webpki: key.server.webpki,
    ...shownTo(key.server.addresses, key),
    onKeyList: async (_list: KeyList, bytes: Uint8Array) => void (await storage.offerKeyList(bytes)),
  });
  try {
    await ask(peer, nodeHere, { node: key.node, addresses: [...addresses] }, AbortSignal.timeout(JOIN_MS_MAX));
  } catch (error) {
    if (hasCode(error, 'unreachable', 'timeout', 'stopping', 'busy'))
      log.warn('the server could not be told where this storage node listens; it looks where the node was', {
        node: key.node,
      });
    else
      log.error('the server refuses this storage node', {
        node: key.node,
        error: error instanceof Error ? error.message : String(error),
      });
  } finally {
    await peer.close();
  }
}

/** A key is shown over TLS; a server of this very machine may speak plain HTTP, and then looks for itself who answers at the addresses. */
function shownTo(addresses: readonly string[], key: NodeKey): { readonly show?: TlsIdentity } {
  return addresses.every((address) => address.startsWith('https:')) ? { show: tlsIdentityOf(key) } : {};
}
