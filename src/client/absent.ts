/** What is not on this disk although it is in the space, where that may have to be thought over. */
import type { EntryKind } from '#core/entry.ts';
import type { EntryId } from '#core/ids.ts';
import type { Device } from './device.ts';

/** A folder was moved in the space: what is absent below it may be wanted now, or not for another reason. Call inside a transaction. */
export function dirtyAbsentBelow(device: Device, folder: EntryId, kind: EntryKind): void {
  const { trees, dirty, selection, ignoring } = device;
  if (kind !== 'folder' || (selection.isEmpty && ignoring.isEmpty)) return;
  for (const below of trees.remoteSubtree(folder)) {
    const synced = trees.synced(below);
    if (synced && synced.presence !== 'here') dirty.add(below, synced.kind);
  }
}

/** The same where it is not known what was moved. */
export function dirtyUnwanted({ state, dirty }: Device): void {
  const rows = state.sql.prepare(`SELECT entry, kind FROM synced WHERE presence IN ('not_selected', 'ignored')`).all();
  for (const row of rows) dirty.add(row['entry'] as EntryId, row['kind'] as EntryKind);
}
