/** The figures of docs/scale.md: the same again from the same seed, and what is computed is what happens when it is played. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SimRandom } from '#world/sim/sim-random.ts';
import { runCase } from './scale/case.ts';
import { anotherNode, makeCluster, placesOf } from './scale/cluster.ts';
import { changeTo } from './scale/changes.ts';
import { binomial, blocksByPartition } from './scale/draws.ts';
import { computedLoss, playLoss, windowsOf } from './scale/loss.ts';

test('the same seed gives the same figures, another one others', () => {
  const options = { seed: '7', nodes: 12, kind: 'sites', copies: 2 } as const;
  assert.deepEqual(runCase(options), runCase(options));
  assert.notDeepEqual(runCase({ ...options, seed: '8' }).balance, runCase(options).balance);
});

test('copies lie apart, no change moves less than it must, and losses that are played are those computed', () => {
  for (const kind of ['hosts', 'sites'] as const)
    for (const copies of [2, 3]) {
      const { balance, join, leave, double, played, repair } = runCase({ seed: '1', nodes: 30, kind, copies });
      assert.deepEqual([balance.apart, balance.goneWithDomain, balance.empty], [1, 0, 0]);
      assert.ok(balance.fullest < 1.13);
      for (const { moved, own } of [join, leave, double]) assert.ok(moved >= own && moved < 1.6 * own);
      assert.ok(repair.givers > 10 && repair.throughServerS > repair.straightS);
      // 400 losses: chance makes 5 % of it.
      assert.ok(played !== null && played > 0.8 && played < 1.2, `${kind} x ${copies}: ${played}`);
    }
});

test('two nodes, two copies: the chance of loss is that of the formula', () => {
  const random = new SimRandom('two');
  const nodes = makeCluster(random, 2, 'hosts');
  const places = placesOf(nodes, 2);
  const [failuresPerYear, days] = [0.5, 10];
  const bytes = new Float64Array(places.holders.length / 2).fill(1);
  const model = { nodes: 2, places, bytes, failuresPerYear, beforeS: days * 86_400, bytesPerS: 1e12 };
  const windows = windowsOf(model);
  // Either fails, and the other one within ten days of it.
  const expected = 2 * failuresPerYear * failuresPerYear * (days / 365.25);
  const computed = computedLoss(windows).perYear;
  assert.ok(Math.abs(computed / expected - 1) < 1e-3);
  const { losses, years } = playLoss(random, windows, 2000, 1e6);
  assert.ok(Math.abs(losses / years / expected - 1) < 0.1);
});

test('blocks fall as often into every partition, and none is lost', () => {
  const random = new SimRandom('blocks');
  const counts = blocksByPartition(random, 1e9);
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    1e9,
  );
  const mean = 1e9 / counts.length;
  assert.ok(counts.every((count) => Math.abs(count - mean) < 6 * Math.sqrt(mean)));
  for (const [count, chance] of [
    [10, 0.3],
    [1000, 0.02],
    [1000, 0.9],
    [1e6, 0.5],
  ] as const) {
    const draws = Array.from({ length: 2000 }, () => binomial(random, count, chance));
    const average = draws.reduce((sum, draw) => sum + draw, 0) / draws.length;
    const variance = draws.reduce((sum, draw) => sum + (draw - average) ** 2, 0) / draws.length;
    const wanted = count * chance * (1 - chance);
    assert.ok(Math.abs(average - count * chance) < 5 * Math.sqrt(wanted / draws.length), `${count} x ${chance}`);
    assert.ok(Math.abs(variance / wanted - 1) < 0.2, `${count} x ${chance}: ${variance}`);
  }
});

test('a change of nothing moves nothing', () => {
  const random = new SimRandom('still');
  const nodes = makeCluster(random, 9, 'hosts');
  const blocks = blocksByPartition(random, 1e6);
  const before = { nodes, places: placesOf(nodes, 3) };
  assert.equal(changeTo(before, [...nodes].reverse(), nodes[0] as (typeof nodes)[number], blocks).moved, 0);
  const joined = anotherNode(random, nodes, 'hosts');
  assert.ok(changeTo(before, [...nodes, joined], joined, blocks).moved > 0);
});
