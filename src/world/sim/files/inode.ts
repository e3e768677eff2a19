/** What lies on a simulated disk: inodes, and the names that lead to them. */
import type { FolderKind, Stat } from '../../folder.ts';
import type { Device } from './device.ts';
import type { Pages, Version } from './pages.ts';
import type { Stamp } from './stamp.ts';

export type InodeKind = 'file' | 'folder' | 'symlink' | 'fifo' | 'socket';

/** A name in a folder. It stays the same thing when it is renamed, so that an open file knows by which name it goes. */
export type Entry = { name: string; folder: Inode | null; readonly inode: Inode };

/** `name` null: the thing itself, by a watch on it, rather than something in it. */
export type Listener = (name: string | null) => void;

/** What of an inode travels through the journal of its file system. */
export type Attributes = { readonly mode: number; readonly mtime: Stamp; readonly ctime: Stamp };

/** A file's bytes and time as of the last sync, and the shortest that it has been since. `lost`: a failed sync dropped what it should have written. */
export type Unsynced = {
  readonly version: Version;
  readonly mtime: Stamp;
  shortest: number;
  /** By times that it has had since and has no more: its size by then, and the shortest from then on. */
  readonly before: Map<bigint, { readonly size: number; shortest: number }>;
  lost: boolean;
  readonly sinceMs: number;
};

const FOLDER_BYTES = 4096;
const NO_BIRTH = 0n;

export class Inode {
  readonly device: Device;
  number: number;
  readonly kind: InodeKind;
  readonly birth: Stamp;
  links = 0;
  /** Descriptors that keep it though it may have no name. */
  opens = 0;
  /** Of a file. */
  readonly pages: Pages | null;
  /** Of a folder, by key. */
  readonly entries: Map<string, Entry> | null;
  /** Of a symlink: bytes, as a name has them. */
  readonly target: string;
  readonly targetBytes: number;
  /** The folder above. Of the root of a device it is the root itself. */
  parent: Inode | null = null;
  /** The root of another device that lies over this folder. */
  over: Inode | null = null;
  listeners: Set<Listener> | null = null;
  unsynced: Unsynced | null = null;
  isFreed = false;
  #attributes: Attributes;
  #stat: Stat | null = null;

  constructor(
    device: Device,
    number: number,
    kind: InodeKind,
    attributes: Attributes,
    body: { readonly pages?: Pages; readonly target?: string; readonly targetBytes?: number },
  ) {
    this.device = device;
    this.number = number;
    this.kind = kind;
    this.birth = attributes.ctime;
    this.#attributes = attributes;
    this.pages = body.pages ?? null;
    this.entries = kind === 'folder' ? new Map() : null;
    this.target = body.target ?? '';
    this.targetBytes = body.targetBytes ?? 0;
  }

  get attributes(): Attributes {
    return this.#attributes;
  }

  set attributes(attributes: Attributes) {
    this.#attributes = attributes;
    this.#stat = null;
  }

  get mode(): number {
    return this.#attributes.mode;
  }

  /** To be called when links, size or number changed; attributes tell by themselves. */
  forgetStat(): void {
    this.#stat = null;
  }

  stat(): Stat {
    if (this.#stat !== null) return this.#stat;
    const { mode, mtime, ctime } = this.#attributes;
    this.#stat = {
      kind: SHOWN[this.kind],
      dev: this.device.number,
      ino: BigInt(this.number),
      size: this.#size(),
      mtimeNs: mtime.nanoseconds,
      ctimeNs: ctime.nanoseconds,
      birthNs: this.device.profile.birthTimes ? this.birth.nanoseconds : NO_BIRTH,
      links: this.links,
      exec: this.kind === 'file' && (mode & 0o100) !== 0,
    };
    return this.#stat;
  }

  #size(): number {
    if (this.pages !== null) return this.pages.size;
    return this.kind === 'folder' ? FOLDER_BYTES : this.targetBytes;
  }
}

const SHOWN: Readonly<Record<InodeKind, FolderKind>> = {
  file: 'file',
  folder: 'folder',
  symlink: 'symlink',
  fifo: 'other',
  socket: 'other',
};
