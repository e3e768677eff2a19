import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import { ROOT_ENTRY } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { parseRootIndex, type RootIndex } from '#core/root-index.ts';
import { verifyRoot, type RootRecord } from '#core/root-record.ts';
import { deriveSealKey, openBlock } from '#core/seal.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import { nodesDrain } from '#protocol/cluster.ts';
import { realClock } from '#world/real/clock.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { until } from '../../test/holdfast.ts';
import { never, POOLS, RigNode, ServerRig, type RigOptions, type SealedFile } from '../../test/server-rig.ts';

async function start(context: TestContext, options: RigOptions = {}): Promise<ServerRig> {
  const rig = await ServerRig.start(options);
  context.after(() => rig.close());
  return rig;
}

/** Counts what really is written. */
function countPuts(nodes: readonly RigNode[]): { blocks: number; bytes: number } {
  const counted = { blocks: 0, bytes: 0 };
  for (const node of nodes) {
    const { store } = node;
    const put = store.put.bind(store);
    store.put = async (blocks, fence, signal) => {
      const results = await put(blocks, fence, signal);
      blocks.forEach(({ bytes }, index) => {
        if (results[index] !== 'stored') return;
        counted.blocks++;
        counted.bytes += bytes.length;
      });
      return results;
    };
  }
  return counted;
}

function newestRoot(rig: ServerRig, node: RigNode): RootRecord {
  const { cluster } = must(rig.keeper.confirmed, 'there is a root key');
  return must(verifyRoot(p, must(node.roots.at(-1), 'a root was pushed'), cluster), 'it is signed');
}

async function indexOf(rig: ServerRig, node: RigNode): Promise<RootIndex> {
  const { root } = must(rig.keeper.confirmed, 'there is a root key');
  const [got] = await node.store.get([newestRoot(rig, node).index], never);
  assert.equal(got?.kind, 'found');
  const plain = openBlock(p, deriveSealKey(p, root.key, 'metadata'), got.bytes, limits.blockDataBytesMax);
  return must(parseRootIndex(must(plain, 'it opens')), 'it is an index');
}

async function addFiles(rig: ServerRig, count: number, prefix: string): Promise<void> {
  const device = await rig.link(`device-${prefix}`);
  for (let first = 0; first < count; first += 500) {
    const files: SealedFile[] = [];
    const operations = Array.from({ length: Math.min(500, count - first) }, (_, index) =>
      device.createFile(ROOT_ENTRY, `${prefix}-${first + index}.txt`, files, Buffer.from(`${prefix} ${first + index}`)),
    );
    const { answers } = await device.each(operations, files);
    assert.ok(answers.every(({ kind }) => kind === 'applied'));
  }
}

test('every pool gets all of it, every node the root; nothing changed, nothing made', async (context) => {
  const rig = await start(context);
  await addFiles(rig, 3, 'a');
  await rig.server.makeRoot();
  const first = rig.nodes.map((node) => newestRoot(rig, node));
  assert.equal(new Set(first.map(({ seq }) => seq)).size, 1);
  for (const node of rig.nodes) {
    const index = await indexOf(rig, node);
    assert.deepEqual(
      index.heads.map(({ headSeq }) => headSeq),
      [3],
    );
    const ids = index.streams.flat().map(({ id }) => id);
    assert.deepEqual(
      await node.store.has(ids, never),
      ids.map(() => true),
      node.pool,
    );
  }
  await rig.server.makeRoot();
  assert.deepEqual(
    rig.nodes.map(({ roots }) => roots.length),
    [1, 1, 1, 1],
  );
  await addFiles(rig, 1, 'b');
  await rig.server.makeRoot();
  const [node] = rig.nodes as [RigNode];
  const index = await indexOf(rig, node);
  assert.deepEqual([index.streams.length, index.heads[0]?.headSeq], [2, 4]);
  assert.ok(newestRoot(rig, node).seq > (first[0] as RootRecord).seq);
});

test('a new snapshot writes what changed, not what it holds', async (context) => {
  const rig = await start(context, { rootsPace: { snapshotMs: 0, segmentMs: 3_600_000 } });
  await addFiles(rig, 4000, 'many');
  await rig.server.makeRoot();
  const [node] = rig.nodes as [RigNode];
  const before = (await indexOf(rig, node)).streams.flat();
  assert.ok(before.length >= 4, `${before.length} chunks`);
  const counted = countPuts(rig.nodes);
  await addFiles(rig, 1, 'one');
  const ownBlocks = counted.blocks;
  await rig.server.makeRoot();
  const index = await indexOf(rig, node);
  assert.equal(index.streams.length, 1, 'a snapshot');
  // The chunk at the end, perhaps the one before it, the index and the root, in each of four pools.
  assert.ok(counted.blocks - ownBlocks <= 4 * 4, `${counted.blocks - ownBlocks} blocks`);
  const kept = new Set(before.map(({ id }) => id));
  assert.ok((index.streams[0] ?? []).filter(({ id }) => kept.has(id)).length >= before.length - 2);
});

test('the first files do not wait, also where the first root was made before them', async (context) => {
  const rig = await start(context, { rootsPace: { snapshotMs: 3_600_000, segmentMs: 3_600_000 } });
  const [node] = rig.nodes as [RigNode];
  const rooted = () => (node.roots.length > 0 ? indexOf(rig, node) : null);
  await until('there is a root', rooted, (index) => index !== null);
  await addFiles(rig, 1, 'a');
  await until('the file is in one', rooted, (index) => index?.heads[0]?.headSeq === 1);
});

