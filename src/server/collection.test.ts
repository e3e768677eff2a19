import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { hasCode } from '#core/errors.ts';
import { ROOT_ENTRY, type EntryId, type UploadId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { serverStatus } from '#protocol/cluster.ts';
import { contents } from '#protocol/contents.ts';
import { holdsDecide, holdsList } from '#protocol/holds.ts';
import { abandon, need, prepare, put, type Operation } from '#protocol/sync.ts';
import { CollectWorld, GRACE_MS } from '../../test/collect-world.ts';
import { newId, RigNode, type RigOptions, type SealedFile } from '../../test/server-rig.ts';

async function withWorld(work: (world: CollectWorld) => Promise<void>, options: RigOptions = {}): Promise<void> {
  const world = await CollectWorld.start(options);
  try {
    await work(world);
  } finally {
    await world.rig.close();
  }
}

function create(name: string, file: SealedFile, entry = newId<EntryId>()): Operation {
  const content = { ...file.content, manifest: 0 };
  return { kind: 'create', entry, parent: ROOT_ENTRY, name, state: { kind: 'file', content, mtimeUs: 1, exec: false } };
}

async function made(world: CollectWorld, name: string, file: SealedFile, inline = true): Promise<EntryId> {
  const operation = create(name, file);
  const { answers } = await world.one.commit([[operation]], [file], { inline });
  assert.equal(answers[0]?.kind, 'applied', JSON.stringify(answers));
  return operation.entry;
}

test('what nothing names goes after two marks and its time; what anything names stays', () =>
  withWorld(async (world) => {
    const [kept, gone] = [world.seal(randomBytes(500)), world.seal(randomBytes(400))];
    await made(world, 'kept.txt', kept);
    const entry = await made(world, 'gone.txt', gone);
    for (let round = 0; round < 3; round++) await world.cycle();
    assert.deepEqual(await world.copies(), { mp3: 0, txt: 2, others: 0 });
    await world.purge(entry);
    await world.cycle();
    assert.deepEqual(
      [await world.count('content'), await world.count('presence'), (await world.copies())['txt']],
      [2, 2, 2],
    );
    await world.rig.server.collectGarbage();
    assert.equal(await world.count('presence'), 2, 'no mark is due yet');
    await world.cycle();
    assert.deepEqual(
      [await world.count('content'), await world.count('presence'), (await world.copies())['txt']],
      [1, 1, 1],
    );
    assert.equal(await world.count('garbage', "state != 'deleted'"), 0);
    await world.cycle();
    assert.equal(await world.count('garbage'), 0, 'in the end nothing is left of it');
    await world.checkWhole();
    const request = { space: world.one.space, manifests: [kept.manifestId, gone.manifestId], budgetBytes: 1 << 20 };
    const { items } = (await world.one.ask(contents, request)).response;
    assert.deepEqual(
      items.map(({ kind }) => kind),
      ['found', 'unknown'],
    );
    // The very same content once more.
    await made(world, 'again.txt', gone);
    await world.checkWhole();
  }));

test('the status says that a collection is under way, and what is still to go', () =>
  withWorld(async (world) => {
    const entry = await made(world, 'gone.txt', world.seal(randomBytes(400)));
    await world.purge(entry);
    const jobs = async () =>
      (await world.one.ask(serverStatus, {})).response.jobs.map(({ name, subject }) => [name, subject]);
    const isShown = (rows: string[][]) => rows.some(([name]) => name === 'collection');
    assert.ok(!isShown(await jobs()));
    world.pass(GRACE_MS);
    await world.rig.server.collectGarbage(1);
    const rows = await jobs();
    assert.ok(isShown(rows), JSON.stringify(rows));
    await world.rig.server.collectGarbage();
    assert.ok(!isShown(await jobs()));
  }));

test('nothing goes before enough nodes have a root that was made since it was condemned', () =>
  withWorld(async (world) => {
    const entry = await made(world, 'gone.txt', world.seal(randomBytes(400)));
    await world.purge(entry);
    const left = async () => [await world.count('content'), await world.count('presence')];
    const { nodes } = world.rig;
    for (const taking of [0, 1]) {
      for (const [index, node] of nodes.entries()) node.takesRoots = index < taking;
      for (let round = 0; round < 5; round++) await world.cycle();
      assert.deepEqual(await left(), [1, 1]);
    }
    for (const node of nodes) node.takesRoots = true;
    await world.cycle();
    assert.deepEqual(await left(), [0, 0]);
    await world.checkWhole();
  }));

test('old revisions, the trash and what is held are kept', () =>
  withWorld(async (world) => {
    const { one } = world;
    const files = Array.from({ length: 4 }, (_, index) => world.seal(randomBytes(300 + index)));
    const [first, second, trashed, others] = files as [SealedFile, SealedFile, SealedFile, SealedFile];
    const entry = await made(world, 'a.txt', first);
    const base = (await one.head()).seq;
    const content = { ...second.content, manifest: 0 };
    const update: Operation = { kind: 'update', entry, base, content, target: null, mtimeUs: 2, exec: false };
    assert.equal((await one.commit([[update]], [second])).answers[0]?.kind, 'applied');
    const trash = await made(world, 'b.txt', trashed);
    await one.each([{ kind: 'delete', entry: trash, basis: (await one.head()).seq }]);
    for (let round = 0; round < 4; round++) await world.cycle();
    assert.deepEqual((await world.checkWhole()).size, 3);
    assert.equal((await world.copies())['txt'], 3);

    // Two hundred rewrites that look like an encryption are held, and their bytes with them.
    const count = limits.holdRewrites;
    const texts = Array.from({ length: count }, (_, index) => world.seal(Buffer.from(`text ${index} `.repeat(500))));
    const creates = texts.map((file, index) => create(`t${index}.txt`, file));
    const placed = creates.map((operation, index) => withManifest(operation, index));
    const head = (await one.each(placed, texts)).head.seq;
    world.pass(limits.holdYoungMs + 1000);
    const noise = Array.from({ length: count }, () => world.seal(randomBytes(3000)));
    const rewrites = creates.map(
      ({ entry: of }, index): Operation => ({
        kind: 'update',
        entry: of,
        base: head - count + 1 + index,
        content: { ...(noise[index] as SealedFile).content, manifest: index },
        target: null,
        mtimeUs: 3,
        exec: false,
      }),
    );
    const { answers } = await one.commit(
      rewrites.map((operation) => [operation]),
      noise,
      { updates: count },
    );
    assert.deepEqual([...new Set(answers.map(({ kind }) => kind))], ['held'], JSON.stringify(answers[0]));
    for (let round = 0; round < 4; round++) await world.cycle();
    assert.equal((await world.checkWhole()).size, 3 + 2 * count);
    const [hold] = (await one.ask(holdsList, {})).response.holds;
    await one.ask(holdsDecide, { hold: hold?.hold ?? '', decision: 'reject' });
    for (let round = 0; round < 3; round++) await world.cycle();
    await world.checkWhole();
    assert.equal((await world.copies())['txt'], 3 + count, 'what was rejected is gone');
    assert.ok(others.blocks.length > 0);
  }));

function withManifest(operation: Operation, manifest: number): Operation {
  if (operation.kind !== 'create' || operation.state.kind !== 'file') return operation;
  return { ...operation, state: { ...operation.state, content: { ...operation.state.content, manifest } } };
}

test('what a move left in the former pool goes once the new one has it all; an old revision stays where it is', () =>
  withWorld(async (world) => {
    const { one } = world;
    const [first, second] = [world.seal(randomBytes(600)), world.seal(randomBytes(700))];
    const entry = await made(world, 'song.mp3', first);
    const base = (await one.head()).seq;
    const content = { ...second.content, manifest: 0 };
    const update: Operation = { kind: 'update', entry, base, content, target: null, mtimeUs: 2, exec: false };
    assert.equal((await one.commit([[update]], [second])).answers[0]?.kind, 'applied');
    const rename = async (name: string) => {
      const { rows } = await one.listAll();
      const row = rows.find((of) => of.kind === 'entry' && of.entry.entry === entry);
      const base = row?.kind === 'entry' ? row.entry.placed : 0;
      const { answers } = await one.each([{ kind: 'move', entry, base, parent: ROOT_ENTRY, name }]);
      assert.equal(answers[0]?.kind, 'applied', JSON.stringify(answers));
    };
    await rename('song.txt');
    for (let round = 0; round < 3; round++) await world.cycle();
    assert.deepEqual(await world.copies(), { mp3: 2, txt: 0, others: 0 }, 'nothing is surplus before it is moved');
    await world.rig.server.moveMisplaced();
    assert.deepEqual(await world.copies(), { mp3: 2, txt: 1, others: 0 });
    for (let round = 0; round < 2; round++) await world.cycle();
    assert.deepEqual(await world.copies(), { mp3: 1, txt: 1, others: 0 });
    await world.checkWhole();

    // Back again, while the first of two marks has condemned what lies there.
    await rename('song.mp3');
    await world.rig.server.moveMisplaced();
    await world.cycle();
    await rename('song.txt');
    await world.rig.server.moveMisplaced();
    for (let round = 0; round < 3; round++) await world.cycle();
    await world.checkWhole();
    assert.deepEqual(await world.copies(), { mp3: 1, txt: 1, others: 0 });
  }));

test('uploads: given up ones leave nothing behind; one that is under way keeps what it was told is had', () =>
  withWorld(async (world) => {
    const { one } = world;
    const { space } = one;
    const files = [world.seal(randomBytes(900)), world.seal(randomBytes(800)), world.seal(randomBytes(700))];
    const [given, taken, had] = files as [SealedFile, SealedFile, SealedFile];
    const upload = async (name: string, file: SealedFile) => {
      const ids = { upload: newId<UploadId>(), entry: newId<EntryId>() };
      await one.ask(prepare, { space, files: [{ ...ids, parent: ROOT_ENTRY, name, size: file.content.size }] });
      return ids;
    };
    const blocksOf = (file: SealedFile) => file.blocks.map(({ id }) => id);
    const bring = (of: { upload: UploadId }, file: SealedFile) =>
      one.ask(
        put,
        { space, upload: of.upload, blocks: blocksOf(file) },
        file.blocks.map(({ bytes }) => bytes),
      );
    const first = await upload('given.txt', given);
    await bring(first, given);
    const second = await upload('taken.txt', taken);
    await bring(second, taken);
    for (let round = 0; round < 3; round++) await world.cycle();
    assert.equal((await world.copies())['txt'], 2, 'a lease keeps them');
    await one.ask(abandon, { space, uploads: [first.upload] });
    const done = await one.commit([[create('taken.txt', taken, second.entry)]], [taken], {
      uploads: [second.upload as never],
      inline: false,
    });
    assert.equal(done.answers[0]?.kind, 'applied', JSON.stringify(done.answers));
    assert.equal(await world.count('upload_block'), 2);
    for (let round = 0; round < 2; round++) await world.cycle();
    assert.deepEqual([(await world.copies())['txt'], await world.count('upload_block')], [1, 0]);
    await world.checkWhole();

    const entry = await made(world, 'had.txt', had);
    await world.purge(entry);
    await world.cycle();
    assert.equal(await world.count('presence', 'condemned_mark is not null'), 1);
    const third = await upload('again.txt', had);
    const { missing } = (await one.ask(need, { space, upload: third.upload, blocks: blocksOf(had) })).response;
    assert.deepEqual(missing, []);
    assert.equal(await world.count('presence', 'condemned_mark is not null'), 0, 'it is spared by the answer');
    await world.cycle();
    const { answers } = await one.commit([[create('again.txt', had, third.entry)]], [had], {
      uploads: [third.upload as never],
      inline: false,
    });
    assert.equal(answers[0]?.kind, 'applied', JSON.stringify(answers));
    for (let round = 0; round < 3; round++) await world.cycle();
    await world.checkWhole();
  }));

test('what a refused commit brought goes; a node that is down keeps its garbage until it is back', () =>
  withWorld(async (world) => {
    const { one, rig } = world;
    await made(world, 'a.txt', world.seal(randomBytes(100)));
    const { answers } = await one.commit(
      [[create('a.txt', world.seal(randomBytes(200)))]],
      [world.seal(randomBytes(1))],
    );
    assert.equal(answers[0]?.kind, 'invalid', 'a manifest of another content');
    const refused = world.seal(randomBytes(300));
    const taken = await one.commit([[create('a.txt', refused)]], [refused]);
    assert.equal(taken.answers[0]?.kind, 'name_taken');
    assert.equal((await world.copies())['txt'], 2);
    const txt = rig.nodes.find(({ pool }) => pool === 'txt') as RigNode;
    txt.down = true;
    await rig.server.greetNodes();
    await world.cycle();
    assert.equal((await one.ask(serverStatus, {})).response.garbageCopies, 1);
    txt.down = false;
    world.pass(10_000);
    await rig.server.greetNodes();
    await world.cycle();
    assert.equal((await world.copies())['txt'], 1);
    assert.equal((await one.ask(serverStatus, {})).response.garbageCopies, 0);
    await world.checkWhole();
  }));

test('a lost answer to a delete order, and a restart in the middle, are made good', () =>
  withWorld(async (world) => {
    const { rig } = world;
    const entry = await made(world, 'a.txt', world.seal(randomBytes(100)));
    await world.purge(entry);
    const txt = rig.nodes.find(({ pool }) => pool === 'txt') as RigNode;
    const { store } = txt;
    let lost = 0;
    txt.store = {
      ...store,
      delete: async (...of) => {
        await store.delete(...of);
        lost += 1;
        throw new Error('cut off');
      },
    };
    await world.cycle();
    await assert.rejects(world.cycle(), /cut off/);
    assert.equal(lost, 1);
    assert.equal(await world.count('garbage', "state = 'deleting'"), 1);
    txt.store = store;
    await rig.restart();
    await world.cycle();
    assert.equal(await world.count('garbage', "state = 'deleting'"), 0);
    assert.equal((await world.copies())['txt'], 0);
  }));

test('a block that is let go of between its put and its commit is asked for again, also long after', () =>
  withWorld(async (world) => {
    const { one, rig } = world;
    const txt = rig.nodes.find(({ pool }) => pool === 'txt') as RigNode;
    const { store } = txt;
    const taken = world.seal(randomBytes(1));
    await made(world, 'taken.txt', taken);
    for (const cycles of [1, 4]) {
      // A refused operation left a copy that nothing names.
      const file = world.seal(randomBytes(100 + cycles));
      const refused = await one.commit([[create('taken.txt', file)]], [file]);
      assert.equal(refused.answers[0]?.kind, 'name_taken');
      let puts = 0;
      txt.store = {
        ...store,
        has: (...of) => store.has(...of),
        get: (...of) => store.get(...of),
        delete: (...of) => store.delete(...of),
        status: () => store.status(),
        put: async (...of) => {
          const result = await store.put(...of);
          if (puts++ === 0) for (let cycle = 0; cycle < cycles; cycle++) await world.cycle();
          return result;
        },
      };
      const operation = create(`after ${cycles}.txt`, file);
      const late = await one.commit([[operation]], [file]);
      txt.store = store;
      assert.equal(late.answers[0]?.kind, 'need_blocks');
      assert.deepEqual(
        await world.copies(),
        { mp3: 0, txt: cycles === 1 ? 1 : 2, others: 0 },
        'it was deleted meanwhile',
      );
      assert.equal((await one.commit([[operation]], [file])).answers[0]?.kind, 'applied');
      await world.checkWhole();
      for (let cycle = 0; cycle < 3; cycle++) await world.cycle();
      await world.checkWhole();
    }
  }));

function numbers(seed: number): (below: number) => number {
  let state = createHash('sha256').update(String(seed)).digest();
  return (below) => {
    state = createHash('sha256').update(state).digest();
    return state.readUInt32BE() % below;
  };
}

/** People's doings over a few contents that they all share, so that they meet. */
class People {
  readonly #world: CollectWorld;
  readonly #files: readonly SealedFile[];
  readonly #next: (below: number) => number;
  readonly entries: EntryId[] = [];
  #names = 0;

  constructor(world: CollectWorld, files: readonly SealedFile[], next: (below: number) => number) {
    this.#world = world;
    this.#files = files;
    this.#next = next;
  }

  acts(count: number): () => Promise<void> {
    const some = Array.from({ length: count }, () => this.#act());
    return async () => {
      for (const act of some) await act();
    };
  }

  /** One thing, chosen by chance. */
  #act(): () => Promise<void> {
    const file = this.#files[this.#next(this.#files.length)] as SealedFile;
    const name = `f${this.#names++}.${['mp3', 'txt'][this.#next(2)]}`;
    const acts = [
      () => this.#create(name, file),
      () => this.#create(name, file),
      () => this.#upload(name, file, true),
      () => this.#upload(name, file, false),
      () => this.#purgeOne(),
      () => this.#purgeOne(),
      () => this.#rename(),
      () => this.#fail(name, file),
    ];
    return acts[this.#next(acts.length)] as () => Promise<void>;
  }

  /** As a device does: without bytes first, in the hope that they are there. */
  async #create(name: string, file: SealedFile, entry = newId<EntryId>(), uploads: UploadId[] = []): Promise<void> {
    for (let attempt = 0; attempt < 6; attempt++) {
      const options = { inline: attempt > 0, uploads: uploads as never[] };
      const { answers } = await this.#world.one.commit([[create(name, file, entry)]], [file], options);
      if (answers[0]?.kind === 'applied') return void this.entries.push(entry);
      assert.ok(answers[0]?.kind === 'need_blocks', JSON.stringify(answers));
    }
    assert.fail('six times in a row is no chance');
  }

  async #upload(name: string, file: SealedFile, finish: boolean): Promise<void> {
    const { one } = this.#world;
    const { space } = one;
    const upload = newId<UploadId>();
    const entry = newId<EntryId>();
    const size = file.content.size;
    await one.ask(prepare, { space, files: [{ upload, entry, parent: ROOT_ENTRY, name, size }] });
    for (let attempt = 0; attempt < 6; attempt++) {
      const ids = file.blocks.map(({ id }) => id);
      const { missing } = (await one.ask(need, { space, upload, blocks: ids })).response;
      const parts = file.blocks.filter(({ id }) => missing.includes(id)).map(({ bytes }) => bytes);
      try {
        if (missing.length > 0) await one.ask(put, { space, upload, blocks: missing }, parts);
        break;
      } catch (error) {
        if (!hasCode(error, 'storage_unavailable')) throw error;
      }
    }
    if (finish) await this.#create(name, file, entry, [upload]);
    else await one.ask(abandon, { space, uploads: [upload] });
  }

  async #purgeOne(): Promise<void> {
    const [entry] = this.entries.splice(this.#next(this.entries.length || 1), 1);
    if (entry) await this.#world.purge(entry);
  }

  async #rename(): Promise<void> {
    const { one, rig } = this.#world;
    const entry = this.entries[this.#next(this.entries.length || 1)];
    if (!entry) return;
    const { rows, head } = await one.listAll();
    const row = rows.find((one) => one.kind === 'entry' && one.entry.entry === entry);
    if (row?.kind !== 'entry') return;
    const name = row.entry.name.endsWith('mp3')
      ? row.entry.name.replace('mp3', 'txt')
      : row.entry.name.replace('txt', 'mp3');
    await one.commit([[{ kind: 'move', entry, base: row.entry.placed, parent: ROOT_ENTRY, name }]], [], {
      cursor: head,
    });
    await rig.server.moveMisplaced();
  }

  /** Bytes that come with an operation which is refused. */
  async #fail(name: string, file: SealedFile): Promise<void> {
    const operation = { ...create(name, file), parent: newId<EntryId>() } as Operation;
    const { answers } = await this.#world.one.commit([[operation]], [file]);
    assert.notEqual(answers[0]?.kind, 'applied');
  }
}

