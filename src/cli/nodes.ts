/** `holdfast nodes`: the storage nodes, and how they leave. `holdfast pools`: how many copies are kept where. */
import { HoldfastError } from '#core/errors.ts';
import { poolOfNodes } from '#core/pool-name.ts';
import { ask } from '#protocol/call.ts';
import {
  nodesDrain,
  nodesList,
  nodesRemove,
  nodesSite,
  nodesTrust,
  nodesWhatif,
  poolsList,
  poolsSet,
  type JobRow,
  type NodeRow,
} from '#protocol/cluster.ts';
import type { Peer } from '#protocol/wire.ts';
import { when, withServer } from './cluster-commands.ts';
import type { Context } from './context.ts';
import { usage } from './exit.ts';
import { bytesText, counted, shown, table } from './output.ts';

/** A walk over the whole index takes its time. */
const WHATIF_MS_MAX = 10 * 60_000;

export function nodeLine(node: NodeRow): readonly string[] {
  return [
    node.node.slice(0, 8),
    shown(node.name),
    node.pool,
    node.site ?? '-',
    node.address,
    node.standing === 'in' ? node.state : node.state === 'ok' ? node.standing : `${node.state}, ${node.standing}`,
    `${counted(node.blocks, 'block')}`,
    `${bytesText(node.storedBytes)}${node.deadBytes > 0 ? `, ${bytesText(node.deadBytes)} to compact` : ''}`,
    `${bytesText(node.freeBytes)} free`,
  ];
}

export async function listNodes(context: Context): Promise<void> {
  const { response } = await withServer(context, (peer, signal) => ask(peer, nodesList, {}, signal));
  context.output.value(response.nodes);
  for (const line of table([
    ['NODE', 'NAME', 'POOL', 'SITE', 'ADDRESS', 'STATE', 'HOLDS', 'SIZE', 'DISK'],
    ...response.nodes.map(nodeLine),
  ]))
    context.output.line(line);
  for (const { name, drain } of response.nodes)
    if (drain) context.output.line(`${shown(name)} drains: ${drainText(drain)}.`);
  for (const { name, lies } of response.nodes)
    if (lies)
      context.output.line(
        `${shown(name)} gave wrong answers about ${counted(lies.blocks, 'block')}, last at ${when(lies.lastMs)}; "holdfast status" says more.`,
      );
}

function drainText(drain: NonNullable<NodeRow['drain']>): string {
  if (drain.blocksLeft === 0) return `it holds nothing any more; "holdfast nodes remove" takes it out`;
  const rate = drain.bytesPerS > 0 ? `, ${bytesText(drain.bytesPerS)}/s` : '';
  return `${counted(drain.blocksLeft, 'block')} left, ${bytesText(drain.bytesLeft)}${rate}${timeLeft(drain.secondsLeft)}`;
}

function timeLeft(seconds: number | null): string {
  return seconds === null ? '' : `, ${durationText(seconds)} left`;
}

