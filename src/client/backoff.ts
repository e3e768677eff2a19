/** How long to leave a thing alone that failed: longer each time, never in step with other devices. */
import type { Random } from '#world/random.ts';

export class Backoff {
  readonly #random: Random;
  readonly #firstMs: number;
  readonly #lastMs: number;
  readonly #failures = new Map<string, number>();

  constructor(random: Random, firstMs: number, lastMs: number) {
    this.#random = random;
    this.#firstMs = firstMs;
    this.#lastMs = lastMs;
  }

  /** Counts a failure; how long to wait now. */
  failed(subject: string): number {
    const before = this.#failures.get(subject) ?? 0;
    this.#failures.set(subject, before + 1);
    const fullMs = Math.min(this.#lastMs, this.#firstMs * 2 ** Math.min(before, 30));
    const [jitter = 0] = this.#random.bytes(1);
    return fullMs * (0.75 + (0.5 * jitter) / 255);
  }

  succeeded(subject: string): void {
    this.#failures.delete(subject);
  }

  failures(subject: string): number {
    return this.#failures.get(subject) ?? 0;
  }
}
