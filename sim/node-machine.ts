/** A storage node on a simulated machine: the real one, on a disk that loses what a power cut loses. */
import { openDiskBlockStore } from '#blocks/disk/disk-block-store.ts';
import type { NodeBlockStore } from '#blocks/node-block-store.ts';
import { must } from '#core/assert.ts';
import { hasCode } from '#core/errors.ts';
import { id16Of, id32Of, type NodeId, type Pin } from '#core/ids.ts';
import type { Invite } from '#core/invite.ts';
import { nodeJoin } from '#protocol/account.ts';
import { ask } from '#protocol/call.ts';
import { writeNodeIdentity } from '#storage/node-identity.ts';
import { startStorageNode, type StorageNode } from '#storage/storage-node.ts';
import { realChecksum } from '#world/real/checksum.ts';
import type { SimProcess } from '#world/sim/scheduler.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import { SimDisk } from '#world/sim/sim-disk.ts';
import { Machine, primitives, type Surroundings } from './machines.ts';
import { SERVER_ADDRESS } from './server-machine.ts';

const INDEX_PATH = 'index.db';

export class NodeMachine extends Machine {
  readonly node: NodeId;
  readonly pin: Pin;
  readonly address: string;
  readonly disk: SimDisk;
  #ticket: Invite | null;
  readonly pool: string;
  /** In some worlds logs of many small segments: they fill up, and what is mostly dead is compacted. */
  readonly #segments: { readonly segmentBytesMax?: number };
  /** As the running node has them. */
  blocks: NodeBlockStore | null = null;
  storage: StorageNode | null = null;

  constructor(name: string, around: Surroundings, pool: string, ticket: Invite) {
    super(name, around);
    this.node = id16Of<NodeId>(this.random.bytes(16));
    this.pin = id32Of<Pin>(this.random.bytes(32));
    this.address = `https://${name}:9000`;
    this.disk = new SimDisk(around.scheduler, this.random);
    this.pool = pool;
    this.#ticket = ticket;
    const random = new SimRandom(`${around.seed} segments`);
    this.#segments = random.chance(0.4) ? { segmentBytesMax: random.pick([3000, 8000, 30_000]) } : {};
  }

  override powerCut(): void {
    super.powerCut();
    this.disk.powerCut();
  }

  override kill(): void {
    super.kill();
    this.storage = null;
    this.blocks = null;
  }

  /** Whoever joins a node tries again where the server does not answer. */
  protected override failedToStart(error: unknown): void {
    if (this.#ticket === null || !hasCode(error, 'unreachable', 'timeout', 'stopping')) super.failedToStart(error);
  }

  /** The index is made anew from the log. */
  loseIndex(): void {
    this.sql.put(INDEX_PATH, null);
  }

  protected async run(process: SimProcess, random: SimRandom): Promise<void> {
    const disk = this.disk.disk(process);
    const ticket = this.#ticket;
    const keyList = ticket ? await this.#join(process, ticket) : null;
    const storage = await startStorageNode({
      disk,
      lock: () => this.disk.lock(process),
      openBlocks: async ({ node }) => {
        this.blocks = await openDiskBlockStore({
          disk,
          sql: this.sql.opener(process),
          indexPath: INDEX_PATH,
          node,
          log: this.log(),
          checksum: realChecksum,
          primitives,
          ...this.#segments,
        });
        return this.blocks;
      },
      primitives,
      random,
      log: this.log(),
      version: 'simulated',
    });
    if (keyList) await storage.offerKeyList(keyList);
    this.#ticket = null;
    this.storage = storage;
    this.around.net.listen(this.address, process, storage.handler);
  }

  async #join(process: SimProcess, ticket: Invite): Promise<Uint8Array> {
    const caller = () => ({ kind: 'pinned' as const, pin: this.pin, address: this.name });
    const peer = this.around.net.peer(process, this.name, SERVER_ADDRESS, caller);
    const request = {
      ticket: { id: ticket.tokenId, secret: ticket.secret },
      node: this.node,
      pin: this.pin,
      name: this.name,
      pool: this.pool,
      addresses: [this.address],
    };
    const { parts } = await ask(peer, nodeJoin, request, new AbortController().signal);
    await writeNodeIdentity(this.disk.disk(process), primitives, {
      node: this.node,
      cluster: ticket.cluster,
      publicKey: ticket.publicKey,
      pool: this.pool,
    });
    return must(parts[0], 'a join is answered with the key list');
  }
}
