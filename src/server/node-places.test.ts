/** What a storage node is to hold goes by the space that its disk has; where its copies' copies go, by where it is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeId } from '#core/ids.ts';
import { GIB } from '#core/limits.ts';
import { allNodes, newestLayout } from '#meta/clusters.ts';
import { walkPresence } from '#meta/copies.ts';
import { nodesList, nodesSite, poolsSet, rulesApply, serverStatus } from '#protocol/cluster.ts';
import { CollectWorld } from '../../test/collect-world.ts';
import { newId, RigNode } from '../../test/server-rig.ts';

const DAY_MS = 24 * 3_600_000;

async function withNodes(nodes: RigNode[], work: (world: CollectWorld) => Promise<void>): Promise<void> {
  const world = await CollectWorld.start({ nodes, care: { lookMs: 1e8, retryMs: 1e8, lostMs: 1e8 } });
  try {
    await work(world);
  } finally {
    await world.rig.close();
  }
}

const sized = (gib: number) => new RigNode('txt', gib * GIB);
const placed = (host: string, site: string | null) => Object.assign(new RigNode('txt', GIB, host), { site });

const rowsOf = ({ rig }: CollectWorld) => rig.meta.read((reader) => walkPresence(reader, null, 10_000));
const layoutOf = ({ rig }: CollectWorld, pool = 'txt') => rig.meta.read((reader) => newestLayout(reader, pool));

/** Which part of all copies the node with that number holds. */
async function shareOf(world: CollectWorld, number: number): Promise<number> {
  const holders = (await rowsOf(world)).flatMap((row) => row.holders);
  return holders.filter((holder) => holder === number).length / holders.length;
}

async function settle(world: CollectWorld): Promise<void> {
  await world.rig.server.greetNodes();
  await world.rig.server.settleCopies();
}

/** As after a change of its disk, or of what else lies on that. */
function resize(node: RigNode, gib: number): void {
  const { store } = node;
  const status = async () => {
    const now = (await store.status()) as { storedBytes: number };
    return { ...now, freeBytes: gib * GIB - now.storedBytes };
  };
  node.store = Object.assign(Object.create(store) as typeof store, { status });
}

/** Within six standard deviations of chance. */
function near(share: number, wanted: number, of: number): void {
  const deviation = Math.sqrt((wanted * (1 - wanted)) / of);
  assert.ok(Math.abs(share - wanted) < 6 * deviation, `${share} of ${of}, not ${wanted}`);
}

test('a node holds as much as its disk has space for, beside the others', () =>
  withNodes([sized(300), sized(100)], async (world) => {
    await world.one.createMany(400, 'file');
    near(await shareOf(world, 1), 0.75, 400);
    const before = await layoutOf(world);
    // One that joins says at once what it has: its share is not guessed first.
    const joining = sized(400);
    (world.rig.nodes as RigNode[]).push(joining);
    await world.rig.join(joining);
    await settle(world);
    assert.equal(await layoutOf(world), before + 1);
    near(await shareOf(world, 3), 0.5, 400);
  }));

test('a disk that is changed for a larger one holds more after the start; small changes move nothing', () =>
  withNodes([sized(100), sized(100)], async (world) => {
    await world.one.ask(rulesApply, { rules: [{ extensions: ['txt'], pool: 'txt', copies: 1 }] });
    await world.one.createMany(400, 'file');
    const [first, second] = world.rig.nodes as [RigNode, RigNode];
    const before = await layoutOf(world);
    resize(second, 120);
    Object.assign(second, { boot: second.boot + 1, run: 'b'.repeat(16) });
    await settle(world);
    assert.equal(await layoutOf(world), before);
    near(await shareOf(world, 2), 0.5, 400);

    resize(second, 300);
    await settle(world);
    assert.equal(await layoutOf(world), before, 'between its starts it is looked at once a day');
    Object.assign(second, { boot: second.boot + 1, run: 'c'.repeat(16) });
    await settle(world);
    assert.equal(await layoutOf(world), before + 1);
    assert.equal(await layoutOf(world, 'txt*1'), 2, 'in every pool that lies on it');
    near(await shareOf(world, 2), 0.75, 400);

    // Other programs fill the first one's.
    resize(first, 10);
    world.pass(DAY_MS);
    await settle(world);
    near(await shareOf(world, 1), 10 / 310, 400);
    assert.equal((await world.one.ask(serverStatus, {})).response.copiesAtRisk, 0);
  }));

