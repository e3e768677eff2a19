/** Pools: which there are, and how many copies each asks for. */
import type { PoolRow } from '#protocol/cluster.ts';
import { poolsList, poolsSet } from '#protocol/cluster.ts';
import { allPools, putPool } from '#meta/clusters.ts';
import { checkStillLinked, deviceRoute } from './identity.ts';
import { takeUp } from './nodes.ts';
import { newLayout, wantJobs } from './standing.ts';
import type { ServerContext } from './server-context.ts';

export function poolRoutes(context: ServerContext) {
  const { meta, nodes } = context;
  const rowOf = (pool: string, copies: number): PoolRow => {
    return { pool, copies, nodes: nodes.members(pool).filter(({ stored }) => stored.standing === 'in').length };
  };
  return [
    deviceRoute(poolsList, async () => {
      const pools = await meta.read(allPools);
      return { response: { pools: pools.map(({ pool, copies }) => rowOf(pool, copies)) }, parts: [] };
    }),
    deviceRoute(poolsSet, async ({ pool, copies }, { identity }) => {
      const before = await meta.write(async (writer) => {
        await checkStillLinked(writer, identity);
        const known = (await allPools(writer)).find((one) => one.pool === pool);
        if (known?.copies === copies) return known;
        await putPool(writer, { pool, copies });
        await newLayout(context, writer, pool);
        await wantJobs(context, writer, [
          ['recount', pool],
          ['rebalance', pool],
        ]);
        return known ?? null;
      });
      await takeUp(context);
      return { response: { pool: rowOf(pool, copies), made: before === null }, parts: [] };
    }),
  ];
}
