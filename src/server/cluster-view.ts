/** What devices and the status page see of the cluster as a whole. */
import { countsAs } from '#core/copies.ts';
import { siteOf } from '#core/node-domain.ts';
import { poolOfNodes } from '#core/pool-name.ts';
import type { Rule } from '#core/rules.ts';
import { allNodes, allPools, allRules, findCluster, type StoredPool } from '#meta/clusters.ts';
import { countHeldBy, countLacking, countOwedByPool } from '#meta/copies.ts';
import { countFiles } from '#meta/entries.ts';
import { countGarbage } from '#meta/garbage.ts';
import { countMisplaced, isPlacing, placingState } from '#meta/placing.ts';
import { allJobs } from '#meta/jobs.ts';
import type { LieCount } from '#meta/lies.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { allRoots } from '#meta/roots.ts';
import { spacesOf } from '#meta/spaces.ts';
import { countUploads } from '#meta/uploads.ts';
import { nodesList, serverStatus, type JobRow, type NodeRow } from '#protocol/cluster.ts';
import type { z } from 'zod';
import { deviceRoute } from './identity.ts';
import type { Jobs } from './jobs.ts';
import { liarText } from './liar-text.ts';
import { knownLiars } from './liars.ts';
import type { KnownNode } from './node-book.ts';
import type { ServerContext } from './server-context.ts';
import { isAskedFor, poolsOfRules } from './standing.ts';

type StatusResponse = z.infer<typeof serverStatus.response>;

export function clusterRoutes(context: ServerContext, jobs: Jobs) {
  return [
    deviceRoute(nodesList, async () => ({ response: { nodes: await nodeRows(context, jobs) }, parts: [] })),
    deviceRoute(serverStatus, async (_request, { identity }) => ({
      response: await describeServer(context, jobs, identity.account),
      parts: [],
    })),
  ];
}

async function describeServer(context: ServerContext, jobs: Jobs, account: Uint8Array): Promise<StatusResponse> {
  const health = await describeHealth(context, jobs);
  const counted = await context.meta.read(async (reader) => {
    let files = 0;
    let plainBytes = 0;
    for (const { space } of await spacesOf(reader, account)) {
      const found = await countFiles(reader, space);
      files += found.files;
      plainBytes += found.plainBytes;
    }
    const moving = { files: await countMisplaced(reader), looking: await isPlacing(reader) };
    const { pending: rulesPending } = await placingState(reader);
    const recoveryKitConfirmed = (await findCluster(reader))?.kitConfirmed ?? false;
    const garbageCopies = await countGarbage(reader);
    const [newest] = await allRoots(reader);
    const root = newest ? { seq: newest.seq, madeMs: newest.madeMs, nodes: newest.nodes } : null;
    return { files, plainBytes, moving, rulesPending, garbageCopies, root, recoveryKitConfirmed };
  });
  return { version: context.version, startedMs: context.startedMs, ...counted, ...health };
}

/** The part that costs little, however many files there are: strangers can ask for it. */
export async function describeHealth(
  context: ServerContext,
  jobs: Jobs,
): Promise<Pick<StatusResponse, 'copiesAtRisk' | 'uploading' | 'nodes' | 'jobs' | 'problems'>> {
  const nodes = await nodeRows(context, jobs);
  const { risk, uploading, pools, rules } = await context.meta.read(async (reader) => ({
    risk: await countAtRisk(context, reader),
    uploading: await countUploads(reader),
    pools: await allPools(reader),
    rules: await allRules(reader),
  }));
  const problems = [
    ...problemsOf(nodes),
    ...complaintsOf(context),
    ...unprovenOf(context),
    ...poolProblems(context, pools, rules, risk),
  ];
  return { copiesAtRisk: risk.atRisk, uploading, nodes, jobs: [...(await jobs.rows())], problems };
}

/** `owed`: pools that owe copies. */
type Risk = {
  readonly atRisk: number;
  readonly gone: ReadonlyMap<string, number>;
  readonly owed: { has(pool: string): boolean };
};

/**
 * The rows that owe copies are found by their index, and are the whole truth where every node answers. Where one does not, or where rows
 * are not recounted yet after a change, all rows of the pool are looked at.
 */
async function countAtRisk({ nodes }: ServerContext, reader: MetaReader): Promise<Risk> {
  const owed = await countOwedByPool(reader);
  const recounting = (await allJobs(reader)).filter(({ kind }) => kind === 'recount').map(({ subject }) => subject);
  const stored = await allNodes(reader);
  let atRisk = 0;
  for (const { pool, copies } of await allPools(reader)) {
    const own = stored.filter((node) => node.pool === poolOfNodes(pool));
    const out = own.filter(({ node, standing }) => {
      const known = nodes.find(node);
      return !countsAs(standing) || known?.status === null || known?.answering === false;
    });
    const doubtful = recounting.includes(pool) || out.some(({ standing }) => countsAs(standing));
    atRisk += doubtful
      ? (
          await countLacking(
            reader,
            pool,
            copies,
            out.map(({ number }) => number),
          )
        ).blocks
      : (owed.get(pool)?.owed ?? 0);
  }
  return { atRisk, gone: new Map([...owed].map(([pool, { gone }]) => [pool, gone])), owed };
}

