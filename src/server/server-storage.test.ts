import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { MemoryBlockStore } from '#blocks/memory-block-store.ts';
import { HoldfastError } from '#core/errors.ts';
import { ROOT_ENTRY, type EntryId, type UploadId } from '#core/ids.ts';
import { contents } from '#protocol/contents.ts';
import {
  files as listFiles,
  type FileRow,
  nodesList,
  poolsList,
  poolsSet,
  rulesAdd,
  rulesList,
  rulesRemove,
  rulesTest,
  serverStatus,
} from '#protocol/cluster.ts';
import { commit, prepare } from '#protocol/sync.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import {
  folder,
  never,
  newId,
  POOLS,
  RigNode,
  ServerRig,
  type RigDevice,
  type SealedFile,
} from '../../test/server-rig.ts';

async function withRig(work: (rig: ServerRig) => Promise<void>, nodes?: readonly RigNode[]): Promise<void> {
  const rig = await ServerRig.start(nodes ? { nodes } : {});
  try {
    await work(rig);
  } finally {
    await rig.close();
  }
}

const nodeOf = (rig: ServerRig, pool: string): RigNode => {
  const node = rig.nodes.find((one) => one.pool === pool);
  assert.ok(node);
  return node;
};

async function fetchAll(device: RigDevice, files: readonly SealedFile[]) {
  const manifests = files.map((file) => file.manifestId);
  return (await device.ask(contents, { space: device.space, manifests, budgetBytes: 4 << 20 })).response.items;
}

test('a pool that is down concerns its own files alone, for writing and for reading', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const made: SealedFile[] = [];
    const before = [
      one.createFile(ROOT_ENTRY, 'a.txt', made, randomBytes(100)),
      one.createFile(ROOT_ENTRY, 'a.mp3', made, randomBytes(100)),
    ];
    await one.each(before, made);
    nodeOf(rig, 'txt').down = true;
    const files: SealedFile[] = [];
    const operations = [
      one.createFile(ROOT_ENTRY, 'b.txt', files, randomBytes(100)),
      one.createFile(ROOT_ENTRY, 'b.mp3', files, randomBytes(100)),
      folder(ROOT_ENTRY, 'folder'),
      one.createFile(ROOT_ENTRY, 'empty.txt', files, new Uint8Array()),
    ];
    const { answers } = await one.each(operations, files);
    assert.deepEqual(
      answers.map((answer) => [answer.kind, answer.kind === 'pool_unavailable' && answer.pool]),
      [
        ['pool_unavailable', 'txt'],
        ['applied', false],
        ['applied', false],
        ['applied', false],
      ],
    );
    const items = await fetchAll(one, made);
    assert.deepEqual(
      items.map((item) => (item.kind === 'unavailable' ? item.code : item.kind)),
      ['storage_unavailable', 'found'],
    );
    const status = (await one.ask(serverStatus, {})).response;
    assert.deepEqual(
      status.problems.map(({ code }) => code),
      ['storage_unavailable'],
    );
    nodeOf(rig, 'txt').down = false;
    await rig.server.greetNodes();
    assert.equal((await one.each([operations[0] as never], files)).answers[0]?.kind, 'applied');
    assert.equal((await fetchAll(one, made))[0]?.kind, 'found');
  }));

test('a full node refuses what does not fit and says so', () =>
  withRig(
    async (rig) => {
      const one = await rig.link('one');
      const files: SealedFile[] = [];
      const large = one.createFile(ROOT_ENTRY, 'large.txt', files, randomBytes(50_000));
      const { answers } = await one.each([large], files);
      assert.ok(answers[0]?.kind === 'pool_unavailable' && /space/.test(answers[0].detail));
      assert.equal((await one.listAll()).rows.length, 0);
    },
    POOLS.map((pool) => new RigNode(pool, pool === 'txt' ? 10_000 : undefined)),
  ));

