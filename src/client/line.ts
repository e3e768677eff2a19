/** The line to the server: says once that it is down, and how long to leave it alone. */
import { hasCode, type HoldfastError } from '#core/errors.ts';
import { ask, type Answered } from '#protocol/call.ts';
import type { Peer, Verb } from '#protocol/wire.ts';
import type { Clock } from '#world/clock.ts';
import type { Log } from '#world/log.ts';
import type { Random } from '#world/random.ts';
import { Backoff } from './backoff.ts';

const SUBJECT = 'server';

export class Line {
  readonly #peer: Peer;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #backoff: Backoff;
  #retryAtMs = 0;
  #down: HoldfastError | null = null;

  constructor(peer: Peer, clock: Clock, random: Random, log: Log) {
    this.#peer = peer;
    this.#clock = clock;
    this.#log = log;
    this.#backoff = new Backoff(random, 200, 30_000);
  }

  /** Rejects as `ask` does. Outages are counted here, so that all askers wait together. */
  async ask<Request, Response>(
    verb: Verb<Request, Response>,
    request: Request,
    signal: AbortSignal,
    parts: readonly Uint8Array[] = [],
  ): Promise<Answered<Response>> {
    try {
      const answered = await ask(this.#peer, verb, request, signal, parts);
      this.#up();
      return answered;
    } catch (error) {
      if (!signal.aborted && isOutage(error)) this.#failed(error);
      throw error;
    }
  }

  /** The server answered, and could not do its work. */
  reportDown(error: HoldfastError): void {
    this.#failed(error);
  }

  /** Milliseconds of the monotonic clock before which asking has no point. */
  get retryAtMs(): number {
    return this.#retryAtMs;
  }

  get open(): boolean {
    return this.#clock.monotonicMs() >= this.#retryAtMs;
  }

  /** Why the server cannot be worked with; null where it can. */
  get down(): HoldfastError | null {
    return this.#down;
  }

  #up(): void {
    if (this.#down !== null) this.#log.info('the server answers again');
    this.#down = null;
    this.#retryAtMs = 0;
    this.#backoff.succeeded(SUBJECT);
  }

  #failed(error: HoldfastError): void {
    if (!this.open) return;
    this.#retryAtMs = this.#clock.monotonicMs() + this.#backoff.failed(SUBJECT);
    if (this.#down?.code !== error.code) {
      const what =
        error.retry === 'never'
          ? 'the server refuses this device'
          : 'the server cannot be reached; syncing goes on when it can';
      this.#log.warn(what, { detail: error.message });
    }
    this.#down = error;
  }
}

/** What concerns the server as a whole, not the one request; of these too the outcome is unknown. */
export function isOutage(error: unknown): error is HoldfastError {
  return hasCode(
    error,
    'unreachable',
    'timeout',
    'busy',
    'stopping',
    'unauthenticated',
    'not_linked',
    'unknown_pin',
    'upgrade_required',
    'misdirected',
    'defect',
  );
}
