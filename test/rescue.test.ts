/** A server that is lost as a whole, with real processes: everything comes back from the nodes' directories and the recovery kit. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { addDevice, everyFile, startCluster, treeOf, untilIdentical, untilInSync, type Cluster } from './cluster.ts';
import { bin, freePorts, run, runJson, service, until, type Surroundings } from './holdfast.ts';

type Row = { space: string; path: string; size: number; state: string; to?: string; wasThere?: boolean; why?: string };
type Listed = { root: { seq: number; ageMs: number }; files: Row[]; lost: Row[]; passed: unknown[]; faults: unknown[] };
type Made = Listed & { incarnation: number; absentNodes: string[] };

const large = Buffer.alloc(9_000_000, 0);
for (let index = 0; index < large.length; index += 7) large[index] = (index * 31) & 0xff;

/** Files of all pools and kinds; then changes that a rescue must know of as well. */
async function fill(cluster: Cluster): Promise<ReadonlyMap<string, string>> {
  const { folder, owner } = cluster;
  mkdirSync(join(folder, 'Fotos/leer'), { recursive: true });
  writeFileSync(join(folder, 'a.txt'), 'first');
  writeFileSync(join(folder, 'Fotos/かえる 🐸.mp3'), 'a frog');
  writeFileSync(join(folder, 'Fotos/e\u0301.pdf'), 'decomposed');
  writeFileSync(join(folder, 'before.txt'), 'moves');
  writeFileSync(join(folder, 'gone.txt'), 'goes');
  writeFileSync(join(folder, 'large.bin'), large);
  writeFileSync(join(folder, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 });
  writeFileSync(join(folder, 'empty'), '');
  symlinkSync('a.txt', join(folder, 'link'));
  await untilInSync(owner);
  await untilListed(owner, 8);
  writeFileSync(join(folder, 'a.txt'), 'second');
  renameSync(join(folder, 'before.txt'), join(folder, 'Fotos/after.txt'));
  unlinkSync(join(folder, 'gone.txt'));
  await until(
    'the changes are on the server',
    () => runJson<{ path: string; size: number }[]>(['fetch'], owner),
    (rows) =>
      rows.length === 7 &&
      rows.some(({ path }) => path === 'Fotos/after.txt') &&
      rows.some(({ path, size }) => path === 'a.txt' && size === 6),
  );
  return treeOf(folder);
}

async function untilListed(at: Surroundings, count: number): Promise<void> {
  await until(
    `${count} files are stored`,
    () => runJson<{ state: string }[]>(['fetch'], at),
    (rows) => rows.length === count && rows.every(({ state }) => state === 'stored'),
  );
}

/** Until a rescue of the live directories shows the same files: the roots follow by themselves. */
async function untilRescuable(cluster: Cluster, kit: string, expected: ReadonlyMap<string, string>): Promise<void> {
  const files = [...expected]
    .filter(([, state]) => state !== 'folder' && !state.startsWith('link'))
    .map(([path]) => path);
  await until(
    'the pools know of everything',
    async () => {
      const ran = await run(['rescue', 'list', '--kit', kit, '--nodes', cluster.data, '--json'], cluster.owner);
      return ran.stdout === '' ? [] : (JSON.parse(ran.stdout) as Listed).files;
    },
    (rows) => {
      const byPath = new Map(rows.map((row) => [row.path, row]));
      return rows.length === files.length && files.every((path) => byPath.get(path)?.size === sizeOf(cluster, path));
    },
    60_000,
  );
}

const sizeOf = (cluster: Cluster, path: string): number => statSync(join(cluster.folder, path)).size;
const hashes = (directory: string) =>
  everyFile(directory).map(({ path, bytes }) => `${path} ${createHash('sha256').update(bytes).digest('hex')}`);

