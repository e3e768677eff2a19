/** `holdfast verify` with real processes: clean, then with damage on a node's disk. It changes nothing. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { everyFile, startCluster } from './cluster.ts';
import { run, until, runJson } from './holdfast.ts';

type Report = {
  ok: boolean;
  files: number;
  journalRows: number;
  entries: number;
  pools: { pool: string; blocks: number; copies: number; bytes: number }[];
  damaged: string[];
  findings: { about: string; path: string; code: string }[];
};

test('clean is exit 0; a flipped bit is exit 7 with the right path, and nothing is changed; nodes that do not answer are exit 6', {
  timeout: 180_000,
}, async (context) => {
  const cluster = await startCluster(context, { args: ['--root-every', '1'] });
  const { folder, owner, data } = cluster;
  mkdirSync(join(folder, 'dir'));
  const contents = new Map(
    ['a.txt', 'dir/b.txt', 'c.mp3', 'd.bin'].map((path) => [path, createHash('sha512').update(path).digest()]),
  );
  for (const [path, bytes] of contents) writeFileSync(join(folder, path), bytes);
  await until(
    'all are stored',
    () => runJson<{ state: string }[]>(['fetch'], owner),
    (rows) => rows.length === 4,
  );
  const quick = await runJson<Report>(['verify'], owner);
  assert.deepEqual([quick.ok, quick.files, quick.damaged, quick.journalRows], [true, 4, [], 0]);
  const full = await runJson<Report>(['verify', '--full'], owner);
  assert.deepEqual([full.ok, full.files, full.findings, full.journalRows, full.entries], [true, 4, [], 5, 5]);
  assert.deepEqual(full.pools.map(({ pool }) => pool).sort(), ['mp3', 'others', 'txt']);
  await cluster.up.stop();

  const { victim, at } = findBlock(join(data, 'nodes/mp3/segments'));
  const bytes = readFileSync(victim);
  bytes[at + 90] = (bytes[at + 90] as number) ^ 4;
  writeFileSync(victim, bytes);
  // A root of this start would be written while verify looks.
  await cluster.restart(['--root-every', '3600']);
  const unchanged = watched(data, folder);
  const hurt = await run(['verify', '--full', '--json'], owner);
  assert.equal(hurt.code, 7, hurt.stderr);
  const report = JSON.parse(hurt.stdout) as Report;
  assert.deepEqual([report.ok, report.files, report.damaged], [false, 4, ['c.mp3']]);
  assert.match(hurt.stderr, /c\.mp3: 1 of 1 blocks are on no storage node/);
  unchanged();
  await cluster.up.kill();
  const alone = await run(['verify'], owner);
  assert.equal(alone.code, 6, alone.stderr);
});

test('a segment that is deleted while everything runs is found by a full verification, and by a quick one from then on', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await startCluster(context);
  const { folder, owner, data } = cluster;
  writeFileSync(join(folder, 'song.mp3'), 'a song');
  writeFileSync(join(folder, 'note.txt'), 'a note');
  await until(
    'both are stored',
    () => runJson<{ state: string }[]>(['fetch'], owner),
    (rows) => rows.length === 2,
  );
  await cluster.up.stop();
  await cluster.restart();
  const segments = join(data, 'nodes/mp3/segments');
  for (const name of readdirSync(segments)) rmSync(join(segments, name));
  const unchanged = watched(data, folder);
  for (const args of [['verify', '--full'], ['verify']]) {
    const ran = await run([...args, '--json'], owner);
    assert.equal(ran.code, 7, ran.stderr);
    assert.deepEqual((JSON.parse(ran.stdout) as Report).damaged, ['song.mp3'], args.join(' '));
  }
  unchanged();
});

/** Segments and synced files: equal afterwards, byte for byte. */
function watched(data: string, folder: string): () => void {
  const state = (): readonly string[] =>
    [...everyFile(join(data, 'nodes')).filter(({ path }) => path.endsWith('.hfs')), ...everyFile(folder)]
      .filter(({ path }) => !path.includes('.holdfast'))
      .map(({ path, bytes }) => `${path} ${createHash('sha256').update(bytes).digest('hex')}`);
  const before = state();
  return () => assert.deepEqual(state(), before);
}

/** A block of a file in the log: it begins with "HFB", its version and kind 1. */
function findBlock(segments: string): { readonly victim: string; readonly at: number } {
  for (const name of readdirSync(segments)) {
    const at = readFileSync(join(segments, name)).indexOf(Buffer.from([0x48, 0x46, 0x42, 1, 1, 0, 0, 0]));
    if (at >= 0) return { victim: join(segments, name), at };
  }
  throw new Error('there is no block of a file in the log');
}
