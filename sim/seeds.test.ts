/** The simulator among the tests: the same history twice, seeds that failed once, and the first seeds of all. `npm run sim` looks for new ones. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runSeeds } from './pool.ts';
import { readRegressions } from './regressions.ts';
import { runSeed } from './seed.ts';
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
    const told = await violatedOf(readRegressions().map(({ options }) => options));
    assert.deepEqual(told, []);
  });

  test(`${SEEDS} seeds hold`, async () => {
    const told = await violatedOf(Array.from({ length: SEEDS }, (_, at) => ({ ...USUAL, seed: String(at + 1) })));
    assert.deepEqual(told, []);
  });
});

/** How to replay those that do not hold, and what they said. */
async function violatedOf(seeds: readonly SeedOptions[]): Promise<string[]> {
  const told: string[] = [];
  const waiting = seeds.values();
  await runSeeds(
    () => waiting.next().value ?? null,
    ({ seed, violations }) => {
      if (violations.length > 0) told.push(`npm run sim -- --seed ${seed}: ${violations.join('\n')}`);
    },
  );
  return told;
}
