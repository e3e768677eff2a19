import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { ROOT_ENTRY, type EntryId, type UploadId } from '#core/ids.ts';
import {
  files as listFiles,
  rulesAdd,
  rulesApply,
  rulesList,
  rulesTest,
  rulesTry,
  serverStatus,
  type ProposedRule,
  type RulesTried,
} from '#protocol/cluster.ts';
import { contents } from '#protocol/contents.ts';
import { prepare } from '#protocol/sync.ts';
import { realClock } from '#world/real/clock.ts';
import {
  folder,
  newId,
  RigNode,
  ServerRig,
  type RigDevice,
  type RigOptions,
  type SealedFile,
} from '../../test/server-rig.ts';

const DAY = 86_400_000;

async function withRig(
  work: (rig: ServerRig, one: RigDevice) => Promise<void>,
  options: RigOptions = {},
): Promise<void> {
  const rig = await ServerRig.start(options);
  try {
    await work(rig, await rig.link('one'));
  } finally {
    await rig.close();
  }
}

async function poolsOf(one: RigDevice): Promise<Record<string, string>> {
  const rows = (await one.ask(listFiles, { space: one.space, after: null, limit: 1000 })).response.files;
  return Object.fromEntries(rows.map(({ path, pool }) => [path, pool]).sort());
}

async function tryAll(one: RigDevice, rules: ProposedRule[] | null) {
  const pages: RulesTried[] = [];
  let after: RulesTried['next'] = null;
  do {
    const page: RulesTried = (await one.ask(rulesTry, { rules, after })).response;
    pages.push(page);
    after = page.next;
  } while (after !== null);
  const moves: Record<string, number> = {};
  for (const { from, to, files } of pages.flatMap((page) => page.moves))
    moves[`${from} -> ${to}`] = (moves[`${from} -> ${to}`] ?? 0) + files;
  return { pages, moves, fewer: pages.flatMap(({ fewer }) => fewer) };
}

async function presentRules(one: RigDevice): Promise<ProposedRule[]> {
  return (await one.ask(rulesList, {})).response.rules.map(({ position: _position, ...rule }) => rule);
}

/** Names by folder; every file has some bytes of its own. */
async function make(one: RigDevice, tree: Readonly<Record<string, readonly string[]>>) {
  const folders = new Map<string, EntryId>([['', ROOT_ENTRY]]);
  const made: SealedFile[] = [];
  const groups = [];
  for (const [path, names] of Object.entries(tree)) {
    if (path !== '') {
      const at = path.lastIndexOf('/');
      const parent = folders.get(path.slice(0, Math.max(at, 0))) as EntryId;
      folders.set(path, newId<EntryId>());
      groups.push(folder(parent, path.slice(at + 1), folders.get(path)));
    }
    for (const name of names)
      groups.push(one.createFile(folders.get(path) as EntryId, name, made, randomBytes(100 + name.length)));
  }
  const { head } = await one.each(groups, made);
  return { folders, made, head };
}

async function allReadable(one: RigDevice, files: readonly SealedFile[]): Promise<void> {
  const manifests = files.map(({ manifestId }) => manifestId);
  const { items } = (await one.ask(contents, { space: one.space, manifests, budgetBytes: 4 << 20 })).response;
  assert.ok(items.every(({ kind }) => kind === 'found'));
}

