/** What people do and what goes wrong in one seed, decided before anything happens, so that single pieces can be left out to find what matters. */
import { SimRandom } from '#world/sim/sim-random.ts';
import { drawFault, faultNamed, type Fault } from './faults.ts';

export type SeedOptions = {
  readonly seed: string;
  readonly rounds: number;
  readonly operations: number;
  readonly faults: number;
  /** Numbers of operations and faults that are left out. */
  readonly without?: { readonly operations: readonly number[]; readonly faults: readonly number[] };
};

export const USUAL: Omit<SeedOptions, 'seed'> = { rounds: 4, operations: 200, faults: 20 };

export type ScriptRound = {
  /** The device at which one person works while all others rest; null: everybody works. */
  readonly alone: number | null;
  /** `atMs`: since the round began. */
  readonly operations: readonly { readonly number: number; readonly device: number; readonly atMs: number }[];
  readonly faults: readonly {
    readonly number: number;
    readonly fault: Fault;
    readonly atMs: number;
    readonly forMs: number;
  }[];
  readonly lengthMs: number;
};

const CRASHES = ['kill device at an effect', 'kill server at an effect', 'kill node at an effect'];
const THINK_MS_MAX = 600;
const FAULT_MS_MAX = 8000;

export function makeScript(options: SeedOptions, devices: number): ScriptRound[] {
  const random = new SimRandom(`${options.seed} script`);
  const skippedOperations = new Set(options.without?.operations ?? []);
  const skippedFaults = new Set(options.without?.faults ?? []);
  let operationNumber = 0;
  let faultNumber = 0;
  return Array.from({ length: options.rounds }, (_, round) => {
    const alone = random.chance(0.4) ? random.below(devices) : null;
    const operations: { number: number; device: number; atMs: number }[] = [];
    let atMs = 0;
    for (let left = Math.floor(options.operations / options.rounds); left > 0; left--) {
      const pause = random.chance(0.2) ? 4 * THINK_MS_MAX : alone === null ? THINK_MS_MAX / devices : THINK_MS_MAX;
      atMs += random.below(pause);
      operations.push({ number: operationNumber++, device: alone ?? random.below(devices), atMs });
    }
    const lengthMs = atMs + 1;
    const faults = Array.from({ length: Math.floor(options.faults / options.rounds) }, (_, index) => ({
      number: faultNumber++,
      // Whatever else there is: each role is ended once.
      fault: (index === 0 && faultNamed(CRASHES[round] ?? '')) || drawFault(random),
      atMs: random.below(lengthMs),
      forMs: 100 + random.below(FAULT_MS_MAX),
    }));
    return {
      alone,
      lengthMs,
      operations: operations.filter(({ number }) => !skippedOperations.has(number)),
      faults: faults.filter(({ number }) => !skippedFaults.has(number)),
    };
  });
}
