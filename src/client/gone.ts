/** What the disk no longer has leaves the local tree, with all that the tree knew below it: a row without its parent would never be looked at again. */
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import type { Device } from './device.ts';
import type { LocalRow } from './rows.ts';

/** Call inside a transaction. Returns what was forgotten: not what was parked out of it, which is on the disk, and in no folder. */
export function forgetLocal(device: Device, row: LocalRow): readonly LocalRow[] {
  const { trees, dirty } = device;
  if (row.kind === 'folder') for (const one of parkedBelow(device, row)) trees.orphanParked(one);
  const gone = row.kind === 'folder' ? [...Array.from(trees.localSubtree(row.entry)), row] : [row];
  for (const one of gone) {
    trees.dropLocal(one);
    dirty.add(one.entry, one.kind);
  }
  dirtyStaying(device, row.parent);
  return gone;
}

function parkedBelow({ trees }: Device, folder: LocalRow): readonly LocalRow[] {
  return [...trees.localSubtree(folder.entry)].filter(({ parked }) => parked);
}

/** Something has left a folder, which may have stayed here for its sake alone. Call inside a transaction. */
export function dirtyStaying({ dirty, selection }: Device, folder: EntryId): void {
  if (!selection.isEmpty && folder !== ROOT_ENTRY && !selection.isWanted(folder)) dirty.add(folder, 'folder');
}