test('a pool that is down is left out and said to be; it gets everything when it is back', async (context) => {
  const rig = await start(context, { rootsPace: { snapshotMs: 3_600_000, segmentMs: 0 } });
  const pdf = must(
    rig.nodes.find(({ pool }) => pool === 'pdf'),
    'a node',
  );
  pdf.down = true;
  await rig.server.greetNodes();
  await addFiles(rig, 3, 'a');
  await rig.server.makeRoot();
  assert.equal(pdf.roots.length, 0);
  const txt = must(
    rig.nodes.find(({ pool }) => pool === 'txt'),
    'a node',
  );
  assert.equal((await indexOf(rig, txt)).heads[0]?.headSeq, 3);
  pdf.down = false;
  await rig.server.greetNodes();
  await rig.server.makeRoot();
  const index = await indexOf(rig, pdf);
  const ids = index.streams.flat().map(({ id }) => id);
  assert.ok((await pdf.store.has(ids, never)).every(Boolean));
});

test('a snapshot finds out what a node has lost, and writes it again', async (context) => {
  const rig = await start(context, { rootsPace: { snapshotMs: 0, segmentMs: 3_600_000 } });
  await addFiles(rig, 3, 'a');
  await rig.server.makeRoot();
  const [node] = rig.nodes as [RigNode];
  node.store = new RigNode(node.pool).store;
  await addFiles(rig, 1, 'b');
  await rig.server.makeRoot();
  const ids = (await indexOf(rig, node)).streams.flat().map(({ id }) => id);
  assert.ok((await node.store.has(ids, never)).every(Boolean));
});

test('where no node answers nothing is claimed; a number that was taken is not taken again', async (context) => {
  let failing = false;
  const wrapMeta = (store: MetaStore): MetaStore => ({
    ...store,
    read: (work) => store.read(work),
    close: () => store.close(),
    write: async (work) => {
      if (failing) throw new HoldfastError('disk_failed', 'the disk of the index fails');
      return store.write(work);
    },
  });
  const rig = await start(context, { wrapMeta });
  await addFiles(rig, 1, 'a');
  for (const node of rig.nodes) node.down = true;
  await rig.server.makeRoot();
  for (const node of rig.nodes) node.down = false;
  await rig.server.greetNodes();
  // The process ends, so to speak, between the push and the row that says so.
  const [node] = rig.nodes as [RigNode];
  const { roots } = node;
  Object.defineProperty(node, 'roots', {
    get: () => {
      failing = roots.length === 0;
      return roots;
    },
    configurable: true,
  });
  await rig.server.makeRoot();
  failing = false;
  Object.defineProperty(node, 'roots', { value: roots, writable: true });
  assert.equal(roots.length, 1);
  await rig.server.makeRoot();
  const { cluster } = must(rig.keeper.confirmed, 'there is a root key');
  const seqs = roots.map((bytes) => must(verifyRoot(p, bytes, cluster), 'signed').seq);
  assert.equal(seqs.length, 2);
  assert.ok((seqs[1] as number) > (seqs[0] as number));
});

test('a node that leaves takes no metadata with it', async (context) => {
  const nodes = [...POOLS.map((pool) => new RigNode(pool)), new RigNode('txt')];
  const rig = await start(context, { nodes, rootsPace: { snapshotMs: 3_600_000, segmentMs: 3_600_000 } });
  await addFiles(rig, 3, 'a');
  await rig.server.makeRoot();
  const owner = await rig.link('owner');
  const [stays, leaves] = [nodes[1], nodes[4]] as [RigNode, RigNode];
  await owner.ask(nodesDrain, { node: leaves.node, drain: true });
  await rig.server.greetNodes();
  await rig.server.makeRoot();
  const index = await indexOf(rig, stays);
  assert.equal(index.streams.length, 1, 'a snapshot');
  const ids = [newestRoot(rig, stays).index, ...index.streams.flat().map(({ id }) => id)];
  assert.deepEqual(
    await stays.store.has(ids, never),
    ids.map(() => true),
  );
});

test('in time every block of the metadata is read, and what is damaged is written again', async (context) => {
  let aheadMs = 0;
  const clock = { ...realClock, nowMs: () => realClock.nowMs() + aheadMs };
  const rig = await start(context, { clock, rootsPace: { snapshotMs: 0, segmentMs: 3_600_000 } });
  // Enough for several chunks, of which the first stays what it is.
  await addFiles(rig, 2500, 'a');
  await rig.server.makeRoot();
  const [node] = rig.nodes as [RigNode];
  const victim = must((await indexOf(rig, node)).streams[0]?.[0], 'it has blocks').id;
  const { store } = node;
  const { get, put } = { get: store.get.bind(store), put: store.put.bind(store) };
  let damaged = true;
  store.get = async (ids, signal) =>
    (await get(ids, signal)).map((result, index) => (damaged && ids[index] === victim ? { kind: 'corrupt' } : result));
  store.put = async (blocks, fence, signal) => {
    if (blocks.some(({ id }) => id === victim)) damaged = false;
    return put(blocks, fence, signal);
  };
  // The hour in which it has its turn.
  const turn = Number.parseInt(victim.slice(0, 8), 16) % 29;
  while (Math.floor(clock.nowMs() / 3_600_000) % 29 !== turn) aheadMs += 3_600_000;
  await addFiles(rig, 1, 'b');
  await rig.server.makeRoot();
  assert.equal(damaged, false);
});
