/** What the disk no longer has leaves the local tree, with all that the tree knew below it: a row without its parent would never be looked at again. */
import type { Device } from './device.ts';
import type { LocalRow } from './rows.ts';

/** Call inside a transaction. Returns what was forgotten. */
export function forgetLocal({ trees, dirty }: Pick<Device, 'trees' | 'dirty'>, row: LocalRow): readonly LocalRow[] {
  const gone = row.kind === 'folder' ? [...Array.from(trees.localSubtree(row.entry)), row] : [row];
  for (const one of gone) {
    trees.dropLocal(one);
    dirty.add(one.entry, one.kind);
  }
  return gone;
}
