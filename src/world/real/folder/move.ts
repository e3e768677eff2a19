/** Giving things new names where nothing may be yet. Node has no rename that refuses to replace; a hard link does. */
import { closeSync, linkSync, readdirSync, renameSync, unlinkSync } from 'node:fs';
import { collisionKey } from '#core/name.ts';
import type { Stat } from '../../folder.ts';
import { hasErrno } from './failure.ts';
import { createFile } from './file.ts';
import { spotIn, type Spot } from './grip.ts';
import { madeName } from './own-names.ts';
import { isSameInode, isUnchanged, isUnchangedButMoved, statAt, statOfFile } from './stat.ts';
import type { Taking } from './take.ts';
import type { Unflushed } from './unflushed.ts';

/** What file systems without hard links answer (FAT, some network shares), and where a file has all the links it can have. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

export class Moving {
  readonly #taking: Taking;
  readonly #unflushed: Unflushed;

  constructor(taking: Taking, unflushed: Unflushed) {
    this.#taking = taking;
    this.#unflushed = unflushed;
  }

  /** False where `from` is not as expected or something is at `to`. */
  move(from: Spot, expect: Stat, to: Spot): boolean {
    const now = statAt(from.at);
    if (now === null || !isUnchanged(expect, now)) return false;
    const there = statAt(to.at);
    if (there !== null) return isSameInode(there, now) && this.#respell(from, to, expect);
    if (expect.kind === 'folder') return this.#moveFolder(from, to);
    if (!this.#moveByLink(from, expect, to)) return false;
    this.#unflushed.directory(from.directory);
    this.#unflushed.directory(to.directory);
    return true;
  }

  /** A second name for a file. False where something is at `to` or `from` is not as expected; `no_links` where there are none. */
  link(from: Spot, expect: Stat, to: Spot): boolean | 'no_links' {
    const linked = linkedTo(from, to);
    if (linked !== true) return linked;
    const made = statAt(to.at);
    if (made !== null && isUnchangedButMoved(expect, made)) {
      this.#unflushed.directory(to.directory);
      return true;
    }
    // Another file had come to `from` meanwhile: it loses the name that nobody asked for, and keeps its own.
    if (made !== null) this.#taking.dropName(to, made);
    return false;
  }

  #moveByLink(from: Spot, expect: Stat, to: Spot): boolean {
    // A hard link to a symlink is one to its target on other systems than Linux.
    const canLink = expect.kind !== 'symlink' || process.platform === 'linux';
    const linked = canLink ? this.link(from, expect, to) : 'no_links';
    if (linked === 'no_links') return this.#moveOverPlaceholder(from, expect, to);
    if (linked) this.#taking.dropName(from, expect);
    return linked;
  }

  #moveOverPlaceholder(from: Spot, expect: Stat, to: Spot): boolean {
    if (!movedOverPlaceholder(from, to)) return false;
    const moved = statAt(to.at);
    if (moved !== null && isUnchangedButMoved(expect, moved)) return true;
    if (moved !== null && statAt(from.at) === null) renameSync(to.at, from.at);
    return false;
  }

  #moveFolder(from: Spot, to: Spot): boolean {
    try {
      renameSync(from.at, to.at);
    } catch (error) {
      // EINVAL: into itself.
      if (hasErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR', 'EINVAL')) return false;
      throw error;
    }
    this.#unflushed.directory(from.directory);
    this.#unflushed.directory(to.directory);
    return true;
  }

  /** Both names lead to one inode: the same entry spelled otherwise where letter case does not count, or two hard links. */
  #respell(from: Spot, to: Spot, expect: Stat): boolean {
    if (from.directory !== to.directory || collisionKey(from.name) !== collisionKey(to.name)) return false;
    if (readdirSync(from.directory.at('')).includes(to.name)) return false;
    renameSync(from.at, to.at);
    this.#unflushed.directory(to.directory);
    if (readdirSync(from.directory.at('')).includes(to.name)) return true;
    // Some file systems take a rename to the same inode for done already.
    const aside = spotIn(from.directory, `.${madeName()}`);
    renameSync(from.at, aside.at);
    renameSync(aside.at, to.at);
    const now = statAt(to.at);
    return now !== null && isSameInode(expect, now);
  }
}

/**
 * Where there are no hard links: an empty file is made at `to`, only where nothing is, and a rename replaces it in one step. False
 * where something is at `to`, or nothing at `from`.
 */
export function movedOverPlaceholder(from: Spot, to: Spot): boolean {
  const placeholder = placeholderAt(to);
  if (placeholder === null) return false;
  if (!isStill(placeholder, to)) return false;
  try {
    renameSync(from.at, to.at);
    return true;
  } catch (error) {
    if (isStill(placeholder, to)) unlinkSync(to.at);
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

function isStill(stat: Stat, spot: Spot): boolean {
  const now = statAt(spot.at);
  return now !== null && isUnchanged(stat, now);
}

/** True where the link was made, false where something is at `to` or nothing at `from`. */
export function linkedTo(from: Spot, to: Spot): boolean | 'no_links' {
  try {
    linkSync(from.at, to.at);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EEXIST', 'ENOENT', 'ENOTDIR', 'ELOOP')) return false;
    if (hasErrno(error, ...NO_LINKS)) return 'no_links';
    throw error;
  }
}

function placeholderAt(to: Spot): Stat | null {
  try {
    const fd = createFile(to.at, 0o600);
    try {
      return statOfFile(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (hasErrno(error, 'EEXIST', 'ENOENT', 'ENOTDIR', 'ELOOP')) return null;
    throw error;
  }
}
