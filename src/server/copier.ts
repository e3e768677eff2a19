/** Makes further copies of blocks from copies that are good, and writes them down - unless the layout changed since that was planned. */
import type { Block } from '#blocks/block-store.ts';
import { counting, keepBest, owedOf, ranked } from '#core/copies.ts';
import type { BlockId, SpaceId } from '#core/ids.ts';
import { newestLayout } from '#meta/clusters.ts';
import { findPresence, type Presence } from '#meta/contents.ts';
import { updateHolders, type ChangedPresence, type PlacedPresence } from '#meta/copies.ts';
import { addGarbage, copyKey } from '#meta/garbage.ts';
import { limits } from '#core/limits.ts';
import { readBlocks } from './block-reader.ts';
import { placeBlocks } from './block-writer.ts';
import { copiesOf, currentFence, withoutGone } from './copies.ts';
import type { KnownNode } from './node-book.ts';
import { readPools } from './standing.ts';
import type { ServerContext } from './server-context.ts';

export type CopyTask = {
  readonly row: PlacedPresence;
  /** Best first; `needed` of them get a copy. */
  readonly targets: readonly KnownNode[];
  readonly needed: number;
};

export type Copied = {
  /** Tasks of which as many copies as needed were made, and written down. */
  readonly whole: number;
  readonly bytes: number;
};

/** As many of the first as go over the network at once. */
export function batchOf(tasks: readonly CopyTask[]): readonly CopyTask[] {
  let bytes = 0;
  let taken = 0;
  for (const { row } of tasks) {
    bytes += row.length;
    if (taken > 0 && (bytes > limits.batchBytesMax || taken >= limits.batchBlocksMax)) break;
    taken++;
  }
  return tasks.slice(0, taken);
}

/**
 * `layout`: the number of the pool's layout that the tasks were planned by. Under another one nothing is written down: what was copied is
 * then found, or not, by who plans anew. `settle`: holders that the layout does not want are given up, once the others hold the block.
 */
export async function copyBlocks(
  context: ServerContext,
  pool: string,
  layout: number,
  tasks: readonly CopyTask[],
  settle: boolean,
): Promise<Copied> {
  const { closing, nodes } = context;
  const fence = await context.meta.read(currentFence);
  const found = await readAll(context, tasks);
  const wanted = tasks.flatMap(({ row, targets, needed }) => {
    const block = found.get(row.block);
    return block ? [{ block, open: [...targets], copies: needed }] : [];
  });
  const placed = await placeBlocks(nodes, wanted, { fence, signal: closing });
  const added = new Map([...placed].map(([block, { holders }]) => [block, holders]));
  const counted = await record(context, { pool, layout, tasks, added, settle, fence });
  if (!counted) await nodes.reload();
  const whole = counted ? tasks.filter(({ row, needed }) => (counted.get(row.block)?.length ?? 0) >= needed) : [];
  const bytes = [...added].reduce(
    (sum, [block, holders]) => sum + holders.length * (found.get(block)?.bytes.length ?? 0),
    0,
  );
  return { whole: whole.length, bytes };
}

async function readAll(context: ServerContext, tasks: readonly CopyTask[]): Promise<ReadonlyMap<BlockId, Block>> {
  const bySpace = new Map<SpaceId, { id: BlockId; storedLength: number }[]>();
  for (const { row, needed } of tasks) {
    if (needed === 0) continue;
    const wanted = bySpace.get(row.space) ?? [];
    bySpace.set(row.space, wanted);
    wanted.push({ id: row.block, storedLength: row.length });
  }
  const found = new Map<BlockId, Block>();
  for (const [space, wanted] of bySpace)
    for (const [id, result] of await readBlocks(context, space, wanted, context.closing))
      if (result.kind === 'found') found.set(id, { id, bytes: result.bytes });
  return found;
}

type Recorded = {
  readonly pool: string;
  readonly layout: number;
  readonly tasks: readonly CopyTask[];
  readonly added: ReadonlyMap<BlockId, readonly number[]>;
  readonly settle: boolean;
  /** What the copies were put under. */
  readonly fence: number;
};

/** By block the nodes whose new copy counts; null where nothing was written down. */
async function record(
  context: ServerContext,
  recorded: Recorded,
): Promise<ReadonlyMap<BlockId, readonly number[]> | null> {
  const { pool, layout, tasks, settle, fence } = recorded;
  const nowMs = context.clock.nowMs();
  return context.meta.write(async (writer) => {
    const made = [...recorded.added].map(([block, holders]) => ({ block, holders }));
    const left = await withoutGone(writer, made, { fence, nowMs });
    if ((await newestLayout(writer, pool)) !== layout) {
      // A later plan may name them after all: that is found out when they are judged.
      await addGarbage(writer, copiesOf(left), nowMs);
      return null;
    }
    const added = new Map(left.map(({ block, holders }) => [block, holders]));
    const placed = (await readPools(writer)).of(pool);
    const changed: ChangedPresence[] = [];
    const before: Presence[] = [];
    for (const [space, ids] of blocksBySpace(tasks))
      for (const row of await findPresence(writer, space, ids, pool)) {
        // Others may have changed it since: what they know is kept.
        const order = context.nodes.order(pool, row.block);
        const holders = (settle ? keepBest : ranked)([...row.holders, ...(added.get(row.block) ?? [])], order, placed);
        const to = (added.get(row.block) ?? []).filter((node) => !row.holders.includes(node) && holders.includes(node));
        // What only moves was never missing.
        const repaired =
          settle || to.length === 0 ? undefined : { from: counting(row.holders, placed), to, atMs: nowMs };
        changed.push({ ...row, space, holders, owed: owedOf(holders, placed), ...(repaired && { repaired }) });
        before.push(row);
      }
    await updateHolders(writer, changed);
    // Given up by every row that names them, or by none named: then nothing does.
    const named = new Set(copiesOf(changed).map(copyKey));
    await addGarbage(
      writer,
      copiesOf([...left, ...before]).filter((copy) => !named.has(copyKey(copy))),
      nowMs,
    );
    return added;
  });
}

function blocksBySpace(tasks: readonly CopyTask[]): ReadonlyMap<SpaceId, readonly BlockId[]> {
  const found = new Map<SpaceId, BlockId[]>();
  for (const { row } of tasks) {
    const ids = found.get(row.space) ?? [];
    found.set(row.space, ids);
    ids.push(row.block);
  }
  return found;
}
