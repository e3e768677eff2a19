/** Time stamps of a file system: to the nanosecond and each later than the one before, or as coarse as its tick. */

/** Microseconds since 1970, which a number holds, and the nanoseconds beyond. */
export class Stamp {
  readonly us: number;
  readonly beyondNs: number;
  #nanoseconds: bigint | null = null;

  constructor(us: number, beyondNs: number) {
    this.us = us;
    this.beyondNs = beyondNs;
  }

  get nanoseconds(): bigint {
    this.#nanoseconds ??= BigInt(this.us) * 1000n + BigInt(this.beyondNs);
    return this.#nanoseconds;
  }
}

export class Stamper {
  readonly #nowMs: () => number;
  readonly #tickMs: number | null;
  #lastMs = Number.NaN;
  #last = new Stamp(0, 0);

  /** `tickMs`: null where every stamp differs from the last one, though the clock stands still. */
  constructor(nowMs: () => number, tickMs: number | null) {
    this.#nowMs = nowMs;
    this.#tickMs = tickMs;
  }

  /** A time that somebody sets, as far as this file system can hold it. */
  at(us: number): Stamp {
    const tickUs = (this.#tickMs ?? 0) * 1000;
    return new Stamp(tickUs > 0 ? Math.floor(us / tickUs) * tickUs : us, 0);
  }

  now(): Stamp {
    const nowMs = this.#nowMs();
    if (this.#tickMs !== null) return this.#coarse(Math.floor(nowMs / this.#tickMs) * this.#tickMs);
    // A clock that was set back stamps earlier times, as a real one does.
    if (nowMs !== this.#lastMs) this.#last = new Stamp(Math.floor(nowMs * 1000), 0);
    else if (this.#last.beyondNs < 999) this.#last = new Stamp(this.#last.us, this.#last.beyondNs + 1);
    else this.#last = new Stamp(this.#last.us + 1, 0);
    this.#lastMs = nowMs;
    return this.#last;
  }

  #coarse(tickMs: number): Stamp {
    if (tickMs !== this.#lastMs) this.#last = new Stamp(Math.round(tickMs * 1000), 0);
    this.#lastMs = tickMs;
    return this.#last;
  }
}
