import { limits, MIB } from '#core/limits.ts';
import type { Disk } from '#world/disk.ts';

/** What is kept free for what must always be possible: the index, deletes, the room that compaction needs. */
const RESERVE_BYTES_MAX = 8 * limits.segmentBytesMax;
const RESERVE_SHARE = 0.05;
/** Others write to the disk too, the index among them: how much may be written before it is asked again. */
const ASK_EVERY_BYTES_MAX = 64 * MIB;
const ASK_EVERY_SHARE = 0.25;

/** Says no before the disk does. */
export class FreeSpace {
  readonly #disk: Disk;
  /** As last asked, less what was written since. */
  #spareBytes = 0;
  #uncheckedBytes = 0;
  #uncheckedBytesMax = 0;
  /** What was asked for last and refused; 0 once something was granted. */
  #refusedBytes = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Whether that much may be written, and if so, counts it as written. */
  async take(bytes: number): Promise<boolean> {
    if (this.#spareBytes < bytes || this.#uncheckedBytes + bytes > this.#uncheckedBytesMax) await this.#askAgain();
    const isGranted = this.#spareBytes >= bytes;
    this.#refusedBytes = isGranted ? 0 : bytes;
    if (!isGranted) return false;
    this.#spareBytes -= bytes;
    this.#uncheckedBytes += bytes;
    return true;
  }

  /** `isShort`: what was refused last would be refused again. */
  async ask(): Promise<{ readonly freeBytes: number; readonly isShort: boolean }> {
    const freeBytes = await this.#askAgain();
    return { freeBytes, isShort: this.#spareBytes < this.#refusedBytes || this.#spareBytes < 0 };
  }

  async #askAgain(): Promise<number> {
    const { freeBytes, totalBytes } = await this.#disk.space();
    this.#spareBytes = freeBytes - Math.min(totalBytes * RESERVE_SHARE, RESERVE_BYTES_MAX);
    this.#uncheckedBytes = 0;
    this.#uncheckedBytesMax = Math.min(this.#spareBytes * ASK_EVERY_SHARE, ASK_EVERY_BYTES_MAX);
    return freeBytes;
  }
}
