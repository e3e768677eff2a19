/** The segment files of one directory: their names, and handles to read them by. */
import { HoldfastError } from '#core/errors.ts';
import type { Disk, DiskFile } from '#world/disk.ts';

export const SEGMENT_DIRECTORY = 'segments';
const SEGMENT_NAME = /^seg-([0-9a-f]{16})\.hfs$/;
const OPEN_FILES_MAX = 128;

export function segmentPath(segment: number): string {
  return `${SEGMENT_DIRECTORY}/seg-${segment.toString(16).padStart(16, '0')}.hfs`;
}

/** Ascending. Files with other names are nobody's business here. */
export async function listSegments(disk: Disk): Promise<readonly number[]> {
  const segments: number[] = [];
  for (const name of await disk.list(SEGMENT_DIRECTORY)) {
    const digits = SEGMENT_NAME.exec(name)?.[1];
    if (digits === undefined) continue;
    const segment = Number.parseInt(digits, 16);
    if (!Number.isSafeInteger(segment)) throw new HoldfastError('integrity', `"${name}" has an impossible number`);
    segments.push(segment);
  }
  return segments;
}

type OpenFile = { readonly file: Promise<DiskFile>; users: number; isForgotten: boolean };

/** Keeps files open that were read lately. */
export class SegmentFiles {
  readonly #disk: Disk;
  readonly #open = new Map<number, OpenFile>();

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  async read(segment: number, offset: number, length: number): Promise<Uint8Array> {
    const entry = this.#take(segment);
    try {
      return await (await entry.file).read(offset, length);
    } finally {
      entry.users -= 1;
      if (entry.isForgotten && entry.users === 0) await (await entry.file).close();
      await this.#closeIdle(OPEN_FILES_MAX);
    }
  }

  #take(segment: number): OpenFile {
    const kept = this.#open.get(segment);
    const entry = kept ?? {
      file: this.#disk.open(segmentPath(segment), 'read'),
      users: 0,
      isForgotten: false,
    };
    // Taken out and put in again: the order of the map is the order of use.
    this.#open.delete(segment);
    this.#open.set(segment, entry);
    entry.users += 1;
    if (!kept) {
      entry.file.catch(() => {
        if (this.#open.get(segment) === entry) this.#open.delete(segment);
      });
    }
    return entry;
  }

  async #closeIdle(filesMax: number): Promise<void> {
    for (const [segment, entry] of this.#open) {
      if (this.#open.size <= filesMax) return;
      if (entry.users > 0) continue;
      this.#open.delete(segment);
      await (await entry.file).close();
    }
  }

  /** The file is about to go: whoever reads it still finishes. */
  async forget(segment: number): Promise<void> {
    const entry = this.#open.get(segment);
    if (!entry) return;
    this.#open.delete(segment);
    entry.isForgotten = true;
    if (entry.users === 0) await (await entry.file).close();
  }

  /** After the last read. */
  async close(): Promise<void> {
    await this.#closeIdle(0);
  }
}
