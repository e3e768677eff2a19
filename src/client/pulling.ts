/** Asks for the journal's next rows, without end, and hands them to the engine one answer at a time. */
import type { Cursor } from '#core/entry.ts';
import { HoldfastError } from '#core/errors.ts';
import { limits } from '#core/limits.ts';
import { pull } from '#protocol/sync.ts';
import type { Decided } from './decisions.ts';
import type { Device } from './device.ts';
import { isOutage } from './line.ts';
import { metAbove } from './met-head.ts';

export type Pulled =
  | {
      readonly kind: 'rows';
      readonly framed: Uint8Array;
      readonly count: number;
      readonly more: boolean;
      readonly decided: readonly Decided[];
    }
  | { readonly kind: 'reset'; readonly reason: 'epoch_changed' | 'cursor_expired' };

const NOTHING = { kind: 'rows', framed: new Uint8Array(), count: 0, more: false } as const;

const DECISIONS_AGAIN_MS = 5000;

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
  #asked: string[] = [];
  #askedAboutMs = 0;

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

  /** A decision could not be carried out: it is asked about again some time later. */
  postponeDecisions(): void {
    this.#askedAboutMs = this.#device.clock.monotonicMs() + DECISIONS_AGAIN_MS;
  }

  /** What is held since the last request went out is asked about at once. */
  noteHeld(): void {
    if (!this.#holding || this.#device.clock.monotonicMs() < this.#askedAboutMs) return;
    if (this.#device.held.holds.some((hold) => !this.#asked.includes(hold))) this.#hold?.abort();
  }

  #asksAbout(): string[] {
    const { held, clock } = this.#device;
    this.#asked = clock.monotonicMs() < this.#askedAboutMs ? [] : held.holds;
    return this.#asked;
  }

  async ended(): Promise<void> {
    await this.#running;
  }

  async #ask(cursor: Cursor): Promise<void> {
    const { line, space, signal, state } = this.#device;
    this.#hold = new AbortController();
    this.#holding = this.#caughtUp;
    try {
      const { response, parts } = await line.ask(
        pull,
        {
          cursors: [{ space, cursor, met: metAbove(state, cursor) }],
          waitMs: this.#holding ? limits.pullWaitMsMax : 0,
          rowsMax: limits.pullRowsMax,
          holds: this.#asksAbout(),
        },
        AbortSignal.any([signal, this.#hold.signal]),
      );
      const answer = response.spaces[0];
      const { decided } = response;
      if (!answer) {
        this.#caughtUp = true;
        this.#pulled = { ...NOTHING, decided };
        return;
      }
      if (answer.kind === 'reset') {
        this.#caughtUp = false;
        this.#pulled = { kind: 'reset', reason: answer.reason };
        return;
      }
      this.#caughtUp = !answer.more;
      if (answer.count === 0 && decided.length === 0 && this.#holding) return;
      const framed = parts[answer.part];
      if (!framed) throw new HoldfastError('integrity', 'the journal’s rows are missing in the answer');
      this.#pulled = { kind: 'rows', framed, count: answer.count, more: answer.more, decided };
    } catch (error) {
      this.#caughtUp = false;
      if (signal.aborted || this.#hold.signal.aborted) return;
      if (!isOutage(error)) this.#failure = error;
    }
  }
}
