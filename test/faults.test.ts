/** Dead peers, full disks, damaged bytes: a clear error, nothing lost, nothing else disturbed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
  closeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { addDevice, startCluster, treeOf, untilIdentical, untilInSync, type Listed, type Status } from './cluster.ts';
import { atEnd, freePorts, run, runJson, scratch, service, until } from './holdfast.ts';
import { lacksRoot } from './privilege.ts';

test('a node that is down: its files wait, reads from it fail clearly, nothing else is disturbed', {
  timeout: 180_000,
}, async (context) => {
  const directory = scratch(context);
  const owner = { home: join(directory, 'home'), cwd: directory };
  const [port, txtPort, othersPort] = await freePorts(3);
  await service(context, ['server', '--data', 'server', '--port', String(port)], owner);
  const startNode = async (pool: string, nodePort: number | undefined, joined: boolean) => {
    const ticket = joined
      ? []
      : ['--join', (await runJson<{ invite: string }>(['invite', '--node'], owner)).invite, '--pool', pool];
    return service(context, ['node', '--data', `node-${pool}`, '--port', String(nodePort), ...ticket], owner);
  };
  const txt = await startNode('txt', txtPort, false);
  await startNode('others', othersPort, false);
  const device = { home: join(directory, 'home-a'), cwd: directory };
  const folder = join(directory, 'drive');
  await service(context, ['join', (await runJson<{ invite: string }>(['invite'], owner)).invite, folder], device);
  writeFileSync(join(folder, 'before.txt'), 'before');
  writeFileSync(join(folder, 'before.bin'), 'before, with other bytes');
  const list = () => runJson<Listed[]>(['fetch'], owner);
  await until('both are stored', list, (rows) => rows.length === 2 && rows.every((row) => row.state === 'stored'));

  await txt.kill();
  writeFileSync(join(folder, 'waits.txt'), 'waits');
  writeFileSync(join(folder, 'goes.bin'), 'goes');
  await until('the other pool takes its file', list, (rows) =>
    rows.some((row) => row.path === 'goes.bin' && row.state === 'stored'),
  );
  const status = await until(
    'the problem is named',
    () => runJson<Status>(['status'], device),
    (seen) => seen.problems.some((problem) => problem.path.endsWith('waits.txt')),
    60_000,
  );
  assert.equal(status.inSync, false);
  const refused = await run(['fetch', 'before.txt'], owner);
  assert.equal(refused.code, 6, refused.stderr);
  assert.match(refused.stderr, /txt/);
  assert.ok(!existsSync(join(directory, 'target_folder/before.txt')));
  assert.equal((await run(['fetch', 'before.bin'], owner)).code, 0);

  await startNode('txt', txtPort, true);
  await until(
    'what waited is stored',
    list,
    (rows) => rows.some((row) => row.path === 'waits.txt' && row.state === 'stored'),
    60_000,
  );
  await untilInSync(device);
  assert.equal((await run(['fetch', 'before.txt'], owner)).code, 0);
});

test('a node that comes back on another port is found there, and only by its own key', {
  timeout: 300_000,
}, async (context) => {
  const directory = scratch(context);
  const owner = { home: join(directory, 'home'), cwd: directory };
  const [port, first, second] = (await freePorts(3)) as [number, number, number];
  await service(context, ['server', '--data', 'server', '--port', String(port)], owner);
  const ticket = (await runJson<{ invite: string }>(['invite', '--node'], owner)).invite;
  const args = ['node', '--data', 'node', '--port'];
  const node = await service(context, [...args, String(first), '--join', ticket], owner);
  const device = { home: join(directory, 'home-a'), cwd: directory };
  const folder = join(directory, 'drive');
  await service(context, ['join', (await runJson<{ invite: string }>(['invite'], owner)).invite, folder], device);
  writeFileSync(join(folder, 'kept.bin'), 'kept');
  await until(
    'stored',
    () => runJson<Listed[]>(['fetch'], owner),
    (rows) => rows.some((row) => row.state === 'stored'),
  );
  assert.equal(await node.stop(), 0);
  await service(context, [...args, String(second)], owner);
  await until(
    'it is fetched from there',
    () => run(['fetch', 'kept.bin'], owner),
    (ran) => ran.code === 0,
  );
  assert.equal(readFileSync(join(directory, 'target_folder/kept.bin'), 'utf8'), 'kept');
});

test('a server that is down: the device waits, says so once, and catches up', { timeout: 300_000 }, async (context) => {
  const cluster = await startCluster(context);
  const desk = await addDevice(context, cluster, 'desk');
  writeFileSync(join(cluster.folder, 'one.txt'), 'one');
  await untilIdentical([cluster.folder, desk.folder]);
  await cluster.up.kill();
  writeFileSync(join(desk.folder, 'two.txt'), 'two');
  rmSync(join(desk.folder, 'one.txt'));
  writeFileSync(join(cluster.folder, 'three.txt'), 'three');
  await until(
    'it says so',
    () => desk.sync.stderr(),
    (text) => text.includes('reach'),
  );
  const status = await run(['status', '--json'], desk.at);
  assert.equal((JSON.parse(status.stdout) as Status).inSync, false);
  await cluster.restart();
  await until(
    'it caught up',
    () => treeOf(cluster.folder),
    (tree) => tree.has('two.txt') && !tree.has('one.txt'),
    60_000,
  );
  const tree = await untilIdentical([cluster.folder, desk.folder]);
  assert.deepEqual([...tree.keys()].sort(), ['three.txt', 'two.txt']);
  assert.equal(
    desk.sync
      .stderr()
      .split('\n')
      .filter((line) => line.includes('reach')).length,
    1,
    desk.sync.stderr(),
  );
});

/** Every block record's payload in the node's segments is flipped at one byte: well inside large records. */
function damageSegments(directory: string, from: number): void {
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.hfs'),
  )) {
    const path = join(directory, name);
    const size = statSync(path).size;
    const file = openSync(path, 'r+');
    const bytes = readFileSync(path);
    for (let offset = from; offset < size; offset += 100_000)
      writeSync(file, Buffer.from([(bytes[offset] as number) ^ 0x40]), 0, 1, offset);
    closeSync(file);
  }
}

