/** `holdfast rescue`: with the nodes' directories and the recovery kit alone. */
import { mkdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { HoldfastError } from '#core/errors.ts';
import type { Context } from './context.ts';
import type { OpenRescue, RescueExported, RescueRow, RescueSummary } from './launcher.ts';
import { bytesText, counted, shown, table } from './output.ts';
import { progressBar, type ProgressBar } from './progress.ts';

export type RescueOptions = { readonly kit: string; readonly nodes: readonly string[] };

/** Names that are shown to people; JSON has all of them. */
const LINES_MAX = 50;

export async function list(context: Context, options: RescueOptions): Promise<void> {
  await withRescue(context, options, async (rescue) => {
    const rows: RescueRow[] = [];
    for await (const row of rescue.live()) rows.push(row);
    sortByPath(rows);
    const files = rows.filter(({ kind }) => kind === 'file');
    const lost = rows.filter(({ state }) => state !== 'whole');
    context.output.value({ ...about(rescue.summary), files: files.map(jsonOf), lost: lost.map(jsonOf) });
    sayAbout(context, rescue.summary);
    for (const line of table(files.map((row) => [placeOf(row), bytesText(row.size), row.state])))
      context.output.line(line);
    end(context, rescue.summary, files.length, lost);
  });
}

export async function exportAll(
  context: Context,
  options: RescueOptions & { readonly to: string; readonly partial: boolean },
): Promise<void> {
  const to = resolve(options.to);
  mkdirSync(to, { recursive: true });
  await withRescue(context, options, async (rescue) => {
    sayAbout(context, rescue.summary);
    const lost: RescueExported[] = [];
    let files = 0;
    const saved: object[] = [];
    for await (const row of rescue.exportTo(to, options.partial)) {
      if (row.kind === 'file') files++;
      if (row.state !== 'whole') lost.push(row);
      else if (row.kind === 'file' && row.to !== null) {
        saved.push({ ...jsonOf(row), to: row.to, wasThere: row.wasThere });
        context.output.line(`${placeOf(row)} -> ${shown(row.to)}${row.wasThere ? '  (was there already)' : ''}`);
      }
    }
    sortByPath(lost);
    context.output.value({
      ...about(rescue.summary),
      to,
      files: saved,
      lost: lost.map((row) => ({ ...jsonOf(row), ...(row.to === null ? {} : { to: row.to }) })),
    });
    end(context, rescue.summary, files, lost);
  });
}

export async function makeServer(context: Context, options: RescueOptions & { readonly to: string }): Promise<void> {
  const data = resolve(options.to);
  await withRescue(context, options, async (rescue) => {
    sayAbout(context, rescue.summary);
    const lost: RescueRow[] = [];
    for await (const row of rescue.live()) if (row.state !== 'whole') lost.push(row);
    sortByPath(lost);
    const made = await rescue.makeServer(data);
    context.output.value({ ...about(rescue.summary), data, ...made, lost: lost.map(jsonOf) });
    context.output.line(
      `The index is in ${shown(data)}: ${counted(made.files, 'file')}. Start it: holdfast server --data ${shown(data)}`,
    );
    for (const name of made.absentNodes)
      context.output.note(
        `The storage node ${shown(name)} was not among the directories: what it should hold is taken to be there until it is asked.`,
      );
    context.output.note(
      'Devices are not linked to it: make invites ("holdfast invite") and join with the same folders. Nothing is deleted on either side, and the old server is refused from now on.',
    );
    end(context, rescue.summary, made.files, lost);
  });
}

async function withRescue(
  context: Context,
  options: RescueOptions,
  work: (rescue: OpenRescue) => Promise<void>,
): Promise<void> {
  const kit = options.kit === '-' ? await text(process.stdin) : readText(options.kit);
  let bar: ProgressBar | null = null;
  const rescue = await context.launcher
    .openRescue({
      kit,
      directories: options.nodes,
      signal: context.stop,
      onSize: (bytes) => {
        bar = progressBar('reading', bytes);
      },
      onProgress: (bytes) => bar?.add(bytes),
    })
    .finally(() => bar?.stop());
  try {
    await work(rescue);
  } finally {
    await rescue.close();
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new HoldfastError('not_found', `the recovery kit ${shown(path)} cannot be read`, { cause: error });
  }
}

function about({ root, ...rest }: RescueSummary): object {
  return { ...rest, root: { ...root, made: new Date(root.timeMs).toISOString(), ageMs: ageOf(root.timeMs) } };
}

function ageOf(timeMs: number): number {
  return Date.now() - timeMs;
}

function sayAbout(context: Context, summary: RescueSummary): void {
  const { root, directories, damage, passed, refusedRoots, faults } = summary;
  const { note } = context.output;
  note(
    `${counted(directories.length, 'directory', 'directories')} of storage nodes. Names and places as they were on ${new Date(root.timeMs).toISOString()} (${ageText(ageOf(root.timeMs))} ago).`,
  );
  for (const { seq, timeMs, why } of passed)
    note(`A newer root (${seq}, ${new Date(timeMs).toISOString()}) cannot be opened: ${why}.`);
  for (const path of refusedRoots) note(`${shown(path)} is no root that this cluster signed; it is not believed.`);
  for (const { directory, segment, detail } of damage.slice(0, LINES_MAX))
    note(`Damaged: ${shown(directory)}, segment ${segment}, ${detail}.`);
  for (const { space, why } of faults) note(`The space ${shown(space)}: ${why}.`);
}

function ageText(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 120) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / (24 * 60))} days`;
}

/** Exit 7 where not everything is there; what could be saved is saved by then. */
function end(context: Context, summary: RescueSummary, files: number, lost: readonly RescueRow[]): void {
  for (const row of lost.slice(0, LINES_MAX)) context.output.note(`Lost: ${placeOf(row)}: ${row.why}.`);
  if (lost.length > 0)
    throw new HoldfastError(
      'integrity',
      `${lost.length} of ${files} files cannot be saved from these directories; other storage nodes' directories may have them`,
    );
  if (summary.passed.length > 0 || summary.faults.length > 0)
    throw new HoldfastError(
      'integrity',
      'everything that the newest whole root names is here, but something newer, or a part of the history, is damaged',
    );
  context.output.line(`${files} files, all of them whole.`);
}

function jsonOf(row: RescueRow): object {
  const { space, path, kind, size, mtimeUs, state, why } = row;
  const modified = new Date(mtimeUs / 1000).toISOString();
  return { space, path, kind, size, modified, state, ...(why === null ? {} : { why }) };
}

function placeOf({ space, path }: RescueRow): string {
  return shown(`${space}/${path}`);
}

function sortByPath(rows: RescueRow[]): void {
  rows.sort((left, right) => (placeOf(left) < placeOf(right) ? -1 : 1));
}
