/** The rows that say who holds a block, as repair and its like go over them: in order, a bounded number at a time. */
import { sql, type RawBuilder } from 'kysely';
import { id16Of, id32Of, idBytes, type BlockId, type SpaceId } from '#core/ids.ts';
import { formatHolders, parseHolders, type Presence } from './contents.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import type { MetaSchema } from './schema.ts';
import { lookupSlices } from './slices.ts';

export type PresenceKey = { readonly space: SpaceId; readonly block: BlockId; readonly pool: string };
export type PlacedPresence = Presence & { readonly space: SpaceId };

export type Fault = { readonly why: string; readonly node: number; readonly atMs: number };
/** Numbers of nodes: who held the block then, and who got it. */
export type Repaired = { readonly from: readonly number[]; readonly to: readonly number[]; readonly atMs: number };
/** `fault`, `repaired`: take the place of the ones that are written down. */
export type ChangedPresence = PlacedPresence & { readonly fault?: Fault; readonly repaired?: Repaired };

/** A row names no more holders than this. */
export const HOLDERS_MAX = 16;

type Row = MetaSchema['presence'];

/** All pools, in order of the key, beginning behind `after`. */
export async function walkPresence(
  { db }: MetaReader,
  after: PresenceKey | null,
  limit: number,
): Promise<readonly PlacedPresence[]> {
  const from = after
    ? sql`where (space, block, pool) > (${idBytes(after.space)}, ${idBytes(after.block)}, ${after.pool})`
    : sql``;
  const { rows } = await sql<Row>`
    select * from presence ${from} order by space, block, pool limit ${limit}`.execute(db);
  return rows.map(placedOf);
}

