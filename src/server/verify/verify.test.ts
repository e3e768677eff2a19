/** What a verification finds, against nodes that lie, lose and damage, and an index that was changed behind the server's back. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import type { GetResult } from '#blocks/block-store.ts';
import { must } from '#core/assert.ts';
import { ROOT_ENTRY, type EntryId, type UploadId } from '#core/ids.ts';
import { verifyStep, type Finding } from '#protocol/safety.ts';
import { prepare, put } from '#protocol/sync.ts';
import { folder, newId, ServerRig, type RigDevice, type RigNode, type SealedFile } from '../../../test/server-rig.ts';

type World = { readonly rig: ServerRig; readonly device: RigDevice; readonly dir: EntryId };

async function world(context: TestContext): Promise<World> {
  const rig = await ServerRig.start();
  context.after(() => rig.close());
  const device = await rig.link('desk');
  const files: SealedFile[] = [];
  const dir = newId<EntryId>();
  const { answers } = await device.each(
    [
      folder(ROOT_ENTRY, 'dir', dir),
      device.createFile(dir, 'a.txt', files, Buffer.from('the text')),
      device.createFile(ROOT_ENTRY, 'b.mp3', files, Buffer.alloc(1_500_000, 'music, ')),
      device.createFile(ROOT_ENTRY, 'empty', files, new Uint8Array(0)),
    ],
    files,
  );
  assert.ok(answers.every(({ kind }) => kind === 'applied'));
  await rig.server.makeRoot();
  return { rig, device, dir };
}

async function verify({ device }: World, full: boolean) {
  const findings: Finding[] = [];
  const sums = { files: 0, entries: 0, journalRows: 0, metadataBlocks: 0, copies: 0 };
  for (let at: string | null = null, steps = 0; ; steps++) {
    assert.ok(steps < 100, 'a verification ends');
    const { response }: { response: { at: string | null; findings: Finding[]; checked: never } } = (await device.ask(
      verifyStep,
      { full, at },
    )) as never;
    findings.push(...response.findings);
    const { pools, ...counts } = response.checked as { pools: { copies: number }[] } & Record<string, number>;
    for (const [name, count] of Object.entries(counts)) sums[name as 'files'] += count as number;
    sums.copies += pools.reduce((sum, pool) => sum + pool.copies, 0);
    at = response.at;
    if (at === null) return { findings, sums, steps };
  }
}

const node = ({ rig }: World, pool: string): RigNode =>
  must(
    rig.nodes.find((one) => one.pool === pool),
    'a node',
  );

/** Changes the index while no server has it open. */
async function tamper({ rig }: World, sql: string, ...values: Uint8Array[]): Promise<void> {
  await rig.server.close();
  const database = new DatabaseSync(rig.metaPath);
  database.prepare(sql).run(...values);
  database.close();
  await rig.open();
  await rig.server.greetNodes();
}

test('what is whole is found whole, each thing once', async (context) => {
  const it = await world(context);
  const quick = await verify(it, false);
  assert.deepEqual(quick.findings, []);
  assert.deepEqual([quick.sums.files, quick.sums.journalRows], [3, 0]);
  const full = await verify(it, true);
  assert.deepEqual(full.findings, []);
  assert.deepEqual([full.sums.files, full.sums.entries, full.sums.journalRows], [3, 4, 4]);
  assert.ok(full.sums.copies >= 2 && full.sums.metadataBlocks >= 2);
});

test('what was purged is missed in the trash alone: what is live has its bytes, whatever is said of it', async (context) => {
  const it = await world(context);
  const files: SealedFile[] = [];
  const entry = newId<EntryId>();
  await it.device.each([it.device.createFile(it.dir, 'gone.txt', files, Buffer.from('gone'), entry)], files);
  await it.device.each([{ kind: 'delete', entry, basis: (await it.device.head()).seq }]);
  await tamper(
    it,
    "delete from content where manifest = (select manifest from entry where name = cast('gone.txt' as blob))",
  );
  const missing = ['(in the trash)/gone.txt'];
  const found = async () =>
    (await verify(it, true)).findings.filter(({ about }) => about === 'file').map(({ path }) => path);
  assert.deepEqual(await found(), missing);
  await tamper(it, 'insert into purged select space, 0, ? from space', new Uint8Array(1024).fill(255));
  assert.deepEqual(await found(), []);
  await tamper(
    it,
    "delete from content where manifest = (select manifest from entry where name = cast('a.txt' as blob))",
  );
  assert.deepEqual(await found(), ['dir/a.txt']);
});

