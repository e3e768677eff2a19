/** Whether what lies at another path now is the very thing that lay at an old one. An inode number alone proves nothing: it is reused at once. */
import type { Stat } from '#world/folder.ts';
import { parseStat } from './stat-text.ts';

/** What was known of the thing at its old path. */
export type Known = { readonly kind: string; readonly stat: string };

/**
 * Same kind, device and inode are the caller's to have checked. A file: the same birth, or the same size and time. A folder: the same
 * birth; null where only its children can tell (a file system without births). Another birth is another folder, whatever is in it: who deletes
 * a tree and makes it anew gets the same inodes in another order.
 */
export function isSameThing(known: Known, now: Stat): boolean | null {
  const before = parseStat(known.stat);
  const sameBirth = before.birthNs !== 0n && before.birthNs === now.birthNs;
  if (known.kind === 'folder') return before.birthNs === 0n || now.birthNs === 0n ? null : sameBirth;
  if (known.kind === 'symlink') return before.size === now.size && before.mtimeNs === now.mtimeNs;
  return sameBirth || (before.size === now.size && before.mtimeNs === now.mtimeNs);
}

/** For folders without births: more than half of the names that it had are still in it. An empty folder proves nothing. */
export function mostChildrenRemain(before: readonly string[], now: ReadonlySet<string>): boolean {
  let remaining = 0;
  for (const name of before) if (now.has(name)) remaining++;
  return remaining * 2 > before.length;
}
