import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { nodePrimitives } from '#world/real/primitives.ts';
import { id16Of, id32Of, type BlockId, type NodeId } from './ids.ts';
import { makeLayout, nodesFor, parseLayout, partitionOf, PARTITIONS, positionsOf, type LayoutNode } from './layout.ts';
import { wantedShares } from './layout-shares.ts';
import { limits } from './limits.ts';

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
    const block = partition.toString(16).padStart(3, '0').padEnd(64, '0');
    if (nodesFor(layout, block as BlockId)[0] === nodeOf(0)) heavy++;
  }
  assert.ok(Math.abs(heavy / PARTITIONS - 0.5) < 0.03, `half of the partitions, not ${heavy} of ${PARTITIONS}`);
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

test('a site that gives two copies gives them from different hosts', () => {
  const hosts = ['one', 'one', 'two', 'two', 'three', 'three'];
  const nodes = even(6).map((node, index) => ({
    ...node,
    domain: index < 4 ? 'house' : 'office',
    host: hosts[index] as string,
  }));
  const layout = makeLayout(nodePrimitives, 1, nodes, 3);
  const byNode = new Map(nodes.map((node) => [node.node, node]));
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const chosen = positionsOf(layout, partition)
      .slice(0, 3)
      .map((position) => byNode.get(layout.nodes[position] as NodeId) as (typeof nodes)[number]);
    assert.equal(new Set(chosen.map(({ domain }) => domain)).size, 2);
    assert.equal(new Set(chosen.map(({ host }) => host)).size, 3);
  }
  // Copies are asked for before they are kept apart: two nodes of one machine are better than one.
  const [first, second] = nodes as [LayoutNode, LayoutNode];
  assert.equal(makeLayout(nodePrimitives, 1, [first, second], 2).width, 2);
  // Where no site is named nothing is another: a table that was made before stays what it is.
  const plain = even(6).map((node, index) => ({ ...node, domain: `host ${index % 2}` }));
  const named = plain.map((node) => ({ ...node, host: node.domain }));
  assert.deepEqual(makeLayout(nodePrimitives, 1, named, 3).table, makeLayout(nodePrimitives, 1, plain, 3).table);
});

/** By position in `nodes`: partitions of which it holds a copy. */
function held(nodes: readonly LayoutNode[], copies: number): number[] {
  const layout = makeLayout(nodePrimitives, 1, nodes, copies);
  const counts = new Map<NodeId, number>();
  for (let partition = 0; partition < PARTITIONS; partition++)
    for (const position of positionsOf(layout, partition).slice(0, copies)) {
      const node = layout.nodes[position] as NodeId;
      counts.set(node, 1 + (counts.get(node) ?? 0));
    }
  return nodes.map(({ node }) => counts.get(node) ?? 0);
}

test('all copies together are shared out by weight, also where the heavy ones cannot take as much as that', () => {
  const cases: readonly (readonly [weights: readonly number[], copies: number, shares: readonly number[]])[] = [
    [[2, 1, 1], 2, [1, 0.5, 0.5]],
    [[10, 10, 1], 2, [20 / 21, 20 / 21, 2 / 21]],
    [[4, 3, 2, 1], 3, [1, 1, 2 / 3, 1 / 3]],
    [[8, 4, 4, 2, 2, 1, 1, 1, 1], 3, [1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125]],
  ];
  for (const [weights, copies, shares] of cases)
    for (const domains of ['own', 'one']) {
      const nodes = even(weights.length).map((node, index) => ({
        ...node,
        weight: weights[index] as number,
        domain: domains === 'own' ? node.domain : 'one',
      }));
      held(nodes, copies).forEach((count, index) => {
        const wanted = shares[index] as number;
        const chance = Math.sqrt((wanted * (1 - wanted)) / PARTITIONS);
        const off = Math.abs(count / PARTITIONS - wanted);
        assert.ok(off < 0.002 + 4 * chance, `${weights} x ${copies}, ${domains}: ${index} has ${count / PARTITIONS}`);
      });
    }
});

