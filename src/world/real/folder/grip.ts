/**
 * A folder's root held open for one batch, and the directories below it. On Linux every directory is opened by its name in
 * its opened parent, and then named through its descriptor: whatever others rename or replace by symlinks meanwhile, no call
 * leaves the directories that were opened. Elsewhere each component is looked at before it is used, which leaves a moment.
 */
import { HoldfastError } from '#core/errors.ts';
import { hasErrno, shown } from './failure.ts';
import { syncDirectory } from './file.ts';
import { namesOf, OWN } from './path.ts';
import { isSameInode, isUnchanged } from './stat.ts';
import type { FileSystem } from '../../file-system.ts';
import type { Stat } from '../../folder.ts';

/** Open directories beyond which a batch lets go of them between two steps. */
const OPEN_DIRECTORIES_MAX = 256;

/** A directory that was reached without following a symlink. */
export class Directory {
  /** The path below the root. */
  readonly path: string;
  readonly #fs: FileSystem;
  readonly #osPath: string;
  readonly #fd: number | null;
  #held: Stat | null = null;

  constructor(fs: FileSystem, path: string, osPath: string, fd: number | null) {
    this.path = path;
    this.#fs = fs;
    this.#osPath = osPath;
    this.#fd = fd;
  }

  /** What system calls take to name the entry `name` in this very directory; '' the directory itself. */
  at(name: string): string {
    return name === '' ? this.#osPath : `${this.#osPath}/${name}`;
  }

  stat(): Stat {
    return this.#fd === null ? this.#fs.stat(this.#osPath) : this.#fs.fstat(this.#fd);
  }

  /** Whether it is the very directory that was known by this stat. One that is held open stays what it was. */
  is(known: Stat): boolean {
    const now = this.#fd === null ? this.#fs.lstat(this.#osPath) : (this.#held ??= this.stat());
    return now !== null && isUnchanged(known, now);
  }

  close(): void {
    if (this.#fd !== null) this.#fs.close(this.#fd);
  }
}

/** A name in a directory. */
export type Spot = { readonly directory: Directory; readonly name: string; readonly at: string };

export class Grip {
  readonly fs: FileSystem;
  readonly root: Directory;
  readonly #opened = new Map<string, Directory>();
  readonly #usesDescriptors: boolean;
  #mounts: ReadonlySet<string> | null = null;
  #dev: bigint | null = null;

  private constructor(fs: FileSystem, root: Directory, usesDescriptors: boolean) {
    this.fs = fs;
    this.root = root;
    this.#usesDescriptors = usesDescriptors;
  }

  /** Throws the system's error where the root is not there. The root's own path may lead through symlinks: a person named it. */
  static open(fs: FileSystem, rootPath: string): Grip {
    if (!fs.traits.holds) {
      if (fs.stat(rootPath).kind !== 'folder') throw notAFolder();
      return new Grip(fs, new Directory(fs, '', rootPath, null), false);
    }
    const fd = fs.open(rootPath, 'hold_root');
    if (isNamed(fs, fd)) return new Grip(fs, new Directory(fs, '', fs.pathOf(fd), fd), true);
    fs.close(fd);
    return new Grip(fs, new Directory(fs, '', rootPath, null), false);
  }

  /** Null where it is missing, or where a component is anything but a directory. Throws where access is refused or the path is no path. */
  directory(path: string): Directory | null {
    return this.#descend(this.#namesOf(path));
  }

  /** Where the entry of that path is, or would be. Null where its directory is missing. The root itself has no spot. */
  spot(path: string): Spot | null {
    const names = this.#namesOf(path);
    const name = names.at(-1);
    if (name === undefined) throw new HoldfastError('invalid_name', 'the folder itself cannot be changed');
    const directory = this.#descend(names.slice(0, -1));
    return directory === null ? null : spotIn(directory, name);
  }

  /** A directory of the door's own, made where it is missing: '' for `.holdfast` itself, `tmp`, `trash/2026-01-31`. */
  own(path: string): Directory {
    const found = this.ownIfThere(path);
    if (found !== null) return found;
    let made = '';
    for (const name of ownNames(path)) {
      const parent = made === '' ? this.root : this.#expect(made);
      this.#makeOwn(parent, name);
      made = made === '' ? name : `${made}/${name}`;
    }
    return this.#expect(made);
  }

  /** Null where it was never made, or is not a directory. */
  ownIfThere(path: string): Directory | null {
    return this.#descend(ownNames(path));
  }