test('small changes add up; and what all disks gain together is no change until another one joins', () =>
  withNodes([sized(100), sized(100)], async (world) => {
    await world.one.createMany(400, 'file');
    const [first, second] = world.rig.nodes as [RigNode, RigNode];
    const before = await layoutOf(world);
    for (const gib of [130, 169, 220]) {
      resize(second, gib);
      world.pass(DAY_MS);
      await settle(world);
    }
    // Each alone is a small one, the first two together are not, and the third is small beside those.
    assert.equal(await layoutOf(world), before + 1);
    near(await shareOf(world, 2), 169 / 269, 400);

    resize(first, 1000);
    resize(second, 1000);
    world.pass(DAY_MS);
    await settle(world);
    near(await shareOf(world, 2), 0.5, 400);
    for (const node of [first, second]) resize(node, 4000);
    world.pass(DAY_MS);
    const layout = await layoutOf(world);
    await settle(world);
    assert.equal(await layoutOf(world), layout);
    const joining = sized(4000);
    (world.rig.nodes as RigNode[]).push(joining);
    await world.rig.join(joining);
    await settle(world);
    near(await shareOf(world, 3), 1 / 3, 400);
  }));

test('a node whose space nobody knows yet counts as the average; an old index learns it', () =>
  withNodes([sized(100), sized(100), sized(400)], async (world) => {
    await world.one.createMany(400, 'file');
    const set = (number: number, weight: number) =>
      world.rig.meta.write(({ db }) => db.updateTable('node').set({ weight }).where('number', '=', number).execute());
    await set(3, 0);
    await world.one.ask(poolsSet, { pool: 'txt', copies: 2 });
    await world.one.ask(poolsSet, { pool: 'txt', copies: 1 });
    await world.rig.server.settleCopies();
    near(await shareOf(world, 3), 1 / 3, 400);
    for (const number of [1, 2, 3]) await set(number, 1);
    await world.rig.restart();
    await settle(world);
    near(await shareOf(world, 3), 2 / 3, 400);
    const weights = (await world.rig.meta.read(allNodes)).map(({ weight }) => weight);
    assert.deepEqual(weights, [100, 100, 400]);
  }));

test('copies go to different sites, and in one site to different machines', () =>
  withNodes(
    [
      placed('h1', 'house'),
      placed('h1', 'house'),
      placed('h2', 'house'),
      placed('o1', 'office'),
      placed('o2', 'office'),
    ],
    async (world) => {
      await world.one.ask(poolsSet, { pool: 'txt', copies: 3 });
      await world.one.createMany(120, 'file');
      await settle(world);
      assert.deepEqual(await sitesOf(world), ['house', 'house', 'house', 'office', 'office']);
      const hosts = ['h1', 'h1', 'h2', 'o1', 'o2'];
      for (const { holders } of await rowsOf(world)) {
        assert.equal(new Set(holders.map((one) => (one <= 3 ? 'house' : 'office'))).size, 2);
        assert.equal(new Set(holders.map((one) => hosts[one - 1])).size, 3);
      }
    },
  ));

test('where a node is can be said later, and taken back: copies move apart', () =>
  withNodes([placed('a', null), placed('b', null), placed('c', null)], async (world) => {
    await world.one.ask(poolsSet, { pool: 'txt', copies: 2 });
    await world.one.createMany(60, 'file');
    const together = async () => (await rowsOf(world)).some(({ holders }) => !holders.includes(3));
    assert.ok(await together(), 'some lie on the first two alone');
    const [first, second] = world.rig.nodes as [RigNode, RigNode];
    for (const { node } of [first, second]) await world.one.ask(nodesSite, { node, site: 'attic' });
    await settle(world);
    assert.ok(!(await together()));
    assert.deepEqual(await sitesOf(world), ['attic', 'attic', null]);
    const before = await layoutOf(world);
    await world.one.ask(nodesSite, { node: first.node, site: 'attic' });
    assert.equal(await layoutOf(world), before, 'it is there already');
    await world.one.ask(nodesSite, { node: first.node, site: null });
    await settle(world);
    assert.ok(await together());
    await assert.rejects(world.one.ask(nodesSite, { node: first.node, site: 'a/b' }), { code: 'invalid_field' });
    await assert.rejects(world.one.ask(nodesSite, { node: newId<NodeId>(), site: null }), { code: 'not_found' });
  }));

async function sitesOf({ one, rig }: CollectWorld): Promise<readonly (string | null)[]> {
  const { nodes } = (await one.ask(nodesList, {})).response;
  return rig.nodes.map(({ node }) => nodes.find((row) => row.node === node)?.site ?? null);
}
