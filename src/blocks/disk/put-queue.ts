/** Collects what many callers want written, so that one sync serves them all. */
import { HoldfastError } from '#core/errors.ts';
import { MIB } from '#core/limits.ts';
import type { Block, PutResult } from '../block-store.ts';

/** One group: enough that the sync is a small part of it, little enough that nobody waits long behind it. */
const GROUP_BYTES_MAX = 16 * MIB;
const GROUP_BLOCKS_MAX = 4096;
const QUEUED_BYTES_MAX = 256 * MIB;

export type QueuedPut = Block & { readonly fence: number };
type Waiting = QueuedPut & { readonly resolve: (result: PutResult) => void; readonly reject: (error: unknown) => void };

/** `write` gets one group at a time, in the order of arrival, and answers for each of it. */
export class PutQueue {
  readonly #write: (group: readonly QueuedPut[]) => Promise<readonly PutResult[]>;
  #waiting: Waiting[] = [];
  #between: (() => Promise<void>)[] = [];
  #queuedBytes = 0;
  #running: Promise<void> | null = null;

  constructor(write: (group: readonly QueuedPut[]) => Promise<readonly PutResult[]>) {
    this.#write = write;
  }

  /** Rejects with `busy` where too much waits already. */
  add(put: QueuedPut): Promise<PutResult> {
    if (this.#queuedBytes > QUEUED_BYTES_MAX)
      return Promise.reject(new HoldfastError('busy', 'more is waiting to be written than the disk can take'));
    return new Promise((resolve, reject) => {
      this.#queuedBytes += put.bytes.length;
      this.#waiting.push({ ...put, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Runs `work` between two groups: nothing else is written meanwhile. */
  between<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#between.push(() => work().then(resolve, reject));
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    // Callers of the same moment come into the first group together.
    await Promise.resolve();
    while (this.#waiting.length > 0 || this.#between.length > 0) {
      for (const work of this.#between.splice(0)) await work();
      if (this.#waiting.length === 0) continue;
      const group = this.#takeGroup();
      try {
        const results = await this.#write(group);
        group.forEach((put, index) => put.resolve(results[index] as PutResult));
      } catch (error) {
        for (const put of group) put.reject(error);
      }
    }
    this.#running = null;
  }

  #takeGroup(): readonly Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const put of this.#waiting) {
      if (count > 0 && (bytes + put.bytes.length > GROUP_BYTES_MAX || count === GROUP_BLOCKS_MAX)) break;
      bytes += put.bytes.length;
      count += 1;
    }
    this.#queuedBytes -= bytes;
    return this.#waiting.splice(0, count);
  }
}