test('two copies lie on two nodes; one node down owes a copy, and the other one serves', () =>
  withRig(
    async (rig) => {
      const one = await rig.link('one');
      await one.ask(poolsSet, { pool: 'txt', copies: 2 });
      const [first, second, third] = rig.nodes;
      assert.ok(first && second && third);
      const files: SealedFile[] = [];
      await one.each([one.createFile(ROOT_ENTRY, 'a.txt', files, randomBytes(100))], files);
      const block = files[0]?.blocks[0]?.id;
      assert.ok(block);
      const held = await Promise.all(rig.nodes.map(async ({ store }) => (await store.has([block], never))[0]));
      assert.equal(held.filter(Boolean).length, 2);
      const list = async () => (await one.ask(listFiles, { space: one.space, after: null, limit: 10 })).response.files;
      assert.deepEqual(
        (await list()).map(({ copies }) => copies),
        [2],
      );
      for (const node of [first, second]) {
        node.down = true;
        assert.equal((await fetchAll(one, files))[0]?.kind, 'found');
        node.down = false;
        await rig.server.greetNodes();
      }
      // With one node left the quorum of two is not reached: nothing is acknowledged.
      first.down = true;
      second.down = true;
      await rig.server.greetNodes();
      const more: SealedFile[] = [];
      const create = one.createFile(ROOT_ENTRY, 'b.txt', more, randomBytes(100));
      assert.equal((await one.each([create], more)).answers[0]?.kind, 'pool_unavailable');
      second.down = false;
      await rig.server.greetNodes();
      assert.equal((await one.each([create], more)).answers[0]?.kind, 'applied');
      first.down = false;
      await rig.server.greetNodes();
      assert.equal((await one.ask(serverStatus, {})).response.copiesAtRisk, 0);
    },
    [new RigNode('txt'), new RigNode('txt'), new RigNode('txt'), new RigNode('others')],
  ));

test('a copy that is damaged is passed over for a good one', () =>
  withRig(
    async (rig) => {
      const one = await rig.link('one');
      const files: SealedFile[] = [];
      await one.each([one.createFile(ROOT_ENTRY, 'a.txt', files, randomBytes(100))], files);
      const block = files[0]?.blocks[0];
      assert.ok(block);
      // The same block by chance on the other node too, as a layout change leaves it.
      for (const { store } of rig.nodes) await store.put([block], 0, never);
      for (const node of rig.nodes) {
        const { store } = node;
        const get: typeof store.get = async (ids) => ids.map(() => ({ kind: 'corrupt' }));
        node.store = Object.assign(Object.create(store) as typeof store, { get });
        const [item] = await fetchAll(one, files);
        assert.equal(item?.kind, 'found');
        node.store = store;
      }
      // A copy that repair is just making would come into the empty stores.
      await rig.server.settleCopies();
      for (const node of rig.nodes) node.store = new MemoryBlockStore(p);
      const [gone] = await fetchAll(one, files);
      assert.equal(gone?.kind === 'unavailable' && gone.code, 'block_missing');
    },
    [new RigNode('txt'), new RigNode('txt')],
  ));

test('a node that joins later takes a share; what lies where it was is still found', () =>
  withRig(
    async (rig) => {
      const one = await rig.link('one');
      const files: SealedFile[] = [];
      const names = Array.from({ length: 40 }, (_, index) => `f${index}.txt`);
      await one.each(
        names.map((name) => one.createFile(ROOT_ENTRY, name, files, randomBytes(50))),
        files,
      );
      const extra = new RigNode('txt');
      (rig.nodes as RigNode[]).push(extra);
      await rig.join(extra);
      const later: SealedFile[] = [];
      await one.each(
        names.map((name) => one.createFile(ROOT_ENTRY, `later ${name}`, later, randomBytes(50))),
        later,
      );
      const ids = later.flatMap(({ blocks }) => blocks.map(({ id }) => id));
      const taken = (await extra.store.has(ids, never)).filter(Boolean).length;
      assert.ok(taken > 5 && taken < 35, `about half, not ${taken} of 40`);
      for (const item of await fetchAll(one, [...files, ...later])) assert.equal(item.kind, 'found');
    },
    [new RigNode('txt')],
  ));

