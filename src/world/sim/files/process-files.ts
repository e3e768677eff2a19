/** The system calls of one process on a simulated machine: its descriptors, and the rights that it has. */
import type { FileSystem, FileSystemTraits, OpenHow } from '../../file-system.ts';
import type { Stat } from '../../folder.ts';
import type { Device } from './device.ts';
import type { Entry, Inode, InodeKind } from './inode.ts';
import { bytesOfName, textOfName } from './name-rules.ts';
import { PAGE_BYTES } from './pages.ts';
import { mayRead, mayWrite, rename } from './rename.ts';
import { SystemError, type ErrorNumber } from './system-error.ts';
import { checkLength, HELD_PREFIX, topOf, walk, type Place, type Start } from './walk.ts';
import { changed, tell } from './watch.ts';

type Descriptor = {
  readonly inode: Inode;
  /** The name that it was opened by, under whatever name that is now. */
  readonly entry: Entry | null;
  readonly reads: boolean;
  readonly writes: boolean;
};

export type ProcessOptions = {
  readonly root: Inode;
  readonly traits: FileSystemTraits;
  /** Permissions count for it. */
  readonly obeysModes: boolean;
  readonly umask: number;
  readonly descriptorsMax: number;
  /** Bytes that one call reads or writes at most. */
  readonly bytesPerCallMax: number;
  /** Has an effect that others need not wait for when its time has come, as `Turns` of an inline folder. */
  readonly step: <T>(name: string, effect: () => T) => Promise<T>;
  /**
   * Hears of every call before it is made, with the path or descriptor that it is about. What it does, others did in that moment; what it
   * throws, the call throws.
   */
  readonly before: ((syscall: string, about: string | number) => void) | null;
  readonly onEnd: () => void;
};

/** 0 to 2 are the three that every process has. */
const FIRST_DESCRIPTOR = 3;
/** What removing a folder by no name of its own answers. */
const DOTS: Readonly<Record<string, ErrorNumber>> = { '.': 'EINVAL', '..': 'ENOTEMPTY' };
const LINKS_MAX = 65_000;
const TARGET_BYTES_MAX = 4095;

/** Thrown by every call of a process that was killed: nothing that it does has an effect any more. */
export class ProcessEnded extends Error {}

