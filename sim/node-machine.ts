/** A storage node on a simulated machine: the real one, on a disk that loses what a power cut loses. */
import { openDiskBlockStore } from '#blocks/disk/disk-block-store.ts';
import { must } from '#core/assert.ts';
import { id16Of, id32Of, type NodeId, type Pin } from '#core/ids.ts';
import type { Invite } from '#core/invite.ts';
import { nodeJoin } from '#protocol/account.ts';
import { ask } from '#protocol/call.ts';
import { writeNodeIdentity } from '#storage/node-identity.ts';
import { startStorageNode, type StorageNode } from '#storage/storage-node.ts';
import { realChecksum } from '#world/real/checksum.ts';
import type { SimProcess } from '#world/sim/scheduler.ts';
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
  readonly #pool: string;
  storage: StorageNode | null = null;

  constructor(name: string, around: Surroundings, pool: string, ticket: Invite) {
    super(name, around);
    this.node = id16Of<NodeId>(this.random.bytes(16));
    this.pin = id32Of<Pin>(this.random.bytes(32));
    this.address = `https://${name}:9000`;
    this.disk = new SimDisk(around.scheduler, this.random);
    this.#pool = pool;
    this.#ticket = ticket;
  }

  override powerCut(): void {
    super.powerCut();
    this.disk.powerCut();
  }

  override kill(): void {
    super.kill();
    this.storage = null;
  }

  /** The index is made anew from the log. */
  loseIndex(): void {
    this.sql.put(INDEX_PATH, null);
  }

  protected async run(process: SimProcess): Promise<void> {
    const disk = this.disk.disk(process);
    const ticket = this.#ticket;
    const keyList = ticket ? await this.#join(process, ticket) : null;
    const storage = await startStorageNode({
      disk,
      lock: () => this.disk.lock(process),
      openBlocks: ({ node }) =>
        openDiskBlockStore({
          disk,
          sql: this.sql.opener(process),
          indexPath: INDEX_PATH,
          node,
          log: this.log(),
          checksum: realChecksum,
          primitives,
        }),
      primitives,
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
      pool: this.#pool,
      addresses: [this.address],
    };
    const { parts } = await ask(peer, nodeJoin, request, new AbortController().signal);
    await writeNodeIdentity(this.disk.disk(process), primitives, {
      node: this.node,
      cluster: ticket.cluster,
      publicKey: ticket.publicKey,
      pool: this.#pool,
    });
    return must(parts[0], 'a join is answered with the key list');
  }
}
