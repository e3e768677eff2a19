/** The whole system as a newcomer meets it: `up`, a folder, rules, nodes, `fetch`, a second device. Real processes, files and sockets. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import {
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  chmodSync,
  existsSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { addDevice, everyFile, startCluster, treeOf, untilIdentical, untilInSync, type Listed } from './cluster.ts';
import { run, runJson, until } from './holdfast.ts';

const listed = (rows: readonly Listed[]): Record<string, string> =>
  Object.fromEntries(rows.map((row) => [row.path, row.pool]));
const stored = (paths: readonly string[]) => (rows: readonly Listed[]) =>
  paths.every((path) => rows.some((row) => row.path === path && row.state === 'stored'));

test('up: files go to the pools of their extensions, rest on the nodes alone, and come back by fetch', async (context) => {
  const cluster = await startCluster(context);
  assert.deepEqual(
    (cluster.up.ready['nodes'] as { pool: string; port: number }[]).map(({ pool }) => pool),
    ['mp3', 'txt', 'pdf', 'others'],
  );
  for (const port of cluster.nodePorts) {
    await new Promise<void>((resolve, reject) =>
      connect(port, '127.0.0.1')
        .once('connect', function (this: import('node:net').Socket) {
          this.destroy();
          resolve();
        })
        .once('error', reject),
    );
  }
  const marker = `plain ${randomBytes(24).toString('hex')} `;
  const contents: Record<string, Buffer> = {
    'song.mp3': randomBytes(70_000),
    'LOUD.MP3': randomBytes(900_000),
    'notes.txt': Buffer.from(marker.repeat(400)),
    'deep/er/Report.Pdf': randomBytes(10_000),
    'deep/no-extension': Buffer.from(marker),
    'empty.txt': Buffer.alloc(0),
    'big.bin': randomBytes(6 * 1024 * 1024),
  };
  for (const [path, bytes] of Object.entries(contents)) {
    mkdirSync(join(cluster.folder, path, '..'), { recursive: true });
    writeFileSync(join(cluster.folder, path), bytes);
  }
  const rows = await until(
    'all are stored',
    () => runJson<Listed[]>(['fetch'], cluster.owner),
    stored(Object.keys(contents)),
  );
  assert.deepEqual(listed(rows), {
    'LOUD.MP3': 'mp3',
    'big.bin': 'others',
    'deep/er/Report.Pdf': 'pdf',
    'deep/no-extension': 'others',
    'empty.txt': 'txt',
    'notes.txt': 'txt',
    'song.mp3': 'mp3',
  });
  for (const row of rows) assert.equal(row.size, contents[row.path]?.length, row.path);

  // The server's directory, its write-ahead log included, holds neither plain nor sealed bytes; the nodes hold the sealed ones.
  const server = everyFile(join(cluster.data, 'server'));
  assert.ok(
    server.some(({ path }) => path.endsWith('-wal')),
    'the write-ahead log is looked through as well',
  );
  const nodes = everyFile(join(cluster.data, 'nodes'));
  for (const { path, bytes } of [...server, ...nodes])
    assert.equal(bytes.indexOf(marker), -1, `${path} holds plain bytes`);
  const segments = nodes.filter(({ path }) => path.endsWith('.hfs') && path.includes('others'));
  assert.ok(
    segments.reduce((sum, { bytes }) => sum + bytes.length, 0) > 6 * 1024 * 1024,
    'the node others holds the big file',
  );
  for (const { path: segment, bytes } of segments) {
    for (let offset = 4096; offset + 64 < bytes.length; offset += 65_536) {
      const window = bytes.subarray(offset, offset + 48);
      if (new Set(window).size < 24) continue; // padding or a header's zeros: no block's bytes
      for (const { path, bytes: held } of server)
        assert.equal(held.indexOf(window), -1, `${path} holds sealed bytes of ${segment}`);
    }
  }

  const fetched = await run(['fetch', 'song.mp3', 'deep/er/Report.Pdf', 'no-extension'], cluster.owner);
  assert.equal(fetched.code, 0, fetched.stderr);
  for (const [to, from] of [
    ['song.mp3', 'song.mp3'],
    ['deep/er/Report.Pdf', 'deep/er/Report.Pdf'],
    ['no-extension', 'deep/no-extension'],
  ] as const) {
    assert.deepEqual(readFileSync(join(cluster.directory, 'target_folder', to)), contents[from]);
  }
  assert.ok(
    !existsSync(join(cluster.directory, 'target_folder', '.holdfast')),
    'fetch leaves nothing of its own behind',
  );
  const missing = await run(['fetch', 'song.mp4'], cluster.owner);
  assert.equal(missing.code, 3);
  assert.match(missing.stderr, /^holdfast: .*song\.mp3.*\n$/, 'one line, with the nearest name');

  assert.equal(await cluster.up.stop(), 0, 'Ctrl-C ends it in order');
});

test('rules change while it runs', async (context) => {
  const cluster = await startCluster(context);
  await runJson(['rules', 'add', 'flac', '.OGG', '--pool', 'mp3'], cluster.owner);
  assert.equal((await runJson<{ pool: string }>(['rules', 'test', 'a.Flac'], cluster.owner)).pool, 'mp3');
  writeFileSync(join(cluster.folder, 'one.flac'), 'x');
  writeFileSync(join(cluster.folder, 'two.ogg'), 'y');
  assert.deepEqual(
    listed(await until('stored', () => runJson<Listed[]>(['fetch'], cluster.owner), stored(['one.flac', 'two.ogg']))),
    { 'one.flac': 'mp3', 'two.ogg': 'mp3' },
  );
  const unknown = await run(['rules', 'add', 'x', '--pool', 'nowhere'], cluster.owner);
  assert.equal(unknown.code, 2, unknown.stderr);
  assert.match(unknown.stderr, /nowhere/);
  const rules = await runJson<{ rule: string; extensions: string[] }[]>(['rules'], cluster.owner);
  const added = rules.find((rule) => rule.extensions.includes('flac'));
  assert.ok(added);
  await runJson(['rules', 'remove', added.rule], cluster.owner);
  assert.equal((await runJson<{ pool: string }>(['rules', 'test', 'a.flac'], cluster.owner)).pool, 'others');
});

test('two devices: what happens on one happens on the other, at any depth, both ways', async (context) => {
  const cluster = await startCluster(context);
  mkdirSync(join(cluster.folder, 'a/b/c'), { recursive: true });
  writeFileSync(join(cluster.folder, 'a/b/c/deep.txt'), 'deep');
  writeFileSync(join(cluster.folder, 'both.txt'), 'the same on both sides');
  await untilInSync(cluster.owner);
  // A full folder joins: a union, nothing deleted on either side.
  const desk = await addDevice(context, cluster, 'desk', (folder) => {
    mkdirSync(join(folder, 'a'));
    writeFileSync(join(folder, 'a/mine.txt'), 'mine');
    writeFileSync(join(folder, 'both.txt'), 'the same on both sides');
  });
  const folders = [cluster.folder, desk.folder];
  let tree = await untilIdentical(folders);
  assert.deepEqual([...tree.keys()].sort(), ['a', 'a/b', 'a/b/c', 'a/b/c/deep.txt', 'a/mine.txt', 'both.txt']);

  writeFileSync(join(desk.folder, 'both.txt'), 'changed on the desk');
  writeFileSync(join(cluster.folder, 'run.sh'), '#!/bin/sh\n');
  chmodSync(join(cluster.folder, 'run.sh'), 0o755);
  symlinkSync('both.txt', join(cluster.folder, 'link'));
  tree = await until(
    'changes crossed',
    () => treeOf(desk.folder),
    (seen) => seen.has('link') && seen.has('run.sh'),
  );
  await untilIdentical(folders);
  assert.equal(readFileSync(join(cluster.folder, 'both.txt'), 'utf8'), 'changed on the desk');

  renameSync(join(desk.folder, 'a'), join(desk.folder, 'renamed'));
  renameSync(join(cluster.folder, 'run.sh'), join(cluster.folder, 'go.sh'));
  await until(
    'the renames crossed',
    () => [existsSync(join(cluster.folder, 'renamed/b/c/deep.txt')), existsSync(join(desk.folder, 'go.sh'))],
    (seen) => seen.every(Boolean),
  );
  await untilIdentical(folders);

  rmSync(join(cluster.folder, 'renamed'), { recursive: true });
  await until(
    'the deletion crossed',
    () => existsSync(join(desk.folder, 'renamed')),
    (seen) => !seen,
  );
  tree = await untilIdentical(folders);
  assert.deepEqual([...tree.keys()].sort(), ['both.txt', 'go.sh', 'link']);

  // Names that change places.
  writeFileSync(join(desk.folder, 'x'), 'was x');
  writeFileSync(join(desk.folder, 'y'), 'was y');
  await until(
    'both arrive',
    () => treeOf(cluster.folder),
    (seen) => seen.has('x') && seen.has('y'),
  );
  await untilInSync(desk.at);
  renameSync(join(desk.folder, 'x'), join(desk.folder, 'z'));
  renameSync(join(desk.folder, 'y'), join(desk.folder, 'x'));
  renameSync(join(desk.folder, 'z'), join(desk.folder, 'y'));
  await until(
    'they changed places',
    () => [readFileSync(join(cluster.folder, 'x'), 'utf8'), readFileSync(join(cluster.folder, 'y'), 'utf8')].join(),
    (seen) => seen === 'was y,was x',
  );
  await untilIdentical(folders);

  const status = await untilInSync(desk.at);
  assert.deepEqual(status.problems, []);
  assert.equal(await desk.sync.stop(), 0);
});

test('join --once and sync --once end as soon as both sides are in sync', async (context) => {
  const cluster = await startCluster(context);
  for (let index = 0; index < 300; index++) writeFileSync(join(cluster.folder, `file ${index}.txt`), `text ${index}`);
  await untilInSync(cluster.owner);
  const { invite } = await runJson<{ invite: string }>(['invite'], cluster.owner);
  const at = { ...cluster.owner, home: join(cluster.directory, 'home-b') };
  const folder = join(cluster.directory, 'b');
  const joined = await run(['join', invite, folder, '--once'], at);
  assert.equal(joined.code, 0, joined.stderr);
  assert.equal(treeOf(folder).size, 300);
  writeFileSync(join(folder, 'new.txt'), 'new');
  const synced = await run(['sync', '--once'], at);
  assert.equal(synced.code, 0, synced.stderr);
  await untilIdentical([cluster.folder, folder]);
  assert.equal(treeOf(cluster.folder).size, 301);
  const again = await run(['join', invite, join(cluster.directory, 'c')], {
    ...cluster.owner,
    home: join(cluster.directory, 'home-c'),
  });
  assert.equal(again.code, 4, `an invite works once: ${again.stderr}`);
});

test('a device that syncs nothing lists and fetches; a revoked one does neither', async (context) => {
  const cluster = await startCluster(context);
  writeFileSync(join(cluster.folder, 'kept.txt'), 'kept');
  await until('stored', () => runJson<Listed[]>(['fetch'], cluster.owner), stored(['kept.txt']));
  const { invite } = await runJson<{ invite: string }>(['invite'], cluster.owner);
  const at = {
    home: join(cluster.directory, 'home-reader'),
    cwd: join(cluster.directory),
    env: { HOLDFAST_DEVICE_NAME: 'reader' },
  };
  await runJson(['join', invite], at);
  assert.equal((await run(['fetch', 'kept.txt', '--to', 'elsewhere'], at)).code, 0);
  assert.equal(readFileSync(join(cluster.directory, 'elsewhere/kept.txt'), 'utf8'), 'kept');
  assert.deepEqual(
    (await runJson<{ name: string }[]>(['devices'], cluster.owner)).filter(({ name }) => name === 'reader').length,
    1,
  );
  await runJson(['devices', 'revoke', 'reader'], cluster.owner);
  const refused = await run(['fetch'], at);
  assert.equal(refused.code, 4, refused.stderr);
});

test('a device that is revoked while it syncs says so, ends with exit 4, and its folder is left alone', async (context) => {
  const cluster = await startCluster(context);
  writeFileSync(join(cluster.folder, 'kept.txt'), 'kept');
  const laptop = await addDevice(context, cluster, 'laptop');
  await untilIdentical([cluster.folder, laptop.folder]);
  await untilInSync(laptop.at);
  await runJson(['devices', 'revoke', 'laptop'], cluster.owner);
  writeFileSync(join(laptop.folder, 'later.txt'), 'never sent');
  await until(
    'it says so',
    () => laptop.sync.stderr(),
    (text) => text.includes('refuses this device'),
  );
  assert.equal(await laptop.sync.stop(), 0);
  const once = await run(['sync', '--once'], laptop.at);
  assert.equal(once.code, 4, once.stderr);
  assert.deepEqual([...treeOf(laptop.folder).keys()].sort(), ['kept.txt', 'later.txt']);
  assert.deepEqual([...treeOf(cluster.folder).keys()], ['kept.txt']);
});

test('a browser gets a status page that runs no script', async (context) => {
  const cluster = await startCluster(context);
  const answer = await fetch(String(cluster.up.ready['url']));
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type') ?? '', /text\/html/);
  assert.match(answer.headers.get('content-security-policy') ?? '', /default-src 'none'/);
  const html = await answer.text();
  assert.doesNotMatch(html, /<script/i);
  for (const pool of ['mp3', 'txt', 'pdf', 'others']) assert.ok(html.includes(pool), `the page names the pool ${pool}`);
});
