/** Pools with copies: what is owed is made again, what moves is never fewer, whatever nodes do. Nodes in memory, the real server. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { MemoryBlockStore } from '#blocks/memory-block-store.ts';
import { HoldfastError } from '#core/errors.ts';
import { ROOT_ENTRY, type BlockId } from '#core/ids.ts';
import { parseInvite } from '#core/invite.ts';
import type { MetaReader, MetaStore, MetaWriter } from '#meta/meta-store.ts';
import { allNodes } from '#meta/clusters.ts';
import { collectionState, putCollectionState } from '#meta/collection.ts';
import { walkPresence } from '#meta/copies.ts';
import { addGarbage, orderGarbage } from '#meta/garbage.ts';
import { nodeJoin } from '#protocol/account.ts';
import { ask } from '#protocol/call.ts';
import { contents } from '#protocol/contents.ts';
import { why } from '#protocol/why.ts';
import {
  files as listFiles,
  nodesDrain,
  nodesList,
  nodesRemove,
  nodesWhatif,
  poolsList,
  poolsSet,
  serverStatus,
} from '#protocol/cluster.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { never, RigNode, ServerRig, type RigDevice, type SealedFile } from '../../test/server-rig.ts';
import type { CareSettings } from './care-settings.ts';
import { changeStanding } from './standing.ts';

/** Nothing happens by itself but what the test asks for; a node that does not answer is lost at once, where the test lets it. */
const CARE = { beatMs: 1e8, lookMs: 1e8, retryMs: 1e8, lostMs: 1e8 };

class World {
  readonly rig: ServerRig;
  readonly one: RigDevice;
  readonly files: SealedFile[] = [];

  constructor(rig: ServerRig, one: RigDevice) {
    this.rig = rig;
    this.one = one;
  }

  node(index: number): RigNode {
    const node = this.rig.nodes[index];
    assert.ok(node);
    return node;
  }

  async write(count: number, prefix = 'file'): Promise<void> {
    this.files.push(...(await this.one.createMany(count, prefix)));
  }

  copies(copies: number) {
    return this.one.ask(poolsSet, { pool: 'txt', copies });
  }

  async status() {
    return (await this.one.ask(serverStatus, {})).response;
  }

  async atRisk(): Promise<number> {
    return (await this.status()).copiesAtRisk;
  }

  /** Copies of each block that lie on nodes that are up, by the nodes themselves. */
  async counted(): Promise<readonly number[]> {
    const ids = this.files.flatMap(({ blocks }) => blocks.map(({ id }) => id));
    const held = await Promise.all(
      this.rig.nodes.filter(({ down }) => !down).map(({ store }) => store.has(ids, never)),
    );
    return ids.map((_, index) => held.filter((one) => one[index]).length);
  }

  /** As the rows say it, by block: numbers of nodes. */
  async rows(): Promise<ReadonlyMap<BlockId, readonly number[]>> {
    const rows = await this.rig.meta.read((reader) => walkPresence(reader, null, 10_000));
    return new Map(rows.map(({ block, holders }) => [block, holders]));
  }

  /** Every holder that a row names has the block. */
  async checkRows(copies: number): Promise<void> {
    for (const [block, holders] of await this.rows()) {
      assert.equal(holders.length, copies);
      assert.equal(new Set(holders).size, copies);
      for (const number of holders) assert.deepEqual(await this.node(number - 1).store.has([block], never), [true]);
    }
  }

  async checkReadable(): Promise<void> {
    for (let at = 0; at < this.files.length; at += 100) {
      const manifests = this.files.slice(at, at + 100).map(({ manifestId }) => manifestId);
      const { response } = await this.one.ask(contents, { space: this.one.space, manifests, budgetBytes: 4 << 20 });
      assert.deepEqual(new Set(response.items.map(({ kind }) => kind)), new Set(['found']));
    }
  }

  async join(node: RigNode): Promise<void> {
    (this.rig.nodes as RigNode[]).push(node);
    await this.rig.join(node);
    await this.rig.server.greetNodes();
  }

  async down(index: number, down: boolean): Promise<void> {
    this.node(index).down = down;
    await this.rig.server.greetNodes();
  }