test('the server is lost with its database: list, export, and a server anew with which devices unite', {
  timeout: 240_000,
}, async (context) => {
  const cluster = await startCluster(context, { args: ['--root-every', '1'] });
  const { owner, data, folder, directory } = cluster;
  const shown = await runJson<{ kit: string }>(['kit'], owner);
  const kit = join(directory, 'kit.txt');
  writeFileSync(kit, shown.kit, { mode: 0o600 });
  const tree = await fill(cluster);
  await untilRescuable(cluster, kit, tree);
  await cluster.up.kill();
  const old = join(directory, 'old-server');
  renameSync(join(data, 'server'), old);

  const before = hashes(join(data, 'nodes'));
  const listed = await runJson<Listed>(['rescue', 'list', '--kit', kit, '--nodes', join(data, 'nodes')], owner);
  assert.deepEqual([listed.lost, listed.passed, listed.faults], [[], [], []]);
  assert.ok(listed.root.ageMs >= 0 && listed.root.seq > 0);
  const out = join(directory, 'out');
  const nodes = readdirSync(join(data, 'nodes')).map((name) => join(data, 'nodes', name));
  const saved = await runJson<Listed>(['rescue', 'export', '--kit', kit, '--nodes', ...nodes, '--to', out], owner);
  assert.equal(saved.lost.length, 0);
  assert.deepEqual(treeOf(join(out, 'Holdfast')), tree);
  assert.deepEqual(readFileSync(join(out, 'Holdfast/large.bin')), large);
  // Again into the same place: what is there is not written again, what is another's is not written over.
  writeFileSync(join(out, 'Holdfast/a.txt'), 'mine');
  const again = await runJson<Listed>(['rescue', 'export', '--kit', kit, '--nodes', data, '--to', out], owner);
  assert.equal(readFileSync(join(out, 'Holdfast/a.txt'), 'utf8'), 'mine');
  assert.equal(readFileSync(join(out, 'Holdfast/a (rescued).txt'), 'utf8'), 'second');
  assert.ok(again.files.every(({ path, wasThere }) => wasThere === (path !== 'a.txt')));
  assert.deepEqual(hashes(join(data, 'nodes')), before, 'a rescue changes nothing in the directories');

  const made = await runJson<Made>(['rescue', 'server', '--kit', kit, '--nodes', data, '--to', data], owner);
  assert.deepEqual([made.incarnation, made.absentNodes, made.lost], [2, [], []]);
  assert.equal(readFileSync(join(data, 'server/root.key'), 'utf8'), readFileSync(join(old, 'root.key'), 'utf8'));
  const twice = await run(['rescue', 'server', '--kit', kit, '--nodes', data, '--to', data], owner);
  assert.equal(twice.code, 5, twice.stderr);

  // While nothing synced, the person went on.
  writeFileSync(join(folder, 'meanwhile.txt'), 'meanwhile');
  await cluster.restart();
  const laptop = await addDevice(context, cluster, 'laptop', (at) => {
    cpSync(folder, at, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !path.includes('.holdfast') && !path.endsWith('large.bin'),
    });
    writeFileSync(join(at, 'only-here.txt'), 'only here');
  });
  await until(
    'the union is on both sides',
    () => treeOf(folder),
    (seen) => seen.has('only-here.txt'),
    60_000,
  );
  const united = await untilIdentical([folder, laptop.folder]);
  for (const [path, state] of tree) assert.equal(united.get(path), state, path);
  assert.deepEqual(
    [...united.keys()].filter((path) => !tree.has(path)).sort(),
    ['meanwhile.txt', 'only-here.txt'],
    'nothing is lost and nothing is there twice',
  );
  await untilInSync(owner);
  const checked = await run(['verify', '--full'], owner);
  assert.equal(checked.code, 0, checked.stderr);
  await cluster.up.stop();

  // The old server comes back. Its nodes know a newer one.
  const oldData = join(directory, 'old');
  mkdirSync(oldData);
  renameSync(old, join(oldData, 'server'));
  const [port, nodePort] = (await freePorts(2)) as [number, number];
  const node = await service(context, ['node', '--data', join(data, 'nodes/txt'), '--port', String(nodePort)], {
    ...owner,
    home: join(directory, 'home-node'),
  });
  const ancient = { ...owner, home: join(directory, 'home-ancient') };
  await service(context, ['server', '--data', oldData, '--port', String(port)], ancient);
  const { nodes: seen } = await runJson<{ nodes: { pool: string; state: string }[] }>(['status'], ancient);
  assert.equal(seen.find(({ pool }) => pool === 'txt')?.state, 'unreachable');
  await node.stop();
});

test('what changed a moment before an orderly stop is in the pools', { timeout: 300_000 }, async (context) => {
  const cluster = await startCluster(context, { args: ['--root-every', '3600'] });
  const { owner, data, directory, folder } = cluster;
  const kit = join(directory, 'kit.txt');
  writeFileSync(kit, (await runJson<{ kit: string }>(['kit'], owner)).kit);
  writeFileSync(join(folder, 'early.txt'), 'early');
  await untilListed(owner, 1);
  await until(
    'the first file is in the pools',
    () => run(['rescue', 'list', '--kit', kit, '--nodes', data, '--json'], owner),
    ({ code, stdout }) => code === 0 && (JSON.parse(stdout) as Listed).files.length === 1,
  );
  writeFileSync(join(folder, 'late.mp3'), 'late');
  await untilListed(owner, 2);
  assert.equal(await cluster.up.stop(), 0);
  rmSync(join(data, 'server'), { recursive: true });
  const { files } = await runJson<Listed>(['rescue', 'list', '--kit', kit, '--nodes', data], owner);
  assert.deepEqual(
    files.map(({ path }) => path),
    ['early.txt', 'late.mp3'],
  );
});

