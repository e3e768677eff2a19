/** One simulated disk with its file system: inodes, the room that they take, and what of them is durable. */
import { assert } from '#core/assert.ts';
import { Inode, type Attributes, type Entry, type InodeKind, type Unsynced } from './inode.ts';
import { Journal, type NameChange } from './journal.ts';
import { bytesOfName, Names } from './name-rules.ts';
import { PAGE_BYTES, Pages } from './pages.ts';
import type { DeviceProfile } from './profile.ts';
import { Stamper } from './stamp.ts';
import { SystemError } from './system-error.ts';

/** The first that can be handed out; on ext4 the root has 2. */
const ROOT_NUMBER = 2;
const FIRST_NUMBER = 11;

export class Device {
  readonly number: bigint;
  readonly profile: DeviceProfile;
  readonly names: Names;
  readonly stamper: Stamper;
  readonly journal: Journal;
  readonly root: Inode;
  readonly unsynced = new Set<Inode>();
  /** The folder that its root lies over; null where it is not mounted, or is the first of the machine. */
  mountedOver: Inode | null = null;
  readonly #elapsedMs: () => number;
  readonly #pagesMax: number;
  readonly #used: boolean[] = [];
  #lowestFree = FIRST_NUMBER;
  #inodes = 1;
  #pages = 0;

