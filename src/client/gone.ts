/** What the disk no longer has leaves the local tree, with all that the tree knew below it: a row without its parent would never be looked at again. */
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import type { Device } from './device.ts';
import type { LocalRow } from './rows.ts';
import type { Trees } from './trees.ts';

/** Call inside a transaction. Returns what was forgotten: not what was parked out of it, which is on the disk, and in no folder. */
export function forgetLocal(device: Device, row: LocalRow): readonly LocalRow[] {
  const { trees, dirty } = device;
  const gone = row.kind === 'folder' ? [...leftBelow(trees, row.entry), row] : [row];
  for (const one of gone) {
    trees.dropLocal(one);
    dirty.add(one.entry, one.kind);
  }
  dirtyStaying(device, row.parent);
  return gone;
}

function leftBelow(trees: Trees, folder: EntryId): readonly LocalRow[] {
  const below = [...trees.localSubtree(folder)];
  const parked = below.filter((row) => row.parked);
  if (parked.length === 0) return below;
  for (const row of parked) trees.orphanParked(row);
  return [...trees.localSubtree(folder)];
}

/** Something has left a folder, which may have stayed here for its sake alone. Call inside a transaction. */
export function dirtyStaying({ dirty, selection }: Device, folder: EntryId): void {
  if (!selection.isEmpty && folder !== ROOT_ENTRY && !selection.isWanted(folder)) dirty.add(folder, 'folder');
}
