/**
 * Twenty nodes of unlike weights, run for real and compared with the figures that `npm run sim:scale` computes from their table: what each
 * holds, and what is read, written and moved when one is lost.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { partitionOf, PARTITIONS, type LayoutNode } from '#core/layout.ts';
import { wantedShares } from '#core/layout-shares.ts';
import { ROOT_ENTRY, type BlockId } from '#core/ids.ts';
import { GIB } from '#core/limits.ts';
import { walkPresence } from '#meta/copies.ts';
import { nodesRemove, nodesWhatif, poolsSet, serverStatus } from '#protocol/cluster.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import { heldBy } from '../../sim/scale/balance.ts';
import { changeTo, without } from '../../sim/scale/changes.ts';
import { holdersOf, makeCluster, placesOf } from '../../sim/scale/cluster.ts';
import { blocksByPartition } from '../../sim/scale/draws.ts';
import { repairOf, typicalNode } from '../../sim/scale/repair.ts';
import { RATES } from '../../sim/scale/case.ts';
import { RigNode, ServerRig, type RigDevice, type SealedFile } from '../../test/server-rig.ts';

const CARE = { beatMs: 1e8, lookMs: 1e8, retryMs: 1e8, lostMs: 1e8 };
const COPIES = 3;
const FILES = 3000;

/** Counts what goes in and out. */
class Counted {
  readonly given = new Set<BlockId>();
  readonly taken = new Set<BlockId>();
  bytes = 0;

  constructor(node: RigNode) {
    const { store } = node;
    node.store = {
      put: (blocks, fence, signal) => {
        for (const block of blocks) {
          this.taken.add(block.id);
          this.bytes += block.bytes.length;
        }
        return store.put(blocks, fence, signal);
      },
      get: (ids, signal) => {
        for (const id of ids) this.given.add(id);
        return store.get(ids, signal);
      },
      has: (ids, signal) => store.has(ids, signal),
      delete: (ids, order) => store.delete(ids, order),
      status: () => store.status(),
    };
  }
}

async function write(one: RigDevice, count: number): Promise<void> {
  for (let from = 0; from < count; from += 500) {
    const made: SealedFile[] = [];
    const operations = Array.from({ length: Math.min(500, count - from) }, (_, index) =>
      one.createFile(ROOT_ENTRY, `file ${from + index}.txt`, made, randomBytes(100)),
    );
    const { answers } = await one.each(operations, made);
    assert.ok(answers.every(({ kind }) => kind === 'applied'));
  }
}

async function rowsOf(rig: ServerRig): Promise<ReadonlyMap<BlockId, readonly number[]>> {
  const rows = await rig.meta.read((reader) => walkPresence(reader, null, 2 * FILES));
  return new Map(rows.map(({ block, holders }) => [block, holders]));
}

/** Six standard deviations of what chance does to so many blocks. */
function near(count: number, expected: number, what: string): void {
  assert.ok(Math.abs(count - expected) <= 6 * Math.sqrt(expected), `${what}: ${count}, expected ${expected}`);
}

function sorted(numbers: Iterable<number>): readonly number[] {
  return [...numbers].sort((left, right) => left - right);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Every block lies on exactly the nodes that a table of these nodes names. `all`: in the order in which they joined. Answers blocks by partition. */
async function holdWhatTheTableSays(
  rig: ServerRig,
  nodes: readonly LayoutNode[],
  all: readonly LayoutNode[],
): Promise<Float64Array> {
  const places = placesOf(nodes, COPIES);
  const numbers = nodes.map(({ node }) => 1 + all.findIndex((one) => one.node === node));
  const counts = new Float64Array(PARTITIONS);
  for (const [block, holders] of await rowsOf(rig)) {
    const partition = partitionOf(block);
    counts[partition] = (counts[partition] as number) + 1;
    assert.deepEqual(sorted(holders), sorted([...holdersOf(places, partition)].map((node) => numbers[node] as number)));
  }
  assert.equal(sum([...counts]), FILES);
  return counts;
}

test('twenty nodes hold, lose and move what the table says', async () => {
  const nodes: readonly LayoutNode[] = makeCluster(new SimRandom('twenty'), 20, 'hosts');
  const rigNodes = nodes.map(({ node, domain, weight }) =>
    Object.assign(new RigNode('txt', weight * GIB, domain), { node }),
  );
  const rig = await ServerRig.start({ nodes: rigNodes, care: CARE });
  try {
    const one = await rig.link('one');
    await one.ask(poolsSet, { pool: 'txt', copies: COPIES });
    await rig.server.settleCopies();
    await write(one, FILES);

    const places = placesOf(nodes, COPIES);
    const counts = await holdWhatTheTableSays(rig, nodes, nodes);
    const held = heldBy(nodes.length, places, counts);
    const shares = wantedShares(nodes, COPIES);
    held.forEach((count, node) => near(count, FILES * (shares[node] as number), `blocks on node ${node}`));

    // One is lost.
    const lost = typicalNode(nodes, held);
    const left = without(nodes, lost);
    const gone = rigNodes[lost] as RigNode;
    const foretold = (await one.ask(nodesWhatif, { node: gone.node })).response;
    const counted = rigNodes.map((node) => new Counted(node));
    gone.down = true;
    const { blocksToCopy } = (await one.ask(nodesRemove, { node: gone.node, lost: true })).response;
    await rig.server.settleCopies();
    const before = { nodes, places };
    const computed = changeTo(before, left, nodes[lost] as LayoutNode, counts);
    const repair = repairOf(before, lost, counts, 1, RATES);
    const taken = counted.map((node) => node.taken.size);
    assert.deepEqual([foretold.blocksToCopy, blocksToCopy, repair.bytes], [held[lost], held[lost], held[lost]]);
    assert.equal(sum(taken), computed.moved);
    assert.equal(taken.filter((many) => many > 0).length, repair.takers);
    assert.ok(counted.filter(({ given }) => given.size > 0).length >= repair.givers);
    assert.equal(sum(counted.map(({ bytes }) => bytes)) / sum(taken), foretold.bytesToCopy / blocksToCopy);
    // As without knowing which blocks there are.
    const drawn = blocksByPartition(new SimRandom('three thousand'), FILES);
    near(sum(taken), changeTo(before, left, nodes[lost] as LayoutNode, drawn).moved, 'moved copies');
    near(blocksToCopy, repairOf(before, lost, drawn, 1, RATES).bytes, 'repaired blocks');
    await holdWhatTheTableSays(rig, left, nodes);

    const joined = new RigNode('txt', GIB, 'host-new');
    rigNodes.push(joined);
    const more: readonly LayoutNode[] = [...left, { node: joined.node, weight: 1, domain: joined.domain }];
    for (const node of counted) node.taken.clear();
    counted.push(new Counted(joined));
    await rig.join(joined);
    await rig.server.greetNodes();
    await rig.server.settleCopies();
    const joining = changeTo({ nodes: left, places: placesOf(left, COPIES) }, more, more.at(-1) as LayoutNode, counts);
    assert.equal(counted.at(-1)?.taken.size, joining.own);
    assert.equal(sum(counted.map(({ taken: all }) => all.size)), joining.moved);
    await holdWhatTheTableSays(rig, more, [...nodes, more.at(-1) as LayoutNode]);
    assert.equal((await one.ask(serverStatus, {})).response.copiesAtRisk, 0);
  } finally {
    await rig.close();
  }
});