  async row(index: number) {
    const { nodes } = (await this.one.ask(nodesList, {})).response;
    return nodes.find(({ node }) => node === this.node(index).node);
  }
}

async function withWorld(
  nodes: number,
  work: (world: World) => Promise<void>,
  care: Partial<CareSettings> = {},
): Promise<void> {
  const rig = await ServerRig.start({
    nodes: Array.from({ length: nodes }, () => new RigNode('txt')),
    care: { ...CARE, ...care },
  });
  try {
    await work(new World(rig, await rig.link('one')));
  } finally {
    await rig.close();
  }
}

test('more copies are owed at once and made in the background; fewer are given up', () =>
  withWorld(3, async (world) => {
    await world.write(40);
    assert.equal(await world.atRisk(), 0);
    await world.copies(2);
    // Before a single row was recounted, or after everything was copied.
    const risk = await world.atRisk();
    assert.ok(risk > 0 || (await world.counted()).every((count) => count === 2));
    await world.rig.server.settleCopies();
    assert.equal(await world.atRisk(), 0);
    await world.checkRows(2);
    await world.copies(3);
    await world.rig.server.settleCopies();
    await world.checkRows(3);
    await world.copies(1);
    await world.rig.server.settleCopies();
    await world.checkRows(1);
    assert.equal(await world.atRisk(), 0);
    await world.checkReadable();
    const { files } = (await world.one.ask(listFiles, { space: world.one.space, after: null, limit: 100 })).response;
    assert.ok(files.every(({ copies }) => copies === 1));
  }));

test('a pool that asks for more copies than it has nodes says so, and what is owed is made when one joins', () =>
  withWorld(1, async (world) => {
    await world.write(20);
    const { pool, made } = (await world.copies(2)).response;
    assert.deepEqual([pool, made], [{ pool: 'txt', copies: 2, nodes: 1 }, false]);
    await world.rig.server.settleCopies();
    const status = await world.status();
    assert.equal(status.copiesAtRisk, 20);
    assert.deepEqual(
      status.problems.map(({ code }) => code),
      ['too_few_nodes'],
    );
    assert.ok(status.jobs.some(({ name, left }) => name === 'repair' && left === 20));
    // What is not safe is not acknowledged.
    const made2: SealedFile[] = [];
    const create = world.one.createFile(ROOT_ENTRY, 'late.txt', made2, randomBytes(10));
    const { answers } = await world.one.each([create], made2);
    assert.ok(answers[0]?.kind === 'pool_unavailable' && /fewer storage nodes/.test(answers[0].detail));
    await world.join(new RigNode('txt'));
    await world.rig.server.settleCopies();
    assert.equal(await world.atRisk(), 0);
    await world.checkRows(2);
    assert.deepEqual((await world.status()).problems, []);
  }));

test('a pool is made by asking for copies', () =>
  withWorld(1, async (world) => {
    const { response } = await world.one.ask(poolsSet, { pool: 'photos', copies: 3 });
    assert.deepEqual(response, { pool: { pool: 'photos', copies: 3, nodes: 0 }, made: true });
    assert.ok((await world.one.ask(poolsList, {})).response.pools.some(({ pool }) => pool === 'photos'));
    await assert.rejects(world.one.ask(poolsSet, { pool: 'photos', copies: 0 }), { code: 'invalid_field' });
    await assert.rejects(world.one.ask(poolsSet, { pool: 'photos', copies: 9 }), { code: 'invalid_field' });
  }));

test('a ticket for a pool makes a node of that pool and of no other', () =>
  withWorld(1, async (world) => {
    await world.one.ask(poolsSet, { pool: 'photos', copies: 1 });
    await assert.rejects(world.rig.server.invite({ kind: 'node', pool: 'nowhere' }), { code: 'invalid_field' });
    await assert.rejects(world.rig.server.invite({ kind: 'device', pool: 'photos' }), { code: 'invalid_field' });
    const { invite } = await world.rig.server.invite({ kind: 'node', pool: 'photos' });
    const { tokenId: id, secret } = parseInvite(p, invite);
    const node = new RigNode('photos');
    (world.rig.nodes as RigNode[]).push(node);
    const request = { ticket: { id, secret }, node: node.node, pin: node.pin, name: 'late', addresses: ['http://a:1'] };
    const join = (pool: string | null) => ask(world.rig.anonymous(), nodeJoin, { ...request, pool }, never);
    await assert.rejects(join('txt'), { code: 'invalid_field' });
    assert.equal((await join(null)).response.pool, 'photos');
    assert.equal((await join(null)).response.pool, 'photos');
  }));

