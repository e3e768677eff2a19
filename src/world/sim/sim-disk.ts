/**
 * A storage node's directory on a simulated machine. It loses what a power cut loses: bytes of a file since its last sync, and names since
 * their directory's last sync. Each sector of what was not synced may then be there, be as it was, be zero or hold anything.
 */
import { HoldfastError } from '#core/errors.ts';
import type { Disk, DiskFile } from '../disk.ts';
import type { DirectoryLock } from '../directory-lock.ts';
import type { Scheduler, SimProcess } from './scheduler.ts';
import type { SimRandom } from './sim-random.ts';

/** Smaller than real ones, so that small records are torn as well. */
const SECTOR_BYTES = 32;

type Inode = {
  bytes: Uint8Array;
  length: number;
  durable: Uint8Array;
  durableLength: number;
  /** Nothing below it was written since the last sync. */
  cleanBelow: number;
  nameIsDurable: boolean;
};

export type DiskFaults = {
  /** Share of calls that fail with `disk_failed`. */
  ioError: number;
  /** Bytes that may still be written. */
  freeBytes: number;
  /** Milliseconds that a call takes at most. */
  delayMsMax: number;
};

export class SimDisk {
  readonly #scheduler: Scheduler;
  readonly #random: SimRandom;
  #files = new Map<string, Inode>();
  readonly faults: DiskFaults = { ioError: 0, freeBytes: 1e12, delayMsMax: 1 };
  #locked = false;

