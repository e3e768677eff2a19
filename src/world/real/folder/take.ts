/**
 * Taking names away without ever losing what stands behind them. Between a look and a system call others may put another
 * thing in a thing's place. So a name is never unlinked where it is: it is renamed to a private place first, which takes
 * whatever is there in one step; what turns out to be something else is given back.
 */
import type { FileSystem } from '../../file-system.ts';
import type { Stat } from '../../folder.ts';
import { hasErrno } from './failure.ts';
import { spotIn, type Grip, type Spot } from './grip.ts';
import type { OwnNames } from './own-names.ts';
import { isSameInode, isUnchanged, isUnchangedButMoved } from './stat.ts';
import type { Unflushed } from './unflushed.ts';

/** `recovered` paths are below the root. */
export type Recovered = string | null;

export class Taking {
  readonly fs: FileSystem;
  readonly #grip: Grip;
  readonly #unflushed: Unflushed;
  readonly #names: OwnNames;

  constructor(grip: Grip, unflushed: Unflushed, names: OwnNames) {
    this.fs = grip.fs;
    this.#grip = grip;
    this.#unflushed = unflushed;
    this.#names = names;
  }

  /** A free place for a copy that is being made. */
  madeSpot(): Spot {
    return spotIn(this.#grip.own('tmp'), this.freeName());
  }

  /** A name that is in use nowhere. */
  freeName(): string {
    return this.#names.made();
  }

  /** Renames what is at `from` to the free name `to` in a directory of the door's own. False where it was not `expect`; it is back in its place then. */
  take(from: Spot, expect: Stat, to: Spot): boolean {
    const now = this.fs.lstat(from.at);
    if (now === null || !isUnchanged(expect, now)) return false;
    if (!renamed(this.fs, from, to)) return false;
    this.#unflushed.directory(from.directory);
    this.#unflushed.directory(to.directory);
    const taken = this.fs.lstat(to.at);
    if (taken !== null && isUnchangedButMoved(expect, taken)) return true;
    this.#giveBack(to, from);
    return false;
  }

  /** Takes one name of a file that has another name. False where what is there is no longer that file. */
  dropName(spot: Spot, inode: Stat): boolean {
    const aside = spotIn(this.#grip.own('tmp'), this.#names.taken());
    if (!renamed(this.fs, spot, aside)) return false;
    this.#unflushed.directory(spot.directory);
    const taken = this.fs.lstat(aside.at);
    if (taken !== null && isSameInode(taken, inode)) {
      // Its other name went in this very moment: these are the last bytes of it.
      if (taken.links < 2) this.toTrash(aside, spot.name);
      else this.fs.unlink(aside.at);
      return true;
    }
    this.#giveBack(aside, spot);
    return false;
  }

  /** Moves a thing out of `.holdfast/tmp` to today's trash. Answers with where it is. */
  toTrash(spot: Spot, name: string): string {
    const trash = this.trashSpot(name);
    this.fs.rename(spot.at, trash.at);
    this.#unflushed.directory(trash.directory);
    return `${trash.directory.path}/${trash.name}`;
  }

  /** A free place in today's trash for something of that name. */
  trashSpot(name: string): Spot {
    return spotIn(this.#grip.own(`trash/${this.#names.today()}`), this.#names.trash(name));
  }

  /** Back to where it was; where that is taken or gone by now, into the trash: nothing is overwritten and nothing lost. */
  #giveBack(spot: Spot, to: Spot): void {
    const stat = this.fs.lstat(spot.at);
    if (stat === null) return;
    try {
      if (stat.kind === 'folder') {
        if (this.fs.lstat(to.at) === null) return this.fs.rename(spot.at, to.at);
      } else {
        this.fs.link(spot.at, to.at);
        return this.fs.unlink(spot.at);
      }
    } catch (error) {
      if (hasErrno(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK') && this.fs.lstat(to.at) === null) {
        return this.fs.rename(spot.at, to.at);
      }
      if (!hasErrno(error, 'EEXIST', 'ENOENT')) throw error;
    }
    this.toTrash(spot, to.name);
  }
}

/** False where there is nothing, or what is there cannot be renamed like that: somebody was faster. */
function renamed(fs: FileSystem, from: Spot, to: Spot): boolean {
  try {
    fs.rename(from.at, to.at);
    return true;
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR', 'EEXIST', 'ENOTEMPTY')) return false;
    throw error;
  }
}