export function durationText(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

const JOB_TEXTS: Readonly<Record<string, string>> = {
  recount: 'counting what is owed in',
  adopt: 'asking what it holds:',
  readopt: 'reading what it holds:',
  repair: 'making owed copies in',
  rebalance: 'moving blocks to their nodes in',
  collection: 'looking for what nothing names any more,',
  purge: 'ending history that is over',
};

/** Null where it goes without saying. */
export function jobLine(job: JobRow, nodes: readonly NodeRow[]): string | null {
  const what = JOB_TEXTS[job.name];
  if (what === undefined) return null;
  const subject = nodes.find(({ node }) => node === job.subject)?.name ?? job.subject;
  const left = job.left === null ? '' : `, ${counted(job.left, 'block')} left`;
  const rate = job.bytesPerS > 0 ? `, ${bytesText(job.bytesPerS)}/s` : '';
  return `  ${job.name}: ${what}${subject === '' ? '' : ` ${shown(subject)}`}${left}${rate}${timeLeft(job.secondsLeft)}`;
}

/** `which`: a node's id, the beginning of it, or its name. */
async function findNode(peer: Peer, signal: AbortSignal, which: string): Promise<NodeRow> {
  const { nodes } = (await ask(peer, nodesList, {}, signal)).response;
  const exact = nodes.filter(({ name, node }) => name === which || node === which.toLowerCase());
  const found = exact.length > 0 ? exact : nodes.filter(({ node }) => node.startsWith(which.toLowerCase()));
  const [only] = found;
  if (!only)
    throw new HoldfastError('not_found', `no storage node is called "${shown(which)}"; "holdfast nodes" lists them`);
  if (found.length > 1)
    throw usage(
      `"${shown(which)}" names ${found.length} storage nodes; give the id instead: ${found.map(({ node }) => node.slice(0, 12)).join(', ')}`,
    );
  return only;
}

export async function drainNode(context: Context, which: string, drain: boolean): Promise<void> {
  await withServer(context, async (peer, signal) => {
    const node = await findNode(peer, signal, which);
    const { response } = await ask(peer, nodesDrain, { node: node.node, drain }, signal);
    context.output.value({ node: node.node, draining: drain, ...response });
    context.output.line(
      drain
        ? `${shown(node.name)} drains: ${counted(response.blocksLeft, 'block')}, ${bytesText(response.bytesLeft)} move to other storage nodes. "holdfast nodes" shows how far that is.`
        : `${shown(node.name)} takes blocks again.`,
    );
  });
}

export async function setSite(context: Context, which: string, site: string): Promise<void> {
  await withServer(context, async (peer, signal) => {
    const node = await findNode(peer, signal, which);
    const named = site === 'none' ? null : site;
    await ask(peer, nodesSite, { node: node.node, site: named }, signal);
    context.output.value({ node: node.node, site: named });
    context.output.line(
      `${shown(node.name)} is ${named === null ? 'nowhere in particular' : `at ${named}`}. Copies that are to lie elsewhere now are moved in the background.`,
    );
  });
}

export async function trustNode(context: Context, which: string): Promise<void> {
  await withServer(context, async (peer, signal) => {
    const node = await findNode(peer, signal, which);
    await ask(peer, nodesTrust, { node: node.node }, signal);
    context.output.value({ trusted: node.node });
    context.output.line(
      `${shown(node.name)} is in service again. What it holds counts as soon as it was read and verified; "holdfast status" shows how far that is.`,
    );
  });
}

export async function removeNode(context: Context, which: string, lost: boolean): Promise<void> {
  await withServer(context, async (peer, signal) => {
    const node = await findNode(peer, signal, which);
    const { response } = await ask(peer, nodesRemove, { node: node.node, lost }, signal);
    context.output.value({ removed: node.node, ...response });
    const copying = response.blocksToCopy > 0 ? ` ${response.blocksToCopy} blocks get another copy at once.` : '';
    context.output.line(`${shown(node.name)} is a storage node no more.${copying}`);
  });
}

export async function whatIf(context: Context, which: string): Promise<void> {
  await withServer(
    context,
    async (peer, signal) => {
      const node = await findNode(peer, signal, which);
      const { response } = await ask(peer, nodesWhatif, { node: node.node }, signal);
      context.output.value({ node: node.node, ...response });
      const { filesLost, filesWithOneCopy, blocksToCopy, bytesToCopy, bytesPerS, measured, seconds } = response;
      context.output.line(`If ${shown(node.name)} (pool ${node.pool}) were lost now:`);
      context.output.line(`  files lost: ${filesLost}`);
      context.output.line(`  files left with one copy until it is repaired: ${filesWithOneCopy}`);
      context.output.line(
        `  to copy: ${counted(blocksToCopy, 'block')}, ${bytesText(bytesToCopy)}; ${durationText(seconds)} at ${bytesText(bytesPerS)}/s (${measured ? 'as measured' : 'the most that repair takes'})`,
      );
    },
    WHATIF_MS_MAX,
  );
}

export async function listPools(context: Context): Promise<void> {
  const { response } = await withServer(context, (peer, signal) => ask(peer, poolsList, {}, signal));
  context.output.value(response.pools);
  for (const line of table([
    ['POOL', 'COPIES', 'NODES'],
    ...response.pools.map((pool) => [pool.pool, String(pool.copies), String(pool.nodes)]),
  ]))
    context.output.line(line);
}

export async function setPool(context: Context, pool: string, copies: number): Promise<void> {
  const { response } = await withServer(context, (peer, signal) => ask(peer, poolsSet, { pool, copies }, signal));
  const { nodes } = response.pool;
  context.output.value({ ...response.pool, made: response.made });
  context.output.line(`Pool ${shown(pool)} ${response.made ? 'is made and ' : ''}keeps ${copiesText(copies)}.`);
  noteFewNodes(context, pool, nodes, copies);
}

export function copiesText(copies: number): string {
  return copies === 1 ? '1 copy, not protected' : `${copies} copies`;
}

/** Where a pool, or a rule that names it, asks for more copies than there are nodes. */
export function noteFewNodes(context: Context, pool: string, nodes: number, copies: number): void {
  if (nodes >= copies) return;
  const named = poolOfNodes(pool);
  const takes = nodes < Math.min(2, copies) ? ' Until then its new files wait: they are not safe yet.' : '';
  context.output.note(
    `The pool ${named} has ${counted(nodes, 'storage node')}, fewer than ${copies} copies: add one with "holdfast invite --node --pool ${named}" and "holdfast node --join TICKET".${takes}`,
  );
}
