import { test } from 'node:test';
import fc from 'fast-check';
import { choices, drawFrom } from '../../test/planner/draws.ts';
import { randomCases } from '../../test/planner/random-cases.ts';

/** Few names, few contents, little depth: whatever can collide does. `PLANNER_CASES` for more, `npm run prove:planner` for millions. */
const CASES = Number(process.env['PLANNER_CASES'] ?? 3000);
const SEED = Number(process.env['PLANNER_SEED'] ?? 20300102);

for (const { what, run, worlds } of randomCases) {
  test(what, () => {
    const property = fc.property(choices, (chosen) => {
      run(drawFrom(chosen), { cases: 0, plansMost: 0 });
    });
    fc.assert(property, { numRuns: Math.ceil(CASES / worlds), seed: SEED });
  });
}