test('a pool that is lost costs its own files; a wrong kit opens nothing; exit codes say so', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await startCluster(context, { args: ['--root-every', '1'] });
  const { owner, data, directory, folder } = cluster;
  const { kit: text } = await runJson<{ kit: string }>(['kit'], owner);
  const kit = join(directory, 'kit.txt');
  writeFileSync(kit, text);
  writeFileSync(join(folder, 'kept.mp3'), 'kept');
  writeFileSync(join(folder, 'lost.txt'), 'lost');
  await untilListed(owner, 2);
  await untilRescuable(cluster, kit, treeOf(folder));
  await cluster.up.kill();
  rmSync(join(data, 'server'), { recursive: true });
  rmSync(join(data, 'nodes/txt'), { recursive: true });
  const out = join(directory, 'out');
  const ran = await run(['rescue', 'export', '--kit', kit, '--nodes', data, '--to', out, '--json'], owner);
  assert.equal(ran.code, 7, ran.stderr);
  const { lost, files } = JSON.parse(ran.stdout) as Listed;
  assert.deepEqual([lost.map(({ path }) => path), files.map(({ path }) => path)], [['lost.txt'], ['kept.mp3']]);
  assert.equal(readFileSync(join(out, 'Holdfast/kept.mp3'), 'utf8'), 'kept');
  assert.ok(!existsSync(join(out, 'Holdfast/lost.txt')));
  assert.match(ran.stderr, /lost\.txt: 1 of its 1 blocks are in none of the directories/);

  writeFileSync(
    kit,
    text.replace(/[0-9A-Z]/, (character) => (character === '0' ? '1' : '0')),
  );
  const wrong = await run(['rescue', 'list', '--kit', kit, '--nodes', data], owner);
  assert.equal(wrong.code, 2, wrong.stderr);
  assert.match(wrong.stderr, /Line 1 of the recovery kit/);
  const nowhere = await run(['rescue', 'list', '--kit', kit, '--nodes', join(directory, 'nowhere')], owner);
  assert.notEqual(nowhere.code, 0);
  const other = await startCluster(context, { folder: false });
  const { kit: foreign } = await runJson<{ kit: string }>(['kit'], other.owner);
  writeFileSync(kit, foreign);
  const strange = await run(['rescue', 'list', '--kit', kit, '--nodes', data], owner);
  assert.equal(strange.code, 7, strange.stderr);
  assert.match(strange.stderr, /is it the right kit/);
});

test('the recovery kit is shown, and confirmed by whoever has a copy of it', { timeout: 300_000 }, async (context) => {
  const cluster = await startCluster(context, { folder: false });
  const { owner } = cluster;
  const { kit } = await runJson<{ kit: string }>(['kit'], owner);
  assert.match(kit, /^([0-9A-Z]{4} ){7}[0-9A-Z]{4}\n/);
  const confirmed = async () =>
    (await runJson<{ server: { recoveryKitConfirmed: boolean } }>(['status'], owner)).server.recoveryKitConfirmed;
  assert.equal(await confirmed(), false);
  const lines = kit
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' '));
  const wrong = await confirmWith(owner, () => 'AAAA');
  assert.equal(wrong.code, 2, wrong.stderr);
  assert.equal(await confirmed(), false);
  const right = await confirmWith(owner, (line, group) => lines[line - 1]?.[group - 1]?.toLowerCase() ?? '');
  assert.equal(right.code, 0, right.stderr);
  assert.equal(await confirmed(), true);
});

/** Answers as a person would who reads from paper. */
async function confirmWith(at: Surroundings, answer: (line: number, group: number) => string) {
  const child = spawn(bin, ['kit', '--confirm'], {
    cwd: at.cwd,
    env: { ...process.env, HOLDFAST_DATA: '', HOLDFAST_HOME: at.home },
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let stderr = '';
  let answered = 0;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    const asked = [...stderr.matchAll(/line (\d+), group (\d+)\?\n/g)];
    for (const [, line, group] of asked.slice(answered)) child.stdin.write(`${answer(Number(line), Number(group))}\n`);
    answered = asked.length;
  });
  child.stdin.on('error', () => undefined);
  const code = await new Promise<number | null>((done) => child.once('close', done));
  return { code, stderr };
}
