/**
 * How files are to be compressed that are sealed to be sent: as the rules say, of which the server is asked now and then. What it said a minute ago is as good
 * as what it says: another codec is all that comes of it.
 */
import { compileRules, type RuledFile } from '#core/rules.ts';
import type { Compression } from '#core/seal.ts';
import type { SpaceId } from '#core/ids.ts';
import { rulesList } from '#protocol/cluster.ts';
import type { Clock } from '#world/clock.ts';
import { failureOfOne } from './device.ts';
import { isOutage, type Line } from './line.ts';

const LEARNT_MS = 60_000;

type Judge = (file: Omit<RuledFile, 'space' | 'owner' | 'ageMs'>) => Compression;

export class Compressing {
  readonly #line: Line;
  readonly #clock: Clock;
  readonly #space: SpaceId;
  readonly #signal: AbortSignal;
  #learnt: { readonly judge: Judge; readonly untilMs: number } | null = null;
  #asking: Promise<void> | null = null;

  constructor({ line, clock, space, signal }: { line: Line; clock: Clock; space: SpaceId; signal: AbortSignal }) {
    this.#line = line;
    this.#clock = clock;
    this.#space = space;
    this.#signal = signal;
  }

  /** Before files are sealed. Rejects with outages before the first answer: what a rule wants uncompressed must not be sealed as usual. */
  async learn(): Promise<void> {
    if (this.#learnt && this.#clock.monotonicMs() < this.#learnt.untilMs) return;
    this.#asking ??= this.#ask().finally(() => (this.#asking = null));
    try {
      await this.#asking;
    } catch (error) {
      if (!this.#learnt || !isOutage(error)) throw error;
    }
  }

  async #ask(): Promise<void> {
    const judge = await this.#judge();
    this.#learnt = { judge, untilMs: this.#clock.monotonicMs() + LEARNT_MS };
  }

  async #judge(): Promise<Judge> {
    try {
      const { rules, owner } = (await this.#line.ask(rulesList, {}, this.#signal)).response;
      const place = compileRules(rules);
      const space = this.#space;
      return (file) => place({ ...file, space, owner, ageMs: 0 }).rule?.compression ?? 'usual';
    } catch (error) {
      if (!failureOfOne(error)) throw error;
      return () => 'usual';
    }
  }

  /** `path`: on this disk. */
  of(path: string, size: number): Compression {
    return this.#learnt?.judge({ path, size }) ?? 'usual';
  }
}
