/** Disks that are full: a device's, the server's. What needs room waits and says so, everything else goes on, and nothing needs a restart when there is room again. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { addDevice, startCluster, treeOf, untilIdentical, untilInSync, type Listed, type Status } from './cluster.ts';
import { atEnd, freePorts, run, runJson, scratch, service, until } from './holdfast.ts';
import { lacksRoot } from './privilege.ts';

function mountSmall(context: TestContext, directory: string, options: string): void {
  mkdirSync(directory, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'holdfast-test', directory]);
  atEnd(context, () => void execFileSync('umount', ['-l', directory]));
}

/** To the last byte. */
function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (let size = 1 << 20; size > 0; size >>= 1) {
      try {
        while (writeSync(file, Buffer.alloc(size, 1)) === size);
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
    }
  } finally {
    closeSync(file);
  }
}

test('a device whose disk is full: downloads wait and say so, uploads go on, and all recovers without a restart', {
  timeout: 300_000,
}, async (context) => {
  if (lacksRoot(context, 'a small file system')) return;
  const cluster = await startCluster(context);
  const folder = join(cluster.directory, 'drive-small');
  mountSmall(context, folder, 'size=24m');
  const small = await addDevice(context, cluster, 'small');
  writeFileSync(join(cluster.folder, 'fits.bin'), randomBytes(1_000_000));
  await untilIdentical([cluster.folder, small.folder]);

  // One file that is larger than the disk, and one after it that is not.
  writeFileSync(join(cluster.folder, 'large.bin'), randomBytes(40_000_000));
  await until(
    'the large file is named as what does not fit',
    () => runJson<Status>(['status'], small.at),
    ({ problems }) => problems.some(({ path, code }) => path === 'large.bin' && code === 'no_space'),
    60_000,
  );
  writeFileSync(join(cluster.folder, 'after.bin'), randomBytes(500_000));
  writeFileSync(join(small.folder, 'from-here.bin'), randomBytes(500_000));
  await until('a smaller one comes', () => existsSync(join(small.folder, 'after.bin')), Boolean, 60_000);
  await until('uploads go on', () => existsSync(join(cluster.folder, 'from-here.bin')), Boolean, 60_000);

  // Not a byte is left, of anything.
  const ballast = join(small.folder, '.holdfast', 'ballast');
  fill(ballast);
  for (let index = 0; index < 20; index++) writeFileSync(join(cluster.folder, `many-${index}`), randomBytes(50_000));
  await until(
    'they are told of',
    () => runJson<Status>(['status'], small.at),
    ({ problems }) => problems.some(({ path }) => path.startsWith('many-')),
    60_000,
  );
  assert.equal((await runJson<Status>(['status'], small.at)).inSync, false);
  rmSync(join(small.folder, 'from-here.bin'));
  await until('a deletion goes up', () => !existsSync(join(cluster.folder, 'from-here.bin')), Boolean, 60_000);
  rmSync(ballast);
  execFileSync('mount', ['-o', 'remount,size=96m', small.folder]);
  await untilInSync(small.at, 120_000);
  const tree = await untilIdentical([cluster.folder, small.folder]);
  assert.equal(tree.size, 23);
  assert.deepEqual(readFileSync(join(small.folder, 'large.bin')), readFileSync(join(cluster.folder, 'large.bin')));
});

test('a device whose own state has no room: it says so, breaks nothing, and goes on when there is room', {
  timeout: 240_000,
}, async (context) => {
  if (lacksRoot(context, 'a small file system')) return;
  const cluster = await startCluster(context);
  // The state of 3,000 files takes 3.5 MB, and its log 4.5 MB more at times.
  mountSmall(context, join(cluster.directory, 'home-small'), 'size=12m');
  const small = await addDevice(context, cluster, 'small');
  writeFileSync(join(small.folder, 'one'), 'one');
  await untilIdentical([cluster.folder, small.folder]);
  await untilInSync(small.at);
  const ballast = join(cluster.directory, 'home-small', 'ballast');
  fill(ballast);
  mkdirSync(join(small.folder, 'burst'));
  for (let index = 0; index < 3000; index++) writeFileSync(join(small.folder, `burst/${index}`), `content ${index}`);
  writeFileSync(join(cluster.folder, 'two'), 'two');
  await until(
    'it says that there is no room',
    () => small.sync.stderr(),
    (text) => text.includes('no_space'),
    60_000,
  );
  assert.equal(small.sync.process.exitCode, null, 'it waits, and does not end');
  rmSync(ballast);
  await untilInSync(small.at, 120_000);
  const tree = await untilIdentical([cluster.folder, small.folder]);
  assert.equal(tree.size, 3 + 3000);
});

test('a server whose disk is full: commits wait, what is stored is served, and devices go on when there is room', {
  timeout: 300_000,
}, async (context) => {
  if (lacksRoot(context, 'a small file system')) return;
  const directory = scratch(context);
  const disk = join(directory, 'disk');
  mountSmall(context, disk, 'size=16m');
  const owner = { home: join(directory, 'home'), cwd: directory };
  const [port, nodePort] = await freePorts(2);
  const serverArgs = ['server', '--data', join(disk, 'server'), '--port', String(port)];
  const server = await service(context, serverArgs, owner);
  const ticket = (await runJson<{ invite: string }>(['invite', '--node'], owner)).invite;
  await service(context, ['node', '--data', 'node', '--port', String(nodePort), '--join', ticket], owner);
  const devices = [];
  for (const name of ['a', 'b']) {
    const at = { home: join(directory, `home-${name}`), cwd: directory, env: { HOLDFAST_DEVICE_NAME: name } };
    const folder = join(directory, `drive-${name}`);
    const { invite } = await runJson<{ invite: string }>(['invite'], owner);
    devices.push({ at, folder, sync: await service(context, ['join', invite, folder], at) });
  }
  const [a, b] = devices as [(typeof devices)[0], (typeof devices)[0]];
  for (let index = 0; index < 50; index++) writeFileSync(join(a.folder, `before-${index}`), `before ${index}`);
  await untilIdentical([a.folder, b.folder]);
  await untilInSync(a.at);
  const ballast = join(disk, 'ballast');
  fill(ballast);
  for (let index = 0; index < 2000; index++) writeFileSync(join(a.folder, `after-${index}`), `after ${index}`);
  const status = await until(
    'the device says that it cannot send them',
    () => runJson<Status>(['status'], a.at),
    ({ problems }) => problems.length > 0,
    90_000,
  );
  assert.equal(status.inSync, false);
  assert.equal(server.process.exitCode, null, 'the server stands');
  const fetched = await run(['fetch', 'before-7', '--to', 'fetched'], owner);
  assert.equal(fetched.code, 0, fetched.stderr);
  assert.equal(readFileSync(join(directory, 'fetched/before-7'), 'utf8'), 'before 7');
  rmSync(ballast);
  const tree = await until(
    'everything crossed',
    () => treeOf(b.folder),
    ({ size }) => size === 2050,
    120_000,
  );
  assert.equal(tree.size, 2050);
  await untilIdentical([a.folder, b.folder]);
  // What was acknowledged around the full disk is there after a kill as well.
  await server.kill();
  await service(context, serverArgs, owner);
  const rows = await runJson<Listed[]>(['fetch'], owner);
  assert.equal(rows.filter(({ state }) => state === 'stored').length, 2050);
});
