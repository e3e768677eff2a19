import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import fc from 'fast-check';
import { nodePrimitives } from '#world/real/primitives.ts';
import {
  counting,
  keepBest,
  leastCopies,
  owedOf,
  planMove,
  planRepair,
  type PoolCopies,
  type Standing,
} from './copies.ts';
import { id16Of, id32Of, type BlockId, type NodeId } from './ids.ts';
import { limits } from './limits.ts';
import { makeLayout, nodesFor, type LayoutNode } from './layout.ts';

const standings = (named: Readonly<Record<number, Standing>>): ReadonlyMap<number, Standing> =>
  new Map(Object.entries(named).map(([number, standing]) => [Number(number), standing]));

test('who is lost, removed or distrusted does not count, who drains does; nobody counts twice', () => {
  const standing = standings({ 1: 'in', 2: 'draining', 3: 'lost', 4: 'removed', 5: 'distrusted' });
  assert.deepEqual(counting([1, 2, 2, 3, 4, 5, 9], { standing }), [1, 2]);
  assert.equal(owedOf([1, 2, 3], { copies: 3, standing }), 1);
  assert.equal(owedOf([1, 2], { copies: 1, standing }), 0);
});

test('a file has as many copies as its block that has fewest, however many blocks there are', () => {
  const standing = standings({ 1: 'in', 2: 'in', 3: 'lost' });
  const blocks = Array.from({ length: limits.manifestChunksMax }, () => [1, 2]);
  assert.equal(leastCopies(blocks, { standing }), 2);
  assert.equal(leastCopies([...blocks, [2, 3]], { standing }), 1);
  assert.equal(leastCopies([...blocks, []], { standing }), 0);
});

test('repair takes the next nodes of the layout, never one that holds the block or takes none', () => {
  const pool = { copies: 3, standing: standings({ 1: 'in', 2: 'in', 3: 'draining', 4: 'in', 5: 'lost' }) };
  assert.deepEqual(planRepair([2], [5, 1, 2, 3, 4], pool), { targets: [1, 4], needed: 2 });
  assert.deepEqual(planRepair([1, 2, 4], [1, 2, 4], pool), { targets: [], needed: 0 });
  assert.deepEqual(planRepair([], [1], pool), { targets: [1], needed: 1 });
});

test('a move goes to the layout’s own nodes alone, and gives up who drains first', () => {
  const pool = { copies: 2, standing: standings({ 1: 'in', 2: 'in', 3: 'draining', 4: 'in' }) };
  assert.deepEqual(planMove([3, 4], [1, 2, 4], pool), { targets: [1, 2], needed: 2 });
  assert.deepEqual(keepBest([3, 4], [1, 2, 4], pool), [4, 3]);
  assert.deepEqual(keepBest([3, 4, 1], [1, 2, 4], pool), [1, 4]);
  assert.deepEqual(keepBest([3, 4, 1, 2], [1, 2, 4], pool), [1, 2]);
});

const anyPool = fc.record({
  copies: fc.integer({ min: 1, max: 4 }),
  kinds: fc.array(fc.constantFrom<Standing>('in', 'draining', 'lost', 'distrusted', 'removed'), {
    minLength: 1,
    maxLength: 7,
  }),
  holders: fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { maxLength: 5 }),
  shuffle: fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 7, maxLength: 7 }),
});

test('however nodes stand: no plan goes below the copies asked, repair ends what is owed, a settled block plans nothing', () => {
  fc.assert(
    fc.property(anyPool, ({ copies, kinds, holders, shuffle }) => {
      const pool: PoolCopies = { copies, standing: new Map(kinds.map((kind, index) => [index + 1, kind])) };
      const order = shuffle.filter((node) => pool.standing.get(node) === 'in');
      const before = counting(holders, pool).length;
      const repair = planRepair(holders, order, pool);
      const repaired = [...holders, ...repair.targets.slice(0, repair.needed)];
      assert.equal(new Set(counting(repaired, pool)).size, counting(repaired, pool).length);
      assert.equal(
        owedOf(repaired, pool),
        Math.max(0, owedOf(holders, pool) - order.filter((one) => !holders.includes(one)).length),
      );
      // Whatever part of a move came about, and whoever gives up after it.
      const move = planMove(holders, order, pool);
      for (let made = 0; made <= move.needed; made++) {
        const kept = keepBest([...holders, ...move.targets.slice(0, made)], order, pool);
        assert.ok(kept.length >= Math.min(before, copies), 'a copy was given up that was asked for');
        assert.ok(kept.length <= copies);
      }
      const settled = keepBest([...holders, ...move.targets], order, pool);
      assert.deepEqual(planMove(settled, order, pool).targets, []);
      assert.deepEqual(keepBest(settled, order, pool), settled);
      if (order.length >= copies) assert.deepEqual(settled, order.slice(0, copies));
    }),
    { numRuns: 2000 },
  );
});

const nodeOf = (index: number): NodeId => id16Of(createHash('md5').update(`node ${index}`).digest());
const blockOf = (index: number): BlockId => id32Of(createHash('sha256').update(`block ${index}`).digest());
const BLOCKS = 2000;

/** Copies that move when a pool of some nodes becomes one of others, of `BLOCKS` times `copies`. */
function moved(before: readonly LayoutNode[], after: readonly LayoutNode[], copies: number): number {
  const numberOf = new Map(
    [...before, ...after].map(({ node }) => [node, 1 + [...before, ...after].findIndex((one) => one.node === node)]),
  );
  const standing = new Map(
    [...numberOf].map(
      ([node, number]) => [number, after.some((one) => one.node === node) ? 'in' : 'draining'] as const,
    ),
  );
  const [old, now] = [makeLayout(nodePrimitives, 1, before, copies), makeLayout(nodePrimitives, 2, after, copies)];
  let count = 0;
  for (let index = 0; index < BLOCKS; index++) {
    const numbers = (nodes: readonly NodeId[]) => nodes.map((node) => numberOf.get(node) as number);
    const holders = numbers(nodesFor(old, blockOf(index))).slice(0, copies);
    count += planMove(holders, numbers(nodesFor(now, blockOf(index))), { copies, standing }).needed;
  }
  return count;
}

test('a node that joins gets its share and nothing else moves; one that drains gives its own away and nothing else moves', () => {
  const pool = Array.from({ length: 5 }, (_, index) => ({
    node: nodeOf(index),
    weight: 1,
    domain: `machine ${index}`,
  }));
  const four = pool.slice(0, 4);
  for (const copies of [1, 2, 3]) {
    const share = (BLOCKS * copies) / 5;
    for (const count of [moved(four, pool, copies), moved(pool, four, copies)])
      assert.ok(Math.abs(count - share) < share * 0.15, `${count} copies moved, a fifth is ${share}`);
  }
});
