/**
 * All cases in one row of units, so that a run can stop anywhere and another go on: first every pair of changes in every small tree, each
 * pair in every way; then cases by chance without end.
 */
import { recording, shrink, streamOf } from '../../test/planner/draws.ts';
import { baseOf, PairProof, type Tally } from '../../test/planner/pair-cases.ts';
import { randomCases } from '../../test/planner/random-cases.ts';
import { pairsOf, sequences, SMALL_TREES, titleOf, wordsOf } from '../../test/planner/small-trees.ts';
import type { Draw } from '../../test/planner/model-changes.ts';

const CASES_PER_UNIT = 600;

/** One change of the first device, with every change of the second. */
type PairUnit = { readonly tree: readonly string[]; readonly isOwn: boolean; readonly first: number };

export type Violation = { readonly what: string; readonly why: string };
export type UnitResult = Tally & { readonly violations: readonly Violation[] };

const pairUnits: readonly PairUnit[] = SMALL_TREES.flatMap((tree) =>
  [false, true].flatMap((isOwn) =>
    sequences(baseOf(tree, 2, isOwn), 1, 'ours').map((_, first): PairUnit => ({ tree, isOwn, first })),
  ),
);

export const pairUnitCount = pairUnits.length;

export function runUnit(number: number, seed: number): UnitResult {
  const unit = pairUnits[number];
  return unit ? runPairs(unit, seed) : runByChance((number - pairUnits.length) * CASES_PER_UNIT, seed);
}

function runPairs({ tree, isOwn, first }: PairUnit, seed: number): UnitResult {
  const tally: Tally = { cases: 0, plansMost: 0 };
  const violations: Violation[] = [];
  const proof = new PairProof(tally);
  const base = baseOf(tree, 2, isOwn);
  let index = 0;
  for (const pair of pairsOf(base, (number) => number === first)) {
    const one = { base, deeds: pair.deeds };
    judge(violations, `${titleOf(tree)}: ${wordsOf(pair)}`, () => {
      proof.prove(one);
      proof.proveDeep(one, seed + index++);
    });
  }
  return { ...tally, violations };
}

function runByChance(from: number, seed: number): UnitResult {
  const tally: Tally = { cases: 0, plansMost: 0 };
  const violations: Violation[] = [];
  for (let number = from; number < from + CASES_PER_UNIT; number++) {
    const { what, run } = randomCases[number % randomCases.length]!;
    const { draw, first } = recording(streamOf(seed, number));
    const smaller = () => shrink(first, (again: Draw) => run(again, { cases: 0, plansMost: 0 }));
    judge(violations, `seed ${seed}, case ${number}: ${what}`, () => run(draw, tally), smaller);
  }
  return { ...tally, violations };
}

function judge(violations: Violation[], what: string, run: () => void, tellMore: () => string = () => ''): void {
  try {
    run();
  } catch (error) {
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
    // One is worth looking at; a thousand of a kind say no more.
    violations.push({ what, why: violations.length < 2 ? `${why}\n${tellMore()}` : why.split('\n')[0]! });
  }
}
