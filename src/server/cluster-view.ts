/** What devices and the status page see of the cluster as a whole. */
import { findCluster, allPools } from '#meta/clusters.ts';
import { countOwed } from '#meta/contents.ts';
import { countFiles } from '#meta/entries.ts';
import { countGarbage } from '#meta/garbage.ts';
import { countMisplaced, isPlacing, placingState } from '#meta/placing.ts';
import { spacesOf } from '#meta/spaces.ts';
import { countUploads } from '#meta/uploads.ts';
import { nodesList, poolsList, serverStatus, type NodeRow } from '#protocol/cluster.ts';
import type { z } from 'zod';
import { deviceRoute } from './identity.ts';
import type { KnownNode } from './node-book.ts';
import type { ServerContext } from './server-context.ts';

type StatusResponse = z.infer<typeof serverStatus.response>;

export function clusterRoutes(context: ServerContext) {
  return [
    deviceRoute(nodesList, async () => ({ response: { nodes: context.nodes.all().map(nodeRow) }, parts: [] })),
    deviceRoute(poolsList, async () => {
      const pools = await context.meta.read(allPools);
      const members = (pool: string) => context.nodes.all().filter((known) => known.stored.pool === pool).length;
      return { response: { pools: pools.map((row) => ({ ...row, nodes: members(row.pool) })) }, parts: [] };
    }),
    deviceRoute(serverStatus, async (_request, { identity }) => ({
      response: await describeServer(context, identity.account),
      parts: [],
    })),
  ];
}

async function describeServer(context: ServerContext, account: Uint8Array): Promise<StatusResponse> {
  const health = await describeHealth(context);
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
    return { files, plainBytes, moving, rulesPending, garbageCopies, recoveryKitConfirmed };
  });
  return { version: context.version, startedMs: context.startedMs, ...counted, ...health };
}

/** The part that costs little, however many files there are: strangers can ask for it. */
export async function describeHealth(
  context: ServerContext,
): Promise<Pick<StatusResponse, 'copiesAtRisk' | 'uploading' | 'nodes' | 'problems'>> {
  const nodes = context.nodes.all().map(nodeRow);
  const { copiesAtRisk, uploading } = await context.meta.read(async (reader) => ({
    copiesAtRisk: await countOwed(reader),
    uploading: await countUploads(reader),
  }));
  return { copiesAtRisk, uploading, nodes, problems: problemsOf(nodes) };
}

function problemsOf(nodes: readonly NodeRow[]): StatusResponse['problems'] {
  const problems: StatusResponse['problems'] = [];
  for (const node of nodes) {
    const message = {
      ok: null,
      read_only: `the storage node ${node.name} (pool ${node.pool}) is full and takes no more blocks`,
      failed: `the disk of storage node ${node.name} (pool ${node.pool}) reports errors`,
      unreachable: `the storage node ${node.name} (pool ${node.pool}) cannot be reached`,
    }[node.state];
    const code = { ok: '', read_only: 'no_space', failed: 'disk_failed', unreachable: 'storage_unavailable' }[
      node.state
    ];
    if (message !== null) problems.push({ path: '', code, message });
    if (node.quarantined > 0)
      problems.push({
        path: '',
        code: 'block_corrupt',
        message: `the storage node ${node.name} (pool ${node.pool}) found ${node.quarantined} damaged places`,
      });
  }
  return problems;
}

function nodeRow({ stored, status, answering, lastSeenMs }: KnownNode): NodeRow {
  return {
    node: stored.node,
    name: stored.name,
    pool: stored.pool,
    address: stored.addresses[0] ?? '',
    state: answering && status ? status.state : 'unreachable',
    blocks: status?.blocks ?? 0,
    storedBytes: status?.storedBytes ?? 0,
    freeBytes: status?.freeBytes ?? 0,
    quarantined: status?.quarantined ?? 0,
    lastSeenMs,
  };
}
