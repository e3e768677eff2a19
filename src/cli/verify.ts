/** `holdfast verify`: checks everything, changes nothing. */
import type { z } from 'zod';
import { HoldfastError } from '#core/errors.ts';
import { ask } from '#protocol/call.ts';
import { verifyStep, type Finding, type VerifyTally } from '#protocol/safety.ts';
import { within } from './cancel.ts';
import type { Context } from './context.ts';
import { requireIdentity } from './home.ts';
import { bytesText, counted, shown, table } from './output.ts';

/** A step reads some megabytes from every node that has them. */
const STEP_MS_MAX = 180_000;
const SAY_MS = 5000;
const LINES_MAX = 100;

type VerifyStep = z.infer<typeof verifyStep.response>;
type Report = {
  files: number;
  entries: number;
  journalRows: number;
  metadataBlocks: number;
  readonly pools: Map<string, VerifyTally>;
  readonly findings: Finding[];
};

export async function verify(context: Context, options: { readonly full: boolean }): Promise<void> {
  const peer = context.launcher.connect(context.home, requireIdentity(context.home));
  const report: Report = { files: 0, entries: 0, journalRows: 0, metadataBlocks: 0, pools: new Map(), findings: [] };
  try {
    let sayAtMs = Date.now() + SAY_MS;
    for (let at: string | null = null, more = true; more; more = at !== null) {
      const signal = within(context.stop, STEP_MS_MAX);
      const step: VerifyStep = (await ask(peer, verifyStep, { full: options.full, at }, signal)).response;
      add(report, step);
      ({ at } = step);
      if (Date.now() >= sayAtMs) {
        context.output.note(`verify: ${progressText(report, step.doing)}`);
        sayAtMs = Date.now() + SAY_MS;
      }
    }
  } finally {
    await peer.close();
  }
  end(context, report, options.full);
}

function add(report: Report, { checked, findings }: VerifyStep): void {
  report.files += checked.files;
  report.entries += checked.entries;
  report.journalRows += checked.journalRows;
  report.metadataBlocks += checked.metadataBlocks;
  for (const { pool, blocks, copies, bytes } of checked.pools) {
    const sum = report.pools.get(pool) ?? { pool, blocks: 0, copies: 0, bytes: 0 };
    report.pools.set(pool, {
      pool,
      blocks: sum.blocks + blocks,
      copies: sum.copies + copies,
      bytes: sum.bytes + bytes,
    });
  }
  report.findings.push(...findings);
}

function progressText(report: Report, doing: string): string {
  const bytes = [...report.pools.values()].reduce((sum, pool) => sum + pool.bytes, 0);
  return `${doing}; ${counted(report.files, 'file')}, ${bytesText(bytes)}, ${report.journalRows} rows, ${counted(report.findings.length, 'finding')} so far`;
}

function end(context: Context, report: Report, full: boolean): void {
  const { output } = context;
  const { pools, findings, ...counts } = report;
  const damaged = findings.filter(({ code }) => code !== 'storage_unavailable');
  const ok = findings.length === 0;
  const paths = [...new Set(damaged.map(({ path }) => path).filter((path) => path !== ''))].sort();
  output.value({ ok, full, ...counts, pools: [...pools.values()], damaged: paths, findings });
  for (const line of table([
    ['POOL', 'BLOCKS', 'COPIES', full ? 'READ' : 'SIZE'],
    ...[...pools.values()].map(({ pool, blocks, copies, bytes }) => [
      pool,
      String(blocks),
      String(copies),
      bytesText(bytes),
    ]),
  ]))
    output.line(line);
  for (const { space, path, message } of findings.slice(0, LINES_MAX))
    output.note(`${shown(path === '' ? space || 'metadata' : path)}: ${message}.`);
  if (damaged.length > 0)
    throw new HoldfastError(
      'integrity',
      `${paths.length} paths are damaged${paths[0] === undefined ? '' : `, the first ${shown(paths[0])}`}; nothing was changed`,
    );
  if (!ok)
    throw new HoldfastError(
      'storage_unavailable',
      `${findings.length} files could not be checked: a storage node does not answer; all others are whole`,
    );
  output.line(
    full
      ? `${counted(report.files, 'file')}: every copy was read and is whole; ${counted(report.journalRows, 'row')} of journals, ${counted(report.entries, 'entry', 'entries')}.`
      : `${counted(report.files, 'file')}: every block is where it should be. What the disks hold is read by "holdfast verify --full".`,
  );
}
