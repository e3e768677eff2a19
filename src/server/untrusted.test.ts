/** Storage nodes that lie are found within an hour and taken out of service; those that are merely slow or unlucky are not. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import test from 'node:test';
import { MemoryBlockStore } from '#blocks/memory-block-store.ts';
import { toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import { walkPresence } from '#meta/copies.ts';
import { nodesDrain, nodesList, nodesRemove, nodesTrust, poolsSet, serverStatus } from '#protocol/cluster.ts';
import { contents } from '#protocol/contents.ts';
import { proveHeld } from '#storage/prove.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { never, RigNode, ServerRig, type RigDevice, type SealedFile } from '../../test/server-rig.ts';

/** Nothing happens by itself; proofs are asked for at their usual pace, by a clock that the test moves. */
const CARE = { beatMs: 1e8, lookMs: 1e8, retryMs: 0, lostMs: 1e8 };
const MINUTE = 60_000;

type Store = RigNode['store'];

/** A store that passes on what the liar does not do itself. */
function lying(store: Store, lies: Partial<Store>): Store {
  return {
    put: store.put.bind(store),
    get: store.get.bind(store),
    has: store.has.bind(store),
    delete: store.delete.bind(store),
    status: store.status.bind(store),
    ...lies,
  };
}

class World {
  readonly time = { ms: 0 };
  rig!: ServerRig;
  one!: RigDevice;
  readonly files: SealedFile[] = [];

  static async open(nodes: number, copies: number): Promise<World> {
    const world = new World();
    const clock = {
      nowMs: () => 1_800_000_000_000 + world.time.ms,
      monotonicMs: () => world.time.ms,
      sleep: (_ms: number, signal: AbortSignal) =>
        new Promise<void>((resolve) => {
          if (signal.aborted) return resolve();
          signal.addEventListener('abort', () => resolve(), { once: true });
        }),
    };
    const made = Array.from({ length: nodes }, () => new RigNode('txt'));
    world.rig = await ServerRig.start({
      nodes: made,
      clock,
      care: CARE,
      collection: { everyMs: MINUTE, graceMs: MINUTE },
    });
    world.one = await world.rig.link('one');
    if (copies > 1) await world.one.ask(poolsSet, { pool: 'txt', copies });
    return world;
  }

  node(index: number): RigNode {
    return this.rig.nodes[index] as RigNode;
  }

  async write(count: number, prefix = 'file'): Promise<void> {
    this.files.push(...(await this.one.createMany(count, prefix)));
  }

  async row(index: number) {
    const { nodes } = (await this.one.ask(nodesList, {})).response;
    const found = nodes.find(({ node }) => node === this.node(index).node);
    assert.ok(found);
    return found;
  }

  async standings(): Promise<readonly string[]> {
    return Promise.all(this.rig.nodes.map(async (_, index) => (await this.row(index)).standing));
  }

  async status() {
    return (await this.one.ask(serverStatus, {})).response;
  }

  /** A minute passes, and what there is to do is done. */
  async minute(): Promise<void> {
    this.time.ms += MINUTE;
    await this.rig.server.settleCopies();
  }

  /** How many minutes until that node is taken out; at most an hour. */
  async minutesToFind(index: number): Promise<number> {
    for (let minutes = 1; minutes <= 60; minutes++) {
      await this.minute();
      if ((await this.row(index)).standing === 'distrusted') return minutes;
    }
    return assert.fail('the liar was not found within an hour');
  }

  async rows(): Promise<ReadonlyMap<BlockId, readonly number[]>> {
    const rows = await this.rig.meta.read((reader) => walkPresence(reader, null, 10_000));
    return new Map(rows.map(({ block, holders }) => [block, holders]));
  }

  /** Every block lies on as many of the honest nodes, as the rows say, and every file can be read. */
  async checkWhole(copies: number, without: number): Promise<void> {
    for (const [block, holders] of await this.rows()) {
      assert.equal(holders.length, copies);
      assert.ok(!holders.includes(without + 1));
      for (const number of holders) assert.deepEqual(await this.node(number - 1).store.has([block], never), [true]);
    }
    await this.checkReadable();
    assert.equal((await this.status()).copiesAtRisk, 0);
  }

  async checkReadable(): Promise<void> {
    for (let at = 0; at < this.files.length; at += 100) {
      const manifests = this.files.slice(at, at + 100).map(({ manifestId }) => manifestId);
      const { response } = await this.one.ask(contents, { space: this.one.space, manifests, budgetBytes: 4 << 20 });
      assert.deepEqual(new Set(response.items.map(({ kind }) => kind)), new Set(['found']));
    }
  }
}

