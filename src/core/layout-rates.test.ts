import assert from 'node:assert/strict';
import test from 'node:test';
import { chancesOf, raceRates } from './layout-rates.ts';
import { wantedShares } from './layout-shares.ts';

const racers = (weights: readonly number[]) => weights.map((weight, index) => ({ weight, domain: `host ${index}` }));

test('the chances to be among the first are those of a race', () => {
  // Of rates a, b, c: the first is x with x / sum, the second y with y / (sum - x).
  const rates = [5, 2, 1];
  const exact = rates.map((rate, index) =>
    rates.reduce((sum, first, other) => sum + (other === index ? 0 : (first / 8) * (rate / (8 - first))), rate / 8),
  );
  chancesOf(Float64Array.from(rates), 2).forEach((chance, index) => {
    assert.ok(Math.abs(chance - (exact[index] as number)) < 0.002, `${chance} for ${exact[index]}`);
  });
});

test('rates give each the chance that its weight asks for, and equal weights run equally fast', () => {
  for (const [weights, copies] of [
    [[3, 2, 2, 1, 1, 1], 2],
    [[100, 1, 1, 1, 1, 1], 3],
    [Array.from({ length: 200 }, (_, index) => 1 + (index % 16)), 3],
    [Array.from({ length: 40 }, (_, index) => 1 + index), 8],
  ] as const) {
    const wanted = wantedShares(racers(weights), copies);
    assert.ok(Math.abs(wanted.reduce((sum, share) => sum + share, 0) - copies) < 1e-9);
    chancesOf(raceRates(racers(weights), copies), copies).forEach((chance, index) => {
      assert.ok(Math.abs(chance / (wanted[index] as number) - 1) < 0.005, `${weights[index]}: ${chance}`);
    });
  }
  const equal = raceRates(racers([2, 2, 2, 2, 2]), 3);
  assert.ok(equal.every((rate) => Math.abs(rate / (equal[0] as number) - 1) < 1e-9));
});

test('no domain and no node is to hold more than it can, and what is cut off goes to the others', () => {
  const rooms = (of: readonly (readonly [weight: number, domain: string])[], copies: number) =>
    [
      ...wantedShares(
        of.map(([weight, domain]) => ({ weight, domain })),
        copies,
      ),
    ].map((share) => Number(share.toFixed(3)));
  assert.deepEqual(
    rooms(
      [
        [3, 'a'],
        [1, 'b'],
        [1, 'c'],
      ],
      2,
    ),
    [1, 0.5, 0.5],
  );
  assert.deepEqual(
    rooms(
      [
        [1, 'a'],
        [1, 'a'],
        [1, 'b'],
      ],
      2,
    ),
    [0.5, 0.5, 1],
  );
  assert.deepEqual(
    rooms(
      [
        [1, 'a'],
        [1, 'a'],
        [1, 'a'],
        [1, 'a'],
        [1, 'b'],
        [1, 'b'],
      ],
      3,
    ),
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
  );
  assert.deepEqual(
    rooms(
      [
        [6, 'a'],
        [1, 'a'],
        [1, 'a'],
        [1, 'b'],
        [1, 'b'],
      ],
      3,
    ),
    [1, 0.5, 0.5, 0.5, 0.5],
  );
  assert.deepEqual(
    rooms(
      [
        [1, 'a'],
        [1, 'a'],
      ],
      2,
    ),
    [1, 1],
  );
});