test('what could not be put on all nodes is owed, and repaired when one is there again, fewest copies first', () =>
  withWorld(3, async (world) => {
    await world.copies(3);
    await world.down(2, true);
    await world.write(30);
    assert.equal(await world.atRisk(), 30);
    await world.rig.server.settleCopies();
    assert.equal(await world.atRisk(), 30);
    await world.checkReadable();
    await world.down(2, false);
    await world.rig.server.settleCopies();
    assert.equal(await world.atRisk(), 0);
    await world.checkRows(3);
  }));

test('a copy that a read finds damaged or missing is passed over, owed and made again', () =>
  withWorld(3, async (world) => {
    await world.copies(2);
    await world.write(30);
    // One node has lost everything that it held, another one damaged what it holds.
    world.node(0).store = new MemoryBlockStore(p);
    await world.checkReadable();
    await world.rig.server.settleCopies();
    assert.equal(await world.atRisk(), 0);
    const { blocks } = (await world.node(0).store.status()) as { blocks: number };
    assert.ok(blocks > 0, 'what was found missing was made again');
    const { store } = world.node(0);
    // Until it is put again, as a disk does that stores anew what it found damaged.
    const good = new Set<BlockId>();
    const get: typeof store.get = async (ids, signal) =>
      (await store.get(ids, signal)).map((got, index) => (good.has(ids[index] as BlockId) ? got : { kind: 'corrupt' }));
    const put: typeof store.put = async (blocks, fence, signal) => {
      for (const { id } of blocks) good.add(id);
      return store.put(blocks, fence, signal);
    };
    const status = () => store.status();
    world.node(0).store = Object.assign(Object.create(store) as typeof store, {
      get,
      put,
      status,
      has: store.has.bind(store),
    });
    await world.checkReadable();
    await world.rig.server.settleCopies();
    assert.equal(await world.atRisk(), 0);
    await world.checkReadable();
    assert.ok(good.size > 0);
  }));

test('the story of a file tells which copies were bad and when they were made anew; a mere move is no repair', () =>
  withWorld(3, async (world) => {
    const told = async (index: number) => {
      const { response } = await world.one.ask(why, { space: world.one.space, path: `file ${index}.txt` });
      assert.ok(response.placed);
      const { faults, repairs } = response.placed;
      return { faults, repairs };
    };
    const all = async () => Promise.all(world.files.map((_, index) => told(index)));
    await world.copies(2);
    await world.write(30);
    await world.join(new RigNode('txt'));
    await world.rig.server.settleCopies();
    assert.ok((await all()).every(({ faults, repairs }) => faults.length + repairs.length === 0));

    const held = new Set(
      [...(await world.rows())].filter(([, holders]) => holders.includes(1)).map(([block]) => block),
    );
    assert.ok(held.size > 0 && held.size < 30);
    world.node(0).store = new MemoryBlockStore(p);
    const beganMs = Date.now();
    await world.checkReadable();
    await world.rig.server.settleCopies();
    const stories = await all();
    const mended = stories.filter(({ repairs }) => repairs.length > 0);
    assert.ok(mended.length > 0 && mended.length <= held.size);
    for (const [index, { faults, repairs }] of stories.entries()) {
      const block = world.files[index]?.blocks[0]?.id;
      assert.ok(block);
      if (!held.has(block)) assert.deepEqual([faults, repairs], [[], []]);
      if (repairs.length === 0) continue;
      assert.deepEqual(
        faults.map((one) => [one.node, one.why, one.blocks]),
        [['node-txt', 'missing', 1]],
      );
      assert.deepEqual(
        repairs.map(({ from, to, blocks }) => [from, to, blocks]),
        [[['node-txt'], ['node-txt'], 1]],
      );
      assert.ok([...faults, ...repairs].every(({ atMs }) => atMs >= beganMs && atMs <= Date.now()));
    }
  }));

