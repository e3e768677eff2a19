/**
 * A disk in memory that loses what a power cut loses. Kept are: of a file, what was synced; of a directory, the names that were synced. Of what was
 * not, each sector may be there, be zero, or hold what a disk writes when power fails; the file may be as short as it was. Survivable,
 * because nothing of it was acknowledged.
 */
import { HoldfastError } from '#core/errors.ts';
import type { Disk, DiskFile } from '#world/disk.ts';

/** Real ones have 512 or 4096; smaller ones tear small records as well. */
const SECTOR_BYTES = 32;

type Inode = { bytes: Uint8Array; durable: Uint8Array; nameIsDurable: boolean };

export type PowerCutDisk = {
  readonly disk: Disk;
  /** The disk as another process finds it when this one was killed: nothing is lost, nothing more is durable. */
  kill(): PowerCutDisk;
  /** The disk as it is found when power is back. `next` answers with a number from 0 up to below its argument. */
  cut(next: (below: number) => number): PowerCutDisk;
};

export function powerCutDisk(files: Map<string, Inode> = new Map()): PowerCutDisk {
  return {
    disk: diskOf(files),
    kill: () => powerCutDisk(new Map([...files].map(([path, inode]) => [path, { ...inode }]))),
    cut(next) {
      const kept = new Map<string, Inode>();
      for (const [path, inode] of files) {
        if (!inode.nameIsDurable && next(2) === 0) continue;
        const bytes = tornBytes(inode, next);
        kept.set(path, { bytes, durable: bytes, nameIsDurable: true });
      }
      return powerCutDisk(kept);
    },
  };
}

/** The length is the file's, or as it was at the last sync, or between; sectors that were synced and not written since are safe. */
function tornBytes({ bytes, durable }: Inode, next: (below: number) => number): Uint8Array {
  const [low, high] = [Math.min(bytes.length, durable.length), Math.max(bytes.length, durable.length)];
  // Half of the time nearly all had reached the disk already, so that whole records lie behind torn ones.
  const mostlyWritten = next(2) === 0;
  const length = mostlyWritten ? bytes.length : low + next(high - low + 1);
  const torn = new Uint8Array(length);
  for (let start = 0; start < length; start += SECTOR_BYTES) {
    const end = Math.min(start + SECTOR_BYTES, length);
    const was = padded(durable, start, end);
    const is = padded(bytes, start, end);
    const same = start + SECTOR_BYTES <= low && was.every((byte, index) => byte === is[index]);
    const choice = same || (mostlyWritten && next(10) > 0) ? 0 : next(3);
    if (choice === 0) torn.set(is, start);
    else if (choice === 1) torn.set(was, start);
    else torn.fill(next(256), start, end);
    // A sector that is in part durable is rewritten as a whole: its durable part stays.
    if (!same && start < durable.length && bytes.length >= durable.length)
      torn.set(durable.slice(start, Math.min(end, durable.length)), start);
  }
  return torn;
}

function padded(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const piece = new Uint8Array(end - start);
  piece.set(bytes.subarray(start, Math.min(end, bytes.length)));
  return piece;
}

function diskOf(files: Map<string, Inode>): Disk {
  const find = (path: string): Inode => {
    const inode = files.get(path);
    if (!inode) throw new HoldfastError('not_found', path);
    return inode;
  };
  return {
    async create(path) {
      const inode = { bytes: new Uint8Array(0), durable: new Uint8Array(0), nameIsDurable: false };
      files.set(path, inode);
      return fileOf(inode);
    },
    open: async (path) => fileOf(find(path)),
    async replace(path, bytes) {
      files.set(path, { bytes, durable: bytes, nameIsDurable: true });
    },
    read: async (path) => files.get(path)?.bytes ?? null,
    async list(directory) {
      const prefix = `${directory}/`;
      return [...files.keys()]
        .filter((path) => path.startsWith(prefix))
        .map((path) => path.slice(prefix.length))
        .sort();
    },
    async makeDirectory() {},
    async remove(path) {
      find(path);
      files.delete(path);
    },
    async syncDirectory(directory) {
      for (const [path, inode] of files) if (path.startsWith(`${directory}/`)) inode.nameIsDurable = true;
    },
    space: async () => ({ freeBytes: 1e12, totalBytes: 1e12 }),
  };
}

function fileOf(inode: Inode): DiskFile {
  return {
    async append(pieces) {
      const offset = inode.bytes.length;
      for (const piece of pieces) inode.bytes = joined(inode.bytes, piece);
      return offset;
    },
    read: async (offset, length) => inode.bytes.slice(offset, offset + length),
    async sync() {
      inode.durable = inode.bytes.slice();
    },
    async truncate(length) {
      inode.bytes = inode.bytes.slice(0, length);
    },
    size: async () => inode.bytes.length,
    close: async () => {},
  };
}

function joined(left: Uint8Array, right: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(left.length + right.length);
  bytes.set(left);
  bytes.set(right, left.length);
  return bytes;
}
