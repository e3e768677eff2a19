/**
 * Storage nodes that say what is not so. One wrong answer may be a fault of the memory of some machine; from the third block on the node is
 * taken out of service. Nothing is deleted on it, and a person can trust it again.
 */
import { countsAs } from '#core/copies.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import { allNodes, type StoredNode } from '#meta/clusters.ts';
import { countLacking } from '#meta/copies.ts';
import { countLies, forgetLies, noteLie, type LieCount, type LieKind } from '#meta/lies.ts';
import type { MetaReader, MetaWriter } from '#meta/meta-store.ts';
import { nodesTrust } from '#protocol/cluster.ts';
import { checkStillLinked, deviceRoute } from './identity.ts';
import { named, nodeFor, takeUp } from './nodes.ts';
import { changeStanding, poolAskingForMore, poolsBeside, readPools, type PoolsNow } from './standing.ts';
import type { ServerContext } from './server-context.ts';

/** Distinct blocks about which a node lied, within that time. */
export const LIES_TO_DISTRUST = 3;
export const LIES_MS = 24 * 3_600_000;

type Said = { readonly block: BlockId; readonly holder: number; readonly why: 'missing' | 'corrupt' | LieKind };

/** Of what was found bad, what the node lied about; of nodes that count, while they do. */
export async function noteLies(
  writer: MetaWriter,
  { standing }: Pick<PoolsNow, 'standing'>,
  bad: readonly Said[],
  atMs: number,
): Promise<void> {
  for (const { block, holder, why } of bad) {
    if (why === 'missing' || why === 'corrupt' || !countsAs(standing.get(holder))) continue;
    await forgetLies(writer, holder, atMs - LIES_MS);
    await noteLie(writer, { number: holder, block, what: why, atMs });
  }
}

/** Those who lied too often are taken out; where a node has what nobody else has, that is moved away first. */
export async function judgeLiars(context: ServerContext): Promise<void> {
  const changed = await context.meta.write(async (writer) => {
    const lies = await countLies(writer, context.clock.nowMs() - LIES_MS);
    const nodes = await allNodes(writer);
    let any = false;
    for (const { number, blocks } of lies) {
      const node = nodes.find((one) => one.number === number);
      if (!node || blocks < LIES_TO_DISTRUST || !countsAs(node.standing)) continue;
      const next = await standingFor(writer, node);
      if (next === null || next === node.standing) continue;
      await changeStanding(context, writer, node, next);
      context.log.error('a storage node gave wrong answers', { node: node.name, blocks, standing: next });
      any = true;
    }
    return any;
  });
  if (changed) await takeUp(context);
}

/** Null: it has to stay as it is, until there is another place for what only it has. */
async function standingFor(writer: MetaWriter, node: StoredNode): Promise<'distrusted' | 'draining' | null> {
  const { standing } = await readPools(writer);
  const out = [...standing].filter(([, one]) => !countsAs(one)).map(([number]) => number);
  let alone = 0;
  for (const { pool } of await poolsBeside(writer, node.pool))
    alone += (await countLacking(writer, pool, 1, [...out, node.number], node.number)).blocks;
  if (alone === 0) return 'distrusted';
  const others = (await allNodes(writer)).filter(
    (one) => one.pool === node.pool && one.node !== node.node && one.standing === 'in',
  );
  return (await poolAskingForMore(writer, node.pool, others.length)) ? null : 'draining';
}

/** By number. Only those that are out, or ought to be. */
export async function knownLiars(reader: MetaReader): Promise<ReadonlyMap<number, LieCount>> {
  const found = (await countLies(reader, 0)).filter(({ blocks }) => blocks >= LIES_TO_DISTRUST);
  return new Map(found.map((one) => [one.number, one]));
}

export function trustRoutes(context: ServerContext) {
  return [
    deviceRoute(nodesTrust, async ({ node }, { identity }) => {
      await context.meta.write(async (writer) => {
        await checkStillLinked(writer, identity);
        const found = await nodeFor(writer, node);
        if (found.standing !== 'distrusted' && !(await knownLiars(writer)).has(found.number))
          throw new HoldfastError('conflict', `${named(found)} is trusted already: nothing is held against it`);
        await forgetLies(writer, found.number);
        if (found.standing === 'distrusted') await changeStanding(context, writer, found, 'in', 'readopt');
      });
      context.log.warn('a storage node is trusted again', { node });
      await takeUp(context);
      return { response: {}, parts: [] };
    }),
  ];
}
