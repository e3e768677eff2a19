import { test } from 'node:test';
import { baseOf, PairProof } from '../../test/planner/pair-cases.ts';
import { pairsOf, SMALL_TREES, titleOf, wordsOf } from '../../test/planner/small-trees.ts';

/** Every so many pairs one is told, cut short and named in every way; `npm run prove:planner` does so with all of them. */
const DEEP_EVERY = 199;

for (const tree of SMALL_TREES) {
  test(`${titleOf(tree)}: any change here, any change there`, () => {
    const proof = new PairProof({ cases: 0, plansMost: 0 });
    // The model's server and the server's own commits take turns.
    const bases = [false, true].map((isOwn) => baseOf(tree, 2, isOwn));
    let number = 0;
    for (const pair of pairsOf(bases[0]!)) {
      const one = { base: bases[++number % 2]!, deeds: pair.deeds };
      try {
        proof.prove(one);
        if (number % DEEP_EVERY === 0) proof.proveDeep(one, number);
      } catch (error) {
        throw new Error(`${titleOf(tree)}: ${wordsOf(pair)}`, { cause: error });
      }
    }
  });
}
