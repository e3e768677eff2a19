import { limits, MIB } from '#core/limits.ts';
import type { Disk } from '#world/disk.ts';

/** What is kept free for what must always be possible: the index, deletes, the room that compaction needs. */
const RESERVE_BYTES_MAX = 8 * limits.segmentBytesMax;
const RESERVE_SHARE = 0.05;
/** Others write to the disk too: how much may be written before it is asked again. */
const ASK_EVERY_BYTES = 64 * MIB;

/** Says no before the disk does. */
export class FreeSpace {
  readonly #disk: Disk;
  #spareBytes = 0;
  #uncheckedBytes = Number.POSITIVE_INFINITY;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Whether that much may be written, and if so, counts it as written. */
  async take(bytes: number): Promise<boolean> {
    this.#uncheckedBytes += bytes;
    this.#spareBytes -= bytes;
    if (this.#spareBytes >= 0 && this.#uncheckedBytes < ASK_EVERY_BYTES) return true;
    const { spareBytes } = await this.ask();
    this.#spareBytes = spareBytes - bytes;
    this.#uncheckedBytes = 0;
    return this.#spareBytes >= 0;
  }

  /** Spare: beyond the reserve; below 0 where that is touched. */
  async ask(): Promise<{ readonly freeBytes: number; readonly spareBytes: number }> {
    const { freeBytes, totalBytes } = await this.#disk.space();
    return { freeBytes, spareBytes: freeBytes - Math.min(totalBytes * RESERVE_SHARE, RESERVE_BYTES_MAX) };
  }
}