async function withWorld(nodes: number, copies: number, work: (world: World) => Promise<void>): Promise<void> {
  const world = await World.open(nodes, copies);
  try {
    await work(world);
  } finally {
    await world.rig.close();
  }
}

const forged = (id: BlockId) => createHash('sha256').update(id).digest();
const made = toHex(randomBytes(32));

/** What a node does that lies; its own bytes are those that it was honestly given. */
const LIARS: Readonly<Record<string, (node: RigNode) => void>> = {
  'keeps only hashes, and makes proofs up'(node) {
    const ids = new Set<BlockId>();
    node.store = lying(node.store, {
      async put(blocks) {
        return blocks.map(({ id }) => {
          const result = ids.has(id) ? 'held' : 'stored';
          ids.add(id);
          return result;
        });
      },
      get: async (asked) => asked.map((id) => ({ kind: 'found', bytes: forged(id) })),
      has: async (asked) => asked.map(() => true),
    });
    node.prove = async (challenges) =>
      challenges.map(({ key, block }) => ({
        kind: 'proof',
        proof: toHex(p.hmacSha256(Buffer.from(key, 'hex'), forged(block))),
      }));
  },
  'claims everything, and says that it is missing when it is to be shown'(node) {
    node.store = lying(node.store, {
      put: async (blocks) => blocks.map(() => 'held'),
      get: async (asked) => asked.map(() => ({ kind: 'missing' })),
      has: async (asked) => asked.map(() => true),
    });
  },
  'claims everything, and says that it is damaged when it is to be shown'(node) {
    node.store = lying(node.store, {
      put: async (blocks) => blocks.map(() => 'held'),
      get: async (asked) => asked.map(() => ({ kind: 'corrupt' })),
    });
  },
  'says stored and stores nothing, and admits it when asked'(node) {
    const empty = new MemoryBlockStore(p);
    node.store = lying(empty, { put: async (blocks) => blocks.map(() => 'stored') });
  },
  'proves well and serves other bytes'(node) {
    const { store } = node;
    node.prove = (challenges, signal) => proveHeld(store, p, challenges, signal);
    node.store = lying(store, { get: async (asked) => asked.map((id) => ({ kind: 'found', bytes: forged(id) })) });
  },
  'flips a bit of what it serves'(node) {
    const { store } = node;
    node.store = lying(store, {
      get: async (asked, signal) =>
        (await store.get(asked, signal)).map((one) => {
          if (one.kind === 'found') one.bytes[one.bytes.length >> 1]! ^= 1;
          return one;
        }),
    });
  },
  'repeats old proofs'(node) {
    const { prove } = node;
    const kept = new Map<BlockId, Awaited<ReturnType<typeof prove>>[number]>();
    node.prove = async (challenges, signal) => {
      const answers: Awaited<ReturnType<typeof prove>>[number][] = [];
      for (const challenge of challenges) {
        const old = kept.get(challenge.block) ?? (await prove([challenge], signal))[0];
        assert.ok(old);
        kept.set(challenge.block, old);
        answers.push(old);
      }
      return answers;
    };
  },
  'always gives the same proof'(node) {
    node.prove = async (challenges) => challenges.map(() => ({ kind: 'proof', proof: made }));
  },
};

for (const [what, lie] of Object.entries(LIARS))
  test(`a node that ${what} is taken out within an hour, and what it held is made anew`, () =>
    withWorld(3, 2, async (world) => {
      await world.write(60);
      lie(world.node(0));
      await world.minutesToFind(0);
      await world.rig.server.settleCopies();
      assert.deepEqual(await world.standings(), ['distrusted', 'in', 'in']);
      await world.checkWhole(2, 0);
      const { lies } = await world.row(0);
      assert.ok(lies && lies.blocks >= 3 && lies.lastMs >= lies.firstMs);
      const { problems } = await world.status();
      const told = problems.filter(({ code }) => code === 'node_lies');
      assert.equal(told.length, 1);
      assert.match(told[0]?.message ?? '', /out of service.*nodes trust/);
      const page = await world.rig.server.page('/');
      assert.ok(Buffer.from(page?.body ?? []).includes('out of service: wrong answers'));
      // Files that are new go to the others alone.
      await world.write(10, 'after');
      await world.checkWhole(2, 0);
    }));

