/**
 * How fast each node runs in the race for a partition, so that it ends up with its share of ALL copies.
 *
 * Racing with the plain weights is fair for one copy only. Of two or three copies the heavy ones get too few, because a node (or domain) wins
 * a partition once at most, and what it would have won twice goes to the light ones. So the rates are chosen such that the chance to be
 * among the first `copies` is what the weight asks for (order sampling with wanted inclusion probabilities, Rosén 1997), by
 * computing that chance and correcting the rates until it fits. Equal weights keep equal rates, so that nothing moves that need not.
 */
import { must } from './assert.ts';
import { wantedShares, type Racer } from './layout-shares.ts';

/** Points in time, on a logarithmic scale around when the last copy is settled, at which chances are computed. */
const STEPS = 96;
const SPAN = 6;
const ROUNDS_MAX = 24;
const ERROR_MAX = 1e-3;
/** Of one that is to hold a copy of everything. */
const ALWAYS = 1 - 1e-4;

/** By position. Above 0; only their ratios count. */
export function raceRates(nodes: readonly Racer[], copies: number): Float64Array {
  const unitOf = unitsOf(nodes);
  const units = 1 + Math.max(...unitOf);
  const plain = Float64Array.from(nodes, ({ weight }) => weight);
  // With fewer domains than copies each has one at least, and the rest goes by the plain weights.
  if (copies === 1 || copies >= units) return plain;
  const weights = addedUp(plain, unitOf, units);
  const rates = ratesFor(weights, addedUp(wantedShares(nodes, copies), unitOf, units), copies);
  return plain.map((weight, position) => {
    const unit = must(unitOf[position], 'as many');
    return (weight * must(rates[unit], 'as many')) / must(weights[unit], 'as many');
  });
}

/** What holds one copy of a partition at most: a domain; or a node, where all are in one domain. */
function unitsOf(nodes: readonly Racer[]): Uint16Array {
  const numbers = new Map<string, number>();
  for (const { domain } of nodes) if (!numbers.has(domain)) numbers.set(domain, numbers.size);
  if (numbers.size === 1) return Uint16Array.from(nodes, (_, position) => position);
  return Uint16Array.from(nodes, ({ domain }) => must(numbers.get(domain), 'was seen'));
}

function addedUp(numbers: Float64Array, unitOf: Uint16Array, units: number): Float64Array {
  const sums = new Float64Array(units);
  numbers.forEach((number, position) => {
    const unit = must(unitOf[position], 'as many');
    sums[unit] = (sums[unit] as number) + number;
  });
  return sums;
}

function ratesFor(weights: Float64Array, shares: Float64Array, copies: number): Float64Array {
  const wanted = shares.map((share) => Math.min(share, ALWAYS));
  const rates = Float64Array.from(weights);
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const chances = chancesOf(rates, copies);
    let error = 0;
    for (let unit = 0; unit < rates.length; unit++) {
      const [want, chance] = [wanted[unit] as number, Math.min(chances[unit] as number, ALWAYS)];
      error = Math.max(error, Math.abs(chance / want - 1));
      rates[unit] = (rates[unit] as number) * (Math.log1p(-want) / Math.log1p(-chance));
    }
    if (error < ERROR_MAX) break;
  }
  return rates;
}

/** Each finishes after an exponential time of its rate: the chance of each to be among the first `copies`. */
export function chancesOf(rates: Float64Array, copies: number): Float64Array {
  const middle = timeOf(rates, copies - 0.5);
  const chances = new Float64Array(rates.length);
  // Before a moment at most `copies - 1` of the others have finished: certain at the start.
  let before: Float64Array = new Float64Array(rates.length).fill(1);
  for (let step = 0; step <= STEPS; step++) {
    const time = middle * Math.exp(SPAN * ((2 * step) / STEPS - 1));
    const between = middle * Math.exp(SPAN * ((2 * (step - 0.5)) / STEPS - 1));
    const open: Float64Array = step === STEPS ? new Float64Array(rates.length) : fewBefore(rates, time, copies);
    for (let unit = 0; unit < rates.length; unit++) {
      const ends = (before[unit] as number) - (open[unit] as number);
      chances[unit] = (chances[unit] as number) - Math.expm1(-(rates[unit] as number) * between) * ends;
    }
    before = open;
  }
  return chances;
}

/** When `count` have finished, on average. */
function timeOf(rates: Float64Array, count: number): number {
  const finished = (time: number) => rates.reduce((sum, rate) => sum - Math.expm1(-rate * time), 0);
  let [low, high] = [0, 1 / Math.max(...rates)];
  while (finished(high) < count) high *= 2;
  for (let step = 0; step < 50; step++) {
    const time = (low + high) / 2;
    if (finished(time) < count) low = time;
    else high = time;
  }
  return high;
}

/** For each: the chance that fewer than `copies` of the others have finished at that time, from both sides, so that nothing is divided. */
function fewBefore(rates: Float64Array, time: number, copies: number): Float64Array {
  const count = rates.length;
  const done = rates.map((rate) => -Math.expm1(-rate * time));
  // Per unit: the chances that exactly 0, 1, .. of those after it have finished, added up.
  const after = new Float64Array((count + 1) * copies);
  const tail = new Float64Array(copies);
  tail[0] = 1;
  for (let unit = count; unit >= 0; unit--) {
    if (unit < count) addOne(tail, done[unit] as number);
    let sum = 0;
    for (let many = 0; many < copies; many++) after[unit * copies + many] = sum += tail[many] as number;
  }
  const head = new Float64Array(copies);
  head[0] = 1;
  const few = new Float64Array(count);
  for (let unit = 0; unit < count; unit++) {
    let sum = 0;
    for (let many = 0; many < copies; many++)
      sum += (head[many] as number) * (after[(unit + 1) * copies + copies - 1 - many] as number);
    few[unit] = sum;
    addOne(head, done[unit] as number);
  }
  return few;
}

function addOne(counts: Float64Array, chance: number): void {
  for (let many = counts.length - 1; many >= 0; many--)
    counts[many] = (counts[many] as number) * (1 - chance) + (many > 0 ? (counts[many - 1] as number) * chance : 0);
}
