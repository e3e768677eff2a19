/** The simulator among the tests: the same history twice, seeds that failed once, and the first seeds of all. `npm run sim` looks for new ones. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runSeeds } from './pool.ts';
import { readRegressions } from './regressions.ts';
import { runSeed, type SeedOutcome } from './seed.ts';
import { USUAL, type SeedOptions } from './script.ts';

const SEEDS = 300;

describe('simulated worlds', () => {
  test('the same seed twice is the same history', async () => {
    const options = { ...USUAL, seed: 'twice', operations: 80, faults: 12 };
    const [first, second] = [await runSeed(options), await runSeed(options)];
    assert.equal(first.hash, second.hash);
    assert.equal(first.tasks, second.tasks);
    const other = await runSeed({ ...options, seed: 'another' });
    assert.notEqual(first.hash, other.hash);
  });

  test('seeds that failed once hold', async () => {
    for (const { options, was } of readRegressions()) {
      const outcome = await runSeed(options);
      assert.deepEqual(outcome.violations, [], `seed ${options.seed}, which once said: ${was}`);
    }
  });

  test(`${SEEDS} seeds hold`, async () => {
    const violated: SeedOutcome[] = [];
    let at = 1;
    const next = (): SeedOptions | null => (at <= SEEDS ? { ...USUAL, seed: String(at++) } : null);
    await runSeeds(next, (outcome) => {
      if (outcome.violations.length > 0) violated.push(outcome);
    });
    const told = violated.map(({ seed, violations }) => `npm run sim -- --seed ${seed}: ${violations.join('\n')}`);
    assert.deepEqual(told, []);
  });
});
