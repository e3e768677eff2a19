/** What the disk no longer has leaves the local tree, with all that the tree knew below it: a row without its parent would never be looked at again. */
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import type { Device } from './device.ts';
import type { LocalRow } from './rows.ts';

/** Call inside a transaction. Returns what was forgotten. */
export function forgetLocal(device: Device, row: LocalRow): readonly LocalRow[] {
  const { trees, dirty } = device;
  const gone = row.kind === 'folder' ? [...Array.from(trees.localSubtree(row.entry)), row] : [row];
  for (const one of gone) {
    trees.dropLocal(one);
    dirty.add(one.entry, one.kind);
  }
  dirtyStaying(device, row.parent);
  return gone;
}

/** Something has left a folder, which may have stayed here for its sake alone. Call inside a transaction. */
export function dirtyStaying({ dirty, selection }: Device, folder: EntryId): void {
  if (!selection.isEmpty && folder !== ROOT_ENTRY && !selection.isWanted(folder)) dirty.add(folder, 'folder');
}
