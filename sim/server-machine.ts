/** The server on a simulated machine: the real one, on a real database that loses what a power cut loses. */
import { must } from '#core/assert.ts';
import { parseInvite, type Invite } from '#core/invite.ts';
import type { RecoveryKit } from '#core/root-key.ts';
import type { MetaReader, MetaStore } from '#meta/meta-store.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { nodeConnectionOf } from '#server/node-connection.ts';
import type { RootKeeper } from '#server/root-keeper.ts';
import { startServer, type Server } from '#server/server.ts';
import type { Scheduler, SimProcess } from '#world/sim/scheduler.ts';
import type { SimRandom } from '#world/sim/sim-random.ts';
import { keysOnly, Machine, primitives } from './machines.ts';

export const SERVER_ADDRESS = 'https://server:12345';
export const META_PATH = 'meta.db';
/** There is less time than a real cluster has. Work is looked for at another pace than nodes are greeted, as happens by itself in the course of hours. */
const CARE = { lookMs: 2300, lostMs: 6000, retryMs: 5000, scrubMs: 3_600_000, challengeMs: 10_000 };

export class ServerMachine extends Machine {
  server: Server | null = null;
  /** The index as the running server has it. */
  meta: MetaStore | null = null;
  readonly #rootKeeper = keptInMemory();

  override kill(): void {
    super.kill();
    this.server = null;
    this.meta = null;
  }

  copyIndex(): Uint8Array {
    return this.sql.copy(META_PATH);
  }

  /** The server is down: its index is what it was at some earlier time, as from a file that somebody copied back by hand. */
  putIndexBack(image: Uint8Array): void {
    this.sql.put(META_PATH, image);
    this.around.acknowledged.forget();
  }

  /** What a person wrote down. */
  get kit(): RecoveryKit | null {
    return this.#rootKeeper.kit();
  }

  async invite(kind: 'device' | 'node'): Promise<Invite> {
    const { invite } = await must(this.server, 'the server runs').invite({ kind });
    return parseInvite(primitives, invite);
  }

  protected async run(process: SimProcess, random: SimRandom): Promise<void> {
    const { net, scheduler } = this.around;
    const meta = await openSqliteMetaStore(this.sql.opener(process), META_PATH);
    this.meta = meta;
    const fault = this.around.acknowledged.faultOf(await meta.read(headOf));
    if (fault) this.around.onDefect(this.name, new Error(fault));
    const server = await startServer({
      version: 'simulated',
      meta: stepping(meta, scheduler, process),
      primitives,
      clock: this.clock(process),
      random,
      log: this.log(),
      net: keysOnly(random),
      rootKeeper: this.#rootKeeper,
      // Days do not pass here: what is garbage goes within a round.
      collection: { everyMs: 20_000, graceMs: 10_000 },
      care: CARE,
      connectNode: (node, show) => {
        const address = must(node.addresses[0], 'a node has an address');
        const caller = () => ({ kind: 'pinned' as const, pin: show.pin, address: 'server' });
        return nodeConnectionOf(net.peer(process, 'server', address, caller), primitives);
      },
      addresses: () => [SERVER_ADDRESS],
      journalKept: this.around.journalKept,
    });
    this.server = server;
    net.listen(SERVER_ADDRESS, process, server.handler);
  }
}

async function headOf({ db }: MetaReader): Promise<number> {
  const row = await db.selectFrom('space').select('head_seq').executeTakeFirst();
  return row?.head_seq ?? 0;
}

/** A server may end before a transaction, and between its commit and what follows from it. */
function stepping(meta: MetaStore, scheduler: Scheduler, process: SimProcess): MetaStore {
  return {
    read: (work) => meta.read(work),
    write: async (work) => {
      await scheduler.step(process, 'meta begin', () => {});
      const result = await meta.write(work);
      return scheduler.step(process, 'meta committed', () => result);
    },
    close: () => meta.close(),
  };
}

function keptInMemory(): RootKeeper & { kit(): RecoveryKit | null } {
  let kept: { kit: RecoveryKit; confirmed: boolean } | null = null;
  return {
    kit: () => kept?.kit ?? null,
    read: async () => kept,
    stage: async (kit) => {
      kept = { kit, confirmed: false };
    },
    confirm: async () => {
      if (kept) kept = { ...kept, confirmed: true };
    },
  };
}