export class ProcessFiles implements FileSystem {
  readonly traits: FileSystemTraits;
  readonly #options: ProcessOptions;
  readonly #start: Start;
  readonly #descriptors: (Descriptor | undefined)[] = [];
  #lowestFree = FIRST_DESCRIPTOR;
  #hasEnded = false;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.traits = options.traits;
    this.#start = {
      root: options.root,
      held: (fd) => this.#descriptors[fd]?.inode ?? null,
      mayPass: (folder) => !options.obeysModes || (folder.mode & 0o100) !== 0,
    };
  }

  /** As `kill -9` does it: its descriptors are closed, and that is all. */
  kill(): void {
    if (this.#hasEnded) return;
    for (const descriptor of this.#descriptors) if (descriptor !== undefined) drop(descriptor.inode);
    this.end();
  }

  /** Its descriptors went with the power. */
  end(): void {
    this.loseDescriptors();
    this.#hasEnded = true;
    this.#options.onEnd();
  }

  loseDescriptors(): void {
    this.#descriptors.length = 0;
    this.#lowestFree = FIRST_DESCRIPTOR;
  }

  get openDescriptors(): number {
    return this.#descriptors.reduce((count, descriptor) => count + (descriptor === undefined ? 0 : 1), 0);
  }

  open(path: string, how: OpenHow, mode = 0o666): number {
    this.#enter('open', path);
    if (how === 'create') return this.#create(path, mode);
    const place = this.#walk(path, how === 'list' || how === 'hold_root', 'open');
    const inode = found(place, 'open');
    this.#checkOpening(inode, how);
    const holds = how === 'hold' || how === 'hold_directory' || how === 'hold_root';
    return this.#add(inode, place.entry, !holds, how === 'write');
  }

  /** As programs of users write: makes it where it is missing; follows symlinks. */
  openToRewrite(path: string, cuts: boolean): number {
    this.#enter('open', path);
    const place = this.#walk(path, true, 'open');
    if (place.inode === null) return this.#createAt(place, 'open', 0o666);
    this.#checkOpening(place.inode, 'write');
    const fd = this.#add(place.inode, place.entry, true, true);
    if (cuts && place.inode.pages !== null && place.inode.pages.size > 0) this.#truncate(fd, 0);
    return fd;
  }

  close(fd: number): void {
    this.#enter('close', fd);
    const { inode } = this.#at(fd, 'close');
    this.#descriptors[fd] = undefined;
    if (fd < this.#lowestFree) this.#lowestFree = fd;
    drop(inode);
  }

  /** What is mounted is another device here. */
  mountsBelow(): ReadonlySet<string> {
    return new Set();
  }

  pathOf(fd: number): string {
    return HELD_PREFIX + fd;
  }

  reopen(fd: number): number {
    this.#enter('open', fd);
    const { inode, entry } = this.#at(fd, 'open');
    if (inode.kind === 'symlink') throw new SystemError('ELOOP', 'open');
    this.#checkOpening(inode, 'read');
    return this.#add(inode, entry, true, false);
  }

  fstat(fd: number): Stat {
    this.#enter('fstat', fd);
    return this.#at(fd, 'fstat').inode.stat();
  }

  lstat(path: string): Stat | null {
    this.#enter('lstat', path);
    // As Node has it, null also where a folder on the way is missing.
    return this.#inodeAt(path, false, 'lstat')?.stat() ?? null;
  }

  stat(path: string): Stat {
    this.#enter('stat', path);
    return found(this.#walk(path, true, 'stat'), 'stat').stat();
  }

  modeOf(fd: number): number {
    this.#enter('fstat', fd);
    return this.#at(fd, 'fstat').inode.mode;
  }

  roomOf(fd: number): number {
    this.#enter('fstat', fd);
    return (this.#at(fd, 'fstat').inode.pages?.count ?? 0) * PAGE_BYTES;
  }

  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
    if (length === 0) return 0;
    this.#enter('read', fd);
    const { inode, reads } = this.#at(fd, 'read');
    if (!reads) throw new SystemError('EBADF', 'read');
    if (inode.kind === 'folder') throw new SystemError('EISDIR', 'read');
    return inode.pages?.read(into, offset, Math.min(length, this.#options.bytesPerCallMax), position) ?? 0;
  }

  write(fd: number, bytes: Uint8Array, offset: number, length: number, position: number): number {
    this.#enter('write', fd);
    const { inode, entry, writes } = this.#at(fd, 'write');
    if (!writes || inode.pages === null) throw new SystemError('EBADF', 'write');
    const wanted = Math.min(length, this.#options.bytesPerCallMax);
    if (wanted === 0) return 0;
    const { device, pages } = inode;
    device.noteUnsynced(inode, pages.size);
    const kept = inode.unsynced?.version ?? null;
    let done = 0;
    while (done < wanted) {
      const piece = bytes.subarray(offset + done, offset + wanted);
      const count = pages.writeSome(piece, position + done, kept, device.takePage);
      if (count === 0) break;
      done += count;
    }
    if (done === 0) throw new SystemError('ENOSPC', 'write');
    device.touch(inode);
    changed(entry);
    return done;
  }

  ftruncate(fd: number, length: number): void {
    this.#enter('ftruncate', fd);
    this.#truncate(fd, length);
  }

  fchmod(fd: number, mode: number): void {
    this.#enter('fchmod', fd);
    const { inode, entry, reads } = this.#at(fd, 'fchmod');
    if (!reads) throw new SystemError('EBADF', 'fchmod');
    inode.device.setAttributes(inode, { mode: mode & 0o777 });
    changed(entry);
  }

  futimes(fd: number, mtimeUs: number): void {
    this.#enter('futimes', fd);
    const { inode, entry, reads } = this.#at(fd, 'futime');
    if (!reads) throw new SystemError('EBADF', 'futime');
    inode.device.setAttributes(inode, { mtime: inode.device.stamper.at(mtimeUs) });
    changed(entry);
  }

  fsync(fd: number): void {
    this.#sync(fd, () => this.#enter('fsync', fd));
  }

  fsyncAndClose(fd: number): Promise<void> {
    return this.#options.step('fsync', () => {
      try {
        this.fsync(fd);
      } finally {
        this.close(fd);
      }
    });
  }

  mkdir(path: string, mode: number): void {
    this.#enter('mkdir', path);
    const place = this.#walk(path, false, 'mkdir');
    this.#make(place, 'folder', mode & ~this.#options.umask, 'mkdir');
  }

  mkdirAll(path: string): readonly string[] {
    const missing: string[] = [];
    let at = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
    while (!this.#isFolder(at)) {
      missing.push(at);
      at = at.slice(0, at.lastIndexOf('/')) || '/';
    }
    if (missing.length === 0) return [];
    for (const one of missing.toReversed()) this.mkdir(one, 0o777);
    return [...missing, at];
  }

  rmdir(path: string): void {
    this.#enter('rmdir', path);
    const place = this.#walk(path, false, 'rmdir');
    const inode = found(place, 'rmdir');
    const { folder, entry } = this.#named(place, 'rmdir', DOTS[place.name] ?? 'EBUSY');
    if (inode.kind !== 'folder') throw new SystemError('ENOTDIR', 'rmdir');
    if (entry.inode.over !== null) throw new SystemError('EBUSY', 'rmdir');
    if (inode.entries !== null && inode.entries.size > 0) throw new SystemError('ENOTEMPTY', 'rmdir');
    this.#remove(folder, entry);
  }

  readdir(path: string): string[] {
    return Array.from(this.#list(path), (entry) => textOfName(entry.name));
  }

  readdirAsBytes(path: string): Uint8Array[] {
    return Array.from(this.#list(path), (entry) => bytesOfName(entry.name));
  }

  readlink(path: string): Uint8Array {
    this.#enter('readlink', path);
    const inode = found(this.#walk(path, false, 'readlink'), 'readlink');
    if (inode.kind !== 'symlink') throw new SystemError('EINVAL', 'readlink');
    return bytesOfName(inode.target);
  }

  symlink(target: string, path: string): void {
    this.#enter('symlink', path);
    if (target === '') throw new SystemError('ENOENT', 'symlink');
    if (bytesOfName(target).length > TARGET_BYTES_MAX) throw new SystemError('ENAMETOOLONG', 'symlink');
    this.#make(this.#walk(path, false, 'symlink'), 'symlink', 0o777, 'symlink', target);
  }

  /** A FIFO or a socket. */
  makeSpecial(path: string, kind: 'fifo' | 'socket'): void {
    this.#enter('mknod', path);
    this.#make(this.#walk(path, false, 'mknod'), kind, 0o666 & ~this.#options.umask, 'mknod');
  }

  link(from: string, to: string): void {
    this.#enter('link', to);
    const inode = found(this.#walk(from, !this.traits.linksSymlinks, 'link'), 'link');
    const place = this.#walk(to, false, 'link');
    const folder = this.#free(place, 'link', inode.device);
    if (!inode.device.profile.hardLinks || inode.kind === 'folder') throw new SystemError('EPERM', 'link');
    if (inode.links === 0) throw new SystemError('ENOENT', 'link');
    if (inode.links >= LINKS_MAX) throw new SystemError('EMLINK', 'link');
    const entry = inode.device.bind(folder, place.name, inode);
    inode.device.record([{ folder, name: entry.name, before: null, after: inode }], inode);
    changed(entry);
  }

  rename(from: string, to: string): void {
    this.#enter('rename', to);
    const source = walk(this.#start, from, false, 'rename');
    const target = walk(this.#start, to, false, 'rename');
    rename(source, target, this.#options.obeysModes);
  }

  unlink(path: string): void {
    this.#enter('unlink', path);
    const place = this.#walk(path, false, 'unlink');
    const inode = found(place, 'unlink');
    const { folder, entry } = this.#named(place, 'unlink', 'EISDIR');
    if (inode.kind === 'folder') throw new SystemError('EISDIR', 'unlink');
    this.#remove(folder, entry);
  }

  removeTree(path: string): void {
    const stat = this.lstat(path);
    if (stat === null) return;
    if (stat.kind !== 'folder') return this.unlink(path);
    for (const { name } of this.#list(path)) this.removeTree(`${path}/${name}`);
    this.rmdir(path);
  }

  clone(fd: number, to: string, mode: number): void {
    this.#enter('copyfile', to);
    const { inode } = this.#at(fd, 'copyfile');
    const { pages, device } = inode;
    if (!device.profile.clones || pages === null) throw new SystemError('ENOTSUP', 'copyfile');
    const place = this.#walk(to, false, 'copyfile');
    this.#free(place, 'copyfile', device);
    const made = this.#at(this.#createAt(place, 'copyfile', mode), 'copyfile');
    for (const page of pages.pages) if (page !== undefined) page.shared = true;
    device.noteUnsynced(made.inode, 0);
    made.inode.pages?.restore(pages.version());
    for (let count = 0; count < pages.count; count++) device.takePage();
    device.touch(made.inode);
    this.#descriptors[this.#descriptors.indexOf(made)] = undefined;
    drop(made.inode);
  }

  spaceOf(path: string): { readonly freeBytes: number; readonly totalBytes: number } {
    this.#enter('statfs', path);
    return found(this.#walk(path, true, 'statfs'), 'statfs').device.space;
  }

  syncAll(path: string): Promise<boolean> {
    return this.#options.step('sync', () => {
      this.#enter('sync', path);
      found(this.#walk(path, true, 'sync'), 'sync').device.syncAll();
      return true;
    });
  }

  /** For whoever watches it: the folder that these names lead to from the one at `path`, through no symlink. */
  folderBelow(path: string, names: readonly string[]): Inode | null {
    let folder = this.#walk(path, true, 'open').inode;
    for (const name of names) {
      if (folder?.kind !== 'folder') return null;
      if (!this.#start.mayPass(folder)) throw new SystemError('EACCES', 'open');
      const below: Inode | undefined = folder.device.find(folder, name)?.inode;
      folder = below === undefined ? null : topOf(below);
    }
    return folder?.kind === 'folder' ? folder : null;
  }

  /** The whole file at once; null where there is none. */
  bytesAt(path: string): Uint8Array | null {
    this.#enter('open', path);
    return this.#walk(path, true, 'open').inode?.pages?.toBytes() ?? null;
  }

  setMode(path: string, mode: number): void {
    this.#enter('chmod', path);
    const place = this.#walk(path, true, 'chmod');
    const inode = found(place, 'chmod');
    inode.device.setAttributes(inode, { mode: mode & 0o777 });
    changed(place.entry);
  }

  #enter(syscall: string, about: string | number): void {
    this.#options.before?.(syscall, about);
    if (this.#hasEnded) throw new ProcessEnded('the process was killed');
  }

  #walk(path: string, follows: boolean, syscall: string): Place {
    const place = walk(this.#start, path, follows, syscall);
    checkLength(place, syscall);
    return place;
  }

  #at(fd: number, syscall: string): Descriptor {
    const descriptor = this.#descriptors[fd];
    if (descriptor === undefined) throw new SystemError('EBADF', syscall);
    return descriptor;
  }

  #add(inode: Inode, entry: Entry | null, reads: boolean, writes: boolean): number {
    let fd = this.#lowestFree;
    while (this.#descriptors[fd] !== undefined) fd++;
    if (fd >= this.#options.descriptorsMax) throw new SystemError('EMFILE', 'open');
    this.#lowestFree = fd + 1;
    while (this.#descriptors.length < fd) this.#descriptors.push(undefined);
    this.#descriptors[fd] = { inode, entry, reads, writes };
    inode.opens++;
    return fd;
  }

  #checkOpening(inode: Inode, how: OpenHow): void {
    const wantsFolder = how === 'list' || how === 'hold_directory' || how === 'hold_root';
    if (wantsFolder && inode.kind !== 'folder') throw new SystemError('ENOTDIR', 'open');
    if (how === 'hold' || how === 'hold_directory' || how === 'hold_root') return;
    if (inode.kind === 'symlink') throw new SystemError('ELOOP', 'open');
    if (how === 'write' && inode.kind === 'folder') throw new SystemError('EISDIR', 'open');
    const isRefused = !mayRead(inode) || (how === 'write' && !mayWrite(inode));
    if (this.#options.obeysModes && isRefused) throw new SystemError('EACCES', 'open');
    if (inode.kind === 'socket') throw new SystemError('ENXIO', 'open');
  }

  #create(path: string, mode: number): number {
    return this.#createAt(this.#walk(path, false, 'open'), 'open', mode);
  }

  #createAt(place: Place, syscall: string, mode: number): number {
    const inode = this.#make(place, 'file', mode & ~this.#options.umask, syscall);
    return this.#add(inode, this.#entryOf(place), true, true);
  }

  #entryOf({ folder, name }: Place): Entry | null {
    return folder === null ? null : (folder.device.find(folder, name) ?? null);
  }

  #make(place: Place, kind: InodeKind, mode: number, syscall: string, target?: string): Inode {
    const folder = this.#free(place, syscall, null);
    const inode = folder.device.make(kind, mode, syscall, target);
    const entry = folder.device.bind(folder, place.name, inode);
    folder.device.record([{ folder, name: entry.name, before: null, after: inode }], inode);
    changed(entry);
    return inode;
  }

  /** The folder that a new name may be made in. `device`: where what gets the name lies. */
  #free({ folder, name, inode }: Place, syscall: string, device: Device | null): Inode {
    if (inode !== null) throw new SystemError('EEXIST', syscall);
    if (folder === null || isDead(folder)) throw new SystemError('ENOENT', syscall);
    if (device !== null && device !== folder.device) throw new SystemError('EXDEV', syscall);
    if (name === '') throw new SystemError('ENOENT', syscall);
    if (this.#options.obeysModes && !mayWrite(folder)) throw new SystemError('EACCES', syscall);
    return folder;
  }

  #named({ folder, entry }: Place, syscall: string, otherwise: ErrorNumber): { folder: Inode; entry: Entry } {
    if (folder === null || entry === null) throw new SystemError(otherwise, syscall);
    if (this.#options.obeysModes && !mayWrite(folder)) throw new SystemError('EACCES', syscall);
    return { folder, entry };
  }

  #remove(folder: Inode, entry: Entry): void {
    const { inode, name } = entry;
    inode.device.unbind(entry);
    inode.device.record([{ folder, name, before: inode, after: null }], inode);
    tell(folder, name);
    tell(inode, null);
    inode.device.release(inode);
  }

  #truncate(fd: number, length: number): void {
    const { inode, entry, reads, writes } = this.#at(fd, 'ftruncate');
    if (!reads) throw new SystemError('EBADF', 'ftruncate');
    if (!writes || inode.pages === null) throw new SystemError('EINVAL', 'ftruncate');
    const { device, pages } = inode;
    device.noteUnsynced(inode, Math.min(length, pages.size));
    device.giveRoom(pages.truncate(length, inode.unsynced?.version ?? null));
    device.touch(inode);
    changed(entry);
  }

  #sync(fd: number, ask: () => void): void {
    const { inode, reads } = this.#at(fd, 'fsync');
    if (!reads) throw new SystemError('EBADF', 'fsync');
    try {
      ask();
    } catch (error) {
      if (error instanceof SystemError) inode.device.failSync(inode);
      throw error;
    }
    inode.device.sync(inode);
  }

  #list(path: string): Entry[] {
    this.#enter('scandir', path);
    const inode = found(this.#walk(path, true, 'scandir'), 'scandir');
    if (inode.entries === null) throw new SystemError('ENOTDIR', 'scandir');
    if (this.#options.obeysModes && !mayRead(inode)) throw new SystemError('EACCES', 'scandir');
    return [...inode.entries.values()];
  }

  #isFolder(path: string): boolean {
    const inode = this.#inodeAt(path, true, 'mkdir');
    if (inode !== null && inode.kind !== 'folder') throw new SystemError('EEXIST', 'mkdir');
    return inode !== null;
  }

  #inodeAt(path: string, follows: boolean, syscall: string): Inode | null {
    try {
      return this.#walk(path, follows, syscall).inode;
    } catch (error) {
      if (error instanceof SystemError && error.code === 'ENOENT') return null;
      throw error;
    }
  }
}

function found(place: Place, syscall: string): Inode {
  if (place.inode === null) throw new SystemError('ENOENT', syscall);
  return place.inode;
}

/** Removed, and only held open: nothing can be made in it. */
function isDead(folder: Inode): boolean {
  return folder.links < 2;
}

function drop(inode: Inode): void {
  inode.opens--;
  inode.device.release(inode);
}
