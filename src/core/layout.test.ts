import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { nodePrimitives } from '#world/real/primitives.ts';
import { id16Of, id32Of, type BlockId, type NodeId } from './ids.ts';
import { makeLayout, nodesFor, parseLayout, partitionOf, PARTITIONS, type LayoutNode } from './layout.ts';

const nodeOf = (index: number): NodeId => id16Of(createHash('md5').update(`node ${index}`).digest());
const blockOf = (index: number): BlockId => id32Of(createHash('sha256').update(`block ${index}`).digest());
const even = (count: number): LayoutNode[] =>
  Array.from({ length: count }, (_, index) => ({ node: nodeOf(index), weight: 1, domain: `machine ${index}` }));

test('every partition has as many distinct nodes as copies and spares ask for', () => {
  for (const copies of [1, 2, 3]) {
    const layout = makeLayout(nodePrimitives, 1, even(4), copies);
    for (let index = 0; index < 500; index++) {
      const nodes = nodesFor(layout, blockOf(index));
      assert.equal(nodes.length, Math.min(4, copies + 2));
      assert.equal(new Set(nodes).size, nodes.length);
    }
  }
});

test('bytes are shared out by weight', () => {
  const nodes = even(3).map((node, index) => ({ ...node, weight: index === 0 ? 2 : 1 }));
  const layout = makeLayout(nodePrimitives, 1, nodes, 1);
  let heavy = 0;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const block = (partition << 6).toString(16).padStart(4, '0') + '00'.repeat(30);
    if (nodesFor(layout, block as BlockId)[0] === nodeOf(0)) heavy++;
  }
  assert.ok(Math.abs(heavy / PARTITIONS - 0.5) < 0.06, `half of the partitions, not ${heavy} of ${PARTITIONS}`);
});

test('another node takes only what it wins: nothing moves between the old ones', () => {
  const before = makeLayout(nodePrimitives, 1, even(4), 1);
  const after = makeLayout(nodePrimitives, 2, even(5), 1);
  let moved = 0;
  for (let index = 0; index < 2000; index++) {
    const [old] = nodesFor(before, blockOf(index));
    const [now] = nodesFor(after, blockOf(index));
    if (old === now) continue;
    assert.equal(now, nodeOf(4));
    moved++;
  }
  assert.ok(moved > 200 && moved < 600, `about a fifth moves, not ${moved} of 2000`);
});

test('copies lie in different failure domains while there are any', () => {
  const nodes = even(6).map((node, index) => ({ ...node, domain: `room ${index % 2}` }));
  const layout = makeLayout(nodePrimitives, 1, nodes, 2);
  const roomOf = new Map(nodes.map((node) => [node.node, node.domain]));
  for (let index = 0; index < 500; index++) {
    const [first, second] = nodesFor(layout, blockOf(index));
    assert.notEqual(roomOf.get(first as NodeId), roomOf.get(second as NodeId));
  }
});

test('a stored table is the layout, and a damaged one is refused', () => {
  const layout = makeLayout(nodePrimitives, 7, even(3), 1);
  assert.deepEqual(parseLayout(7, layout.nodes, layout.table), layout);
  assert.equal(parseLayout(7, layout.nodes, layout.table.subarray(1)), null);
  assert.equal(parseLayout(7, layout.nodes.slice(1), layout.table), null);
  assert.equal(
    parseLayout(
      7,
      layout.nodes,
      layout.table.map(() => 9),
    ),
    null,
  );
});

test('a partition is the first ten bits', () => {
  assert.equal(partitionOf(`ffff${'0'.repeat(60)}` as BlockId), 1023);
  assert.equal(partitionOf(`0040${'0'.repeat(60)}` as BlockId), 1);
  assert.equal(partitionOf(`003f${'0'.repeat(60)}` as BlockId), 0);
});
