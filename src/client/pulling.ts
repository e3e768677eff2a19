/** Asks for the journal's next rows, without end, and hands them to the engine one answer at a time. */
import type { Cursor } from '#core/entry.ts';
import { HoldfastError } from '#core/errors.ts';
import { limits } from '#core/limits.ts';
import { pull } from '#protocol/sync.ts';
import type { Device } from './device.ts';
import { isOutage } from './line.ts';

export type Pulled =
  | { readonly kind: 'rows'; readonly framed: Uint8Array; readonly count: number; readonly more: boolean }
  | { readonly kind: 'reset'; readonly reason: 'epoch_changed' | 'cursor_expired' };

const NOTHING: Pulled = { kind: 'rows', framed: new Uint8Array(), count: 0, more: false };

export class Pulling {
  readonly #device: Device;
  readonly #cursor: () => Cursor | null;
  #pulled: Pulled | null = null;
  #running: Promise<void> | null = null;
  /** Ends a held request, so that the next one goes out from where we are. */
  #hold: AbortController | null = null;
  #holding = false;
  #caughtUp = false;
  #failure: unknown = null;

  constructor(device: Device, cursor: () => Cursor | null) {
    this.#device = device;
    this.#cursor = cursor;
  }

  /** What came, once. Throws what the server refused us with. */
  take(): Pulled | null {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure;
    const pulled = this.#pulled;
    this.#pulled = null;
    return pulled;
  }

  /** Keeps one request under way while nothing waits to be taken. */
  keepAsking(): void {
    if (this.#running || this.#pulled || !this.#device.line.open || this.#device.signal.aborted) return;
    const cursor = this.#cursor();
    if (!cursor) return;
    this.#running = this.#ask(cursor).finally(() => {
      this.#running = null;
      this.#device.wake.call();
    });
  }

  /** True where the journal's end was seen, and no request since said otherwise. */
  get caughtUp(): boolean {
    return this.#caughtUp && this.#pulled === null;
  }

  /** The cursor is about to change by other means than what was pulled: an answer from the old one is of no use. */
  async restart(): Promise<void> {
    this.#hold?.abort();
    await this.#running;
    this.#pulled = null;
    this.#caughtUp = false;
  }

  async ended(): Promise<void> {
    await this.#running;
  }

  async #ask(cursor: Cursor): Promise<void> {
    const { line, space, signal } = this.#device;
    this.#hold = new AbortController();
    this.#holding = this.#caughtUp;
    try {
      const { response, parts } = await line.ask(
        pull,
        {
          cursors: [{ space, cursor }],
          waitMs: this.#holding ? limits.pullWaitMsMax : 0,
          rowsMax: limits.pullRowsMax,
        },
        AbortSignal.any([signal, this.#hold.signal]),
      );
      const answer = response.spaces[0];
      if (!answer) {
        this.#caughtUp = true;
        this.#pulled = NOTHING;
        return;
      }
      if (answer.kind === 'reset') {
        this.#caughtUp = false;
        this.#pulled = { kind: 'reset', reason: answer.reason };
        return;
      }
      this.#caughtUp = !answer.more;
      if (answer.count === 0 && this.#holding) return;
      const framed = parts[answer.part];
      if (!framed) throw new HoldfastError('integrity', 'the journal’s rows are missing in the answer');
      this.#pulled = { kind: 'rows', framed, count: answer.count, more: answer.more };
    } catch (error) {
      this.#caughtUp = false;
      if (signal.aborted || this.#hold.signal.aborted) return;
      if (!isOutage(error)) this.#failure = error;
    }
  }
}
