/** `holdfast status`: what is in sync, what is not and why, and what the cluster says of itself. */
import { HoldfastError } from '#core/errors.ts';
import { ask } from '#protocol/call.ts';
import { poolsList, serverStatus } from '#protocol/cluster.ts';
import { holdsList, type HoldRow } from '#protocol/holds.ts';
import { REQUEST_MS_MAX, within } from './cancel.ts';
import { when } from './cluster-commands.ts';
import type { Context } from './context.ts';
import { lineOf } from './exit.ts';
import { whatText } from './holds.ts';
import { readLinks, requireIdentity } from './home.ts';
import type { DeviceState } from './launcher.ts';
import { jobLine, nodeLine } from './nodes.ts';
import { bytesText, counted, shown, table } from './output.ts';

type Problem = { readonly path: string; readonly code: string; readonly message: string };

export async function status(context: Context): Promise<void> {
  const identity = requireIdentity(context.home);
  const links = readLinks(context.home, identity.cluster).map((link) => ({
    link,
    state: context.launcher.readDeviceState(context.home, identity, link),
  }));
  const server = await serverSide(context, identity);
  const problems: Problem[] = [...server.problems];
  for (const { link, state } of links) {
    if (state) problems.push(...state.problems);
    if (!state?.running)
      problems.push({
        path: link.folder,
        code: 'not_running',
        message: 'linked, but nothing syncs it at present; start it with "holdfast sync"',
      });
  }
  const conflicts = links.flatMap(({ state }) => state?.conflicts ?? []);
  const inSync = server.status !== null && links.every(({ state }) => state?.running === true && state.inSync);
  context.output.value({
    inSync,
    problems,
    conflicts,
    copiesAtRisk: server.status?.copiesAtRisk ?? 0,
    server: server.status && {
      version: server.status.version,
      files: server.status.files,
      plainBytes: server.status.plainBytes,
      uploading: server.status.uploading,
      moving: server.status.moving,
      rulesPending: server.status.rulesPending,
      garbageCopies: server.status.garbageCopies,
      recoveryKitConfirmed: server.status.recoveryKitConfirmed,
      root: server.status.root,
    },
    nodes: server.status?.nodes ?? [],
    jobs: server.status?.jobs ?? [],
    held: server.held,
    links: links.map(({ link, state }) => ({
      folder: link.folder,
      running: state?.running ?? false,
      inSync: state?.inSync ?? false,
      waiting: state?.waiting ?? 0,
      notHere: state?.notHere ?? {},
    })),
  });
  for (const line of textLines(inSync, problems, server, links)) context.output.line(line);
  if (server.status === null)
    throw new HoldfastError('unreachable', `the server at ${identity.addresses.join(', ')} cannot be reached`);
}

type ServerSide = {
  readonly status: Awaited<ReturnType<typeof askStatus>>['status'] | null;
  readonly unprotected: readonly string[];
  readonly problems: readonly Problem[];
  readonly held: readonly HoldRow[];
};

async function askStatus(context: Context, identity: ReturnType<typeof requireIdentity>) {
  const peer = context.launcher.connect(context.home, identity);
  try {
    const signal = within(context.stop, REQUEST_MS_MAX);
    // One after the other, over one connection: over a slow line, each further handshake costs more than the wait.
    const status = await ask(peer, serverStatus, {}, signal);
    const pools = await ask(peer, poolsList, {}, signal);
    const held = await ask(peer, holdsList, {}, signal);
    return { status: status.response, pools: pools.response.pools, held: held.response.holds };
  } finally {
    await peer.close();
  }
}

async function serverSide(context: Context, identity: ReturnType<typeof requireIdentity>): Promise<ServerSide> {
  try {
    const { status, pools, held } = await askStatus(context, identity);
    return {
      status,
      held,
      unprotected: pools.filter((pool) => pool.copies < 2).map((pool) => pool.pool),
      problems: status.problems,
    };
  } catch (error) {
    if (!(error instanceof HoldfastError) || (error.code !== 'unreachable' && error.code !== 'timeout')) throw error;
    return {
      status: null,
      held: [],
      unprotected: [],
      problems: [{ path: '', code: error.code, message: lineOf(error) }],
    };
  }
}

function textLines(
  inSync: boolean,
  problems: readonly Problem[],
  server: ServerSide,
  links: readonly {
    readonly link: { readonly folder: string };
    readonly state: DeviceState | null;
  }[],
): readonly string[] {
  const lines = [inSync ? 'In sync.' : 'Not in sync.'];
  for (const { link, state } of links)
    lines.push(
      `  ${shown(link.folder)}: ${!state?.running ? 'not running' : state.inSync ? 'in sync' : `${state.waiting} to do`}${notHereText(state?.notHere ?? {})}`,
    );
  const { status } = server;
  if (status) {
    lines.push(`${counted(status.files, 'file')}, ${bytesText(status.plainBytes)}; ${status.uploading} uploading.`);
    if (server.unprotected.length > 0) lines.push(`Pools ${server.unprotected.join(', ')}: 1 copy, not protected.`);
    if (!status.recoveryKitConfirmed)
      lines.push(
        'The recovery kit is not confirmed: "holdfast kit" shows it, "holdfast kit --confirm" asks for your copy.',
      );
    if (status.root)
      lines.push(
        `A rescue would find everything as of ${when(status.root.madeMs)}, on ${counted(status.root.nodes, 'storage node')}.`,
      );
    for (const hold of server.held)
      lines.push(
        `Held, from ${shown(hold.device.name)}: ${whatText(hold)}. "holdfast holds" shows more; approve or reject ${hold.hold}.`,
      );
    if (status.moving.files > 0 || status.moving.looking)
      lines.push(
        `To be moved to where the rules want them: ${counted(status.moving.files, 'file')}${status.moving.looking ? ' so far' : ''}.`,
      );
    if (status.rulesPending)
      lines.push('Rules were changed: "holdfast rules test" says what would move, "holdfast rules apply" moves it.');
    if (status.copiesAtRisk > 0)
      lines.push(`Copies at risk: ${status.copiesAtRisk} blocks have fewer than they should.`);
    lines.push(...table(status.nodes.map((node) => ['  node', ...nodeLine(node)])));
    lines.push(...status.jobs.flatMap((job) => jobLine(job, status.nodes) ?? []));
  }
  for (const { path, of, device, date } of links.flatMap(({ state }) => state?.conflicts ?? []))
    lines.push(
      `? ${shown(path)}: a copy of ${shown(of)}${device ? `, from ${shown(device)}` : ''}, ${date}; keep what you want of both, then delete or rename it [conflict]`,
    );
  for (const problem of problems)
    lines.push(`! ${problem.path ? `${shown(problem.path)}: ` : ''}${shown(problem.message)} [${problem.code}]`);
  return lines;
}

/** `not_selected` and its like are words that people can read. */
function notHereText(notHere: Readonly<Record<string, number>>): string {
  const parts = Object.entries(notHere).map(([why, files]) => `${files} ${why.replaceAll('_', ' ')}`);
  return parts.length === 0 ? '' : `; not on this disk: ${parts.join(', ')}`;
}
