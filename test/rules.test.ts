/** Rules with real processes: tried, applied, and what they move read all the while, also when the server dies in the middle. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { startCluster, untilInSync, type Cluster, type Listed } from './cluster.ts';
import { run, runJson, until } from './holdfast.ts';

type Rule = { rule: string; extensions: string[]; pool: string };
type Move = { from: string; to: string; files: number; bytes: number; copies: { before: number; after: number } };
type Tried = { looked: number; files: number; bytes: number; addedBytes: number; fewerCopies: number; moves: Move[] };
type Moving = { server: { moving: { files: number; looking: boolean }; rulesPending: boolean } };

const FILE_BYTES = 2 << 20;

async function fill(context: TestContext): Promise<{ cluster: Cluster; files: Map<string, Buffer> }> {
  const cluster = await startCluster(context);
  const files = new Map<string, Buffer>();
  const put = (path: string, bytes: Buffer) => {
    files.set(path, bytes);
    writeFileSync(join(cluster.folder, path), bytes);
  };
  mkdirSync(join(cluster.folder, 'films'));
  for (let index = 0; index < 24; index++) put(`films/${index}.mkv`, randomBytes(FILE_BYTES));
  for (let index = 0; index < 20; index++) put(`${index}.txt`, randomBytes(500 + index));
  put('song.mp3', randomBytes(1000));
  await untilInSync(cluster.owner);
  return { cluster, files };
}

async function poolsOf(cluster: Cluster): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { pool } of await runJson<Listed[]>(['fetch'], cluster.owner)) counts[pool] = (counts[pool] ?? 0) + 1;
  return counts;
}

async function fetchOne(cluster: Cluster, files: ReadonlyMap<string, Buffer>, path: string): Promise<void> {
  const to = join(cluster.directory, 'fetched');
  const ran = await run(['fetch', path, '--to', to], cluster.owner);
  assert.equal(ran.code, 0, `${path}: ${ran.stderr}`);
  assert.ok(readFileSync(join(to, path)).equals(files.get(path) as Buffer), path);
}

const movingOf = async (cluster: Cluster) => (await runJson<Moving>(['status'], cluster.owner)).server.moving;
const isDone = ({ files, looking }: Moving['server']['moving']) => files === 0 && !looking;

test('a dry run says what moves; files are read all the while; what a killed server left half moved goes on', async (context) => {
  const { cluster, files } = await fill(context);
  const before = await poolsOf(cluster);
  assert.deepEqual(before, { mp3: 1, others: 24, txt: 20 });

  // A folder's films to another pool, and texts of some size to a third.
  const proposal = ['--folder', 'films', '--min-size', '1MiB', '--pool', 'pdf', '--first'];
  const tried = await runJson<Tried>(['rules', 'test', ...proposal], cluster.owner);
  assert.deepEqual(
    tried.moves.map(({ from, to, files: count, bytes, copies }) => [from, to, count, bytes, copies]),
    [['others', 'pdf', 24, 24 * FILE_BYTES, { before: 1, after: 1 }]],
  );
  assert.deepEqual([tried.looked, tried.files, tried.fewerCopies], [45, 24, 0]);
  assert.ok(tried.addedBytes > tried.bytes && tried.addedBytes < 1.01 * tried.bytes);
  const shown = await run(['rules', 'test', ...proposal], cluster.owner);
  assert.match(shown.stdout, /others +pdf +24 +48\.0 MiB/);
  assert.equal((await runJson<Rule[]>(['rules'], cluster.owner)).length, 3, 'a dry run changes nothing');
  const placed = await runJson<{ pool: string }>(
    ['rules', 'test', 'films/new.mkv', '--size', '2M', ...proposal],
    cluster.owner,
  );
  assert.equal(placed.pool, 'pdf');

  await runJson(['rules', 'apply', ...proposal], cluster.owner);
  let reads = 0;
  let killed = false;
  for (;;) {
    const moving = await movingOf(cluster);
    if (!killed && moving.files > 0) {
      killed = true;
      await cluster.up.kill();
      await cluster.restart();
      assert.ok((await movingOf(cluster)).files > 0, 'it was killed in the middle');
    }
    await fetchOne(cluster, files, `films/${reads++ % 24}.mkv`);
    if (killed && isDone(moving)) break;
  }
  assert.deepEqual(await poolsOf(cluster), { mp3: 1, pdf: 24, txt: 20 });
  assert.deepEqual((await runJson<Tried>(['rules', 'test'], cluster.owner)).moves, []);
  for (let index = 0; index < 24; index++) await fetchOne(cluster, files, `films/${index}.mkv`);
});

test('rules as a file, a rule by name, and what cannot be a rule', async (context) => {
  const cluster = await startCluster(context);
  writeFileSync(join(cluster.folder, 'a.txt'), 'one');
  writeFileSync(join(cluster.folder, 'b.flac'), 'two');
  await untilInSync(cluster.owner);
  const rules = await runJson<Rule[]>(['rules'], cluster.owner);
  const file = join(cluster.directory, 'rules.json');
  writeFileSync(file, JSON.stringify([{ glob: '*.f[l]ac', pool: 'mp3' }, ...rules.slice(0, 1), ...rules.slice(2)]));
  const tried = await runJson<Tried>(['rules', 'test', '--file', file], cluster.owner);
  assert.deepEqual(tried.moves.map(({ from, to, files }) => `${from} ${to} ${files}`).sort(), [
    'others mp3 1',
    'txt others 1',
  ]);
  await runJson(['rules', 'apply', '--file', file], cluster.owner);
  await until('both are moved', () => movingOf(cluster), isDone);
  assert.deepEqual(await poolsOf(cluster), { mp3: 1, others: 1 });

  // As it always was: a rule that is added or removed concerns the next file.
  const added = await runJson<Rule>(['rules', 'add', 'txt', '--pool', 'txt', '--older-than', '1d'], cluster.owner);
  assert.equal((await runJson<Moving>(['status'], cluster.owner)).server.rulesPending, true);
  assert.match((await run(['rules'], cluster.owner)).stdout, /\*\.txt, unchanged for 1 d +txt +as the pool/);
  assert.deepEqual((await runJson<Tried>(['rules', 'test', '--remove', added.rule], cluster.owner)).moves, []);
  await runJson(['rules', 'remove', added.rule], cluster.owner);

  // Copies, history and compression: said, shown, and part of what a dry run tells.
  await runJson(
    ['rules', 'add', 'log', '--pool', 'others', '--history', '2w', '--compression', 'strong', '--first'],
    cluster.owner,
  );
  const twice = ['--extension', 'flac', '--pool', 'mp3', '--copies', '2', '--first'];
  const copies = await run(['rules', 'test', ...twice], cluster.owner);
  assert.match(copies.stdout, /mp3 +mp3\*2 +1 +3 B +1 -> 2\n/);
  assert.match(copies.stderr, /pool mp3 has 1 storage node, fewer than 2 copies: .* --pool mp3"/);
  assert.match(
    (await run(['rules', 'test', 'x.flac', ...twice], cluster.owner)).stdout,
    /x\.flac -> mp3\*2 \(rule [0-9a-f]{8}: \*\.flac\)/,
  );
  const safe = await run(['rules', 'add', 'safe', '--pool', 'mp3', '--copies', '2'], cluster.owner);
  assert.match(safe.stdout, /\*\.safe -> mp3, 2 copies, from the next file on/);
  assert.match(safe.stderr, /fewer than 2 copies/);
  assert.ok((await runJson<{ pool: string }[]>(['pools'], cluster.owner)).some(({ pool }) => pool === 'mp3*2'));
  const listed = await run(['rules'], cluster.owner);
  assert.match(listed.stdout, /\*\.log +others +as the pool +14 days +strong\n/);
  assert.match(
    listed.stdout,
    /\*\.safe +mp3 +2 +for ever +usual\n(.*\n)*.*everything else +others +as the pool +for ever +usual\n/,
  );
  const withHistory = ['rules', 'test', '--glob', '*', '--pool', 'others', '--history', '1d'];
  const { purged } = await runJson<{ purged: unknown }>(withHistory, cluster.owner);
  assert.deepEqual(purged, { revisions: { count: 0, bytes: 0 }, deleted: { count: 0, bytes: 0 } });

  const wrong: [string[], number][] = [
    [['rules', 'add', 'x', '--pool', 'txt', '--history', '12h'], 2],
    [['rules', 'add', 'x', '--pool', 'txt', '--history', '0d'], 2],
    [['rules', 'test', '--history', '9d'], 2],
    [['rules', 'test', '--copies', '2'], 2],
    [['rules', 'add', 'x', '--pool', 'txt', '--copies', '9'], 2],
    [['rules', 'add', 'x', '--pool', 'mp3*2'], 2],
    [['rules', 'add', 'x', '--pool', 'txt', '--compression', 'much'], 2],
    [['rules', 'add', '--pool', 'txt'], 2],
    [['rules', 'add', 'x', '--pool', 'nowhere'], 2],
    [['rules', 'add', '--glob', '[', '--pool', 'txt'], 2],
    [['rules', 'add', 'x', '--pool', 'txt', '--min-size', '2', '--max-size', '1'], 2],
    [['rules', 'add', 'x', '--pool', 'txt', '--older-than', 'soon'], 2],
    [['rules', 'test', '--pool', 'txt'], 2],
    [['rules', 'test', '--file', join(cluster.directory, 'absent')], 2],
    [['rules', 'apply', '--remove', 'nothing'], 3],
  ];
  for (const [args, code] of wrong) {
    const ran = await run(args, cluster.owner);
    assert.equal(ran.code, code, `${args.join(' ')}: ${ran.stderr}`);
    assert.match(ran.stderr, /^holdfast: [^\n]+\n$/);
  }
});