test('a node that is slow to read keeps nobody waiting for what others have, and all the time it needs for what it alone has', () =>
  withWorld(3, async (world) => {
    await world.copies(2);
    await world.write(30);
    const { store } = world.node(0);
    let asked = 0;
    let wakeUp = () => {};
    const awake = new Promise<void>((resolve) => {
      wakeUp = resolve;
    });
    const get: typeof store.get = async (ids, signal) => {
      asked += 1;
      await awake;
      return store.get(ids, signal);
    };
    world.node(0).store = Object.assign(Object.create(store) as typeof store, {
      get,
      has: store.has.bind(store),
      status: () => store.status(),
    });
    // It has not answered when these are.
    await world.checkReadable();
    assert.ok(asked > 0, 'it was asked');
    asked = 0;
    await world.checkReadable();
    assert.equal(asked, 0, 'it is remembered that it is slow');
    assert.equal(await world.atRisk(), 0, 'slow is neither lost nor damaged');
    // The others are gone: what lies on it is read all the same.
    await world.down(1, true);
    await world.down(2, true);
    wakeUp();
    const { blocks } = (await store.status()) as { blocks: number };
    const manifests = world.files.map(({ manifestId }) => manifestId);
    const { response } = await world.one.ask(contents, { space: world.one.space, manifests, budgetBytes: 4 << 20 });
    const found = response.items.filter(({ kind }) => kind === 'found').length;
    assert.ok(found > 0 && found <= blocks, `${found} files of ${blocks} blocks were read`);
  }));

test('a disk that reports errors when it is read is passed over for another copy, and says nothing about its blocks', () =>
  withWorld(3, async (world) => {
    await world.copies(2);
    await world.write(30);
    const { store } = world.node(0);
    let asked = 0;
    world.node(0).store = Object.assign(Object.create(store) as typeof store, {
      get: async (ids: readonly unknown[]) => ids.map(() => ({ kind: 'disk_failed' as const, asked: asked++ })),
      has: store.has.bind(store),
      status: () => store.status(),
    });
    await world.checkReadable();
    assert.ok(asked > 0, 'it was asked');
    assert.equal(await world.atRisk(), 0, 'it may read them again');
    world.node(0).store = store;
    await world.checkReadable();
  }));

test('scrub finds what nobody reads', async () => {
  const monotonic = { ms: 0 };
  const clock = {
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now() + monotonic.ms,
    sleep: (ms: number, signal: AbortSignal) =>
      new Promise<void>((resolve) => {
        if (signal.aborted) return resolve();
        const timer = setTimeout(resolve, Math.min(ms, 2 ** 30));
        signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
      }),
  };
  const nodes = [new RigNode('txt'), new RigNode('txt')];
  const rig = await ServerRig.start({ nodes, clock, care: { ...CARE, scrubMs: 1000 } });
  try {
    const world = new World(rig, await rig.link('one'));
    await world.copies(2);
    await world.write(20);
    await rig.server.settleCopies();
    await world.checkRows(2);
    world.node(1).store = new MemoryBlockStore(p);
    monotonic.ms += 10_000;
    await rig.server.greetNodes();
    await rig.server.settleCopies();
    monotonic.ms += 10_000;
    await rig.server.greetNodes();
    await rig.server.settleCopies();
    await world.checkRows(2);
    assert.equal(await world.atRisk(), 0);
  } finally {
    await rig.close();
  }
});

test('a node that joins gets its share, and who held it before gives it up; nothing is ever below the copies asked', () =>
  withWorld(3, async (world) => {
    await world.copies(2);
    await world.write(60);
    const before = await world.rows();
    await world.join(new RigNode('txt'));
    await world.checkReadable();
    await world.rig.server.settleCopies();
    await world.checkRows(2);
    const now = await world.rows();
    const moved = [...now].filter(([block, holders]) => holders.some((one) => !before.get(block)?.includes(one)));
    assert.ok(
      moved.every(([, holders]) => holders.includes(4)),
      'only the new node got copies',
    );
    assert.ok(moved.length > 10 && moved.length < 55, `about half of the blocks, not ${moved.length} of 60`);
    await world.checkReadable();
  }));

