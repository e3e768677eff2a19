/** From a path to what it names, as the kernel walks: permissions, symlinks and mounted devices on the way. */
import type { Entry, Inode } from './inode.ts';
import { isTooLong } from './name-rules.ts';
import { SystemError } from './system-error.ts';

const PATH_MAX = 4095;
const SYMLINKS_MAX = 40;

export type Place = {
  /** The folder that the last name lies in; null where the path names a thing by a descriptor, a root, or by dots. */
  readonly folder: Inode | null;
  readonly name: string;
  /** Null where there is nothing. */
  readonly inode: Inode | null;
  readonly entry: Entry | null;
};

export type Start = {
  readonly root: Inode;
  /** What a path below /proc/self/fd begins at; null where there is no such descriptor. */
  readonly held: (fd: number) => Inode | null;
  /** May a folder be passed through? */
  readonly mayPass: (folder: Inode) => boolean;
};

/** A name that no folder can hold. */
export function checkLength({ name }: Place, syscall: string): void {
  if (isTooLong(name)) throw new SystemError('ENAMETOOLONG', syscall);
}

export const HELD_PREFIX = '/proc/self/fd/';

/**
 * Throws ENOENT, ENOTDIR, EACCES, ELOOP or ENAMETOOLONG for what is wrong before the last name, of which only its place is asked.
 * `follows`: a symlink at the end.
 */
export function walk(start: Start, path: string, follows: boolean, syscall: string): Place {
  if (path.length > PATH_MAX) throw new SystemError('ENAMETOOLONG', syscall);
  if (path === '') throw new SystemError('ENOENT', syscall);
  return new Walk(start, syscall).from(path, follows);
}

/** What lies over a folder where another device is mounted. */
export function topOf(inode: Inode): Inode {
  let top = inode;
  while (top.over !== null) top = top.over;
  return top;
}

class Walk {
  readonly #start: Start;
  readonly #syscall: string;
  #symlinks = 0;

  constructor(start: Start, syscall: string) {
    this.#start = start;
    this.#syscall = syscall;
  }

  from(path: string, follows: boolean): Place {
    if (!path.startsWith(HELD_PREFIX)) return this.#below(topOf(this.#start.root), path, 0, follows);
    const slash = path.indexOf('/', HELD_PREFIX.length);
    const end = slash < 0 ? path.length : slash;
    const held = this.#start.held(Number(path.slice(HELD_PREFIX.length, end)));
    if (held === null) throw new SystemError('ENOENT', this.#syscall);
    return this.#below(held, path, end, follows);
  }

  /** What `path` from `at` on names, seen from `folder`. */
  #below(folder: Inode, path: string, at: number, follows: boolean): Place {
    let place: Place = { folder: null, name: '', inode: folder, entry: null };
    for (let next = at; next < path.length; ) {
      if (path.charCodeAt(next) === 0x2f) {
        next++;
        continue;
      }
      const slash = path.indexOf('/', next);
      const end = slash < 0 ? path.length : slash;
      const name = path.slice(next, end);
      next = end;
      place = this.#one(place, name, next < path.length, follows);
    }
    return place;
  }

  #one(place: Place, name: string, isMore: boolean, follows: boolean): Place {
    const folder = place.inode;
    if (folder === null) throw new SystemError('ENOENT', this.#syscall);
    if (folder.kind !== 'folder') throw new SystemError('ENOTDIR', this.#syscall);
    if (!this.#start.mayPass(folder)) throw new SystemError('EACCES', this.#syscall);
    if (name === '.') return { folder: null, name, inode: folder, entry: null };
    if (name === '..') return { folder: null, name, inode: topOf(above(folder)), entry: null };
    if (isMore && isTooLong(name)) throw new SystemError('ENAMETOOLONG', this.#syscall);
    const entry = folder.device.find(folder, name) ?? null;
    if (entry === null) return { folder, name, inode: null, entry: null };
    if ((follows || isMore) && entry.inode.kind === 'symlink') return this.#target(folder, entry.inode);
    return { folder, name, inode: entry.inode.over === null ? entry.inode : topOf(entry.inode), entry };
  }

  #target(folder: Inode, symlink: Inode): Place {
    this.#symlinks++;
    if (this.#symlinks > SYMLINKS_MAX) throw new SystemError('ELOOP', this.#syscall);
    const { target } = symlink;
    return target.startsWith('/') ? this.from(target, true) : this.#below(folder, target, 0, true);
  }
}

/** The folder over which a device is mounted counts as the one above its root. */
function above(folder: Inode): Inode {
  let at = folder;
  while (at.parent === at && at.device.mountedOver !== null) at = at.device.mountedOver;
  return at.parent ?? at;
}
