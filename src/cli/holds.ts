/** `holdfast holds`: changes that wait for a person's yes. */
import { HoldfastError } from '#core/errors.ts';
import { ask } from '#protocol/call.ts';
import { holdsDecide, holdsList, type HoldRow } from '#protocol/holds.ts';
import type { Peer } from '#protocol/wire.ts';
import { when, withServer } from './cluster-commands.ts';
import type { Context } from './context.ts';
import { usage } from './exit.ts';
import { counted, shown, table } from './output.ts';

/** An approval of very much is carried out before it is answered. */
const DECIDE_MS_MAX = 600_000;
const PATHS_SHOWN = 5;

const reasonTexts: Readonly<Record<HoldRow['reasons'][number], string>> = {
  emptied: 'next to nothing would be left',
  deletes: 'a large part would go',
  encrypts: 'readable files become noise',
};

export async function listHolds(context: Context): Promise<void> {
  const { response } = await withServer(context, (peer, signal) => ask(peer, holdsList, {}, signal));
  context.output.value(response.holds);
  if (response.holds.length === 0) context.output.line('Nothing is held.');
  for (const line of holdLines(response.holds)) context.output.line(line);
  if (response.holds.length > 0) {
    context.output.note(
      '"holdfast holds approve HOLD" lets them go through; "holdfast holds reject HOLD" brings back what was there.',
    );
  }
}

export function holdLines(holds: readonly HoldRow[]): readonly string[] {
  if (holds.length === 0) return [];
  const rows = holds.map((hold) => [
    hold.hold,
    shown(hold.device.name),
    when(hold.madeMs),
    whatText(hold),
    hold.reasons.map((reason) => reasonTexts[reason]).join('; '),
  ]);
  const lines = table([['HOLD', 'DEVICE', 'SINCE', 'WHAT', 'WHY'], ...rows]);
  return lines.flatMap((line, index) => {
    const hold = index === 0 ? null : holds[index - 1];
    return hold ? [line, ...pathLines(hold)] : [line];
  });
}

export function whatText({ files, rewrites, operations }: HoldRow): string {
  const parts = [];
  if (rewrites > 0) parts.push(`${counted(rewrites, 'file')} changed beyond reading`);
  if (files > 0) parts.push(`${counted(files, 'file')} deleted`);
  return parts.length > 0 ? parts.join(', ') : `${counted(operations, 'change')}`;
}

function pathLines({ paths, operations }: HoldRow): readonly string[] {
  const some = paths.slice(0, PATHS_SHOWN).map((path) => `  ${shown(path)}`);
  return operations > some.length && some.length > 0 ? [...some, `  and ${operations - some.length} more`] : some;
}

/** `which`: a hold or the beginning of its name; null where there is only one. */
export async function decideHold(
  context: Context,
  which: string | null,
  decision: 'approve' | 'reject',
): Promise<void> {
  await withServer(
    context,
    async (peer, signal) => {
      const hold = which !== null && /^[0-9a-f]{16}$/.test(which) ? which : (await findHold(peer, which, signal)).hold;
      const { response } = await ask(peer, holdsDecide, { hold, decision }, signal);
      context.output.value({ hold, ...response });
      if (decision === 'reject')
        context.output.line(`${hold} is rejected: nothing of it was done, and its device brings back what was there.`);
      else
        context.output.line(
          `${hold} is approved: ${response.applied} changes were made.` +
            (response.lapsed > 0 ? ` ${response.lapsed} were not, since others changed the same meanwhile.` : ''),
        );
    },
    DECIDE_MS_MAX,
  );
}

async function findHold(peer: Peer, which: string | null, signal: AbortSignal): Promise<HoldRow> {
  const { holds } = (await ask(peer, holdsList, {}, signal)).response;
  const found = which === null ? holds : holds.filter(({ hold }) => hold.startsWith(which.toLowerCase()));
  const [only, ...more] = found;
  if (!only)
    throw new HoldfastError(
      'not_found',
      which === null ? 'nothing is held' : `there is no hold "${shown(which)}"; "holdfast holds" lists them`,
    );
  if (more.length > 0)
    throw usage(`${found.length} holds are meant; name one of them: ${found.map(({ hold }) => hold).join(', ')}`);
  return only;
}