function poolProblems(
  context: ServerContext,
  pools: readonly StoredPool[],
  rules: readonly Rule[],
  { gone, owed }: Risk,
): StatusResponse['problems'] {
  const problems: StatusResponse['problems'] = [];
  const ruled = poolsOfRules(rules);
  for (const { pool, copies } of pools) {
    const lost = gone.get(pool) ?? 0;
    if (lost > 0)
      problems.push({
        path: '',
        code: 'block_missing',
        message: `of ${lost} blocks of pool ${pool} no copy is left on any storage node that is known`,
      });
    const members = context.nodes.members(pool).filter(({ stored }) => stored.standing === 'in');
    if ((isAskedFor(pool, ruled) || owed.has(pool)) && copies > 1 && members.length < copies)
      problems.push({
        path: '',
        code: 'too_few_nodes',
        message: `the pool ${pool} asks for ${copies} copies and has ${members.length === 1 ? '1 storage node' : `${members.length} storage nodes`}; add one with "holdfast invite --node --pool ${poolOfNodes(pool)}"`,
      });
  }
  return problems;
}

/** So long nobody is told that a node proves nothing: disks are slow, and machines are started. */
const UNPROVEN_MS = 15 * 60_000;

function unprovenOf({ nodes, clock }: ServerContext): StatusResponse['problems'] {
  const nowMs = clock.monotonicMs();
  return nodes.all().flatMap(({ stored, answering, unprovenSinceMs }) => {
    if (!countsAs(stored.standing) || !answering || nowMs - (unprovenSinceMs ?? nowMs) < UNPROVEN_MS) return [];
    const message = `the storage node ${stored.name} (pool ${stored.pool}) answers, but has proved of no block that it has it for ${Math.round((nowMs - (unprovenSinceMs ?? nowMs)) / 60_000)} minutes: its disk is failing or too slow, or it does not have them; "holdfast nodes drain ${stored.name}" moves away what can be read`;
    return [{ path: '', code: 'node_unproven', message }];
  });
}

function complaintsOf({ nodes }: ServerContext): StatusResponse['problems'] {
  return nodes.all().flatMap((known) => {
    const message = nodes.complaintOf(known);
    return message === null ? [] : [{ path: '', code: 'node_cloned', message }];
  });
}

function problemsOf(nodes: readonly NodeRow[]): StatusResponse['problems'] {
  const problems: StatusResponse['problems'] = [];
  for (const node of nodes) {
    const message = {
      ok: null,
      read_only: `the storage node ${node.name} (pool ${node.pool}) is full and takes no more blocks`,
      failed: `the disk of storage node ${node.name} (pool ${node.pool}) reports errors`,
      unreachable: `the storage node ${node.name} (pool ${node.pool}) cannot be reached${node.standing === 'lost' ? '; its copies are made anew on others' : ''}`,
    }[node.state];
    const code = { ok: '', read_only: 'no_space', failed: 'disk_failed', unreachable: 'storage_unavailable' }[
      node.state
    ];
    if (message !== null) problems.push({ path: '', code, message });
    const liar = liarText(node);
    if (liar !== null) problems.push({ path: '', code: 'node_lies', message: liar });
    if (node.quarantined > 0)
      problems.push({
        path: '',
        code: 'block_corrupt',
        message: `the storage node ${node.name} (pool ${node.pool}) found ${node.quarantined} damaged places`,
      });
  }
  return problems;
}

async function nodeRows(context: ServerContext, jobs: Jobs): Promise<NodeRow[]> {
  const all = context.nodes.all();
  const liars = await context.meta.read(knownLiars);
  const nodeRow = (known: KnownNode, drain: NodeRow['drain']) =>
    rowOf(known, drain, liars.get(known.stored.number) ?? null);
  if (!all.some(({ stored }) => stored.standing === 'draining')) return all.map((known) => nodeRow(known, null));
  const moves = (await jobs.rows()).filter(({ name }) => name === 'rebalance');
  return Promise.all(
    all.map(async (known) => {
      const { standing, number, pool } = known.stored;
      if (standing !== 'draining') return nodeRow(known, null);
      const left = await context.meta.read((reader) => countHeldBy(reader, number));
      // Of the pools that lie on it one after the other is moved.
      const own = moves.filter(({ subject }) => poolOfNodes(subject) === pool);
      const sum = (of: (move: JobRow) => number) => own.reduce((total, move) => total + of(move), 0);
      const bytesPerS = sum((move) => move.bytesPerS);
      const secondsLeft = left.blocks === 0 ? 0 : bytesPerS > 0 ? Math.ceil(left.bytes / bytesPerS) : null;
      const rate = { ratePerS: sum((move) => move.ratePerS), bytesPerS, secondsLeft };
      return nodeRow(known, { blocksLeft: left.blocks, bytesLeft: left.bytes, ...rate });
    }),
  );
}

function rowOf(
  { stored, status, answering, lastSeenMs }: KnownNode,
  drain: NodeRow['drain'],
  lies: LieCount | null,
): NodeRow {
  return {
    node: stored.node,
    name: stored.name,
    pool: stored.pool,
    site: siteOf(stored.domain),
    address: stored.addresses[0] ?? '',
    state: answering && status ? status.state : 'unreachable',
    standing: stored.standing === 'removed' ? 'lost' : stored.standing,
    lies: lies && { blocks: lies.blocks, firstMs: lies.firstMs, lastMs: lies.lastMs, what: [...lies.what] },
    drain,
    blocks: status?.blocks ?? 0,
    storedBytes: status?.storedBytes ?? 0,
    deadBytes: status?.deadBytes ?? 0,
    freeBytes: status?.freeBytes ?? 0,
    quarantined: status?.quarantined ?? 0,
    lastSeenMs,
  };
}