  /** True for the door's own directory under whatever name a case-insensitive file system showed it. */
  isOwn(stat: Stat): boolean {
    if (stat.kind !== 'folder') return false;
    const own = this.fs.lstat(this.root.at(OWN));
    return own !== null && isSameInode(own, stat);
  }

  /** True where what is seen under a name is mounted there, and none of the folder's. */
  isMounted({ path }: Directory, name: string, stat: Stat): boolean {
    this.#dev ??= this.root.stat().dev;
    if (stat.dev !== this.#dev) return true;
    this.#mounts ??= this.fs.mountsBelow(this.root.at(''));
    return this.#mounts.size > 0 && this.#mounts.has(path === '' ? name : `${path}/${name}`);
  }

  /** To be called after a folder was moved: its path now means something else. No `Directory` or `Spot` is valid afterwards. */
  forget(): void {
    for (const directory of this.#opened.values()) directory.close();
    this.#opened.clear();
  }

  /** To be called between two steps, where no `Directory` or `Spot` is in use. */
  trim(): void {
    if (this.#opened.size > OPEN_DIRECTORIES_MAX) this.forget();
  }

  close(): void {
    this.forget();
    this.root.close();
  }

  /** Durable at once: a power cut that took it would take with it what was moved into it meanwhile. */
  #makeOwn(parent: Directory, name: string): void {
    try {
      this.fs.mkdir(parent.at(name), 0o700);
    } catch (error) {
      if (hasErrno(error, 'EEXIST')) return;
      throw error;
    }
    try {
      syncDirectory(this.fs, parent.at(''));
    } catch (error) {
      // A folder that may be changed but not read.
      if (!hasErrno(error, 'EACCES')) throw error;
    }
  }

  #namesOf(path: string): readonly string[] {
    return namesOf(path, this.fs.traits.windowsNames);
  }

  #expect(ownPath: string): Directory {
    const directory = this.#descend(ownPath.split('/'));
    if (directory === null) throw new HoldfastError('folder_missing', `${ownPath} in the folder is not a folder`);
    return directory;
  }

  #descend(names: readonly string[]): Directory | null {
    let directory = this.root;
    let path = '';
    for (const name of names) {
      path = path === '' ? name : `${path}/${name}`;
      const next = this.#opened.get(path) ?? this.#open(directory, name, path);
      if (next === null) return null;
      directory = next;
    }
    return directory;
  }

  #open(parent: Directory, name: string, path: string): Directory | null {
    const openIn = this.#usesDescriptors ? openByDescriptor : openByPath;
    const directory = openIn(this.fs, parent, name, path);
    if (directory === null) return null;
    try {
      this.#check(parent, name, directory.stat());
    } catch (error) {
      directory.close();
      throw error;
    }
    this.#opened.set(path, directory);
    return directory;
  }

  /** What lies in it counts neither as there nor as gone, and nothing is made in it. */
  #check(parent: Directory, name: string, stat: Stat): void {
    if (parent === this.root && name === OWN) return;
    if (parent === this.root && this.isOwn(stat)) throw new HoldfastError('invalid_name', `${OWN} is Holdfast's own`);
    if (!this.isMounted(parent, name, stat)) return;
    throw new HoldfastError('not_permitted_by_disk', `${shown(name)}: another file system is mounted there`);
  }
}

export function spotIn(directory: Directory, name: string): Spot {
  return { directory, name, at: directory.at(name) };
}

function ownNames(path: string): readonly string[] {
  return path === '' ? [OWN] : [OWN, ...path.split('/')];
}

function openByDescriptor(fs: FileSystem, parent: Directory, name: string, path: string): Directory | null {
  try {
    const fd = fs.open(parent.at(name), 'hold_directory');
    return new Directory(fs, path, fs.pathOf(fd), fd);
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return null;
    throw error;
  }
}

function openByPath(fs: FileSystem, parent: Directory, name: string, path: string): Directory | null {
  const at = parent.at(name);
  return fs.lstat(at)?.kind === 'folder' ? new Directory(fs, path, at, null) : null;
}

/** False in the rare container that has no /proc. */
function isNamed(fs: FileSystem, fd: number): boolean {
  try {
    return isSameInode(fs.stat(fs.pathOf(fd)), fs.fstat(fd));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

function notAFolder(): HoldfastError {
  return new HoldfastError('folder_missing', 'the path of the folder is not a folder');
}
