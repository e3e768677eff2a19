/** Storage nodes that leave: `nodes-drain`, `nodes-remove`, and what it would cost to lose one. */
import { countsAs } from '#core/copies.ts';
import { HoldfastError } from '#core/errors.ts';
import type { NodeId } from '#core/ids.ts';
import { domainOf, hostOf } from '#core/node-domain.ts';
import { allNodes, putDomain, type StoredNode } from '#meta/clusters.ts';
import { countHeldBy, countLacking } from '#meta/copies.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { nodesDrain, nodesRemove, nodesSite, nodesWhatif } from '#protocol/cluster.ts';
import { checkStillLinked, deviceRoute } from './identity.ts';
import {
  changeStanding,
  jobsFor,
  newLayouts,
  poolAskingForMore,
  poolsBeside,
  readPools,
  wantJobs,
} from './standing.ts';
import type { Repair } from './repair.ts';
import type { ServerContext } from './server-context.ts';
import { lossOf } from './whatif.ts';

export function nodeRoutes(context: ServerContext, repair: Pick<Repair, 'measured'>) {
  return [
    deviceRoute(nodesDrain, async ({ node, drain }, { identity }) => {
      const held = await context.meta.write(async (writer) => {
        await checkStillLinked(writer, identity);
        const found = await nodeFor(writer, node);
        if (found.standing === 'distrusted')
          throw new HoldfastError(
            'conflict',
            `${named(found)} was taken out of service for wrong answers: nothing is to be moved from it; remove it, or trust it again with "holdfast nodes trust ${found.name}"`,
          );
        if (found.standing === 'lost')
          throw new HoldfastError(
            'conflict',
            `${named(found)} cannot be reached, so nothing can be moved from it; once it is back, drain it, or remove it with --lost`,
          );
        if (drain) await checkCanLeave(writer, found);
        if (drain !== (found.standing === 'draining'))
          await changeStanding(context, writer, found, drain ? 'draining' : 'in');
        return countHeldBy(writer, found.number);
      });
      await takeUp(context);
      return { response: { blocksLeft: held.blocks, bytesLeft: held.bytes }, parts: [] };
    }),
    deviceRoute(nodesSite, async ({ node, site }, { identity }) => {
      await context.meta.write(async (writer) => {
        await checkStillLinked(writer, identity);
        const found = await nodeFor(writer, node);
        const domain = domainOf(hostOf(found.domain), site);
        if (domain === found.domain) return;
        await putDomain(writer, node, domain);
        await wantJobs(context, writer, jobsFor('rebalance', await newLayouts(context, writer, found.pool)));
      });
      await takeUp(context);
      return { response: {}, parts: [] };
    }),
    deviceRoute(nodesRemove, async ({ node, lost }, { identity }) => {
      const blocks = await context.meta.write(async (writer) => {
        await checkStillLinked(writer, identity);
        const found = await nodeFor(writer, node);
        const short = await lackingWithout(writer, found);
        if (short > 0 && !lost)
          throw new HoldfastError(
            'conflict',
            `${named(found)} holds ${short} blocks of which too few copies would be left; "holdfast nodes drain ${found.name}" moves them away, or --lost says that it is gone for ever`,
          );
        await changeStanding(context, writer, found, 'removed');
        return short;
      });
      context.log.warn('a storage node was removed', { node, lost });
      await takeUp(context);
      return { response: { blocksToCopy: blocks }, parts: [] };
    }),
    deviceRoute(nodesWhatif, async ({ node }) => {
      const found = await context.meta.read((reader) => nodeFor(reader, node));
      const known = context.nodes.find(found.node);
      if (!known) throw notFound();
      const loss = await lossOf(context, known);
      const measured = repair.measured();
      const bytesPerS = Math.max(1, Math.round(measured ?? context.care.bytesPerS));
      const seconds = Math.ceil(loss.bytesToCopy / bytesPerS);
      return { response: { ...loss, bytesPerS, measured: measured !== null, seconds }, parts: [] };
    }),
  ];
}

/** What this process knows is older than what was just decided. */
export async function takeUp(context: ServerContext): Promise<void> {
  await context.nodes.reload();
  context.wakeJobs();
}

function notFound(): HoldfastError {
  return new HoldfastError('not_found', 'there is no such storage node');
}

export function named({ name, pool }: StoredNode): string {
  return `the storage node ${name} (pool ${pool})`;
}

/** Throws `not_found`; so for one that was removed. */
export async function nodeFor(reader: MetaReader, node: NodeId): Promise<StoredNode> {
  const found = (await allNodes(reader)).find((one) => one.node === node);
  if (!found || found.standing === 'removed') throw notFound();
  return found;
}

async function checkCanLeave(reader: MetaReader, node: StoredNode): Promise<void> {
  const others = (await allNodes(reader)).filter(
    (one) => one.pool === node.pool && one.node !== node.node && one.standing === 'in',
  );
  const short = await poolAskingForMore(reader, node.pool, others.length);
  if (!short) return;
  const { pool, copies } = short;
  throw new HoldfastError(
    'conflict',
    `the pool ${pool} asks for ${copies} ${copies === 1 ? 'copy' : 'copies'} and would have ${others.length} other storage nodes; add one first ("holdfast invite --node"), or ask for fewer copies`,
  );
}

/** Blocks of which too few copies would be left without the node: that it holds; of one that does not count, that nobody else holds and it may. */
async function lackingWithout(reader: MetaReader, node: StoredNode): Promise<number> {
  const { standing } = await readPools(reader);
  const out = [...standing].filter(([, one]) => !countsAs(one)).map(([number]) => number);
  const without = [...new Set([...out, node.number])];
  // The rows do not name it any more: only what nobody else holds may be on it.
  const unnamed = !countsAs(node.standing);
  let blocks = 0;
  for (const { pool, copies } of await poolsBeside(reader, node.pool))
    blocks += (await countLacking(reader, pool, unnamed ? 1 : copies, without, unnamed ? null : node.number)).blocks;
  return blocks;
}
