/** The engine's sleep: until something calls, or a time comes. */
import type { Clock } from '#world/clock.ts';

export class Wake {
  readonly #clock: Clock;
  #called = false;
  #alarm: AbortController | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Wakes a sleeper, or keeps the next one from sleeping. */
  call(): void {
    this.#called = true;
    this.#alarm?.abort();
  }

  /** `untilMs` by the monotonic clock. Resolves at once where a call came since the last sleep. */
  async sleep(untilMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#called && !signal.aborted) {
      this.#alarm = new AbortController();
      const both = AbortSignal.any([this.#alarm.signal, signal]);
      await this.#clock.sleep(Math.max(0, untilMs - this.#clock.monotonicMs()), both);
      this.#alarm = null;
    }
    this.#called = false;
  }
}