test('two that agree on what is not so are found by what can be read', () =>
  withWorld(4, 2, async (world) => {
    await world.write(60);
    const agreed = LIARS['keeps only hashes, and makes proofs up'];
    agreed?.(world.node(0));
    agreed?.(world.node(1));
    await world.minutesToFind(0);
    await world.minute();
    assert.deepEqual((await world.standings()).slice(2), ['in', 'in']);
  }));

test('a small part that is dropped is found in the hour that the numbers promise', () =>
  withWorld(2, 2, async (world) => {
    // Of 2,000 blocks one in a hundred: 3,600 draws meet 36 of them on average.
    for (let part = 0; part < 4; part++) await world.write(500, `part ${part}`);
    const ids = world.files.flatMap(({ blocks }) => blocks.map(({ id }) => id));
    const dropped = new Set(ids.filter((_, index) => index % 100 === 0));
    const { store } = world.node(0);
    world.node(0).store = lying(store, {
      get: async (asked, signal) =>
        (await store.get(asked, signal)).map((one, index) =>
          dropped.has(asked[index] as BlockId) ? { kind: 'found', bytes: randomBytes(300) } : one,
        ),
    });
    assert.ok((await world.minutesToFind(0)) <= 60);
    assert.equal((await world.row(1)).standing, 'in');
    await world.checkReadable();
  }));

test('honest nodes stay: slow ones, ones that lose a disk or find damage, ones that are away', () =>
  withWorld(4, 3, async (world) => {
    await world.write(80);
    // It never answers a challenge in time.
    world.node(0).prove = async () => {
      throw new HoldfastError('unreachable', 'it is slow');
    };
    // A part is damaged, and it says so until it gets the blocks anew.
    const { store } = world.node(1);
    const ids = world.files.flatMap(({ blocks }) => blocks.map(({ id }) => id));
    const damaged = new Set(ids.filter((_, index) => index % 3 === 0));
    world.node(1).store = lying(store, {
      get: async (asked, signal) =>
        (await store.get(asked, signal)).map((one, index) =>
          one.kind === 'found' && damaged.has(asked[index] as BlockId) ? { kind: 'corrupt' } : one,
        ),
      has: async (asked, signal) =>
        (await store.has(asked, signal)).map((held, index) => held && !damaged.has(asked[index] as BlockId)),
      put: async (blocks, fence, signal) => {
        for (const { id } of blocks) damaged.delete(id);
        return store.put(blocks, fence, signal);
      },
    });
    // Now and then the memory of some machine flips a bit on the way.
    const sound = world.node(3).store;
    let reads = 0;
    world.node(3).prove = (challenges, signal) => proveHeld(sound, p, challenges, signal);
    world.node(3).store = lying(sound, {
      get: async (asked, signal) => {
        const got = await sound.get(asked, signal);
        const [first] = got;
        if (first?.kind === 'found' && ++reads % 5 === 0) first.bytes[0] = (first.bytes[0] as number) ^ 1;
        return got;
      },
    });
    // All is lost, and it admits it.
    world.node(2).store = new MemoryBlockStore(p);
    for (let minutes = 0; minutes < 60; minutes++) {
      await world.minute();
      await world.rig.server.greetNodes();
    }
    assert.deepEqual(await world.standings(), ['in', 'in', 'in', 'in']);
    assert.deepEqual(
      (await world.status()).nodes.map(({ lies }) => lies),
      [null, null, null, null],
    );
    await world.checkReadable();
    // A read that met a flipped bit owes a copy.
    await world.rig.server.settleCopies();
    assert.equal((await world.status()).copiesAtRisk, 0);
    for (const [block, holders] of await world.rows())
      for (const number of holders) assert.deepEqual(await world.node(number - 1).store.has([block], never), [true]);
  }));

test('what only the liar has stays readable and moves away first; where there is no other node it stays in service, and people are told', async () => {
  const flips = (node: RigNode) => {
    const { prove } = node;
    node.prove = async (challenges, signal) => {
      await prove(challenges, signal);
      return challenges.map(() => ({ kind: 'proof', proof: made }));
    };
  };
  await withWorld(1, 1, async (world) => {
    await world.write(20);
    flips(world.node(0));
    for (let minutes = 0; minutes < 3; minutes++) await world.minute();
    assert.deepEqual(await world.standings(), ['in']);
    await world.checkReadable();
    const { problems } = await world.status();
    assert.match(problems.find(({ code }) => code === 'node_lies')?.message ?? '', /add a storage node/);
  });
  await withWorld(2, 1, async (world) => {
    await world.write(40);
    flips(world.node(0));
    const deleted: unknown[] = [];
    const { store } = world.node(0);
    world.node(0).store = lying(store, {
      delete: async (...of) => {
        deleted.push(of);
        return store.delete(...of);
      },
    });
    await world.minutesToFind(0);
    await world.rig.server.settleCopies();
    await world.checkWhole(1, 0);
    // What was moved away is garbage there; it stays all the same, for as long as nobody trusts the node.
    world.time.ms += 60 * MINUTE;
    await world.rig.server.collectGarbage();
    assert.deepEqual(deleted, []);
    assert.ok(((await store.status()) as { blocks: number }).blocks > 0);
    world.node(0).prove = (challenges, signal) => proveHeld(store, p, challenges, signal);
    await world.one.ask(nodesTrust, { node: world.node(0).node });
    await world.rig.server.settleCopies();
    world.time.ms += 60 * MINUTE;
    await world.rig.server.collectGarbage();
    // Trusted again, its blocks are its own again, and were never anything else.
    assert.ok([...(await world.rows()).values()].some((holders) => holders.join() === '1'));
    await world.checkReadable();
  });
});

