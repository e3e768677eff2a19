/**
 * How likely it is that some block loses its last copy, two ways: computed from the table, and played.
 *
 * Nodes fail for good, each on its own, at a constant rate. A lost node's partitions are made good in order, at so many bytes a second, after
 * a time in which nothing happens. A partition that has one copy left of three goes first, once the second loss is noticed.
 */
import { PARTITIONS } from '#core/layout.ts';
import type { SimRandom } from '#world/sim/sim-random.ts';
import { holdersOf, type Places } from './cluster.ts';
import { exponential } from './draws.ts';

export const YEAR_S = 365.25 * 86_400;

export type LossModel = {
  readonly nodes: number;
  readonly places: Places;
  /** Stored bytes of one copy, by partition. */
  readonly bytes: Float64Array;
  readonly failuresPerYear: number;
  readonly beforeS: number;
  readonly bytesPerS: number;
};

/** In years, from a node's loss: when each of its partitions has its copy back. Aligned with the places. */
export type Windows = { readonly ends: Float64Array; readonly longest: number; readonly model: LossModel };

export function windowsOf(model: LossModel): Windows {
  const { places, bytes } = model;
  const done = new Float64Array(model.nodes);
  const ends = new Float64Array(places.holders.length);
  places.holders.forEach((node, at) => {
    done[node] = (done[node] as number) + (bytes[Math.floor(at / places.copies)] as number);
    ends[at] = (model.beforeS + (done[node] as number) / model.bytesPerS) / YEAR_S;
  });
  return { ends, longest: ends.reduce((most, end) => Math.max(most, end), 0), model };
}

/** Bytes that two nodes hold both, for those pairs that have any. */
export function sharedBytes({ places, bytes, nodes }: LossModel): ReadonlyMap<number, number> {
  const shared = new Map<number, number>();
  for (let partition = 0; partition < PARTITIONS; partition++)
    for (const one of holdersOf(places, partition))
      for (const other of holdersOf(places, partition))
        if (one !== other)
          shared.set(one * nodes + other, (shared.get(one * nodes + other) ?? 0) + (bytes[partition] as number));
  return shared;
}

/** In years, from the second loss of three: when what both held has two copies again. */
export function secondWindow({ nodes, beforeS, bytesPerS }: LossModel, shared: ReadonlyMap<number, number>) {
  return (one: number, other: number) => (beforeS + (shared.get(one * nodes + other) ?? 0) / bytesPerS) / YEAR_S;
}

export type Loss = {
  /** Losses a year, of whatever size: sets of nodes that hold all copies of something. Where it is small, a year's chance. */
  readonly perYear: number;
  /** Share of all bytes that a year loses, on average. */
  readonly sharePerYear: number;
};

/** To the leading order in the failure rate: exact where repair takes far less time than goes by between failures. */
export function computedLoss(windows: Windows): Loss {
  const { ends, model } = windows;
  const { places, bytes, failuresPerYear: rate } = model;
  const second = secondWindow(model, sharedBytes(model));
  const perSet = new Map<string, { readonly nodes: readonly number[]; readonly ends: number[] }>();
  let lost = 0;
  let all = 0;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const holders = [...holdersOf(places, partition)];
    const own = holders.map((_, place) => ends[partition * places.copies + place] as number);
    all += bytes[partition] as number;
    lost += (bytes[partition] as number) * rateOf(holders, own, rate, second);
    const order = holders
      .map((_, place) => place)
      .sort((left, right) => (holders[left] as number) - (holders[right] as number));
    const nodes = order.map((place) => holders[place] as number);
    const name = nodes.join();
    const set = perSet.get(name) ?? { nodes, ends: nodes.map(() => 0) };
    perSet.set(name, set);
    order.forEach((place, index) => {
      set.ends[index] = Math.max(set.ends[index] as number, own[place] as number);
    });
  }
  const perYear = [...perSet.values()].reduce((sum, set) => sum + rateOf(set.nodes, set.ends, rate, second), 0);
  return { perYear, sharePerYear: lost / all };
}

/** A year: all these nodes fail before any of what they share is made good. */
function rateOf(
  nodes: readonly number[],
  ends: readonly number[],
  rate: number,
  second: (one: number, other: number) => number,
): number {
  if (nodes.length === 1) return rate;
  if (nodes.length === 2) return rate ** 2 * ((ends[0] as number) + (ends[1] as number));
  let sum = 0;
  nodes.forEach((first, place) => {
    const end = ends[place] as number;
    for (const other of nodes) {
      if (other === first) continue;
      const short = Math.min(end, second(first, other));
      // The second loss at any moment before the end, the third in what is left, or in the shorter time.
      sum += end * short - short ** 2 / 2;
    }
  });
  return rate ** 3 * sum;
}

export type Played = { readonly failures: number; readonly losses: number; readonly years: number };

/** Failures one after another, until so many of them have lost something. */
export function playLoss(random: SimRandom, windows: Windows, lossesMax: number, failuresMax: number): Played {
  const { ends, longest, model } = windows;
  const { places, nodes } = model;
  const second = secondWindow(model, sharedBytes(model));
  const placesOn = Array.from({ length: nodes }, (): number[] => []);
  places.holders.forEach((node, at) => placesOn[node]?.push(at));
  const failedAt = new Float64Array(nodes).fill(Number.NEGATIVE_INFINITY);
  let latest = Number.NEGATIVE_INFINITY;
  let now = 0;
  let [failures, losses] = [0, 0];
  const missing = (at: number) => now < (failedAt[places.holders[at] as number] as number) + (ends[at] as number);
  const isLost = (at: number): boolean => {
    const start = at - (at % places.copies);
    const others: number[] = [];
    for (let other = start; other < start + places.copies; other++) {
      if (other === at) continue;
      if (!missing(other)) return false;
      others.push(places.holders[other] as number);
    }
    if (others.length < 2) return true;
    const [one, other] = others as [number, number];
    return now < Math.max(failedAt[one] as number, failedAt[other] as number) + second(one, other);
  };
  while (losses < lossesMax && failures < failuresMax) {
    now += exponential(random, nodes * model.failuresPerYear);
    const node = random.below(nodes);
    failures++;
    if (places.copies === 1 ? placesOn[node]?.length : now < latest + longest && placesOn[node]?.some(isLost)) losses++;
    failedAt[node] = now;
    latest = now;
  }
  return { failures, losses, years: now };
}