export async function countPresence({ db }: MetaReader): Promise<number> {
  const row = await db
    .selectFrom('presence')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** Spaces without rows are left out. Reads every row of the index. */
export async function countBySpace({ db }: MetaReader): Promise<readonly { space: SpaceId; rows: number }[]> {
  const counted = await db
    .selectFrom('presence')
    .select((eb) => ['space', eb.fn.countAll<number>().as('rows')])
    .groupBy('space')
    .orderBy('space')
    .execute();
  return counted.map(({ space, rows }) => ({ space: id16Of<SpaceId>(space), rows: Number(rows) }));
}

/** How many nodes of each pool could be asked: what lies on all of them already cannot be helped now. */
export type Reach = { readonly pool: string; readonly nodes: number };

/** Rows that owe copies and could be helped, those with the fewest copies first, beginning behind `after`. */
export async function owedRows(
  { db }: MetaReader,
  reach: readonly Reach[],
  after: PlacedPresence | null,
  limit: number,
): Promise<readonly PlacedPresence[]> {
  if (reach.length === 0) return [];
  const possible = sql.join(
    reach.map(({ pool, nodes }) => sql`(pool = ${pool} and length(holders) < ${2 * nodes})`),
    sql` or `,
  );
  const held = after ? 2 * after.holders.length : 0;
  const from = after
    ? sql`and length(holders) >= ${held} and (length(holders), space, block, pool) > (${held}, ${idBytes(after.space)}, ${idBytes(after.block)}, ${after.pool})`
    : sql``;
  const { rows } = await sql<Row>`
    select * from presence where owed > 0 ${from} and (${possible})
    order by length(holders), space, block, pool limit ${limit}`.execute(db);
  return rows.map(placedOf);
}

/** Only of rows that are still there. */
export async function updateHolders({ db }: MetaWriter, rows: readonly ChangedPresence[]): Promise<void> {
  for (const { space, block, pool, holders, owed, fault, repaired } of rows)
    await db
      .updateTable('presence')
      .set({
        holders: formatHolders(holders.slice(0, HOLDERS_MAX)),
        owed,
        ...(fault && { fault: fault.why, fault_node: fault.node, fault_ms: fault.atMs }),
        ...(repaired && {
          repaired_ms: repaired.atMs,
          repaired_from: formatHolders(repaired.from.slice(0, HOLDERS_MAX)),
          repaired_to: formatHolders(repaired.to.slice(0, HOLDERS_MAX)),
        }),
      })
      .where('space', '=', idBytes(space))
      .where('block', '=', idBytes(block))
      .where('pool', '=', pool)
      .execute();
}

/** What is written down of the blocks' copies, of each the last: only where there is any. */
export async function faultsAndRepairs(
  { db }: MetaReader,
  space: SpaceId,
  blocks: readonly BlockId[],
  pool: string,
): Promise<readonly { readonly fault: Fault | null; readonly repaired: Repaired | null }[]> {
  const found: { fault: Fault | null; repaired: Repaired | null }[] = [];
  for (const slice of lookupSlices([...new Set(blocks)])) {
    const rows = await db
      .selectFrom('presence')
      .select(['fault', 'fault_node', 'fault_ms', 'repaired_ms', 'repaired_from', 'repaired_to'])
      .where('space', '=', idBytes(space))
      .where('block', 'in', slice.map(idBytes))
      .where('pool', '=', pool)
      .where((eb) => eb.or([eb('fault_ms', 'is not', null), eb('repaired_ms', 'is not', null)]))
      .execute();
    for (const { fault, fault_node, fault_ms, repaired_ms, repaired_from, repaired_to } of rows)
      found.push({
        fault:
          fault === null || fault_node === null || fault_ms === null
            ? null
            : { why: fault, node: fault_node, atMs: fault_ms },
        repaired:
          repaired_ms === null || repaired_from === null || repaired_to === null
            ? null
            : { from: parseHolders(repaired_from), to: parseHolders(repaired_to), atMs: repaired_ms },
      });
  }
  return found;
}

export type Counted = { readonly blocks: number; readonly bytes: number };

/** Blocks of a pool of which fewer than `copies` lie on nodes other than `without`; only those that `heldBy` holds, where it is named. Reads every row of the index. */
export async function countLacking(
  reader: MetaReader,
  pool: string,
  copies: number,
  without: readonly number[],
  heldBy: number | null = null,
): Promise<Counted> {
  const held = heldBy === null ? sql`` : sql`and (${timesNamed([heldBy])}) > 0`;
  const left = sql`length(holders) / 2 - (${timesNamed(without)})`;
  return countWhere(reader, sql`pool = ${pool} and ${left} < ${copies} ${held}`);
}

/** Blocks that a node holds, by the rows of any pool. Reads every row of the index. */
export async function countHeldBy(reader: MetaReader, number: number): Promise<Counted> {
  return countWhere(reader, sql`(${timesNamed([number])}) > 0`);
}

/** Blocks that owe copies, by pool, and those of them that nobody holds any more. */
export async function countOwedByPool({
  db,
}: MetaReader): Promise<ReadonlyMap<string, { owed: number; gone: number }>> {
  const { rows } = await sql<{ pool: string; owed: number; gone: number }>`
    select pool, count(*) as owed, sum(case when length(holders) = 0 then 1 else 0 end) as gone
    from presence where owed > 0 group by pool`.execute(db);
  return new Map(rows.map(({ pool, owed, gone }) => [pool, { owed: Number(owed), gone: Number(gone) }]));
}

async function countWhere({ db }: MetaReader, condition: RawBuilder<unknown>): Promise<Counted> {
  const { rows } = await sql<{ blocks: number; bytes: number | null }>`
    select count(*) as blocks, sum(length) as bytes from presence where ${condition}`.execute(db);
  return { blocks: Number(rows[0]?.blocks ?? 0), bytes: Number(rows[0]?.bytes ?? 0) };
}

/** How many of the holders of a row are among these: they lie two bytes each. */
function timesNamed(numbers: readonly number[]): RawBuilder<unknown> {
  if (numbers.length === 0) return sql`0`;
  const named = sql.join(numbers.map((number) => formatHolders([number])));
  const places = Array.from({ length: HOLDERS_MAX }, (_, place) => 2 * place + 1);
  return sql.join(
    places.map((at) => sql`case when substr(holders, ${sql.lit(at)}, 2) in (${named}) then 1 else 0 end`),
    sql` + `,
  );
}

function placedOf(row: Row): PlacedPresence {
  return {
    space: id16Of(row.space),
    block: id32Of(row.block),
    pool: row.pool,
    length: row.length,
    holders: parseHolders(row.holders),
    owed: row.owed,
  };
}