test('a file renamed to another extension has its bytes moved in the background', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const files: SealedFile[] = [];
    const entry = newId<EntryId>();
    const made = await one.each([one.createFile(ROOT_ENTRY, 'song.mp3', files, randomBytes(900), entry)], files);
    const list = async () => (await one.ask(listFiles, { space: one.space, after: null, limit: 10 })).response.files;
    assert.deepEqual(
      (await list()).map(({ path, pool }) => [path, pool]),
      [['song.mp3', 'mp3']],
    );
    await one.each([{ kind: 'move', entry, base: made.head.seq, parent: ROOT_ENTRY, name: 'song.txt' }]);
    const block = files[0]?.blocks[0]?.id;
    assert.ok(block);
    await rig.server.moveMisplaced();
    assert.equal((await list())[0]?.pool, 'txt');
    assert.deepEqual(await nodeOf(rig, 'txt').store.has([block], never), [true]);
    nodeOf(rig, 'mp3').down = true;
    assert.equal((await fetchAll(one, files))[0]?.kind, 'found');
    assert.equal((await list())[0]?.copies, 1);
  }));

test('files are listed by path; one that is being uploaded says by which device', () =>
  withRig(async (rig) => {
    const one = await rig.link('the laptop');
    const files: SealedFile[] = [];
    const sub = newId<EntryId>();
    const gone = newId<EntryId>();
    const seqs = await one.commit(
      [
        [folder(ROOT_ENTRY, 'sub', sub), folder(ROOT_ENTRY, 'gone', gone)],
        [one.createFile(sub, 'a.txt', files, randomBytes(10))],
        [one.createFile(gone, 'b.txt', files, randomBytes(10))],
        [one.createFile(ROOT_ENTRY, 'c', files, randomBytes(10))],
      ],
      files,
    );
    await one.each([{ kind: 'delete', entry: gone, basis: seqs.head.seq }]);
    const upload = { upload: newId<UploadId>(), entry: newId<EntryId>(), parent: sub, name: 'new.pdf', size: 1 << 30 };
    await one.ask(prepare, { space: one.space, files: [upload] });
    const rows: FileRow[] = [];
    let after: EntryId | null = null;
    for (let done = false; !done; ) {
      const page: { readonly files: FileRow[]; readonly done: boolean } = (
        await one.ask(listFiles, { space: one.space, after, limit: 1 })
      ).response;
      rows.push(...page.files);
      after = page.files.at(-1)?.entry ?? null;
      done = page.done;
    }
    const seen = rows.map(({ path, pool, state, device, copies, size }) => ({
      path,
      pool,
      state,
      copies,
      size,
      by: device?.name,
    }));
    assert.deepEqual(
      seen.sort((left, right) => (left.path < right.path ? -1 : 1)),
      [
        { path: 'c', pool: 'others', state: 'stored', copies: 1, size: 10, by: undefined },
        { path: 'sub/a.txt', pool: 'txt', state: 'stored', copies: 1, size: 10, by: undefined },
        { path: 'sub/new.pdf', pool: 'pdf', state: 'updating', copies: 0, size: 1 << 30, by: 'the laptop' },
      ],
    );
    const status = (await one.ask(serverStatus, {})).response;
    assert.deepEqual([status.files, status.plainBytes, status.uploading], [2, 20, 1]);
  }));