test('a new rule concerns the next file; the dry run says what applying it moves, and that is what moves', () =>
  withRig(async (rig, one) => {
    const { made } = await make(one, {
      '': ['a.flac', 'b.flac', 'c.txt'],
      photos: ['d.jpg', 'e.flac'],
    });
    await one.ask(rulesAdd, { extensions: ['flac'], pool: 'mp3', first: false });
    await rig.server.moveMisplaced();
    assert.equal((await poolsOf(one))['a.flac'], 'others');
    assert.deepEqual((await one.ask(rulesList, {})).response.pending, true);
    assert.equal((await one.ask(serverStatus, {})).response.rulesPending, true);
    const before = await poolsOf(one);
    const tried = await tryAll(one, null);
    assert.deepEqual(tried.moves, { 'others -> mp3': 3 });
    const [move] = tried.pages.flatMap(({ moves }) => moves);
    assert.equal(move?.bytes, 106 + 106 + 106);
    assert.ok(move && move.storedBytes > move.bytes && move.addedBytes === move.storedBytes);
    assert.deepEqual(await poolsOf(one), before, 'a dry run changes nothing');

    await one.ask(rulesApply, { rules: null });
    assert.equal((await one.ask(serverStatus, {})).response.moving.looking, true);
    await rig.server.moveMisplaced();
    const { moving, rulesPending } = (await one.ask(serverStatus, {})).response;
    assert.deepEqual([moving, rulesPending], [{ files: 0, looking: false }, false]);
    assert.deepEqual(await poolsOf(one), { ...before, 'a.flac': 'mp3', 'b.flac': 'mp3', 'photos/e.flac': 'mp3' });
    assert.deepEqual((await tryAll(one, null)).moves, {});
    await allReadable(one, made);
  }));

test('proposed rules are tried and applied as a whole; bad ones change nothing', () =>
  withRig(async (rig, one) => {
    await make(one, { '': ['a.mp3', 'b.txt', 'c.jpg'], sub: ['d.txt'] });
    const present = await presentRules(one);
    const txt = present.find(({ pool }) => pool === 'txt') as ProposedRule;
    const proposed = [{ extensions: ['jpg'], pool: 'pdf' }, ...present.filter((one) => one !== txt)];
    assert.deepEqual((await tryAll(one, proposed)).moves, { 'txt -> others': 2, 'others -> pdf': 1 });
    const test = { name: 'x.txt', size: 1, rules: proposed };
    assert.equal((await one.ask(rulesTest, test)).response.pool, 'others');
    assert.deepEqual(await presentRules(one), present);
    const { rules } = (await one.ask(rulesApply, { rules: proposed })).response;
    assert.deepEqual(
      rules.map(({ pool }) => pool),
      ['pdf', 'mp3', 'pdf'],
    );
    assert.equal(rules[1]?.rule, 'mp3', 'a rule that stays keeps its name');
    await rig.server.moveMisplaced();
    assert.deepEqual(await poolsOf(one), { 'a.mp3': 'mp3', 'b.txt': 'others', 'c.jpg': 'pdf', 'sub/d.txt': 'others' });
    for (const bad of [
      [{ extensions: ['x'], pool: 'nowhere' }],
      [{ extensions: [], pool: 'txt' }],
      [{ extensions: [], glob: '[', pool: 'txt' }],
      [{ extensions: ['x'], sizeMin: 2, sizeMax: 1, pool: 'txt' }],
      [
        { rule: 'same', extensions: ['x'], pool: 'txt' },
        { rule: 'same', extensions: ['y'], pool: 'txt' },
      ],
    ]) {
      await assert.rejects(one.ask(rulesTry, { rules: bad, after: null }), { code: 'invalid_field' });
      await assert.rejects(one.ask(rulesApply, { rules: bad }), { code: 'invalid_field' });
    }
    await assert.rejects(one.ask(rulesAdd, { extensions: [], pool: 'txt', first: true }), { code: 'invalid_field' });
    assert.equal((await presentRules(one)).length, 3);
  }));

