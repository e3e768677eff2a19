/** How fast something goes, by the monotonic clock: over the last minute or two of its work. */
import type { Clock } from '#world/clock.ts';

const WINDOW_MS = 60_000;

type Window = { readonly sinceMs: number; items: number; bytes: number };

export class Speed {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  #before: (Window & { readonly untilMs: number }) | null = null;
  #now: Window;

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
    this.#now = { sinceMs: clock.monotonicMs(), items: 0, bytes: 0 };
  }

  add(items: number, bytes: number): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#now.sinceMs >= WINDOW_MS) {
      this.#before = { ...this.#now, untilMs: nowMs };
      this.#now = { sinceMs: nowMs, items: 0, bytes: 0 };
    }
    this.#now.items += items;
    this.#now.bytes += bytes;
  }

  rate(): { readonly itemsPerS: number; readonly bytesPerS: number } {
    const before = this.#before;
    const sinceMs = before?.sinceMs ?? this.#now.sinceMs;
    const seconds = (this.#clock.monotonicMs() - sinceMs) / 1000;
    if (seconds <= 0) return { itemsPerS: 0, bytesPerS: 0 };
    return {
      itemsPerS: (this.#now.items + (before?.items ?? 0)) / seconds,
      bytesPerS: (this.#now.bytes + (before?.bytes ?? 0)) / seconds,
    };
  }
}
