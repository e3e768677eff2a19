/** What decides where copies are to lie, as the database has it: read inside the transaction that relies on it. */
import { toHex } from '#core/bytes.ts';
import type { PoolCopies, Standing } from '#core/copies.ts';
import { makeLayout } from '#core/layout.ts';
import { allNodes, allPools, insertLayout, newestLayout, putStanding, type StoredNode } from '#meta/clusters.ts';
import { ensureJob, wantJob } from '#meta/jobs.ts';
import type { MetaReader, MetaWriter } from '#meta/meta-store.ts';
import type { ServerContext } from './server-context.ts';

export type PoolsNow = {
  readonly standing: ReadonlyMap<number, Standing>;
  of(pool: string): PoolCopies;
};

export async function readPools(reader: MetaReader): Promise<PoolsNow> {
  const standing = new Map((await allNodes(reader)).map((node) => [node.number, node.standing]));
  const copies = new Map((await allPools(reader)).map((row) => [row.pool, row.copies]));
  return { standing, of: (pool) => ({ copies: copies.get(pool) ?? 1, standing }) };
}

type Tools = Pick<ServerContext, 'primitives' | 'random'>;

/** Of the nodes that take blocks now. A pool that has none keeps the table that it had. */
export async function newLayout({ primitives }: Tools, writer: MetaWriter, pool: string): Promise<void> {
  const members = (await allNodes(writer)).filter((node) => node.pool === pool && node.standing === 'in');
  if (members.length === 0) return;
  const { copies } = (await readPools(writer)).of(pool);
  const layout = makeLayout(primitives, 1 + (await newestLayout(writer, pool)), members, copies);
  await insertLayout(writer, { pool, number: layout.number, nodes: layout.nodes, table: layout.table });
}

/** `recount`: what rows say is compared with who counts now. `rebalance`: blocks move to where the newest layout wants them. */
export async function wantJobs({ random }: Tools, writer: MetaWriter, jobs: readonly (readonly [string, string])[]) {
  for (const [kind, subject] of jobs) await wantJob(writer, { kind, subject, mark: toHex(random.bytes(8)) });
}

export async function ensureRebalance({ random }: Tools, writer: MetaWriter, pool: string): Promise<void> {
  await ensureJob(writer, { kind: 'rebalance', subject: pool, mark: toHex(random.bytes(8)) });
}

/** A new layout follows, whose number fences what was planned before, and the work that comes of it. `readopt`: what it holds counts once it was read. */
export async function changeStanding(
  tools: Tools,
  writer: MetaWriter,
  node: Pick<StoredNode, 'node' | 'pool'>,
  standing: Standing,
  adopt: 'adopt' | 'readopt' = 'adopt',
): Promise<void> {
  await putStanding(writer, node.node, standing);
  await newLayout(tools, writer, node.pool);
  const first = standing === 'in' ? ([adopt, node.node] as const) : (['recount', node.pool] as const);
  await wantJobs(tools, writer, [first, ['rebalance', node.pool]]);
}
