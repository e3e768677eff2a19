/** What this disk makes of names: measured at each start and whenever the folder is back, for the folder may lie on another disk by then. */
import type { EntryKind } from '#core/entry.ts';
import type { EntryId } from '#core/ids.ts';
import type { DiskProfile, Failure } from '#world/folder.ts';
import type { Device } from './device.ts';
import type { Problem } from './problems.ts';
import type { State } from './state.ts';
import type { Trees } from './trees.ts';

const IMPOSSIBLE = `SELECT entry FROM synced WHERE presence = 'name_impossible'`;

/** A failure only where nothing was ever known of the disk. Nothing else may be asked of a folder before. */
export async function learnNames(device: Device): Promise<Failure | null> {
  const { folder, state, log } = device;
  const before = state.meta('names');
  const names = await folder.names();
  if ('kind' in names) return before === null ? names : null;
  state.transaction(() => {
    if (before === null) device.trees.useNames(names);
    else if (before !== JSON.stringify(names)) useOther(device, names);
    tryAgain(device);
  });
  if (before !== null && before !== JSON.stringify(names))
    log.info('the folder lies on another kind of disk', { names });
  return null;
}

/**
 * What was brought to another disk may lack what that cannot hold, and nobody deleted it: what both sides agreed on is forgotten, as
 * at a first link.
 */
function useOther({ state, trees, dirty }: Device, names: DiskProfile): void {
  trees.useNames(names);
  for (const table of ['local', 'synced', 'remote'])
    for (const row of state.sql.prepare(`SELECT entry, kind FROM ${table}`).all())
      dirty.add(row['entry'] as EntryId, row['kind'] as EntryKind);
  // What a person chose not to have here is no matter of the disk's.
  state.sql.exec(`DELETE FROM synced WHERE presence NOT IN ('not_selected', 'ignored', 'placeholder')`);
}

/** What the disk refused, and not by its profile: nobody knows whether it still does. Call inside a transaction. */
export function tryAgain({ state, trees, dirty }: Pick<Device, 'state' | 'trees' | 'dirty'>): void {
  // What stayed where it was on this disk, because the place where others have it was refused.
  const apart = `SELECT r.entry, r.kind FROM remote r JOIN local l ON l.entry = r.entry WHERE l.parent <> r.parent OR l.name <> r.name`;
  for (const row of state.sql.prepare(apart).all()) dirty.add(row['entry'] as EntryId, row['kind'] as EntryKind);
  for (const entry of impossible(state, trees)) {
    const remote = trees.remote(entry);
    if (!remote || trees.refuses(remote.parent, remote.name)) continue;
    for (const below of [entry, ...trees.remoteSubtree(entry)]) {
      if (trees.synced(below)?.presence !== 'name_impossible') continue;
      trees.dropSynced(below);
      dirty.add(below, trees.remote(below)?.kind ?? 'file');
    }
  }
}

/** For people. */
export function impossibleNames(state: State, trees: Trees): Problem[] {
  return impossible(state, trees).map((entry) => ({
    path: trees.pathForPeople(entry),
    code: 'invalid_name',
    message:
      'it cannot be created here: this disk holds no such name, or has something in its place that is not synced; on other devices, and in the space, it stays as it is',
  }));
}

/** Without what lies in another of them. */
function impossible(state: State, trees: Trees): EntryId[] {
  const entries = state.sql
    .prepare(IMPOSSIBLE)
    .all()
    .map((row) => row['entry'] as EntryId);
  return entries.filter((entry) => {
    const parent = trees.synced(entry)?.parent;
    return parent === undefined || trees.synced(parent)?.presence !== 'name_impossible';
  });
}