  constructor(scheduler: Scheduler, random: SimRandom) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  lock(actor: SimProcess): DirectoryLock {
    if (this.#locked) throw new HoldfastError('data_in_use', 'another process works in this directory');
    this.#locked = true;
    const release = () => {
      this.#locked = false;
    };
    actor.onEnd(release);
    return { release };
  }

  powerCut(): void {
    const kept = new Map<string, Inode>();
    for (const [path, inode] of this.#files) {
      if (!inode.nameIsDurable && this.#random.chance(0.5)) continue;
      const bytes = this.#torn(inode);
      kept.set(path, {
        bytes,
        length: bytes.length,
        durable: bytes,
        durableLength: bytes.length,
        cleanBelow: bytes.length,
        nameIsDurable: true,
      });
    }
    this.#files = kept;
  }

  /** Flips one bit of what lies in a file, as disks do in years. False where there is nothing to flip. */
  rot(): boolean {
    const files = [...this.#files.values()].filter((inode) => inode.length > 0);
    if (files.length === 0) return false;
    const inode = this.#random.pick(files);
    const at = this.#random.below(inode.length);
    inode.bytes = inode.bytes.slice();
    inode.bytes[at]! ^= 1 << this.#random.below(8);
    inode.durable = inode.bytes.slice();
    return true;
  }

  disk(actor: SimProcess): Disk {
    const step = <T>(name: string, effect: () => T): Promise<T> =>
      this.#scheduler.step(actor, `disk ${name}`, effect, this.#random.below(1000) * (this.faults.delayMsMax / 1000));
    const failing = <T>(name: string, effect: () => T): Promise<T> =>
      step(name, () => {
        if (this.faults.ioError > 0 && this.#random.chance(this.faults.ioError))
          throw new HoldfastError('disk_failed', `${name}: the disk answered EIO`);
        return effect();
      });
    const find = (path: string): Inode => {
      const inode = this.#files.get(path);
      if (!inode) throw new HoldfastError('not_found', `${path} does not exist`);
      return inode;
    };
    const file = (inode: Inode): DiskFile => ({
      append: (pieces) => failing('append', () => this.#append(inode, pieces)),
      read: (offset, length) =>
        failing('read', () => inode.bytes.slice(offset, Math.min(inode.length, offset + length))),
      sync: () =>
        failing('sync', () => {
          inode.durable = inode.bytes.slice(0, inode.length);
          inode.durableLength = inode.length;
          inode.cleanBelow = inode.length;
        }),
      truncate: (length) =>
        failing('truncate', () => {
          inode.bytes = inode.bytes.slice(0, length);
          inode.length = length;
          inode.cleanBelow = Math.min(inode.cleanBelow, length);
        }),
      size: () => step('size', () => inode.length),
      close: () => step('close', () => {}),
    });
    return {
      create: (path) =>
        failing('create', () => {
          if (this.#files.has(path)) throw new HoldfastError('conflict', `${path} exists`);
          const inode = newInode(new Uint8Array(0), false);
          this.#files.set(path, inode);
          return file(inode);
        }),
      open: (path) => step('open', () => file(find(path))),
      replace: (path, bytes) => failing('replace', () => void this.#files.set(path, newInode(bytes.slice(), true))),
      read: (path) =>
        failing('read file', () => {
          const inode = this.#files.get(path);
          return inode ? inode.bytes.slice(0, inode.length) : null;
        }),
      list: (directory) =>
        step('list', () => {
          const prefix = `${directory}/`;
          return [...this.#files.keys()]
            .filter((path) => path.startsWith(prefix))
            .map((path) => path.slice(prefix.length))
            .sort();
        }),
      makeDirectory: () => step('make directory', () => {}),
      remove: (path) =>
        failing('remove', () => {
          find(path);
          this.#files.delete(path);
        }),
      syncDirectory: (directory) =>
        failing('sync directory', () => {
          for (const [path, inode] of this.#files) if (path.startsWith(`${directory}/`)) inode.nameIsDurable = true;
        }),
      space: () => step('space', () => ({ freeBytes: this.faults.freeBytes, totalBytes: 1e12 })),
    };
  }

  #append(inode: Inode, pieces: readonly Uint8Array[]): number {
    const offset = inode.length;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (length > this.faults.freeBytes) throw new HoldfastError('no_space', 'the disk is full');
    this.faults.freeBytes -= length;
    if (inode.bytes.length < offset + length) {
      const grown = new Uint8Array(Math.max(2 * inode.bytes.length, offset + length, 4096));
      grown.set(inode.bytes.subarray(0, offset));
      inode.bytes = grown;
    }
    let at = offset;
    for (const piece of pieces) {
      inode.bytes.set(piece, at);
      at += piece.length;
    }
    inode.length = at;
    return offset;
  }

  /** As long as it is, as it was at the last sync, or between; what was synced and not written since is safe. */
  #torn(inode: Inode): Uint8Array {
    const { length, durableLength, cleanBelow } = inode;
    const is = inode.bytes.subarray(0, length);
    if (length === durableLength && cleanBelow >= length) return is.slice();
    const low = Math.min(length, durableLength);
    const high = Math.max(length, durableLength);
    // Half of the time nearly all had reached the disk already, so that whole records lie behind torn ones.
    const mostlyWritten = this.#random.chance(0.5);
    const torn = new Uint8Array(mostlyWritten ? length : low + this.#random.below(high - low + 1));
    torn.set(is.subarray(0, Math.min(cleanBelow, torn.length)));
    for (let start = Math.min(cleanBelow, low); start < torn.length; start += SECTOR_BYTES) {
      const end = Math.min(start + SECTOR_BYTES, torn.length);
      const choice = mostlyWritten && this.#random.below(10) > 0 ? 0 : this.#random.below(3);
      if (choice === 0) torn.set(is.subarray(start, Math.min(end, length)), start);
      else if (choice === 1) torn.set(inode.durable.subarray(start, Math.min(end, durableLength)), start);
      else torn.fill(this.#random.below(256), start, end);
    }
    return torn;
  }
}

function newInode(bytes: Uint8Array, nameIsDurable: boolean): Inode {
  const { length } = bytes;
  return { bytes, length, durable: bytes.slice(), durableLength: length, cleanBelow: length, nameIsDurable };
}