test('a copy that is let go of while it is made counts for nothing, and is made again', () => {
  const test = async (world: World) => {
    await world.copies(2);
    await world.write(60);
    const joining = new RigNode('txt');
    const { store } = joining;
    const ordered: BlockId[] = [];
    // A delete order was decided meanwhile: the block is not there any more, or not for long.
    const put: typeof store.put = async (blocks, ...of) => {
      const results = await store.put(blocks, ...of);
      if (ordered.length > 0) return results;
      ordered.push(...blocks.map(({ id }) => id));
      await world.rig.meta.write(async (writer) => {
        const state = await collectionState(writer);
        const fence = state.fence + 1;
        await putCollectionState(writer, { ...state, fence });
        await addGarbage(
          writer,
          ordered.map((block) => ({ node: 4, block })),
          1,
        );
        await orderGarbage(writer, 4, ordered, { fence, sinceMs: 1 });
      });
      return results;
    };
    joining.store = Object.assign(Object.create(store) as typeof store, { put, status: () => store.status() });
    await world.join(joining);
    await world.rig.server.settleCopies();
    joining.store = store;
    assert.ok(ordered.length > 5);
    const rows = await world.rows();
    assert.ok(ordered.every((block) => rows.get(block)?.includes(4)));
    await world.checkRows(2);
  };
  return withWorld(3, test, { retryMs: 0 });
});

test('what is committed by a layout that is not the newest any more comes to lie where that one wants it', () =>
  withWorld(4, async (world) => {
    await world.copies(2);
    // Another server, or this one a moment before it reads the nodes again.
    await world.rig.meta.write(async (writer) => {
      const node = (await allNodes(writer)).find(({ number }) => number === 4);
      assert.ok(node);
      await changeStanding({ primitives: p, random: realRandom }, writer, node, 'draining');
      await writer.db.deleteFrom('job').where('kind', '!=', 'scrub').execute();
    });
    await world.write(60);
    await world.rig.server.settleCopies();
    assert.ok([...(await world.rows()).values()].every((holders) => !holders.includes(4)));
    await world.checkRows(2);
  }));

test('a node that drains gives everything away and can be removed then; before, it is refused', () =>
  withWorld(3, async (world) => {
    await world.copies(2);
    await world.write(40);
    const { node } = world.node(0);
    await assert.rejects(world.one.ask(nodesRemove, { node, lost: false }), { code: 'conflict' });
    const { blocksLeft } = (await world.one.ask(nodesDrain, { node, drain: true })).response;
    assert.ok(blocksLeft > 0);
    assert.equal((await world.row(0))?.standing, 'draining');
    assert.equal(await world.atRisk(), 0);
    await world.rig.server.settleCopies();
    assert.equal((await world.row(0))?.drain?.blocksLeft, 0);
    await world.checkRows(2);
    assert.ok([...(await world.rows()).values()].every((holders) => !holders.includes(1)));
    await world.one.ask(nodesRemove, { node, lost: false });
    assert.equal(await world.row(0), undefined);
    world.node(0).down = true;
    await world.checkReadable();
    await world.write(5, 'after');
    await world.rig.server.settleCopies();
    await world.checkRows(2);
    // Two are left, and two are asked for.
    await assert.rejects(world.one.ask(nodesDrain, { node: world.node(1).node, drain: true }), { code: 'conflict' });
  }));

test('a drain that is stopped leaves the node as it was', () =>
  withWorld(3, async (world) => {
    await world.write(20);
    const { node } = world.node(0);
    await world.one.ask(nodesDrain, { node, drain: true });
    await world.one.ask(nodesDrain, { node, drain: false });
    await world.rig.server.settleCopies();
    assert.equal((await world.row(0))?.standing, 'in');
    await world.checkRows(1);
    assert.ok([...(await world.rows()).values()].some((holders) => holders.includes(1)));
  }));

test('a node out of reach for too long is lost and its copies are made anew; back again, it counts as far as it holds', () =>
  withWorld(
    3,
    async (world) => {
      await world.copies(2);
      await world.write(40);
      await world.down(0, true);
      assert.equal((await world.row(0))?.standing, 'lost');
      await world.rig.server.settleCopies();
      assert.equal(await world.atRisk(), 0);
      assert.ok([...(await world.rows()).values()].every((holders) => holders.length === 2 && !holders.includes(1)));
      await world.checkReadable();
      await world.write(10, 'meanwhile');
      await world.down(0, false);
      assert.equal((await world.row(0))?.standing, 'in');
      await world.rig.server.settleCopies();
      await world.checkRows(2);
      assert.ok([...(await world.rows()).values()].some((holders) => holders.includes(1)));
      assert.equal(await world.atRisk(), 0);
    },
    { lostMs: 0 },
  ));

