/** When two `Stat` mean the same thing on the disk. */
import type { Stat } from '../../folder.ts';

export function isSameInode(left: Stat, right: Stat): boolean {
  return left.ino === right.ino && left.dev === right.dev && left.kind === right.kind;
}

/**
 * True where nothing happened to it since: what a plan was made from still holds. Of a folder only its identity counts,
 * since its times and size follow its children.
 */
export function isUnchanged(expected: Stat, now: Stat): boolean {
  if (!isSameInode(expected, now) || expected.birthNs !== now.birthNs) return false;
  if (expected.kind === 'folder') return true;
  return isSameBytes(expected, now) && expected.ctimeNs === now.ctimeNs && expected.links === now.links;
}

/** Like `isUnchanged`, but for a thing that was itself just renamed or linked, which moves its ctime and its number of links. */
export function isUnchangedButMoved(expected: Stat, now: Stat): boolean {
  if (!isSameInode(expected, now) || expected.birthNs !== now.birthNs) return false;
  return expected.kind === 'folder' || isSameBytes(expected, now);
}

function isSameBytes(expected: Stat, now: Stat): boolean {
  return expected.size === now.size && expected.mtimeNs === now.mtimeNs && expected.exec === now.exec;
}
