/** Whether what lies at another path now is the very thing that lay at an old one. An inode number alone proves nothing: it is reused at once. */
import type { ListedEntry, Stat } from '#world/folder.ts';
import { inodeText, keepsBirths, parseStat } from './stat-text.ts';

/** What was known of the thing at its old path. */
export type Known = { readonly kind: string; readonly stat: string };

/**
 * Same kind, device and inode are the caller's to have checked. By its birth: another birth is another thing, whatever is in it and whatever time it was
 * given. Who deletes a tree and unpacks the next one gets the same inodes in another order, with the times of the archive. On a file system without births a
 * file by its size and time, and null for a folder: only its children can tell.
 */
export function isSameThing(known: Known, now: Stat): boolean | null {
  const before = parseStat(known.stat);
  if (keepsBirths(before, now)) return before.birthNs === now.birthNs;
  return known.kind === 'folder' ? null : before.size === now.size && before.mtimeNs === now.mtimeNs;
}

/** A thing in a folder, as it was, by its name there. */
export type KnownChild = Known & { readonly name: string };

/**
 * For folders without births: more than half of what it had is still in it. By name alone two that look alike would be taken for one (each has a
 * `readme`), whose files then overwrite each other; a file has to have its size and time as well, a folder its inode. An empty folder proves
 * nothing.
 */
export function mostChildrenRemain(before: readonly KnownChild[], now: readonly ListedEntry[]): boolean {
  const byName = new Map(now.map((child) => [child.name, child.stat]));
  const remaining = before.filter((child) => {
    const stat = byName.get(child.name);
    return stat !== undefined && isSameChild(child, stat);
  });
  return remaining.length * 2 > before.length;
}

function isSameChild(child: Known, now: Stat): boolean {
  if (child.kind !== now.kind) return false;
  return isSameThing(child, now) ?? inodeText(parseStat(child.stat)) === inodeText(now);
}