test('flipped bits in a segment are detected, and never served', { timeout: 300_000 }, async (context) => {
  const cluster = await startCluster(context);
  writeFileSync(join(cluster.folder, 'precious.bin'), randomBytes(3_000_000));
  writeFileSync(join(cluster.folder, 'other.txt'), 'whole');
  await until(
    'stored',
    () => runJson<Listed[]>(['fetch'], cluster.owner),
    (rows) => rows.length === 2 && rows.every((row) => row.state === 'stored'),
  );
  await untilInSync(cluster.owner);
  await cluster.up.stop();
  damageSegments(join(cluster.data, 'nodes/others'), 200_000);
  await cluster.restart();
  const refused = await run(['fetch', 'precious.bin'], cluster.owner);
  assert.equal(refused.code, 7, refused.stderr);
  assert.match(refused.stderr, /precious\.bin/);
  assert.ok(!existsSync(join(cluster.directory, 'target_folder/precious.bin')), 'nothing is written out');
  assert.equal((await run(['fetch', 'other.txt'], cluster.owner)).code, 0, 'all else is served');
  const nodes = await runJson<{ pool: string; quarantined: number }[]>(['nodes'], cluster.owner);
  assert.ok((nodes.find((node) => node.pool === 'others')?.quarantined ?? 0) > 0, 'the node reports it');
});

