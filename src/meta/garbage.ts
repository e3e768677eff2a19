/** Copies that nothing names any more, until their storage node has let go of them. */
import { id32Of, idBytes, type BlockId } from '#core/ids.ts';
import { parseHolders } from './contents.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import type { MetaSchema } from './schema.ts';
import { insertSlices, lookupSlices } from './slices.ts';

export type Copy = { readonly node: number; readonly block: BlockId };
export type GarbageState = 'waiting' | 'deleting' | 'deleted';
export type Garbage = Copy & { readonly state: GarbageState; readonly fence: number; readonly sinceMs: number };

/**
 * To be judged, some time after `sinceMs`. What was deleted, or is being, may be there again: it is judged once more. Its fence stays, for whoever
 * put it under a lower one.
 */
export async function addGarbage({ db }: MetaWriter, copies: readonly Copy[], sinceMs: number): Promise<void> {
  for (const slice of insertSlices(copies))
    await db
      .insertInto('garbage')
      .values(
        slice.map(({ node, block }) => ({
          node,
          block: idBytes(block),
          state: 'waiting',
          fence: 0,
          since_ms: sinceMs,
        })),
      )
      .onConflict((conflict) =>
        conflict
          .columns(['node', 'block'])
          .doUpdateSet({ state: 'waiting', since_ms: sinceMs })
          .where('garbage.state', '!=', 'waiting'),
      )
      .execute();
}

/** What is to be judged now, of the first of `nodes` that has any: what waits since before `beforeMs`, and what was ordered without an answer. */
export async function garbageToJudge(
  { db }: MetaReader,
  nodes: readonly number[],
  beforeMs: number,
  limit: number,
): Promise<readonly Garbage[]> {
  // By state, since the index goes by it: far more rows may wait than are due.
  const due = { deleting: Number.MAX_SAFE_INTEGER, waiting: beforeMs };
  for (const node of nodes) {
    const found: Garbage[] = [];
    for (const [state, sinceMs] of Object.entries(due)) {
      const rows = await db
        .selectFrom('garbage')
        .selectAll()
        .where('node', '=', node)
        .where('state', '=', state)
        .where('since_ms', '<=', sinceMs)
        .orderBy('since_ms')
        .limit(limit - found.length)
        .execute();
      found.push(...rows.map(garbageOf));
      if (found.length === limit) break;
    }
    if (found.length > 0) return found;
  }
  return [];
}

/** A node is told to delete these, under that fence. */
export async function orderGarbage(
  { db }: MetaWriter,
  node: number,
  blocks: readonly BlockId[],
  { fence, sinceMs }: { readonly fence: number; readonly sinceMs: number },
): Promise<void> {
  for (const slice of lookupSlices(blocks.map(idBytes)))
    await db
      .updateTable('garbage')
      .set({ state: 'deleting', fence, since_ms: sinceMs })
      .where('node', '=', node)
      .where('block', 'in', slice)
      .execute();
}

/** What became of the order with that fence. Rows that a later one concerns by now are left to that one's answer: it may still be carried out. */
export async function noteGarbage(
  { db }: MetaWriter,
  node: number,
  blocks: readonly BlockId[],
  { state, fence, sinceMs }: { readonly state: GarbageState; readonly fence: number; readonly sinceMs: number },
): Promise<void> {
  for (const slice of lookupSlices(blocks.map(idBytes)))
    await db
      .updateTable('garbage')
      .set({ state, since_ms: sinceMs })
      .where('node', '=', node)
      .where('block', 'in', slice)
      .where('state', '=', 'deleting')
      .where('fence', '=', fence)
      .execute();
}

export async function dropGarbage({ db }: MetaWriter, node: number, blocks: readonly BlockId[]): Promise<void> {
  for (const slice of lookupSlices(blocks.map(idBytes)))
    await db.deleteFrom('garbage').where('node', '=', node).where('block', 'in', slice).execute();
}

/** Those of the blocks, with any state. */
export async function garbageOfBlocks({ db }: MetaReader, blocks: readonly BlockId[]): Promise<readonly Garbage[]> {
  const found: Garbage[] = [];
  for (const slice of lookupSlices([...new Set(blocks)].map(idBytes)))
    found.push(...(await db.selectFrom('garbage').selectAll().where('block', 'in', slice).execute()).map(garbageOf));
  return found;
}

export async function deletedBefore({ db }: MetaReader, beforeMs: number, limit: number): Promise<readonly Garbage[]> {
  const rows = await db
    .selectFrom('garbage')
    .selectAll()
    .where('state', '=', 'deleted')
    .where('since_ms', '<=', beforeMs)
    .limit(limit)
    .execute();
  return rows.map(garbageOf);
}

/** Copies that are still to go. */
export async function countGarbage({ db }: MetaReader): Promise<number> {
  const row = await db
    .selectFrom('garbage')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('state', 'in', ['waiting', 'deleting'])
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/**
 * Which of these nodes' copies some row relies on: of any space, of the metadata for a rescue, and of any upload, also one that is over and was not looked through yet. This is the one
 * place that knows everything that may name a copy: a further table that does has to be asked here.
 */
export async function namedCopies({ db }: MetaReader, blocks: readonly BlockId[]): Promise<ReadonlySet<string>> {
  const named = new Set<string>();
  const spaces = (await db.selectFrom('space').select('space').execute()).map(({ space }) => space);
  const note = (rows: readonly { readonly block: Uint8Array; readonly holders: Uint8Array }[]) => {
    for (const { block, holders } of rows)
      for (const node of parseHolders(holders)) named.add(copyKey({ node, block: id32Of(block) }));
  };
  for (const slice of lookupSlices([...new Set(blocks)].map(idBytes))) {
    // By space, since the key begins with it.
    for (const space of spaces)
      note(
        await db
          .selectFrom('presence')
          .select(['block', 'holders'])
          .where('space', '=', space)
          .where('block', 'in', slice)
          .execute(),
      );
    note(await db.selectFrom('root_block').select(['block', 'holders']).where('block', 'in', slice).execute());
    note(await db.selectFrom('upload_block').select(['block', 'holders']).where('block', 'in', slice).execute());
  }
  return named;
}

export function copyKey({ node, block }: Copy): string {
  return `${block}/${node}`;
}

function garbageOf(row: MetaSchema['garbage']): Garbage {
  return {
    node: row.node,
    block: id32Of(row.block),
    state: row.state as GarbageState,
    fence: row.fence,
    sinceMs: row.since_ms,
  };
}
