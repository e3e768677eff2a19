/** Jobs that go over all rows which say who holds a block, in order of their key. */
import { counting, keepBest, owedOf, planMove } from '#core/copies.ts';
import { id16Of, id32Of, type BlockId, type NodeId, type SpaceId } from '#core/ids.ts';
import { fromHex } from '#core/bytes.ts';
import { must } from '#core/assert.ts';
import { poolOfNodes } from '#core/pool-name.ts';
import { dropLayoutsBelow, newestLayout } from '#meta/clusters.ts';
import { countPresence, updateHolders, walkPresence, type PlacedPresence, type PresenceKey } from '#meta/copies.ts';
import { findPresence } from '#meta/contents.ts';
import type { MetaReader, MetaWriter } from '#meta/meta-store.ts';
import { batchOf, copyBlocks, type CopyTask } from './copier.ts';
import { currentFence, stillHeld } from './copies.ts';
import type { JobKind, JobStep } from './jobs.ts';
import { transferMsMax } from './node-book.ts';
import type { NodeConnection } from './node-connection.ts';
import { withinBatch } from './within-batch.ts';
import { poolsBeside, readPools } from './standing.ts';
import type { ServerContext } from './server-context.ts';

const ROWS_PER_STEP = 512;

export function placeOf({ space, block, pool }: PresenceKey): string {
  return `${space} ${block} ${pool}`;
}

export function keyAt(place: string | null): PresenceKey | null {
  if (place === null) return null;
  const [space = '', block = '', pool = ''] = place.split(' ');
  const bytes = (text: string) => must(fromHex(text), 'a place was written by placeOf');
  return { space: id16Of<SpaceId>(bytes(space)), block: id32Of<BlockId>(bytes(block)), pool };
}

/** A step that went over `rows`, which were asked for as `ROWS_PER_STEP`. */
export function walked(
  rows: readonly PlacedPresence[],
  limit: number,
  did: { skipped?: number; bytes?: number } = {},
): JobStep {
  const last = rows.at(-1);
  const place = last && rows.length === limit ? placeOf(last) : null;
  return { kind: 'done', place, done: rows.length, skipped: did.skipped ?? 0, bytes: did.bytes ?? 0 };
}

/** After the copies asked for or the nodes that count became others: what each row owes. Subject: the pool. */
export function recount({ meta, wakeJobs }: ServerContext): JobKind {
  return {
    kind: 'recount',
    count: () => meta.read(countPresence),
    step: (job) =>
      meta.write(async (writer) => {
        const rows = await walkPresence(writer, keyAt(job.place), ROWS_PER_STEP);
        const pools = await readPools(writer);
        const changed = rows.flatMap((row): PlacedPresence[] => {
          if (row.pool !== job.subject) return [];
          const pool = pools.of(row.pool);
          const holders = counting(row.holders, pool);
          const owed = owedOf(holders, pool);
          return owed === row.owed && holders.length === row.holders.length ? [] : [{ ...row, holders, owed }];
        });
        await updateHolders(writer, changed);
        return walked(rows, ROWS_PER_STEP);
      }),
    ended: async () => wakeJobs(),
  };
}

type Adoption = {
  readonly kind: 'adopt' | 'readopt';
  /** As many of the first as are asked for at once. */
  within(rows: readonly PlacedPresence[]): readonly PlacedPresence[];
  /** For each row whether the node holds the block. `bytes`: that crossed the network. */
  ask(
    rows: readonly PlacedPresence[],
    call: <T>(work: (connection: NodeConnection, signal: AbortSignal) => Promise<T>, msMax?: number) => Promise<T>,
  ): Promise<{ readonly held: readonly boolean[]; readonly bytes: number }>;
};

/** A node came back: what it says that it holds counts, until scrub reads it. */
const BY_WORD: Adoption = {
  kind: 'adopt',
  within: (rows) => rows,
  async ask(rows, call) {
    const ids = rows.map(({ block }) => block);
    return { held: await call(({ store }, signal) => store.has(ids, signal)), bytes: 0 };
  },
};

/** A node that lied is trusted again: what it holds counts once it was read from it. */
const BY_BYTES: Adoption = {
  kind: 'readopt',
  within: withinBatch,
  async ask(rows, call) {
    const ids = rows.map(({ block }) => block);
    const bytes = rows.reduce((sum, { length }) => sum + length, 0);
    const got = await call(({ store }, signal) => store.get(ids, signal), transferMsMax(bytes));
    const held = got.map((one, index) => one.kind === 'found' && one.bytes.length === rows[index]?.length);
    return { held, bytes };
  },
};

export const adopt = (context: ServerContext): JobKind => adoption(context, BY_WORD);
export const readopt = (context: ServerContext): JobKind => adoption(context, BY_BYTES);

