/** `holdfast up`: server, four storage nodes and, with FOLDER, a device that syncs it, in one process. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ask } from '#protocol/call.ts';
import { nodesList, type NodeRow } from '#protocol/cluster.ts';
import { REQUEST_MS_MAX, within } from './cancel.ts';
import { untilStopped, type Context } from './context.ts';
import { usage } from './exit.ts';
import type { Identity } from './home.ts';
import type { NodePlan, Running, RunningNodes, RunningServer } from './launcher.ts';
import { linkFolder, ownIdentity } from './linking.ts';
import { dataDirectory, syncedFolder } from './places.ts';
import { table } from './output.ts';
import { serverPlan, type ServerOptions } from './server-options.ts';

export type UpOptions = ServerOptions & { readonly nodePorts: readonly number[] };

/** The original arrangement: a pool for each of three kinds of file, one for all else. */
const POOLS = ['mp3', 'txt', 'pdf', 'others'] as const;

export async function up(context: Context, folder: string | null, options: UpOptions): Promise<void> {
  const data = dataDirectory(options.data, context.home);
  const path = folder === null ? null : syncedFolder(folder, data);
  if (new Set([options.port, ...options.nodePorts]).size !== POOLS.length + 1 && !options.nodePorts.includes(0)) {
    throw usage(
      `the server and the four storage nodes need five different ports, not ${[options.port, ...options.nodePorts].join(', ')}`,
    );
  }
  const running: Running[] = [];
  try {
    const server = await context.launcher.startServer(serverPlan(data, options));
    running.push(server);
    const identity = await ownIdentity(context, server, data);
    const nodes = await context.launcher.startNodes(
      await nodePlans(context, { data, options, server, identity }),
      server,
    );
    running.push(nodes, settlingOf(server));
    if (path !== null) {
      const link = await linkFolder(context, identity, path);
      running.push(await context.launcher.startDevice(context.home, identity, link, server));
    }
    const setupUrl = await server.mintInvite('device');
    sayReady(context, { server, nodes, folder: path, setupUrl });
    await untilEnded(context, running);
  } finally {
    await closeAll(running);
  }
}

type Start = {
  readonly data: string;
  readonly options: UpOptions;
  readonly server: RunningServer;
  readonly identity: Identity;
};

/**
 * A directory without a node is made one, unless the server knows a node there: an empty one in its place would take files that nobody finds
 * when the disk is back. With its key there it joins again, as the node that it was.
 */
async function nodePlans(context: Context, { data, options, server, identity }: Start): Promise<readonly NodePlan[]> {
  const plans: NodePlan[] = [];
  let known: readonly NodeRow[] | null = null;
  for (const [index, pool] of POOLS.entries()) {
    const directory = join(data, 'nodes', pool);
    const isNode = existsSync(join(directory, 'node.json'));
    if (!isNode) {
      known ??= await nodesOf(context, server, identity);
      const isEmpty = !existsSync(join(directory, 'key.json'));
      if (isEmpty && known.some((node) => node.name === pool && node.pool === pool)) {
        context.output.note(
          `The storage node ${pool} is not in ${directory}: is its disk mounted? What it holds cannot be read until it is started there. If it is lost for good: holdfast nodes remove ${pool} --lost, and start again.`,
        );
        continue;
      }
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    }
    plans.push({
      dataDirectory: directory,
      host: options.listen,
      port: options.nodePorts[index] as number,
      pool,
      site: null,
      name: pool,
      ticket: isNode ? null : await server.mintInvite('node'),
      cluster: server.cluster,
    });
  }
  return plans;
}

async function nodesOf(context: Context, server: RunningServer, identity: Identity): Promise<readonly NodeRow[]> {
  const peer = server.peer(identity.token);
  try {
    return (await ask(peer, nodesList, {}, within(context.stop, REQUEST_MS_MAX))).response.nodes;
  } finally {
    await peer.close();
  }
}

type Ready = {
  readonly server: RunningServer;
  readonly nodes: RunningNodes;
  readonly folder: string | null;
  readonly setupUrl: string;
};

function sayReady(context: Context, { server, nodes, folder, setupUrl }: Ready): void {
  const { output } = context;
  output.value({
    event: 'ready',
    url: server.url,
    setupUrl,
    pid: process.pid,
    nodes: nodes.nodes.map(({ pool, port }) => ({ pool, port })),
    ...(folder === null ? {} : { folder }),
  });
  output.line('Holdfast is running.');
  output.line('');
  const rows = [['  server', server.url, 'keeps the index; open it in a browser to see what runs']];
  const kinds: Record<string, string> = {
    mp3: 'music: *.mp3',
    txt: 'text: *.txt',
    pdf: 'documents: *.pdf',
    others: 'everything else',
  };
  for (const node of nodes.nodes) rows.push([`  node ${node.pool}`, `port ${node.port}`, kinds[node.pool] ?? '']);
  if (folder !== null) rows.push(['  folder', folder, 'whatever you put here is kept, and synced']);
  for (const line of table(rows)) output.line(line);
  output.line('');
  output.line(
    folder === null
      ? 'Try: holdfast join INVITE FOLDER with the invite that "holdfast invite" prints'
      : 'Try: put a file into the folder, then, in another terminal: holdfast fetch',
  );
  output.line('     holdfast status    what is in sync        holdfast invite    add another device');
  output.line('Ctrl-C stops it; nothing is lost.');
}

/** Until Ctrl-C, or until a role ends by itself: then the whole process ends with its error. */
export async function untilEnded(context: Context, running: readonly Running[]): Promise<void> {
  const failure = await Promise.race([
    untilStopped(context.stop).then(() => null),
    ...running.map((role) => role.failed),
  ]);
  if (failure) throw failure;
}

/** Closed after the devices and before the nodes: the server's last word to them. What keeps it from that is no reason to stay. */
export function settlingOf(server: RunningServer): Running {
  return { failed: new Promise(() => undefined), close: () => server.settle().catch(() => undefined) };
}

/** Last started, first closed: a device ends before the server that it speaks to. */
export async function closeAll(running: readonly Running[]): Promise<void> {
  for (const role of [...running].reverse()) await role.close();
}