test('rules by folder, size and owner place new files at once, those of an upload too', () =>
  withRig(async (_rig, one) => {
    await one.ask(rulesAdd, { extensions: [], folder: 'photos', pool: 'mp3', first: true });
    await one.ask(rulesAdd, { extensions: [], sizeMin: 5000, owner: 'owner', pool: 'pdf', first: false });
    await one.ask(rulesAdd, { extensions: [], sizeMin: 5000, owner: 'somebody', pool: 'txt', first: true });
    const { folders } = await make(one, { '': ['a.txt'], photos: ['b.txt'], 'photos/deep': ['c.txt'], other: ['d'] });
    const made: SealedFile[] = [];
    await one.each([one.createFile(folders.get('other') as EntryId, 'large', made, randomBytes(5000))], made);
    const expected = {
      'a.txt': 'txt',
      'photos/b.txt': 'mp3',
      'photos/deep/c.txt': 'mp3',
      'other/d': 'others',
      'other/large': 'pdf',
    };
    assert.deepEqual(await poolsOf(one), Object.fromEntries(Object.entries(expected).sort()));
    assert.deepEqual((await tryAll(one, null)).moves, {}, 'they are right from the first on');
    const upload = { upload: newId<UploadId>(), entry: newId<EntryId>(), name: 'x.pdf', size: 1 << 30 };
    const parent = folders.get('photos/deep') as EntryId;
    const prepared = await one.ask(prepare, { space: one.space, files: [{ ...upload, parent }] });
    assert.equal(prepared.response.files[0]?.pool, 'mp3');
    assert.equal((await one.ask(rulesTest, { name: 'q', size: 1, folder: 'photos/x' })).response.pool, 'mp3');
  }));

test('a folder that is renamed, moved or restored takes its files to where they belong now, in bounded steps', () =>
  withRig(async (rig, one) => {
    await one.ask(rulesAdd, { extensions: [], folder: 'photos', pool: 'mp3', first: true });
    const many = Array.from({ length: 560 }, (_, index) => `f${String(index).padStart(3, '0')}.txt`);
    const { folders, made } = await make(one, {
      '': ['top.txt'],
      photos: many.slice(0, 540),
      'photos/deep': many.slice(540),
    });
    const photos = folders.get('photos') as EntryId;
    const deep = folders.get('photos/deep') as EntryId;
    const counts = async () => {
      const count: Record<string, number> = {};
      for (const [path, pool] of Object.entries(await poolsOf(one))) {
        const key = `${path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : ''}: ${pool}`;
        count[key] = (count[key] ?? 0) + 1;
      }
      return count;
    };
    assert.deepEqual(await counts(), { ': txt': 1, 'photos: mp3': 540, 'photos/deep: mp3': 20 });
    const base = async (entry: EntryId) =>
      (await one.listAll()).rows.flatMap((row) =>
        row.kind === 'entry' && row.entry.entry === entry ? row.seq : [],
      )[0] ?? 0;
    const move = async (entry: EntryId, parent: EntryId, name: string) => {
      const { answers } = await one.each([{ kind: 'move', entry, base: await base(entry), parent, name }]);
      assert.equal(answers[0]?.kind, 'applied');
    };
    await move(photos, ROOT_ENTRY, 'pictures');
    await rig.server.moveMisplaced();
    assert.deepEqual(await counts(), { ': txt': 1, 'pictures: txt': 540, 'pictures/deep: txt': 20 });
    await move(deep, ROOT_ENTRY, 'photos');
    await rig.server.moveMisplaced();
    assert.deepEqual(await counts(), { ': txt': 1, 'pictures: txt': 540, 'photos: mp3': 20 });

    // What is in the trash stays where it is, whatever the rules; when it comes back, the rules of that day hold.
    await one.each([{ kind: 'delete', entry: deep, basis: (await one.head()).seq }]);
    await one.ask(rulesApply, { rules: [] });
    await rig.server.moveMisplaced();
    assert.deepEqual(await counts(), { ': others': 1, 'pictures: others': 540 });
    const trashed = (await one.head()).seq;
    const { answers } = await one.each([
      { kind: 'move', entry: deep, base: trashed, parent: ROOT_ENTRY, name: 'back' },
    ]);
    assert.equal(answers[0]?.kind, 'applied', JSON.stringify(answers));
    await rig.server.moveMisplaced();
    assert.deepEqual(await counts(), { ': others': 1, 'pictures: others': 540, 'back: others': 20 });
    await allReadable(one, made.slice(0, 200));
  }));