const WORLDS = 4;
const ROUNDS = 20;

test('however marks, sweeps and delete orders meet with uploads, commits, moves and purges, nothing is ever missing; and garbage goes', async () => {
  let deleted = 0;
  for (let seed = 0; seed < WORLDS; seed++) {
    const next = numbers(seed);
    const nodes = ['mp3', 'mp3', 'txt', 'others'].map((pool) => new RigNode(pool));
    await withWorld(
      async (world) => {
        const files = Array.from({ length: 2 }, (_, index) => world.seal(Buffer.from(`content ${index} of ${seed}`)));
        const people = new People(world, files, next);
        for (let round = 0; round < ROUNDS; round++) {
          const collect = async () => {
            for (let cycle = 1 + next(3); cycle > 0; cycle--) {
              world.pass(next(2) * GRACE_MS + GRACE_MS / 2);
              await world.rig.server.collectGarbage();
            }
          };
          // So that there is garbage which somebody has just begun to need again.
          if (next(2) === 0) for (const entry of people.entries.splice(0)) await world.purge(entry);
          const acts = Array.from({ length: 1 + next(3) }, () => people.acts(1 + next(4)));
          await world.interleave([collect, ...acts], next);
          try {
            await world.checkWhole();
          } catch (error) {
            throw new Error(`seed ${seed}, round ${round}: ${(error as Error).message}`, { cause: error });
          }
        }
        const before = Object.values(await world.copies()).reduce((sum, copies) => sum + copies, 0);
        for (const entry of people.entries.splice(0)) await world.purge(entry);
        for (let cycle = 0; cycle < 3; cycle++) await world.cycle();
        const after = await world.copies();
        assert.deepEqual(
          [after, await world.count('presence'), await world.count('content'), await world.count('upload_block')],
          [{ mp3: 0, txt: 0, others: 0 }, 0, 0, 0],
        );
        await world.checkWhole();
        deleted += before;
      },
      { nodes, copies: { mp3: 2 } },
    );
  }
  assert.ok(deleted > 0);
});
