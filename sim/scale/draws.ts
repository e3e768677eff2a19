/** Random numbers of the distributions that the figures need. */
import { PARTITIONS } from '#core/layout.ts';
import type { SimRandom } from '#world/sim/sim-random.ts';

/** In (0, 1). */
export function uniform(random: SimRandom): number {
  return (random.below(2 ** 32) + 0.5) / 2 ** 32;
}

export function exponential(random: SimRandom, rate: number): number {
  return -Math.log(uniform(random)) / rate;
}

/** Above this variance the normal distribution is taken: its error is far below the spread. */
const NORMAL_FROM = 100;

export function binomial(random: SimRandom, count: number, chance: number): number {
  if (chance <= 0 || count === 0) return 0;
  if (chance >= 1) return count;
  if (chance > 0.5) return count - binomial(random, count, 1 - chance);
  const variance = count * chance * (1 - chance);
  if (variance > NORMAL_FROM) {
    const normal = Math.sqrt(-2 * Math.log(uniform(random))) * Math.cos(2 * Math.PI * uniform(random));
    return Math.min(count, Math.max(0, Math.round(count * chance + Math.sqrt(variance) * normal)));
  }
  // Successes are as far apart as a geometric distribution says.
  let at = 0;
  for (let hits = 0; ; hits++) {
    at += 1 + Math.floor(Math.log(uniform(random)) / Math.log1p(-chance));
    if (at > count) return hits;
  }
}

/** How many of so many blocks fall into each partition: ids are hashes, so that each is as likely. */
export function blocksByPartition(random: SimRandom, blocks: number): Float64Array {
  const counts = new Float64Array(PARTITIONS);
  let left = blocks;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const drawn = binomial(random, left, 1 / (PARTITIONS - partition));
    counts[partition] = drawn;
    left -= drawn;
  }
  return counts;
}