test('a node that comes back empty counts for nothing', () =>
  withWorld(
    3,
    async (world) => {
      await world.copies(2);
      await world.write(20);
      await world.down(0, true);
      world.node(0).store = new MemoryBlockStore(p);
      await world.down(0, false);
      await world.rig.server.settleCopies();
      await world.checkRows(2);
    },
    { lostMs: 0 },
  ));

test('the last node of a pool that answers is never given up, and all at once are not either', () =>
  withWorld(
    2,
    async (world) => {
      await world.write(10);
      for (const index of [0, 1]) world.node(index).down = true;
      await world.rig.server.greetNodes();
      for (const index of [0, 1]) assert.equal((await world.row(index))?.standing, 'in');
      assert.equal(await world.atRisk(), 10);
    },
    { lostMs: 0 },
  ));

test('gone for ever: what the node held is made anew at once, and what it alone held is said to be missing', () =>
  withWorld(3, async (world) => {
    await world.write(30);
    await world.copies(2);
    await world.rig.server.settleCopies();
    const { node } = world.node(2);
    world.node(2).down = true;
    const { blocksToCopy } = (await world.one.ask(nodesRemove, { node, lost: true })).response;
    assert.ok(blocksToCopy > 0);
    assert.ok(
      (await world.atRisk()) > 0 || [...(await world.rows()).values()].every((holders) => !holders.includes(3)),
    );
    await world.rig.server.settleCopies();
    await world.checkRows(2);
    await world.copies(1);
    await world.rig.server.settleCopies();
    const alone = [...(await world.rows()).values()].filter((holders) => holders.includes(2)).length;
    world.node(1).store = new MemoryBlockStore(p);
    world.node(1).down = true;
    await world.one.ask(nodesRemove, { node: world.node(1).node, lost: true });
    await world.rig.server.settleCopies();
    // What was given up before is still on the first node, and found there.
    const status = await world.status();
    assert.ok(alone > 0);
    assert.equal(status.copiesAtRisk, 0);
    await world.checkReadable();
  }));

test('what nobody holds any more is asked of its device again', () =>
  withWorld(2, async (world) => {
    await world.write(1);
    const [file] = world.files;
    assert.ok(file);
    const holder = [...(await world.rows()).values()][0]?.[0] as number;
    world.node(holder - 1).down = true;
    await world.one.ask(nodesRemove, { node: world.node(holder - 1).node, lost: true });
    await world.rig.server.settleCopies();
    const status = await world.status();
    assert.deepEqual([status.copiesAtRisk, status.problems.map(({ code }) => code)], [1, ['block_missing']]);
    const create = {
      kind: 'create',
      entry: 'a'.repeat(32) as never,
      parent: ROOT_ENTRY,
      name: 'again.txt',
      state: { kind: 'file', content: { ...file.content, manifest: 0 }, mtimeUs: 1, exec: false },
    } as const;
    const first = await world.one.commit([[create]], [file], { inline: false });
    assert.equal(first.answers[0]?.kind, 'need_blocks');
    const second = await world.one.commit([[create]], [file]);
    assert.equal(second.answers[0]?.kind, 'applied');
    assert.equal(await world.atRisk(), 0);
    await world.checkReadable();
  }));

test('what was planned under an older layout is not written down', () =>
  withWorld(3, async (world) => {
    await world.copies(2);
    await world.down(2, true);
    await world.write(30);
    await world.copies(3);
    await world.rig.server.settleCopies();
    await world.down(2, false);
    // The node is removed while its blocks are on their way to it.
    const { store } = world.node(2);
    let removed = false;
    const put: typeof store.put = async (...of) => {
      if (!removed) {
        removed = true;
        await world.one.ask(nodesRemove, { node: world.node(2).node, lost: true });
      }
      return store.put(...of);
    };
    world.node(2).store = Object.assign(Object.create(store) as typeof store, { put, status: () => store.status() });
    await world.rig.server.settleCopies();
    assert.ok(removed);
    assert.ok([...(await world.rows()).values()].every((holders) => !holders.includes(3)));
    assert.equal(await world.atRisk(), 30);
  }));