/** Which blocks of the pools that lie on it a node holds. Subject: the node. */
function adoption({ meta, nodes, closing }: ServerContext, { kind, within, ask }: Adoption): JobKind {
  return {
    kind,
    count: () => meta.read(countPresence),
    async step(job) {
      const known = nodes.find(job.subject as NodeId);
      // Lost again, or removed: nothing of it counts.
      if (!known || (known.stored.standing !== 'in' && known.stored.standing !== 'draining'))
        return { kind: 'done', place: null, done: 0, skipped: 0, bytes: 0 };
      if (nodes.isDown(known)) return { kind: 'wait' };
      const { number, pool } = known.stored;
      const { all, layouts, fence } = await meta.read(async (reader) => ({
        all: await walkPresence(reader, keyAt(job.place), ROWS_PER_STEP),
        layouts: await layoutsBeside(reader, pool),
        fence: await currentFence(reader),
      }));
      const rows = within(all);
      const asked = rows.filter((row) => poolOfNodes(row.pool) === pool);
      const { held, bytes } =
        asked.length === 0
          ? { held: [], bytes: 0 }
          : await ask(asked, (work, msMax) => nodes.call(known, closing, work, msMax));
      const found = asked.filter((_, index) => held[index]);
      const recorded = await meta.write(async (writer) => {
        if ((await layoutsBeside(writer, pool)) !== layouts) return false;
        // It says what it has now: what it was told to delete meanwhile does not count.
        const named = found.map(({ block }) => block);
        const left = new Set(await stillHeld(writer, number, named, fence));
        const holds = new Set(found.filter(({ block }) => left.has(block)).map(placeOf));
        const pools = await readPools(writer);
        const present = await readAgain(writer, asked);
        await updateHolders(
          writer,
          present.flatMap((row) => {
            const placed = pools.of(row.pool);
            const others = row.holders.filter((holder) => holder !== number);
            const holders = counting(holds.has(placeOf(row)) ? [...row.holders, number] : others, placed);
            const owed = owedOf(holders, placed);
            return owed === row.owed && holders.join() === row.holders.join() ? [] : [{ ...row, holders, owed }];
          }),
        );
        return true;
      });
      if (!recorded) return { kind: 'wait' };
      return walked(rows, rows.length < all.length ? rows.length : ROWS_PER_STEP, { bytes });
    },
  };
}

/** The numbers of the newest layouts of all pools that lie on the nodes of this one. */
async function layoutsBeside(reader: MetaReader, pool: string): Promise<string> {
  const found: string[] = [];
  for (const beside of await poolsBeside(reader, pool))
    found.push(`${beside.pool} ${await newestLayout(reader, beside.pool)}`);
  return found.join();
}

async function readAgain(reader: MetaReader, rows: readonly PlacedPresence[]): Promise<readonly PlacedPresence[]> {
  const asked = new Set(rows.map(placeOf));
  const bySpace = new Map<SpaceId, BlockId[]>();
  for (const { space, block } of rows) bySpace.set(space, [...(bySpace.get(space) ?? []), block]);
  const found: PlacedPresence[] = [];
  for (const [space, ids] of bySpace)
    for (const row of await findPresence(reader, space, ids))
      if (asked.has(placeOf({ ...row, space }))) found.push({ ...row, space });
  return found;
}

/** Blocks move to where the newest layout wants them: first the copy, then the old holder is given up. Subject: the pool. */
export function rebalance(context: ServerContext): JobKind {
  const { meta, nodes } = context;
  const ready = (numbers: readonly number[]) =>
    numbers.flatMap((number) => nodes.byNumber(number) ?? []).filter((known) => nodes.takesBlocks(known));
  return {
    kind: 'rebalance',
    count: () => meta.read(countPresence),
    async step(job) {
      const pool = job.subject;
      const { rows, layout } = await meta.read(async (reader) => ({
        rows: await walkPresence(reader, keyAt(job.place), ROWS_PER_STEP),
        layout: await newestLayout(reader, pool),
      }));
      if (layout === 0) return { kind: 'done', place: null, done: 0, skipped: 0, bytes: 0 };
      // By an older layout everything may seem to be in its place.
      if (layout !== nodes.layoutNumber(pool)) await nodes.reload();
      if (layout !== nodes.layoutNumber(pool)) return { kind: 'wait', ms: 0 };
      const standing = nodes.standing(pool);
      let blocked = new Set<string>();
      const tasks = rows.flatMap((row): CopyTask[] => {
        // Where nobody holds it any more, repair looks for it.
        if (row.pool !== pool || counting(row.holders, standing).length === 0) return [];
        const order = nodes.order(pool, row.block);
        const plan = planMove(row.holders, order, standing);
        const kept = keepBest(row.holders, order, standing);
        if (plan.needed === 0 && kept.length === row.holders.length) return [];
        const targets = ready(plan.targets);
        if (targets.length < plan.needed || (plan.needed > 0 && !nodes.hasSource(row))) blocked.add(placeOf(row));
        return targets.length === 0 && plan.needed > 0 ? [] : [{ row, targets, needed: targets.length }];
      });
      const batch = batchOf(tasks);
      const stopped = batch.length < tasks.length ? must(batch.at(-1), 'a batch has one at least').row : null;
      const over = stopped ? rows.slice(0, rows.indexOf(stopped) + 1) : rows;
      blocked = new Set(over.map(placeOf).filter((place) => blocked.has(place)));
      const copied = batch.length === 0 ? { whole: 0, bytes: 0 } : await copyBlocks(context, pool, layout, batch, true);
      const failed = batch.length - copied.whole;
      const did = { skipped: failed + blocked.size, bytes: copied.bytes };
      return walked(over, stopped ? over.length : ROWS_PER_STEP, did);
    },
    /** Nothing lies where only an older layout says, as far as it can be read. */
    ended: (writer: MetaWriter, pool) => dropLayoutsBelow(writer, pool, nodes.layoutNumber(pool)),
  };
}
