/** What decides where copies are to lie, as the database has it: read inside the transaction that relies on it. */
import { toHex } from '#core/bytes.ts';
import type { PoolCopies, Standing } from '#core/copies.ts';
import { makeLayout, type LayoutNode } from '#core/layout.ts';
import { siteOf } from '#core/node-domain.ts';
import { copiesNamed, poolOfNodes, poolWith } from '#core/pool-name.ts';
import type { Rule } from '#core/rules.ts';
import {
  allNodes,
  allPools,
  allRules,
  insertLayout,
  newestLayout,
  putPool,
  putStanding,
  type StoredNode,
  type StoredPool,
} from '#meta/clusters.ts';
import { countLacking } from '#meta/copies.ts';
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

/** The pools that lie on the same storage nodes as this one, itself included. */
export async function poolsBeside(reader: MetaReader, pool: string): Promise<readonly StoredPool[]> {
  return (await allPools(reader)).filter((one) => poolOfNodes(one.pool) === poolOfNodes(pool));
}

/** Those of rules that ask for a number of copies, as far as they are not there yet. */
export async function makePoolsOf(tools: Tools, writer: MetaWriter, rules: readonly Rule[]): Promise<void> {
  const known = new Set((await allPools(writer)).map(({ pool }) => pool));
  for (const { pool: named, copies } of rules) {
    const pool = poolWith(named, copies);
    if (copies === undefined || known.has(pool)) continue;
    known.add(pool);
    await putPool(writer, { pool, copies });
    await newLayout(tools, writer, pool);
  }
}

/** One that lies on the storage nodes of `pool` and asks for more copies than so many nodes can hold; null: there is none. May read every row of the index. */
export async function poolAskingForMore(reader: MetaReader, pool: string, nodes: number): Promise<StoredPool | null> {
  const ruled = poolsOfRules(await allRules(reader));
  for (const one of await poolsBeside(reader, pool)) {
    if (one.copies <= nodes) continue;
    if (isAskedFor(one.pool, ruled) || (await countLacking(reader, one.pool, Number.MAX_SAFE_INTEGER, [])).blocks > 0)
      return one;
  }
  return null;
}

/** A rule's pool outlives the rule, without blocks in the end. */
export function isAskedFor(pool: string, ruled: ReadonlySet<string>): boolean {
  return copiesNamed(pool) === null || ruled.has(pool);
}

export function poolsOfRules(rules: readonly Rule[]): ReadonlySet<string> {
  return new Set(rules.map(({ pool, copies }) => poolWith(pool, copies)));
}

/** As a layout looks at them. Whose space is not known yet counts as the average of the others. */
export function racersOf(members: readonly StoredNode[]): readonly LayoutNode[] {
  const known = members.map(({ weight }) => weight).filter((weight) => weight > 0);
  const average = known.length > 0 ? known.reduce((sum, weight) => sum + weight, 0) / known.length : 1;
  return members.map(({ node, weight, domain }) => ({
    node,
    weight: weight > 0 ? weight : average,
    domain: siteOf(domain) ?? domain,
    host: domain,
  }));
}

/** Of the nodes that take blocks now. A pool that has none keeps the table that it had. */
export async function newLayout({ primitives }: Tools, writer: MetaWriter, pool: string): Promise<void> {
  const members = (await allNodes(writer)).filter((node) => node.pool === poolOfNodes(pool) && node.standing === 'in');
  if (members.length === 0) return;
  const { copies } = (await readPools(writer)).of(pool);
  const layout = makeLayout(primitives, 1 + (await newestLayout(writer, pool)), racersOf(members), copies);
  await insertLayout(writer, { pool, number: layout.number, nodes: layout.nodes, table: layout.table });
}

/** Of every pool that lies on the same nodes. Their names. */
export async function newLayouts(tools: Tools, writer: MetaWriter, pool: string): Promise<readonly string[]> {
  const pools = (await poolsBeside(writer, pool)).map((one) => one.pool);
  for (const one of pools) await newLayout(tools, writer, one);
  return pools;
}

/** `recount`: what rows say is compared with who counts now. `rebalance`: blocks move to where the newest layout wants them. */
export async function wantJobs({ random }: Tools, writer: MetaWriter, jobs: readonly (readonly [string, string])[]) {
  for (const [kind, subject] of jobs) await wantJob(writer, { kind, subject, mark: toHex(random.bytes(8)) });
}

export function jobsFor(kind: 'recount' | 'rebalance', pools: readonly string[]) {
  return pools.map((pool) => [kind, pool] as const);
}

export async function ensureRebalance({ random }: Tools, writer: MetaWriter, pool: string): Promise<void> {
  await ensureJob(writer, { kind: 'rebalance', subject: pool, mark: toHex(random.bytes(8)) });
}

/** In every pool that lies on it a new layout follows, whose number fences what was planned before, and the work that comes of it. `readopt`: what it holds counts once it was read. */
export async function changeStanding(
  tools: Tools,
  writer: MetaWriter,
  node: Pick<StoredNode, 'node' | 'pool'>,
  standing: Standing,
  adopt: 'adopt' | 'readopt' = 'adopt',
): Promise<void> {
  await putStanding(writer, node.node, standing);
  const pools = await newLayouts(tools, writer, node.pool);
  if (standing === 'in') await wantJobs(tools, writer, [[adopt, node.node]]);
  else await wantJobs(tools, writer, jobsFor('recount', pools));
  await wantJobs(tools, writer, jobsFor('rebalance', pools));
}
