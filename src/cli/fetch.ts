/** `holdfast fetch`: what the storage nodes hold, and bringing files from there, on any linked device. */
import { mkdirSync, rmdirSync } from 'node:fs';
import { dirname, posix, resolve } from 'node:path';
import { HoldfastError } from '#core/errors.ts';
import type { SpaceId } from '#core/ids.ts';
import type { SealKeys } from '#core/keyring.ts';
import { nearestNames } from '#core/nearest.ts';
import { fetchFiles } from '#client/fetch.ts';
import { ask } from '#protocol/call.ts';
import { files, type FileRow } from '#protocol/cluster.ts';
import type { Peer } from '#protocol/wire.ts';
import { REQUEST_MS_MAX, within } from './cancel.ts';
import type { Context } from './context.ts';
import { requireIdentity } from './home.ts';
import { bytesText, shown, table } from './output.ts';
import { progressBar } from './progress.ts';
import { ownSpace } from './spaces.ts';

export type FetchOptions = { readonly to?: string; readonly wait: boolean; readonly space?: string };

export async function fetchCommand(context: Context, names: readonly string[], options: FetchOptions): Promise<void> {
  const peer = context.launcher.connect(context.home, requireIdentity(context.home));
  try {
    const { space, keys } = await ownSpace(peer, options.space ?? null, within(context.stop, REQUEST_MS_MAX));
    if (names.length === 0) await listFiles(context, peer, space);
    else await fetchNames(context, { peer, space, keys }, names, options);
  } finally {
    await peer.close();
  }
}

async function allFiles(peer: Peer, space: SpaceId, stop: AbortSignal): Promise<readonly FileRow[]> {
  const rows: FileRow[] = [];
  for (let after: FileRow['entry'] | null = null; ; ) {
    const page: { readonly files: readonly FileRow[]; readonly done: boolean } = (
      await ask(peer, files, { space, after, limit: 1000 }, within(stop, REQUEST_MS_MAX))
    ).response;
    rows.push(...page.files);
    const last = page.files.at(-1);
    if (page.done || !last) return rows.sort((left, right) => (left.path < right.path ? -1 : 1));
    after = last.entry;
  }
}

async function listFiles(context: Context, peer: Peer, space: SpaceId): Promise<void> {
  const rows = await allFiles(peer, space, context.stop);
  context.output.value(
    rows.map((row) => ({
      path: row.path,
      size: row.size,
      pool: row.pool,
      copies: row.copies,
      state: row.state,
      modified: new Date(row.mtimeUs / 1000).toISOString(),
      ...(row.device ? { device: row.device.name } : {}),
    })),
  );
  if (rows.length === 0) context.output.line('No files yet.');
  const lines = rows.map((row) => [
    shown(row.path),
    bytesText(row.size),
    row.pool,
    String(row.copies),
    row.device ? `${row.state} (from ${shown(row.device.name)})` : row.state,
  ]);
  if (rows.length > 0)
    for (const line of table([['NAME', 'SIZE', 'POOL', 'COPIES', 'STATE'], ...lines])) context.output.line(line);
}

/** A file to bring, and the path below the target that it goes to: the name as it was asked for. */
type Wanted = { readonly row: FileRow; readonly path: string };

async function fetchNames(
  context: Context,
  from: { readonly peer: Peer; readonly space: SpaceId; readonly keys: SealKeys },
  names: readonly string[],
  options: FetchOptions,
): Promise<void> {
  const target = resolve(options.to ?? 'target_folder');
  let wanted = resolveNames(await allFiles(from.peer, from.space, context.stop), names);
  if (options.wait) {
    while (wanted.some(({ row }) => row.state === 'updating') && !context.stop.aborted) {
      context.output.note(
        `waiting for the new revision of ${wanted
          .filter(({ row }) => row.state === 'updating')
          .map(({ row }) => shown(row.path))
          .join(', ')}`,
      );
      await new Promise((done) => setTimeout(done, 500));
      wanted = resolveNames(await allFiles(from.peer, from.space, context.stop), names);
    }
  }
  for (const { row } of wanted) {
    const device = row.device ? ` by ${shown(row.device.name)}` : '';
    if (row.state === 'updating' && row.manifest === null)
      throw new HoldfastError(
        'not_found',
        `${shown(row.path)} is being uploaded${device} for the first time; no complete revision exists yet ("--wait" waits for it)`,
      );
    if (row.state === 'updating')
      context.output.note(
        `${shown(row.path)} is being updated${device}; this is the last complete revision ("--wait" waits for the new one)`,
      );
  }
  mkdirSync(target, { recursive: true });
  for (const { path } of wanted) mkdirSync(dirname(resolve(target, path)), { recursive: true });
  const folder = context.launcher.openFolder(target);
  const bar = progressBar(
    'fetch',
    wanted.reduce((sum, { row }) => sum + row.size, 0),
  );
  try {
    const outcomes = await fetchFiles(from.peer, {
      space: from.space,
      keys: from.keys,
      folder,
      files: wanted.map(({ row, path }) => ({ path, row })),
      onProgress: (bytes) => bar.add(bytes),
      signal: context.stop,
    });
    bar.stop();
    report(context, target, outcomes);
  } finally {
    bar.stop();
    await folder.close();
    tidy(target);
  }
}

/** Removes the folder door's own directories where nothing is in them: a target folder is not a synced one. */
function tidy(target: string): void {
  for (const name of ['.holdfast/tmp', '.holdfast/trash', '.holdfast']) {
    try {
      rmdirSync(resolve(target, name));
    } catch {
      // Not there, or not empty: what was replaced lies in the trash.
    }
  }
}

function report(context: Context, target: string, outcomes: Awaited<ReturnType<typeof fetchFiles>>): void {
  const failed = outcomes.find((outcome) => outcome.kind === 'failed');
  const fetched = outcomes.flatMap((outcome) =>
    outcome.kind === 'fetched' ? [{ path: outcome.path, to: resolve(target, outcome.path), size: outcome.size }] : [],
  );
  context.output.value(fetched);
  for (const file of fetched)
    context.output.line(`${shown(file.path)} -> ${shown(file.to)}  (${bytesText(file.size)}, verified)`);
  if (failed) throw new HoldfastError(failed.code, `${shown(failed.path)}: ${failed.detail}`);
}

/** A name is a path, a folder's path, or a file name that only one file has. */
function resolveNames(rows: readonly FileRow[], names: readonly string[]): readonly Wanted[] {
  return names.flatMap((name) => {
    const path = posix
      .normalize(name)
      .replace(/^\.?\//, '')
      .replace(/\/$/, '');
    const exact = rows.find((row) => row.path === path);
    if (exact) return [{ row: exact, path }];
    const below = rows.filter((row) => row.path.startsWith(`${path}/`));
    if (below.length > 0) return below.map((row) => ({ row, path: row.path }));
    const named = rows.filter((row) => posix.basename(row.path) === path);
    const only = named[0];
    if (only && named.length === 1) return [{ row: only, path }];
    if (named.length > 1)
      throw new HoldfastError(
        'not_found',
        `"${shown(name)}" names ${named.length} files: ${named
          .slice(0, 5)
          .map((row) => shown(row.path))
          .join(', ')}; give the path`,
      );
    const near = nearestNames(
      path,
      rows.map((row) => row.path),
      3,
    );
    throw new HoldfastError(
      'not_found',
      `there is no file "${shown(name)}"${near.length > 0 ? `; the nearest: ${near.map(shown).join(', ')}` : ''}; "holdfast fetch" lists all`,
    );
  });
}