test('two processes with one identity: the one that was there before answers no more', () =>
  withWorld(1, async (world) => {
    const node = world.node(0);
    const [first, second] = ['1111111111111111', '2222222222222222'];
    Object.assign(node, { boot: 5, run: first });
    await world.rig.server.greetNodes();
    Object.assign(node, { boot: 6, run: second });
    await world.rig.server.greetNodes();
    assert.deepEqual((await world.status()).problems, []);
    for (const other of [
      { boot: 6, run: first },
      { boot: 3, run: '3333333333333333' },
    ]) {
      Object.assign(node, other);
      await world.rig.server.greetNodes();
      assert.equal((await world.row(0))?.state, 'unreachable');
      const codes = (await world.status()).problems.map(({ code }) => code);
      assert.ok(codes.includes('node_cloned'), codes.join());
    }
    Object.assign(node, { boot: 7, run: '4444444444444444' });
    await world.rig.server.greetNodes();
    assert.deepEqual((await world.status()).problems, []);
  }));

test('what a loss would cost is what it costs', () =>
  withWorld(3, async (world) => {
    await world.write(20, 'one copy');
    await world.copies(2);
    await world.rig.server.settleCopies();
    await world.write(20, 'two copies');
    // Some have one copy alone: on the node that goes, or elsewhere.
    const { node } = world.node(0);
    const foretold = (await world.one.ask(nodesWhatif, { node })).response;
    assert.equal(foretold.filesLost, 0);
    const held = [...(await world.rows()).values()].filter((holders) => holders.includes(1)).length;
    assert.deepEqual([foretold.filesWithOneCopy, foretold.blocksToCopy], [held, held]);
    const storedBefore = await storedBytes(world, [1, 2]);
    world.node(0).down = true;
    const { blocksToCopy } = (await world.one.ask(nodesRemove, { node, lost: true })).response;
    assert.equal(blocksToCopy, foretold.blocksToCopy);
    await world.rig.server.settleCopies();
    assert.equal((await storedBytes(world, [1, 2])) - storedBefore, foretold.bytesToCopy);
    await world.copies(1);
    await world.rig.server.settleCopies();
    const again = (await world.one.ask(nodesWhatif, { node: world.node(1).node })).response;
    const alone = [...(await world.rows()).values()].filter((holders) => holders.includes(2)).length;
    assert.deepEqual([again.filesLost, again.filesWithOneCopy, again.bytesToCopy], [alone, 0, 0]);
  }));

async function storedBytes(world: World, indexes: readonly number[]): Promise<number> {
  const statuses = await Promise.all(indexes.map(async (index) => world.node(index).store.status()));
  return statuses.reduce((sum, status) => sum + (status as { storedBytes: number }).storedBytes, 0);
}

test('copies lie in different failure domains, also after a node was lost and made good', () =>
  withRooms(async (world) => {
    await world.write(40);
    const roomOf = (number: number) => world.node(number - 1).domain;
    const apart = async () =>
      [...(await world.rows()).values()].every((holders) => new Set(holders.map(roomOf)).size === 2);
    assert.ok(await apart());
    world.node(0).down = true;
    await world.one.ask(nodesRemove, { node: world.node(0).node, lost: true });
    await world.rig.server.settleCopies();
    await world.checkRows(2);
    assert.ok(await apart());
  }));

async function withRooms(work: (world: World) => Promise<void>): Promise<void> {
  const nodes = ['a', 'a', 'b', 'b'].map((room) => new RigNode('txt', undefined, room));
  const rig = await ServerRig.start({ nodes, care: CARE });
  try {
    const world = new World(rig, await rig.link('one'));
    await world.copies(2);
    await work(world);
  } finally {
    await rig.close();
  }
}