test('a domain of few nodes is given what these can hold', () => {
  // One of 21 nodes stands alone in its room: taken for every second copy, it would hold 40 % more than the others.
  const nodes = even(21).map((node, index) => ({ ...node, domain: `room ${index === 20 ? 2 : index % 2}` }));
  const alone = held(nodes, 2)[20] as number;
  assert.ok(Math.abs(alone / ((2 * PARTITIONS) / 21) - 1) < 0.15, `not ${alone}`);
});

test('no node holds much more than its share, however many there are, and in two rooms of unlike size', () => {
  const hundreds = even(300).map((node, index) => ({ ...node, weight: 1 + (index % 4) }));
  const rooms = even(30).map((node, index) => ({ ...node, domain: `room ${index < 20 ? 0 : 1}` }));
  for (const nodes of [hundreds, rooms]) {
    const wanted = wantedShares(nodes, 3);
    held(nodes, 3).forEach((count, index) => {
      const most = 1.1 * (wanted[index] as number) * PARTITIONS;
      assert.ok(count <= Math.ceil(most), `${count}, at most ${most}`);
    });
  }
});

test('nodes of unlike weights: a change moves little more than the share of the node that it is about', () => {
  const nodes = even(20).map((node, index) => ({ ...node, weight: 1 + (index % 4) }));
  const copies = 3;
  const placesOf = (of: readonly LayoutNode[]) => {
    const layout = makeLayout(nodePrimitives, 1, of, copies);
    return Array.from({ length: PARTITIONS }, (_, partition) =>
      positionsOf(layout, partition)
        .slice(0, copies)
        .map((position) => layout.nodes[position]),
    );
  };
  const before = placesOf(nodes);
  const after = placesOf(nodes.slice(1));
  const gone = (held(nodes, copies)[0] as number) / PARTITIONS;
  const moved = after.map((now, partition) => now.filter((node) => !before[partition]?.includes(node)).length);
  const part = moved.reduce((sum, count) => sum + count, 0) / PARTITIONS;
  assert.ok(part >= gone && part < 1.15 * gone, `${part} for ${gone}`);
});

test('a pool may have thousands of nodes, and one of them is named by two bytes', () => {
  const nodes = even(3000);
  const counts = held(nodes, 3);
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    3 * PARTITIONS,
  );
  assert.ok(counts.filter((count) => count === 0).length < 0.04 * nodes.length);
  assert.throws(() => makeLayout(nodePrimitives, 1, even(limits.poolNodesMax + 1), 1), /1 to 4096 nodes/);
});

test('a stored table is the layout, and a damaged one is refused', () => {
  for (const nodes of [even(3), even(300)]) {
    const layout = makeLayout(nodePrimitives, 7, nodes, 1);
    assert.equal(layout.table.length, 2 * PARTITIONS * 3);
    // As a database hands it out: somewhere in other bytes.
    const stored = new Uint8Array(layout.table.length + 3);
    stored.set(layout.table, 3);
    const read = parseLayout(7, layout.nodes, stored.subarray(3));
    assert.ok(read);
    assert.deepEqual(nodesFor(read, blockOf(1)), nodesFor(layout, blockOf(1)));
    assert.equal(parseLayout(7, layout.nodes, layout.table.subarray(1)), null);
    assert.equal(parseLayout(7, layout.nodes, layout.table.subarray(2)), null);
    assert.equal(parseLayout(7, layout.nodes.slice(1), layout.table), null);
    assert.equal(parseLayout(7, layout.nodes.toReversed(), layout.table), null);
    const changed = (bytes: readonly number[]) => {
      const table = layout.table.slice();
      table.set(bytes, 12);
      return parseLayout(7, layout.nodes, table);
    };
    assert.equal(changed([1, 0xff]), null);
    assert.equal(changed([0, 1, 0, 1]), null);
  }
});

test('a partition is the first twelve bits', () => {
  assert.equal(partitionOf(`ffff${'0'.repeat(60)}` as BlockId), 4095);
  assert.equal(partitionOf(`0010${'0'.repeat(60)}` as BlockId), 1);
  assert.equal(partitionOf(`000f${'0'.repeat(60)}` as BlockId), 0);
});
