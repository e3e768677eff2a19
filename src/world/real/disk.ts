/** A directory on a real disk. */
import { constants, promises as fs } from 'node:fs';
import path from 'node:path';
import { assert } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import { translateDiskError } from './disk-error.ts';
import type { Disk, DiskFile } from '../disk.ts';

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
const TEMPORARY_SUFFIX = '.tmp';
/** writev takes 1,024 pieces on Linux (IOV_MAX). */
const PIECES_PER_CALL_MAX = 1000;

/** `root` need not exist yet: `makeDirectory('')` makes it. */
export function realDisk(root: string): Disk {
  const absolute = path.resolve(root);
  const at = (relative: string): string => {
    assert(
      relative === '' || relative.split('/').every((name) => name !== '' && name !== '.' && name !== '..'),
      'paths are relative, without steps upwards',
    );
    return path.join(absolute, relative);
  };
  const guarded = async <T>(relative: string, work: (full: string) => Promise<T>): Promise<T> => {
    try {
      return await work(at(relative));
    } catch (error) {
      throw translateDiskError(error, relative === '' ? 'the directory' : relative);
    }
  };
  return {
    create: (relative) =>
      guarded(relative, async (full) => {
        const { O_RDWR, O_CREAT, O_EXCL } = constants;
        return new RealFile(relative, await fs.open(full, O_RDWR | O_CREAT | O_EXCL, FILE_MODE), 0);
      }),
    open: (relative, mode) =>
      guarded(relative, async (full) => {
        const handle = await fs.open(full, mode === 'read' ? constants.O_RDONLY : constants.O_RDWR);
        return new RealFile(relative, handle, (await handle.stat()).size);
      }),
    replace: (relative, bytes) => guarded(relative, (full) => replaceFile(full, bytes)),
    read: (relative) => guarded(relative, (full) => orNull(readWhole(full))),
    list: (relative) => guarded(relative, async (full) => ((await orNull(fs.readdir(full))) ?? []).sort(byCodeUnits)),
    makeDirectory: (relative) => guarded(relative, (full) => makeDirectories(full, absolute)),
    remove: (relative) => guarded(relative, (full) => fs.unlink(full)),
    syncDirectory: (relative) => guarded(relative, (full) => syncDirectory(full)),
    space: () =>
      guarded('', async (full) => {
        const { bavail, blocks, bsize } = await fs.statfs(full);
        return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
      }),
  };
}

class RealFile implements DiskFile {
  readonly #name: string;
  readonly #handle: fs.FileHandle;
  #size: number;

  constructor(name: string, handle: fs.FileHandle, size: number) {
    this.#name = name;
    this.#handle = handle;
    this.#size = size;
  }

  append(pieces: readonly Uint8Array[]): Promise<number> {
    return this.#guarded(async () => {
      const offset = this.#size;
      for (let first = 0; first < pieces.length; first += PIECES_PER_CALL_MAX)
        await this.#write(pieces.slice(first, first + PIECES_PER_CALL_MAX));
      return offset;
    });
  }

  /** The kernel may take less than it is given; of a full disk it takes what fits, and says so at the next call. */
  async #write(pieces: readonly Uint8Array[]): Promise<void> {
    let left = pieces.filter((piece) => piece.length > 0);
    while (left.length > 0) {
      const { bytesWritten } = await this.#handle.writev(left, this.#size);
      if (bytesWritten === 0) throw new HoldfastError('disk_failed', `${this.#name}: the disk took no bytes`);
      this.#size += bytesWritten;
      left = without(left, bytesWritten);
    }
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#guarded(async () => {
      const bytes = new Uint8Array(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await this.#handle.read(bytes, filled, length - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return filled === length ? bytes : bytes.slice(0, filled);
    });
  }

  sync(): Promise<void> {
    return this.#guarded(() => this.#handle.datasync());
  }

  truncate(length: number): Promise<void> {
    return this.#guarded(async () => {
      await this.#handle.truncate(length);
      this.#size = length;
    });
  }

  size(): Promise<number> {
    return this.#guarded(async () => (await this.#handle.stat()).size);
  }

  close(): Promise<void> {
    return this.#guarded(() => this.#handle.close());
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw translateDiskError(error, this.#name);
    }
  }
}

function without(pieces: readonly Uint8Array[], written: number): Uint8Array[] {
  const left: Uint8Array[] = [];
  let skip = written;
  for (const piece of pieces) {
    if (skip < piece.length) left.push(piece.subarray(skip));
    skip = Math.max(0, skip - piece.length);
  }
  return left;
}

async function replaceFile(full: string, bytes: Uint8Array): Promise<void> {
  const temporary = full + TEMPORARY_SUFFIX;
  try {
    const handle = await fs.open(temporary, 'w', FILE_MODE);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await fs.rename(temporary, full);
  } catch (error) {
    // On a full disk the half-written copy would hold what little space there is.
    await fs.rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
  await syncDirectory(path.dirname(full));
}

async function readWhole(full: string): Promise<Uint8Array> {
  const buffer = await fs.readFile(full);
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/**
 * Every directory on the way down from `root` is synced into its parent, so that nothing durable lies below a name that is not.
 * Also where it exists already: a process that died may have made it and not come to the syncing.
 */
async function makeDirectories(full: string, root: string): Promise<void> {
  const first = await fs.mkdir(full, { recursive: true, mode: DIRECTORY_MODE });
  const top = first !== undefined && first.length < root.length ? path.dirname(first) : path.dirname(root);
  for (let directory = full; directory !== top; ) {
    directory = path.dirname(directory);
    await syncDirectory(directory);
  }
}

async function syncDirectory(full: string): Promise<void> {
  // Windows opens no directories; NTFS journals its names itself.
  if (process.platform === 'win32') return;
  const handle = await fs.open(full, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function orNull<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === 'ENOENT') return null;
    throw error;
  }
}

function byCodeUnits(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
