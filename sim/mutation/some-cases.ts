/** Some of the cases that `npm run prove:planner` has by the million, as tests: what a mutant of the planner is judged by. */
import { test } from 'node:test';
import { streamOf } from '../../test/planner/draws.ts';
import { baseOf, PairProof, type Case } from '../../test/planner/pair-cases.ts';
import { randomCases } from '../../test/planner/random-cases.ts';
import { pairsOf, SMALL_TREES, titleOf } from '../../test/planner/small-trees.ts';

const CASES = 150;
const PAIRS_EVERY = 97;
const DEEP_EVERY = 12;
const none = () => ({ cases: 0, plansMost: 0 });

for (const { what, worlds, run } of randomCases) {
  test(what, () => {
    for (let number = 0; number < CASES / worlds; number++) {
      const next = streamOf(20300102, number);
      run((count) => next() % count, none());
    }
  });
}

const pairs = new Map<readonly string[], readonly Case[]>();

/** Trees and changes for all tests, made once. */
export function prepare(): void {
  let number = 0;
  for (const tree of SMALL_TREES) {
    const bases = [false, true].map((isOwn) => baseOf(tree, 2, isOwn));
    for (const clients of [2, 3]) for (const isOwn of [false, true]) baseOf(tree, clients, isOwn);
    const some = [...pairsOf(bases[0]!)].filter(() => ++number % PAIRS_EVERY === 0);
    pairs.set(
      tree,
      some.map(({ deeds }, index) => ({ base: bases[index % 2]!, deeds })),
    );
  }
}

for (const tree of SMALL_TREES) {
  test(`${titleOf(tree)}: some changes here, some changes there`, () => {
    const proof = new PairProof(none());
    for (const [index, one] of pairs.get(tree)!.entries()) {
      proof.prove(one);
      if (index % DEEP_EVERY === 0) proof.proveDeep(one, index);
    }
  });
}
