/** Writes down who holds a block: what a caller saw is compared with what counts inside the transaction, and then tells what is owed. */
import { counting, owedOf, QUORUM_COPIES, ranked } from '#core/copies.ts';
import type { SpaceId } from '#core/ids.ts';
import { newestLayout } from '#meta/clusters.ts';
import { findPresence, putPresence, type Presence } from '#meta/contents.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import { ensureRebalance, readPools, type PoolsNow } from './standing.ts';
import type { ServerContext } from './server-context.ts';

/** Holders that are known already stay. Where a block lies elsewhere than the layout wants it, it is moved later. */
export async function recordPresence(
  context: Pick<ServerContext, 'nodes' | 'primitives' | 'random'>,
  writer: MetaWriter,
  space: SpaceId,
  rows: readonly Presence[],
): Promise<void> {
  if (rows.length === 0) return;
  const pools = await readPools(writer);
  const ids = rows.map(({ block }) => block);
  const known = new Map((await findPresence(writer, space, ids)).map((row) => [`${row.block}/${row.pool}`, row]));
  const astray = new Set<string>();
  // What is in its place by an older layout may not be in it by the newest, and whoever moves blocks may be past this one.
  for (const pool of new Set(rows.map((row) => row.pool)))
    if ((await newestLayout(writer, pool)) !== context.nodes.layoutNumber(pool)) astray.add(pool);
  const recorded = rows.map((row): Presence => {
    const pool = pools.of(row.pool);
    const before = known.get(`${row.block}/${row.pool}`)?.holders ?? [];
    const order = context.nodes.order(row.pool, row.block);
    const holders = ranked([...row.holders, ...before], order, pool);
    if (!order.slice(0, pool.copies).every((node) => holders.includes(node))) astray.add(row.pool);
    return { ...row, holders, owed: owedOf(holders, pool) };
  });
  await putPresence(writer, space, recorded);
  for (const pool of astray) await ensureRebalance(context, writer, pool);
}

/** Whether a block that is in the space may be relied on: where nobody holds it any more, whoever has its bytes is asked for them. */
export function isHeld(pools: PoolsNow, row: Presence): boolean {
  return counting(row.holders, pools.of(row.pool)).length > 0;
}

/** Whether a block that was just written, or lately for an upload, is still as safe as its sender was told: nodes may be lost meanwhile. */
export function isStillSafe(pools: PoolsNow, row: Presence): boolean {
  const pool = pools.of(row.pool);
  const promised = Math.min(row.holders.length, pool.copies, QUORUM_COPIES);
  return counting(row.holders, pool).length >= Math.max(1, promised);
}