test('rules by age are asked again as time passes, once they were applied', async () => {
  let aheadMs = 0;
  const clock = { ...realClock, nowMs: () => realClock.nowMs() + aheadMs };
  await withRig(
    async (rig, one) => {
      await make(one, { '': ['old.txt', 'changed.txt'] });
      await one.ask(rulesAdd, { extensions: [], ageMsMin: 30 * DAY, pool: 'pdf', first: true });
      aheadMs = 20 * DAY;
      const [changed] = (await one.listAll()).rows.flatMap((row) =>
        row.kind === 'entry' && row.entry.name === 'changed.txt' ? row.entry : [],
      );
      const files = [one.seal(randomBytes(50))];
      const content = { ...(files[0] as SealedFile).content, manifest: 0 };
      const update = { kind: 'update', entry: changed?.entry, base: changed?.revision, content } as const;
      const { answers } = await one.each([{ ...update, target: null, mtimeUs: 1, exec: false } as never], files);
      assert.equal(answers[0]?.kind, 'applied', JSON.stringify(answers));
      aheadMs = 31 * DAY;
      await rig.server.moveMisplaced();
      assert.deepEqual(await poolsOf(one), { 'changed.txt': 'txt', 'old.txt': 'txt' }, 'nobody has applied it');
      assert.deepEqual((await tryAll(one, null)).moves, { 'txt -> pdf': 1 });
      assert.equal((await one.ask(rulesTest, { name: 'x.txt', size: 1, ageMs: 30 * DAY })).response.pool, 'pdf');
      await one.ask(rulesApply, { rules: null });
      await rig.server.moveMisplaced();
      assert.deepEqual(await poolsOf(one), { 'changed.txt': 'txt', 'old.txt': 'pdf' });
      aheadMs = 51 * DAY;
      await rig.server.moveMisplaced();
      assert.deepEqual(await poolsOf(one), { 'changed.txt': 'pdf', 'old.txt': 'pdf' });
    },
    { clock },
  );
});

test('a dry run tells which files would have fewer copies, over many pages', () =>
  withRig(
    async (_rig, one) => {
      const names = Array.from({ length: 1100 }, (_, index) => `${index}.txt`);
      for (let start = 0; start < names.length; start += 550)
        await make(one, { [`part${start}`]: names.slice(start, start + 550) });
      const tried = await tryAll(one, []);
      assert.ok(tried.pages.length > 2);
      assert.deepEqual(tried.moves, { 'txt -> others': 1100 });
      assert.equal(new Set(tried.fewer).size, 1100);
      assert.ok(tried.fewer.includes('part550/1099.txt'));
      assert.deepEqual(tried.pages[0]?.moves[0]?.copies, { before: 2, after: 1 });
    },
    { nodes: [new RigNode('txt'), new RigNode('txt'), new RigNode('others')], copies: { txt: 2 } },
  ));

test('a move that is cut off by a restart goes on', () =>
  withRig(async (rig, one) => {
    const names = Array.from({ length: 300 }, (_, index) => `${index}.txt`);
    const { made } = await make(one, { '': names, sub: names });
    await one.ask(rulesApply, { rules: [] });
    const others = rig.nodes.find(({ pool }) => pool === 'others') as RigNode;
    others.down = true;
    await rig.server.moveMisplaced();
    const { files } = (await one.ask(serverStatus, {})).response.moving;
    assert.equal(files, 600, 'a pool that is down moves nothing and loses nothing');
    await allReadable(one, made.slice(0, 300));
    await rig.restart();
    others.down = false;
    await rig.server.greetNodes();
    await rig.server.moveMisplaced();
    assert.deepEqual([...new Set(Object.values(await poolsOf(one)))], ['others']);
    await allReadable(one, made.slice(300));
  }));