test('a block that a node lost is found by asking; one that it damaged, or changed for another, by reading', async (context) => {
  const it = await world(context);
  const { store } = node(it, 'txt');
  const { get, has } = { get: store.get.bind(store), has: store.has.bind(store) };
  store.has = async (ids, signal) => (await has(ids, signal)).map(() => false);
  const lost = (await verify(it, false)).findings.filter(({ about }) => about === 'file');
  assert.deepEqual(
    lost.map(({ path, code, whole, space }) => ({ path, code, whole, space })),
    [{ path: 'dir/a.txt', code: 'block_missing', whole: false, space: 'Holdfast' }],
  );
  store.has = has;
  const changes: ((result: GetResult) => GetResult)[] = [
    () => ({ kind: 'corrupt' }),
    (result) =>
      result.kind === 'found'
        ? { ...result, bytes: result.bytes.map((byte, at) => (at === 50 ? byte ^ 1 : byte)) }
        : result,
    (result) => (result.kind === 'found' ? { ...result, bytes: result.bytes.subarray(1) } : result),
  ];
  for (const change of changes) {
    store.get = async (ids, signal) => (await get(ids, signal)).map(change);
    const { findings } = await verify(it, true);
    const files = findings.filter(({ about }) => about === 'file');
    assert.deepEqual(
      files.map(({ path, code }) => [path, code]),
      [['dir/a.txt', 'block_corrupt']],
    );
    // The metadata lies in four pools: one of them is not all.
    const metadata = findings.filter(({ about }) => about === 'metadata');
    assert.ok(metadata.length > 0 && metadata.every(({ whole }) => whole));
    assert.deepEqual((await verify(it, false)).findings, [], 'asking alone does not tell');
  }
});

test('a node that does not answer is no damage', async (context) => {
  const it = await world(context);
  node(it, 'mp3').down = true;
  for (const full of [false, true]) {
    const { findings } = await verify(it, full);
    assert.deepEqual(
      findings.map(({ path, code }) => [path, code]),
      [['b.mp3', 'storage_unavailable']],
    );
  }
});

test('large files are checked over several steps, and a fault at their end is found', async (context) => {
  const it = await world(context);
  const { device } = it;
  const files: SealedFile[] = [];
  const bytes = randomBytes(20_000_000);
  const entry = newId<EntryId>();
  const create = device.createFile(ROOT_ENTRY, 'large.bin', files, bytes, entry);
  const { blocks } = must(files[0], 'it was sealed');
  const upload = newId<UploadId>();
  const about = { upload, entry, parent: ROOT_ENTRY, name: 'large.bin', size: bytes.length };
  await device.ask(prepare, { space: device.space, files: [about] });
  for (const block of blocks) await device.ask(put, { space: device.space, upload, blocks: [block.id] }, [block.bytes]);
  const uploads = [upload] as never;
  const { answers } = await device.commit([[create]], files, { inline: false, uploads });
  assert.equal(answers[0]?.kind, 'applied');
  const whole = await verify(it, true);
  assert.deepEqual(whole.findings, []);
  assert.equal(whole.sums.files, 4);
  assert.ok(whole.steps > 6, `${whole.steps} steps`);
  const last = must(blocks.at(-1), 'it has blocks').id;
  const { store } = node(it, 'others');
  const get = store.get.bind(store);
  store.get = async (ids, signal) =>
    (await get(ids, signal)).map((result, index) => (ids[index] === last ? { kind: 'missing' } : result));
  const { findings } = await verify(it, true);
  assert.deepEqual(
    findings.map(({ path, code }) => [path, code]),
    [['large.bin', 'block_missing']],
  );
});

test('an index that was changed behind the server’s back is found out', async (context) => {
  const cases: readonly (readonly [string, string, (it: World) => Uint8Array[], RegExp])[] = [
    [
      'tree',
      'update entry set parent = ? where name = ?',
      () => [Buffer.alloc(16, 9), Buffer.from('a.txt')],
      /does not exist/,
    ],
    ['tree', 'update entry set parent = entry where name = ?', () => [Buffer.from('dir')], /within itself/],
    [
      'tree',
      'update entry set name = ? where name = ?',
      () => [Buffer.from('other'), Buffer.from('a.txt')],
      /own name/,
    ],
    ['tree', 'update entry set size = 5 where name = ?', () => [Buffer.from('b.mp3')], /says otherwise/],
    ['journal', "update journal set row = cast(row || x'00' as blob) where seq = 2", () => [], /row 2 of the journal/],
    ['journal', "update journal set row = x'00' where seq = 1", () => [], /row 1 of the journal/],
    ['journal', 'delete from journal where seq = 3', () => [], /rows from 3 to 3/],
    ['journal', 'delete from journal where seq = 4', () => [], /ends at 3/],
    [
      'file',
      'update content set bytes = (select bytes from content c where c.size = 8) where size > 8',
      () => [],
      /not the revision/,
    ],
    ['file', 'delete from content where size = 8', () => [], /missing/],
    ['file', 'delete from presence where length > 100', () => [], /on no storage node/],
  ];
  for (const [about, sql, values, message] of cases) {
    const it = await world(context);
    await tamper(it, sql, ...values(it));
    const { findings } = await verify(it, true);
    assert.ok(
      findings.some((finding) => finding.about === about && message.test(finding.message) && !finding.whole),
      `${sql}: ${JSON.stringify(findings)}`,
    );
  }
});