test('a node that was removed may join again with what it holds; full nodes are passed over', () =>
  withWorld(3, async (world) => {
    await world.copies(2);
    await world.write(20);
    await world.one.ask(nodesRemove, { node: world.node(0).node, lost: true });
    await world.rig.server.settleCopies();
    await world.checkRows(2);
    await world.rig.join(world.node(0));
    await world.rig.server.greetNodes();
    assert.equal((await world.row(0))?.standing, 'in');
    await world.rig.server.settleCopies();
    await world.checkRows(2);
    assert.ok([...(await world.rows()).values()].some((holders) => holders.includes(1)));
    // One is full from now on: the others take its share, and nothing waits for it.
    const { store } = world.node(0);
    const refused: number[] = [];
    const put: typeof store.put = async (blocks) => {
      refused.push(blocks.length);
      return blocks.map(() => 'no_space' as const);
    };
    const status = async () => ({ ...(await store.status()), state: 'read_only' });
    world.node(0).store = Object.assign(Object.create(store) as typeof store, {
      put,
      status,
      get: store.get.bind(store),
      has: store.has.bind(store),
    });
    await world.rig.server.greetNodes();
    await world.write(10, 'while full');
    await world.rig.server.settleCopies();
    assert.deepEqual(refused, []);
    assert.equal(await world.atRisk(), 0);
    await world.checkReadable();
  }));

/** Ends the server's life at a transaction: from then on nothing of it is written. */
class EndsAtWrite implements MetaStore {
  readonly #inner: MetaStore;
  left = Number.MAX_SAFE_INTEGER;

  constructor(inner: MetaStore) {
    this.#inner = inner;
  }

  read<T>(work: (reader: MetaReader) => Promise<T>): Promise<T> {
    return this.#inner.read(work);
  }

  async write<T>(work: (writer: MetaWriter) => Promise<T>): Promise<T> {
    if (--this.left < 0) throw new HoldfastError('stopping', 'the server has ended');
    return this.#inner.write(work);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

test('a server that ends at any transaction of a repair, a drain or a join loses nothing, and the next one ends the work', async () => {
  let made: EndsAtWrite | null = null;
  const rig = await ServerRig.start({
    nodes: [1, 2, 3].map(() => new RigNode('txt')),
    care: CARE,
    wrapMeta: (store) => (made = new EndsAtWrite(store)),
  });
  try {
    const world = new World(rig, await rig.link('one'));
    await world.copies(2);
    await world.write(30);
    let whole = 0;
    for (let after = 0; whole < 4; after++) {
      const { node } = world.node(after % 3);
      const { standing } = (await world.row(after % 3)) ?? {};
      // Three nodes, two copies: drained, taken back, drained again.
      if (after % 4 === 3) await world.copies(3);
      else if (after % 4 === 0) await world.copies(2);
      else await world.one.ask(nodesDrain, { node, drain: standing === 'in' }).catch(() => undefined);
      assert.ok(made);
      (made as EndsAtWrite).left = after % 12;
      const ended = await rig.server.settleCopies().then(
        () => false,
        () => true,
      );
      if (!ended) whole++;
      (made as EndsAtWrite).left = Number.MAX_SAFE_INTEGER;
      await rig.restart();
      await world.checkReadable();
      for (const holders of (await world.rows()).values()) assert.ok(holders.length >= 2, 'below the copies asked');
      for (const index of [0, 1, 2])
        if ((await world.row(index))?.standing === 'draining')
          await world.one.ask(nodesDrain, { node: world.node(index).node, drain: false });
      await rig.server.settleCopies();
    }
    await world.copies(2);
    await rig.server.settleCopies();
    await world.checkRows(2);
  } finally {
    await rig.close();
  }
});

test('a server that restarts between any two steps goes on with what there was to do', () =>
  withWorld(3, async (world) => {
    await world.write(50);
    await world.copies(3);
    await world.rig.restart();
    const { node } = world.node(0);
    await world.join(new RigNode('txt'));
    await world.rig.restart();
    await world.one.ask(nodesDrain, { node, drain: true });
    await world.rig.restart();
    await world.rig.server.settleCopies();
    await world.checkRows(3);
    assert.ok([...(await world.rows()).values()].every((holders) => !holders.includes(1)));
    assert.equal(await world.atRisk(), 0);
    assert.deepEqual(
      (await world.status()).jobs.filter(({ name }) => name !== 'scrub'),
      [],
    );
  }));
