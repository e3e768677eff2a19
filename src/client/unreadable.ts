/**
 * Directories that are there and could not be listed. What they hold is not known, so that nothing below them is judged, and what vanished
 * elsewhere may lie in them now. All else goes on: a directory that this device may not read can stay so for good.
 */
import type { Failure } from '#world/folder.ts';
import { escapeForPeople } from '#core/escape.ts';
import type { Problems } from './problems.ts';

const FIRST_PAUSE_MS = 1000;
const PAUSE_MS_MAX = 60_000;
/** Far longer than a hint is under way. */
const RESTED_AFTER_MS = 250;

type Closed = {
  dueMs: number;
  pauseMs: number;
  /** The last moment at which something may have gone into it and was not yet missed. */
  moment: number;
};

export class Unreadable {
  readonly #problems: Problems;
  readonly #directories = new Map<string, Closed>();
  #moment = 0;
  #latest: number | null = null;
  #foundMs = Number.NEGATIVE_INFINITY;

  constructor(problems: Problems) {
    this.#problems = problems;
    // Of the last run: the first scan finds those anew that are still so.
    problems.clearBelow('list:', new Set());
  }

  has(directory: string): boolean {
    return this.#directories.has(directory);
  }

  get all(): Iterable<string> {
    return this.#directories.keys();
  }

  /** It was tried, and could not be read. */
  add(directory: string, failure: Failure, nowMs: number): void {
    this.#problems.set(`list:${directory}`, {
      path: escapeForPeople(directory),
      code: failure.code,
      message: `the folder cannot be read, and nothing that may lie in it counts as deleted: ${failure.detail}`,
    });
    const known = this.#directories.get(directory);
    if (!known) this.#foundMs = nowMs;
    const pauseMs = known ? Math.min(PAUSE_MS_MAX, known.pauseMs * 2) : FIRST_PAUSE_MS;
    this.#directories.set(directory, { dueMs: nowMs + pauseMs, pauseMs, moment: known?.moment ?? this.#moment });
    this.#latest = null;
  }

  /** It was read, or is no longer there. True where it was one of these. */
  remove(directory: string): boolean {
    this.#problems.clear(`list:${directory}`);
    this.#latest = null;
    return this.#directories.delete(directory);
  }

  /** Nothing is at this path any more, nor below it. */
  removeBelow(path: string): void {
    for (const directory of this.#below(path)) this.remove(directory);
  }

  /** To be tried again now: something happened to what is above them. */
  retryBelow(path: string, nowMs: number): void {
    for (const directory of this.#below(path)) {
      const closed = this.#directories.get(directory);
      if (closed) closed.dueMs = nowMs;
    }
  }

  /** Those to try again. */
  takeDue(nowMs: number): string[] {
    const due: string[] = [];
    for (const [directory, closed] of this.#directories) {
      if (closed.dueMs > nowMs) continue;
      due.push(directory);
      // Until the try says how it went.
      closed.dueMs = nowMs + closed.pauseMs;
    }
    return due;
  }

  nextDueMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { dueMs } of this.#directories.values()) nextMs = Math.min(nextMs, dueMs);
    return nextMs;
  }

  /** All that was hinted at has been looked at: what vanishes from now on was in its place when these could already not be read. */
  rested(nowMs: number): void {
    if (nowMs - this.#foundMs >= RESTED_AFTER_MS) this.#moment++;
  }

  /** A full scan may miss what went long ago, of which no hint came. */
  scanned(): void {
    for (const closed of this.#directories.values()) closed.moment = this.#moment;
    this.#latest = null;
  }

  /** To be kept with what is missed now, for `mayHold`. */
  get moment(): number {
    return this.#moment;
  }

  /** Whether what was missed at that moment may have gone into one of these before it could not be read any more. */
  mayHold(moment: number): boolean {
    if (this.#latest === null) {
      this.#latest = -1;
      for (const closed of this.#directories.values()) this.#latest = Math.max(this.#latest, closed.moment);
    }
    return moment <= this.#latest;
  }

  #below(path: string): string[] {
    if (this.#directories.size === 0) return [];
    return [...this.#directories.keys()].filter((directory) => directory === path || directory.startsWith(`${path}/`));
  }
}