  /** `elapsedMs`: a clock that nobody sets, for what the system writes after a while. */
  constructor(number: bigint, profile: DeviceProfile, nowMs: () => number, elapsedMs: () => number) {
    this.number = number;
    this.profile = profile;
    this.#elapsedMs = elapsedMs;
    this.names = new Names(profile);
    this.stamper = new Stamper(nowMs, profile.stampMs);
    this.journal = new Journal(elapsedMs, profile.commitAgeMs);
    this.#pagesMax = Math.floor(profile.capacityBytes / PAGE_BYTES);
    this.root = new Inode(this, ROOT_NUMBER, 'folder', this.#attributes(0o755), {});
    this.root.parent = this.root;
    this.root.links = 2;
  }

  get space(): { readonly freeBytes: number; readonly totalBytes: number } {
    return { freeBytes: (this.#pagesMax - this.#pages) * PAGE_BYTES, totalBytes: this.#pagesMax * PAGE_BYTES };
  }

  /** Throws ENOSPC. The lowest number that is free is used again at once. */
  make(kind: InodeKind, mode: number, syscall: string, target = ''): Inode {
    if (this.#inodes >= this.profile.inodesMax) throw new SystemError('ENOSPC', syscall);
    let number = this.#lowestFree;
    while (this.#used[number] === true) number++;
    this.#lowestFree = number + 1;
    this.#used[number] = true;
    this.#inodes++;
    const body = kind === 'file' ? { pages: new Pages() } : { target, targetBytes: bytesOfName(target).length };
    const inode = new Inode(this, number, kind, this.#attributes(mode), kind === 'folder' ? {} : body);
    if (kind === 'folder') inode.links = 1;
    return inode;
  }

  /** To be called when a name or a descriptor of it went: the last one takes the inode along. */
  release(inode: Inode): void {
    if (inode.opens > 0 || inode.isFreed || inode.links > (inode.kind === 'folder' ? 1 : 0)) return;
    inode.isFreed = true;
    this.#inodes--;
    this.#used[inode.number] = false;
    if (inode.number < this.#lowestFree) this.#lowestFree = inode.number;
    if (inode.pages !== null) this.giveRoom(inode.pages.count);
    this.unsynced.delete(inode);
  }

  /** False where the disk is full. */
  readonly takePage = (): boolean => {
    if (this.#pages >= this.#pagesMax) return false;
    this.#pages++;
    return true;
  };

  giveRoom(pages: number): void {
    this.#pages -= pages;
  }

  find(folder: Inode, name: string): Entry | undefined {
    return folder.entries?.get(this.names.key(name));
  }

  /** Gives an inode a name in a folder where nothing has it. */
  bind(folder: Inode, name: string, inode: Inode): Entry {
    const kept = this.names.kept(name);
    const entry = { name: kept, folder, inode };
    this.#put(entry);
    inode.links++;
    inode.forgetStat();
    return entry;
  }

  /** Takes a name away. The inode may be without any name then. */
  unbind(entry: Entry): void {
    this.#cut(entry);
    entry.folder = null;
    entry.inode.links--;
    entry.inode.forgetStat();
  }

  rebind(entry: Entry, folder: Inode, name: string): void {
    this.#cut(entry);
    entry.name = this.names.kept(name);
    entry.folder = folder;
    this.#put(entry);
  }

  /** Stamps a file that was written to. */
  touch(inode: Inode): void {
    const now = this.stamper.now();
    this.#change(inode, { mode: inode.mode, mtime: now, ctime: now });
  }

  setAttributes(inode: Inode, attributes: Partial<Attributes>): void {
    this.#change(inode, { ...inode.attributes, ...attributes, ctime: this.stamper.now() });
  }

  /** Records a change to names that was just made; the inode that got or lost one is stamped. */
  record(names: readonly NameChange[], inode: Inode): void {
    const before = inode.attributes;
    if (inode.kind === 'folder') {
      this.journal.add(names, null, null);
    } else {
      inode.attributes = { ...before, ctime: this.stamper.now() };
      this.journal.add(names, inode, before);
    }
    for (const { folder } of names) this.#touchFolder(folder);
  }

  /** To be called before the bytes of a file change to what may be shorter by then. */
  noteUnsynced(inode: Inode, size: number): void {
    assert(inode.pages !== null, 'only files have bytes');
    if (inode.unsynced !== null && this.isWritten(inode.unsynced)) this.#syncBytes(inode);
    const { unsynced } = inode;
    if (unsynced === null) {
      const version = inode.pages.version();
      const { mtime } = inode.attributes;
      const shortest = Math.min(size, version.size);
      inode.unsynced = { version, mtime, shortest, before: new Map(), lost: false, sinceMs: this.#elapsedMs() };
      this.unsynced.add(inode);
    } else {
      const { before } = unsynced;
      before.set(inode.attributes.mtime.nanoseconds, { size: inode.pages.size, shortest: inode.pages.size });
      for (const one of before.values()) one.shortest = Math.min(one.shortest, size);
      if (size >= unsynced.shortest) return;
      unsynced.shortest = size;
      // What begins anew has nothing in it that an earlier sync dropped.
      if (size === 0) unsynced.lost = false;
    }
  }

  /** The system has written it by itself. */
  isWritten({ lost, sinceMs }: Unsynced): boolean {
    return !lost && this.#elapsedMs() - sinceMs > this.profile.writebackAgeMs;
  }

  sync(inode: Inode): void {
    this.#syncBytes(inode);
    if (this.profile.journal === 'ordered') return this.journal.commit();
    this.journal.commitAttributes(inode);
    this.journal.commitThose(
      (change) =>
        (change.inode === inode && change.names.length === 0) || change.names.some(({ folder }) => folder === inode),
    );
  }

  syncAll(): void {
    for (const inode of this.unsynced) this.#syncBytes(inode);
    this.journal.commit();
  }

  /** What a failed sync does to what it should have written. */
  failSync(inode: Inode): void {
    if (this.profile.failedSyncLoses && inode.unsynced !== null) inode.unsynced.lost = true;
  }

  /** Counts anew what can be reached from the root; the rest is gone. To be called after a power cut. */
  recount(): void {
    this.#used.length = 0;
    this.#lowestFree = FIRST_NUMBER;
    this.#inodes = 0;
    this.#pages = 0;
    const seen = new Set<Inode>();
    this.#recount(this.root, seen);
  }

  #recount(inode: Inode, seen: Set<Inode>): void {
    seen.add(inode);
    inode.forgetStat();
    inode.isFreed = false;
    inode.opens = 0;
    if (this.#used[inode.number] === true) inode.number = this.#firstFree();
    if (inode !== this.root) this.#used[inode.number] = true;
    this.#inodes++;
    this.#pages += inode.pages?.count ?? 0;
    inode.links = inode.kind === 'folder' ? (inode === this.root ? 2 : 1) : 0;
    if (inode.entries === null) return;
    for (const [key, entry] of inode.entries) {
      const below = entry.inode;
      if (seen.has(below)) {
        // A folder has one name; a name too many is what a check of the file system takes away.
        if (below.kind === 'folder') inode.entries.delete(key);
        else below.links++;
        continue;
      }
      this.#recount(below, seen);
      below.links++;
      if (below.kind !== 'folder') continue;
      below.parent = inode;
      inode.links++;
    }
  }

  /** As it is mounted anew: what lies in a folder is looked up in the order that `next` picks by, of so many. Hard links are not reckoned with. */
  renumber(next: (count: number) => number): void {
    if (this.profile.keepsNumbers) return;
    const found: Inode[] = [];
    const open = [this.root];
    while (open.length > 0) {
      const [inode] = open.splice(next(open.length), 1);
      for (const { inode: below } of inode?.entries?.values() ?? []) open.push(below);
      if (inode && inode !== this.root) found.push(inode);
    }
    // What is open and has no name any more keeps its number.
    let number = found.length + 1 < this.#inodes ? Math.max(FIRST_NUMBER, this.#used.length) : FIRST_NUMBER;
    this.#used.length = number === FIRST_NUMBER ? 0 : number;
    this.#used.fill(false);
    for (const inode of found) {
      inode.number = number;
      inode.forgetStat();
      this.#used[number++] = true;
    }
    this.#lowestFree = number;
  }

  #firstFree(): number {
    let number = FIRST_NUMBER;
    while (this.#used[number] === true) number++;
    return number;
  }

  #put(entry: Entry): void {
    const { folder, inode } = entry;
    assert(folder?.entries, 'names lie in folders');
    folder.entries.set(this.names.key(entry.name), entry);
    if (inode.kind !== 'folder') return;
    inode.parent = folder;
    folder.links++;
  }

  #cut(entry: Entry): void {
    const { folder, inode } = entry;
    assert(folder?.entries, 'names lie in folders');
    folder.entries.delete(this.names.key(entry.name));
    if (inode.kind === 'folder') folder.links--;
  }

  #touchFolder(folder: Inode): void {
    const now = this.stamper.now();
    folder.attributes = { mode: folder.mode, mtime: now, ctime: now };
  }

  #change(inode: Inode, attributes: Attributes): void {
    const before = inode.attributes;
    inode.attributes = attributes;
    inode.unsynced?.before.delete(attributes.mtime.nanoseconds);
    this.journal.addAttributes(inode, before);
  }

  #syncBytes(inode: Inode): void {
    if (inode.unsynced?.lost) return;
    inode.unsynced = null;
    this.unsynced.delete(inode);
  }

  #attributes(mode: number): Attributes {
    const now = this.stamper.now();
    return { mode, mtime: now, ctime: now };
  }
}
