/** Giving things new names where nothing may be yet. Node has no rename that refuses to replace; a hard link does. */
import { collisionKey } from '#core/name.ts';
import type { FileSystem } from '../../file-system.ts';
import type { Stat } from '../../folder.ts';
import { hasErrno } from './failure.ts';
import { spotIn, type Spot } from './grip.ts';
import { isSameInode, isUnchanged, isUnchangedButMoved } from './stat.ts';
import type { Taking } from './take.ts';
import type { Unflushed } from './unflushed.ts';

/** What file systems without hard links answer (FAT, some network shares), and where a file has all the links it can have. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

export class Moving {
  readonly #fs: FileSystem;
  readonly #taking: Taking;
  readonly #unflushed: Unflushed;

  constructor(taking: Taking, unflushed: Unflushed) {
    this.#fs = taking.fs;
    this.#taking = taking;
    this.#unflushed = unflushed;
  }

  /** False where `from` is not as expected or something is at `to`. */
  move(from: Spot, expect: Stat, to: Spot): boolean {
    const now = this.#fs.lstat(from.at);
    if (now === null || !isUnchanged(expect, now)) return false;
    const there = this.#fs.lstat(to.at);
    if (there !== null) return this.#respell(from, to, expect, isSameInode(there, now));
    if (expect.kind === 'folder') return this.#moveFolder(from, to);
    if (!this.#moveByLink(from, expect, to)) return false;
    this.#unflushed.directory(from.directory);
    this.#unflushed.directory(to.directory);
    return true;
  }

  /** A second name for a file. False where something is at `to` or `from` is not as expected; `no_links` where there are none. */
  link(from: Spot, expect: Stat, to: Spot): boolean | 'no_links' {
    const linked = linkedTo(this.#fs, from, to);
    if (linked !== true) return linked;
    const made = this.#fs.lstat(to.at);
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
    const canLink = expect.kind !== 'symlink' || this.#fs.traits.linksSymlinks;
    const linked = canLink ? this.link(from, expect, to) : 'no_links';
    if (linked === 'no_links') return this.#moveWhereNothingIs(from, expect, to);
    if (linked) this.#taking.dropName(from, expect);
    return linked;
  }

  #moveWhereNothingIs(from: Spot, expect: Stat, to: Spot): boolean {
    if (!movedWhereNothingIs(this.#fs, from, to)) return false;
    const moved = this.#fs.lstat(to.at);
    if (moved !== null && isUnchangedButMoved(expect, moved)) return true;
    if (moved !== null && this.#fs.lstat(from.at) === null) this.#fs.rename(to.at, from.at);
    return false;
  }

  #moveFolder(from: Spot, to: Spot): boolean {
    try {
      this.#fs.rename(from.at, to.at);
    } catch (error) {
      // EINVAL: into itself.
      if (hasErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR', 'EINVAL')) return false;
      throw error;
    }
    this.#unflushed.directory(from.directory);
    this.#unflushed.directory(to.directory);
    return true;
  }

  /**
   * Both names lead somewhere: to the same entry, where letter case does not count, or to two, or to two hard links of one inode. What has an
   * inode number for each spelling (some file systems in user space) is the same where nothing else is listed that `to` could mean.
   */
  #respell(from: Spot, to: Spot, expect: Stat, isOneInode: boolean): boolean {
    const key = collisionKey(to.name);
    if (from.directory !== to.directory || collisionKey(from.name) !== key) return false;
    const listed = this.#fs.readdir(from.directory.at(''));
    if (listed.includes(to.name)) return false;
    if (!isOneInode && listed.some((name) => name !== from.name && collisionKey(name) === key)) return false;
    this.#fs.rename(from.at, to.at);
    this.#unflushed.directory(to.directory);
    if (this.#fs.readdir(from.directory.at('')).includes(to.name)) return true;
    // Some file systems take a rename to the same inode for done already.
    const aside = spotIn(from.directory, `.${this.#taking.freeName()}`);
    this.#fs.rename(from.at, aside.at);
    this.#fs.rename(aside.at, to.at);
    const now = this.#fs.lstat(to.at);
    return now !== null && isSameInode(expect, now);
  }
}

/**
 * Where there are no hard links: a rename, right after a look that nothing is there. An empty file made there first would keep nobody from
 * writing into it in that moment either, and after a crash it would be taken for somebody's. False where something is at `to`, or nothing
 * at `from`.
 */
export function movedWhereNothingIs(fs: FileSystem, from: Spot, to: Spot): boolean {
  if (fs.lstat(to.at) !== null) return false;
  try {
    fs.rename(from.at, to.at);
    return true;
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR')) return false;
    throw error;
  }
}

/** True where the link was made, false where something is at `to` or nothing at `from`. */
export function linkedTo(fs: FileSystem, from: Spot, to: Spot): boolean | 'no_links' {
  try {
    fs.link(from.at, to.at);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EEXIST', 'ENOENT', 'ENOTDIR', 'ELOOP')) return false;
    if (hasErrno(error, ...NO_LINKS)) return 'no_links';
    throw error;
  }
}
