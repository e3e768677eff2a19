/** Leaves out what a failing seed does not need, as long as it still fails (delta debugging: Zeller and Hildebrandt, 2002). */
import { runSeed, type SeedOutcome } from './seed.ts';
import type { SeedOptions } from './script.ts';

export type Shrunk = { readonly options: SeedOptions; readonly outcome: SeedOutcome; readonly runs: number };

/** `isSame`: whether an outcome is the failure that is looked for. */
export async function shrink(
  options: SeedOptions,
  isSame: (outcome: SeedOutcome) => boolean,
  runsMax: number,
  onStep: (left: number) => void = () => {},
): Promise<Shrunk> {
  let best = { options, outcome: await runSeed(options) };
  let runs = 1;
  const attempt = async (kept: Kept): Promise<boolean> => {
    runs++;
    const tried = withKept(options, kept);
    const outcome = await runSeed(tried);
    if (!isSame(outcome)) return false;
    best = { options: tried, outcome };
    onStep(kept.operations.length + kept.faults.length);
    return true;
  };
  let kept: Kept = {
    operations: Array.from({ length: options.operations }, (_, number) => number),
    faults: Array.from({ length: options.faults }, (_, number) => number),
  };
  for (const part of ['faults', 'operations', 'faults'] as const) {
    for (let size = Math.ceil(kept[part].length / 2); size >= 1 && runs < runsMax; ) {
      let removedAny = false;
      for (let from = 0; from < kept[part].length && runs < runsMax; ) {
        const less = { ...kept, [part]: kept[part].filter((_, at) => at < from || at >= from + size) };
        if (await attempt(less)) {
          kept = less;
          removedAny = true;
        } else from += size;
      }
      if (size === 1 && !removedAny) break;
      size = size === 1 ? 1 : Math.ceil(size / 2);
    }
  }
  return { ...best, runs };
}

type Kept = { readonly operations: readonly number[]; readonly faults: readonly number[] };

function withKept(options: SeedOptions, kept: Kept): SeedOptions {
  const missing = (all: number, present: readonly number[]) => {
    const set = new Set(present);
    return Array.from({ length: all }, (_, number) => number).filter((number) => !set.has(number));
  };
  return {
    ...options,
    without: { operations: missing(options.operations, kept.operations), faults: missing(options.faults, kept.faults) },
  };
}
