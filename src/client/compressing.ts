/**
 * How files are to be compressed that are sealed to be sent: as the rules say, of which the server is asked now and then. What it said a minute ago, or
 * nothing yet, is as good as what it says: another codec is all that comes of it.
 */
import { compileRules, type RuledFile } from '#core/rules.ts';
import type { Compression } from '#core/seal.ts';
import type { SpaceId } from '#core/ids.ts';
import { rulesList } from '#protocol/cluster.ts';
import type { Clock } from '#world/clock.ts';
import { failureOfOne } from './device.ts';
import type { Line } from './line.ts';

const ASKED_MS = 60_000;

type Judge = (file: Omit<RuledFile, 'space' | 'owner' | 'ageMs'>) => Compression;

export class Compressing {
  readonly #line: Line;
  readonly #clock: Clock;
  readonly #space: SpaceId;
  readonly #signal: AbortSignal;
  #askAtMs = Number.NEGATIVE_INFINITY;
  #judge: Judge = () => 'usual';

  constructor({ line, clock, space, signal }: { line: Line; clock: Clock; space: SpaceId; signal: AbortSignal }) {
    this.#line = line;
    this.#clock = clock;
    this.#space = space;
    this.#signal = signal;
  }

  /** Before files are sealed. Rejects with outages. */
  async learn(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#askAtMs || !this.#line.open) return;
    this.#askAtMs = nowMs + ASKED_MS;
    try {
      const { rules, owner } = (await this.#line.ask(rulesList, {}, this.#signal)).response;
      const place = compileRules(rules);
      const space = this.#space;
      this.#judge = (file) => place({ ...file, space, owner, ageMs: 0 }).rule?.compression ?? 'usual';
    } catch (error) {
      if (!failureOfOne(error)) throw error;
    }
  }

  /** `path`: on this disk. */
  of(path: string, size: number): Compression {
    return this.#judge({ path, size });
  }
}