test('a node whose disk is full becomes read-only; space returns, and so does it', {
  timeout: 180_000,
}, async (context) => {
  if (lacksRoot(context, 'a small file system')) return;
  const directory = scratch(context);
  const disk = join(directory, 'disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'holdfast-test', disk]);
  atEnd(context, () => void execFileSync('umount', ['-l', disk]));
  const owner = { home: join(directory, 'home'), cwd: directory };
  const [port, nodePort] = await freePorts(2);
  await service(context, ['server', '--data', 'server', '--port', String(port)], owner);
  await service(
    context,
    [
      'node',
      '--data',
      join(disk, 'node'),
      '--port',
      String(nodePort),
      '--join',
      (await runJson<{ invite: string }>(['invite', '--node'], owner)).invite,
    ],
    owner,
  );
  const device = { home: join(directory, 'home-a'), cwd: directory };
  const folder = join(directory, 'drive');
  await service(context, ['join', (await runJson<{ invite: string }>(['invite'], owner)).invite, folder], device);
  writeFileSync(join(folder, 'small.bin'), randomBytes(1_000_000));
  const list = () => runJson<Listed[]>(['fetch'], owner);
  await until('the first is stored', list, (rows) =>
    rows.some((row) => row.path === 'small.bin' && row.state === 'stored'),
  );
  const ballast = join(disk, 'ballast');
  writeFileSync(ballast, Buffer.alloc(16_000_000));
  const late = randomBytes(9_000_000);
  writeFileSync(join(folder, 'late.bin'), late);
  await until(
    'the problem is named',
    () => runJson<Status>(['status'], device),
    (seen) => seen.problems.some((problem) => problem.path.endsWith('late.bin')),
    60_000,
  );
  assert.equal((await run(['fetch', 'small.bin'], owner)).code, 0, 'reads still work');
  rmSync(ballast);
  await until(
    'it is stored without a restart',
    list,
    (rows) => rows.some((row) => row.path === 'late.bin' && row.state === 'stored'),
    90_000,
  );
  assert.equal((await run(['fetch', 'late.bin'], owner)).code, 0);
  assert.deepEqual(readFileSync(join(directory, 'target_folder/late.bin')), late);
});

test('a root that is gone or another pauses the device: nothing is deleted anywhere', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await startCluster(context);
  const desk = await addDevice(context, cluster, 'desk');
  for (let index = 0; index < 20; index++) writeFileSync(join(cluster.folder, `f${index}`), String(index));
  await untilIdentical([cluster.folder, desk.folder]);
  await untilInSync(desk.at);
  const away = `${desk.folder}-unmounted`;
  renameSync(desk.folder, away);
  mkdirSync(desk.folder); // an empty mount point
  const status = await until(
    'it pauses',
    () => runJson<Status>(['status'], desk.at),
    (seen) => seen.problems.some((problem) => problem.code === 'folder_missing'),
    60_000,
  );
  assert.equal(status.inSync, false);
  writeFileSync(join(cluster.folder, 'meanwhile'), 'x');
  await untilInSync(cluster.owner);
  assert.equal(treeOf(cluster.folder).size, 21, 'nothing was deleted on the other side');
  rmSync(desk.folder, { recursive: true });
  renameSync(away, desk.folder);
  await until(
    'it goes on',
    () => treeOf(desk.folder).size,
    (size) => size === 21,
    60_000,
  );
  await untilIdentical([cluster.folder, desk.folder]);
});

test('a folder that cannot be read is a problem, and is never read as deleted', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await startCluster(context);
  // Root reads everything, unless it gives that power up.
  const powerless = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : [];
  const desk = await addDevice(context, cluster, 'desk', () => undefined, powerless);
  mkdirSync(join(desk.folder, 'dir'));
  writeFileSync(join(desk.folder, 'dir/file'), 'text');
  await until(
    'it crossed',
    () => treeOf(cluster.folder),
    (tree) => tree.has('dir/file'),
  );
  await desk.sync.stop();
  chmodSync(join(desk.folder, 'dir'), 0);
  desk.sync = await service(context, ['sync'], desk.at);
  await until(
    'the problem is named',
    () => runJson<Status>(['status'], desk.at),
    (status) =>
      status.problems.some((problem) => problem.path.endsWith('dir') && problem.code === 'not_permitted_by_disk'),
  );
  writeFileSync(join(cluster.folder, 'meanwhile'), 'other work goes on');
  await until('it crossed', () => existsSync(join(desk.folder, 'meanwhile')), Boolean);
  assert.ok(existsSync(join(cluster.folder, 'dir/file')));
  chmodSync(join(desk.folder, 'dir'), 0o755);
  await untilInSync(desk.at);
  await untilIdentical([cluster.folder, desk.folder]);
});
