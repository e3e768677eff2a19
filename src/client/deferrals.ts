/** Dirty entries that are left alone for a while, because what they need failed or is under way. */
import type { ErrorCode } from '#core/errors.ts';
import { errorTable } from '#core/errors.ts';
import type { EntryId } from '#core/ids.ts';
import type { Clock } from '#world/clock.ts';
import type { Random } from '#world/random.ts';
import { Backoff } from './backoff.ts';
import type { Dirty } from './dirty.ts';
import type { Problems } from './problems.ts';

const FIRST_MS = 100;
const LAST_MS = 12_000;
/** A failure that people see is tried less often than something that merely came between. */
const FAILED_FACTOR = 5;
/** What a person must change first; looked at again in case it was. */
const NEVER_MS = 600_000;

export class Deferrals {
  readonly #dirty: Dirty;
  readonly #problems: Problems;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #until = new Map<EntryId, number>();

  constructor(dirty: Dirty, problems: Problems, clock: Clock, random: Random) {
    this.#dirty = dirty;
    this.#problems = problems;
    this.#clock = clock;
    this.#backoff = new Backoff(random, FIRST_MS, LAST_MS);
  }

  /** It is planned again at once the first times (something else came between), then less and less often. */
  retry(entry: EntryId): void {
    const failures = this.#backoff.failures(entry);
    const waitMs = this.#backoff.failed(entry);
    if (failures === 0) this.wake(entry);
    else this.#defer(entry, waitMs / 2);
  }

  /** Nothing failed; it is planned again after this. */
  postpone(entry: EntryId, waitMs: number): void {
    this.#defer(entry, waitMs);
  }

  /** A failure that people should see until it is over. */
  failed(entry: EntryId, path: string, code: ErrorCode, message: string): void {
    this.#problems.set(entry, { path, code, message });
    const waitMs = this.#backoff.failed(entry);
    this.#defer(entry, errorTable[code].retry === 'later' ? waitMs * FAILED_FACTOR : NEVER_MS);
  }

  /** Until `wake`: a transfer is under way. */
  hold(entry: EntryId): void {
    this.#until.delete(entry);
    this.#dirty.defer(entry);
  }

  wake(entry: EntryId): void {
    if (this.#dirty.wake(entry)) this.#until.delete(entry);
    else this.#until.set(entry, this.#clock.monotonicMs() + LAST_MS);
  }

  /** What it needed was done. */
  succeeded(entry: EntryId): void {
    // Where only a part of it was done, the rest is planned at once: nobody else would wake it.
    if (this.#until.delete(entry)) this.#dirty.wake(entry);
    this.#backoff.succeeded(entry);
    this.#problems.clear(entry);
  }

  /** Entries whose time has come are taken again. True where there were any. */
  wakeDue(): boolean {
    const nowMs = this.#clock.monotonicMs();
    let any = false;
    for (const [entry, untilMs] of this.#until) {
      if (untilMs > nowMs) continue;
      this.wake(entry);
      any = true;
    }
    return any;
  }

  nextDueMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const untilMs of this.#until.values()) nextMs = Math.min(nextMs, untilMs);
    return nextMs;
  }

  #defer(entry: EntryId, waitMs: number): void {
    this.#dirty.defer(entry);
    this.#until.set(entry, this.#clock.monotonicMs() + waitMs);
  }
}
