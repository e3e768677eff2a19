/** What a person decided about held changes, carried out on this disk. May be broken off anywhere and done again. */
import type { EntryId } from '#core/ids.ts';
import type { pull } from '#protocol/sync.ts';
import type { z } from 'zod';
import type { Device } from './device.ts';
import type { HeldRow } from './held.ts';
import { parseStat } from './stat-text.ts';

export type Decided = z.infer<typeof pull.response>['decided'][number];

const STEPS_MAX = 500;

/** False where something could not be done now: the server says it again. */
export async function carryOutDecisions(
  device: Device,
  decided: readonly Decided[],
  lookAt: (path: string) => void,
): Promise<boolean> {
  const { state, held, log } = device;
  let whole = true;
  for (const { hold, decision } of decided) {
    const rows = held.rowsOf(hold);
    if (rows.length === 0) continue;
    log.info('a hold was decided', { hold, decision, changes: rows.length });
    const undone: HeldRow[] = [];
    // Written down first: half done, what is on its way to the trash would look deleted by a person.
    state.durably(() => {
      for (const row of rows) {
        if (row.kind === 'delete') held.bringBack(row);
        else if (decision === 'rejected' || row.kind === 'restore') {
          held.setKind(row.entry, 'restore');
          undone.push(row);
        } else goOn(device, row.entry);
      }
    });
    for (let at = 0; at < undone.length; at += STEPS_MAX)
      whole = (await setAside(device, undone.slice(at, at + STEPS_MAX), lookAt)) && whole;
    state.transaction(() => held.tell());
  }
  return whole;
}

/** Applied, or no longer asked for: what the disk and the server say now is compared like anything else. */
function goOn({ held, trees, dirty }: Device, entry: EntryId): void {
  held.drop(entry);
  if (trees.synced(entry)?.presence === 'held') trees.setPresence(entry, 'here');
  dirty.add(entry, 'file');
}

/** The rejected bytes go to the folder's trash, and the good revision comes as if it had never been here. */
async function setAside(device: Device, rows: readonly HeldRow[], lookAt: (path: string) => void): Promise<boolean> {
  const { trees, state, held, dirty } = device;
  const results = await removeHeld(device, rows);
  let whole = true;
  state.transaction(() => {
    for (const { entry } of rows) {
      const result = results.get(entry) ?? 'gone';
      if (result === 'failed') {
        whole = false;
        continue;
      }
      if (result === 'changed') {
        // Edited again since: one more edit, from what was agreed on before.
        const path = trees.localPath(entry);
        if (path !== null) lookAt(path);
        goOn(device, entry);
        continue;
      }
      const local = trees.local(entry);
      if (local) trees.dropLocal(local);
      trees.dropSynced(entry);
      held.drop(entry);
      dirty.add(entry, 'file');
    }
  });
  return whole;
}

/** `gone`: it is not there, be it that an earlier attempt took it away. Entries without a path are not in the answer. */
async function removeHeld(
  { folder, keys, trees }: Device,
  rows: readonly HeldRow[],
): Promise<ReadonlyMap<EntryId, 'gone' | 'changed' | 'failed'>> {
  const results = new Map<EntryId, 'gone' | 'changed' | 'failed'>();
  const known = rows.flatMap(({ entry, content }) => {
    const local = trees.local(entry);
    const path = local ? trees.localPath(entry) : null;
    if (!local || path === null) return [];
    return [{ entry, path, expect: parseStat(local.stat), asHeld: local.contentId === content }];
  });
  const toRemove = known.filter(({ asHeld }) => asHeld);
  const outcomes = await folder.apply(
    toRemove.map(({ path, expect }) => ({ kind: 'remove', path, expect })),
    keys(),
  );
  toRemove.forEach(({ entry }, index) => {
    const outcome = outcomes[index];
    if (outcome?.kind === 'done') results.set(entry, 'gone');
    else if (outcome?.kind !== 'stale') results.set(entry, 'failed');
  });
  const doubtful = known.filter(({ entry }) => !results.has(entry));
  const seen = await folder.look(doubtful.map(({ path }) => path));
  doubtful.forEach(({ entry }, index) => {
    const there = seen[index] ?? null;
    results.set(entry, there === null ? 'gone' : 'kind' in there ? 'failed' : 'changed');
  });
  return results;
}
