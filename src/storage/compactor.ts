/** Keeps compaction going in the background, for as long as there is anything to gain. */
import type { NodeBlockStore } from '#blocks/node-block-store.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { Log } from '#world/log.ts';

export class Compactor {
  readonly #blocks: NodeBlockStore;
  readonly #log: Log;
  #running: Promise<void> | null = null;

  constructor(blocks: NodeBlockStore, log: Log) {
    this.#blocks = blocks;
    this.#log = log;
  }

  /** There may be something to do. */
  begin(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
  }

  async ended(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      while ((await this.#blocks.compact()) === 'busy');
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      // What is deleted later, or the next start, makes another attempt.
      if (!hasCode(error, 'stopping')) this.#log.warn('the log could not be compacted', { error });
    }
  }
}