test('a liar stays out when it was away, drained or joins again, until a person trusts it; what it holds is read first', () =>
  withWorld(3, 2, async (world) => {
    await world.write(60);
    const { store } = world.node(0);
    LIARS['proves well and serves other bytes']?.(world.node(0));
    await world.minutesToFind(0);
    await world.rig.server.settleCopies();
    const { node } = world.node(0);
    world.node(0).down = true;
    await world.rig.server.greetNodes();
    world.node(0).down = false;
    await world.rig.server.greetNodes();
    await assert.rejects(world.rig.join(world.node(0)), { code: 'conflict' });
    for (const drain of [true, false])
      await assert.rejects(world.one.ask(nodesDrain, { node, drain }), { code: 'conflict' });
    await assert.rejects(world.one.ask(nodesTrust, { node: world.node(1).node }), { code: 'conflict' });
    assert.equal((await world.row(0)).standing, 'distrusted');
    // It has half of what it had, and claims all of it.
    const ids = world.files.flatMap(({ blocks }) => blocks.map(({ id }) => id));
    const gone = new Set(ids.filter((_, index) => index % 2 === 0));
    world.node(0).store = lying(store, {
      get: async (asked, signal) =>
        (await store.get(asked, signal)).map((one, index) =>
          gone.has(asked[index] as BlockId) ? { kind: 'missing' } : one,
        ),
      put: async (blocks, fence, signal) => {
        for (const { id } of blocks) gone.delete(id);
        return store.put(blocks, fence, signal);
      },
    });
    await world.one.ask(nodesTrust, { node });
    await world.rig.server.settleCopies();
    const row = await world.row(0);
    assert.deepEqual([row.standing, row.lies], ['in', null]);
    for (const [block, holders] of await world.rows()) {
      assert.equal(holders.length, 2);
      assert.ok(!holders.includes(1) || !gone.has(block), 'nothing counts that was not read or put anew');
    }
    assert.ok([...(await world.rows()).values()].some((holders) => holders.includes(1)));
    for (let minutes = 0; minutes < 5; minutes++) await world.minute();
    assert.deepEqual(await world.standings(), ['in', 'in', 'in']);
    await world.checkReadable();
    await assert.rejects(world.one.ask(nodesTrust, { node }), { code: 'conflict' });
  }));

test('a node that proves nothing, and blames its disk, is shown; once it proves it is not', () =>
  withWorld(3, 2, async (world) => {
    await world.write(20);
    const unproven = async () => (await world.status()).problems.filter(({ code }) => code === 'node_unproven').length;
    const { prove } = world.node(0);
    world.node(0).prove = async (challenges) => challenges.map(() => ({ kind: 'disk_failed' }));
    for (let minutes = 0; minutes < 10; minutes++) await world.minute();
    assert.equal(await unproven(), 0);
    for (let minutes = 0; minutes < 10; minutes++) await world.minute();
    assert.equal(await unproven(), 1);
    assert.deepEqual(await world.standings(), ['in', 'in', 'in']);
    world.node(0).prove = prove;
    await world.minute();
    assert.equal(await unproven(), 0);
  }));

test('a liar can be removed for good', () =>
  withWorld(3, 2, async (world) => {
    await world.write(20);
    LIARS['always gives the same proof']?.(world.node(0));
    await world.minutesToFind(0);
    await world.rig.server.settleCopies();
    await world.one.ask(nodesRemove, { node: world.node(0).node, lost: false });
    await world.checkWhole(2, 0);
    assert.equal((await world.status()).problems.filter(({ code }) => code === 'node_lies').length, 0);
  }));