test('rules are tried in order, count for the next file at once, and name pools that exist', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const where = async (name: string) => (await one.ask(rulesTest, { name, size: 1 })).response.pool;
    assert.deepEqual(await Promise.all(['a.MP3', 'a.txt', 'a.jpg', 'txt'].map(where)), [
      'mp3',
      'txt',
      'others',
      'others',
    ]);
    const { rule } = (await one.ask(rulesAdd, { extensions: ['jpg', 'txt'], pool: 'pdf', first: false })).response;
    assert.deepEqual(await Promise.all(['a.txt', 'a.jpg'].map(where)), ['txt', 'pdf']);
    const { rule: ahead } = (await one.ask(rulesAdd, { extensions: ['txt'], pool: 'mp3', first: true })).response;
    assert.equal(await where('a.txt'), 'mp3');
    const files: SealedFile[] = [];
    await one.each([one.createFile(ROOT_ENTRY, 'x.jpg', files, randomBytes(10))], files);
    assert.equal(((await nodeOf(rig, 'pdf').store.status()) as { blocks: number }).blocks, 1);
    for (const gone of [rule.rule, ahead.rule]) await one.ask(rulesRemove, { rule: gone });
    assert.equal((await one.ask(rulesList, {})).response.rules.length, 3);
    assert.deepEqual(await Promise.all(['a.txt', 'a.jpg'].map(where)), ['txt', 'others']);
    await assert.rejects(one.ask(rulesRemove, { rule: 'nothing' }), { code: 'not_found' });
    await assert.rejects(one.ask(rulesAdd, { extensions: ['x'], pool: 'nowhere', first: true }), {
      code: 'invalid_field',
    });
  }));

test('pools, nodes and the page for people', () =>
  withRig(async (rig) => {
    const one = await rig.link('<script>alert(1)</script>');
    const { pools } = (await one.ask(poolsList, {})).response;
    assert.deepEqual(
      pools.map(({ pool, copies, nodes }) => [pool, copies, nodes]),
      [...POOLS].sort().map((pool) => [pool, 1, 1]),
    );
    assert.ok((await one.ask(nodesList, {})).response.nodes.every(({ state }) => state === 'ok'));
    const files: SealedFile[] = [];
    await one.each([one.createFile(ROOT_ENTRY, 'private matters.txt', files, randomBytes(10))], files);
    nodeOf(rig, 'txt').down = true;
    await rig.server.greetNodes();
    const page = await rig.server.page('/');
    const html = Buffer.from(page?.body ?? []).toString();
    assert.equal(page?.contentType, 'text/html; charset=utf-8');
    assert.ok(html.includes('node-txt') && html.includes('not reachable') && html.includes('holdfast invite'));
    assert.ok(!html.includes('private matters') && !html.includes('<script') && !html.includes(one.token));
    assert.ok(!/(src|href)=/.test(html), 'nothing is loaded from elsewhere');
    assert.equal(await rig.server.page('/else'), null);
  }));

test('a node that never answers delays nobody for long, and the caller may give up', () =>
  withRig(async (rig) => {
    const one = await rig.link('one');
    const node = nodeOf(rig, 'txt');
    const { store } = node;
    const hang = () => new Promise<never>(() => {});
    node.store = Object.assign(Object.create(store) as typeof store, { put: hang, get: hang });
    const files: SealedFile[] = [];
    const create = one.createFile(ROOT_ENTRY, 'a.txt', files, randomBytes(10));
    const gaveUp = new AbortController();
    const request = {
      op: newId<never>(),
      ...(await one.standing()),
      totals: { plan: newId<never>(), creates: 0, updates: 0, moves: 0, deletes: 0 },
      uploads: [],
      groups: [[create]],
      blocks: files.flatMap((file) => file.blocks.map(({ id }) => id)),
    };
    const parts = [
      ...files.map((file) => file.manifest),
      ...files.flatMap((file) => file.blocks.map(({ bytes }) => bytes)),
    ];
    const waiting = one.ask(commit, request, parts, gaveUp.signal);
    // Another pool is served meanwhile.
    const others: SealedFile[] = [];
    const other = await one.each([one.createFile(ROOT_ENTRY, 'b.mp3', others, randomBytes(10))], others);
    assert.equal(other.answers[0]?.kind, 'applied');
    gaveUp.abort(new HoldfastError('timeout', 'given up'));
    await assert.rejects(waiting);
    assert.equal((await one.listAll()).rows.length, 1);
  }));
