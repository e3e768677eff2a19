/** `Stat` from what lstat says, and when two of them mean the same thing on the disk. */
import { fstatSync, lstatSync, type BigIntStats } from 'node:fs';
import type { FolderKind, Stat } from '../../folder.ts';

const EXEC_BIT = 0o100n;

export function statOf(stats: BigIntStats): Stat {
  const kind = kindOf(stats);
  return {
    kind,
    dev: stats.dev,
    ino: stats.ino,
    size: Number(stats.size),
    mtimeNs: stats.mtimeNs,
    ctimeNs: stats.ctimeNs,
    birthNs: stats.birthtimeNs,
    links: Number(stats.nlink),
    exec: kind === 'file' && (stats.mode & EXEC_BIT) !== 0n,
  };
}

function kindOf(stats: BigIntStats): FolderKind {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  return stats.isSymbolicLink() ? 'symlink' : 'other';
}

/** Of an open file. */
export function statOfFile(fd: number): Stat {
  return statOf(fstatSync(fd, { bigint: true }));
}

/** Null where there is nothing. Every component of `path` but the last must be trusted. */
export function statAt(path: string): Stat | null {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? null : statOf(stats);
}

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
