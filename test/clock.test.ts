/** Clocks that are wrong, and jump: order comes from the server's sequence, nothing is purged early, and no conflict comes of it. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startCluster, treeOf, untilIdentical, untilInSync, type Listed } from './cluster.ts';
import { runJson, service, until, type Surroundings } from './holdfast.ts';

const FAKETIME = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib']
  .map((directory) => `${directory}/faketime/libfaketimeMT.so.1`)
  .find(existsSync);

/** The wall clock is off by what the file says, from one second to the next; only the monotonic one, and the disk's stamps, are true. */
const clockOf = (file: string) => ({
  LD_PRELOAD: FAKETIME as string,
  FAKETIME_TIMESTAMP_FILE: file,
  FAKETIME_CACHE_DURATION: '1',
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
  DONT_FAKE_MONOTONIC: '1',
  NO_FAKE_STAT: '1',
});

/** Of the server, the first device, the second. */
const JUMPS = [
  ['+0', '+1h', '-1h'],
  ['-1h', '+0', '+0'],
  ['+1h', '-10y', '+9y'],
  ['+9y', '+0', '-10y'],
  ['-10y', '+9y', '+0'],
  ['+0', '+0', '+0'],
] as const;

test('clocks that jump by an hour and by years change nothing but dates', { timeout: 300_000 }, async (context) => {
  if (FAKETIME === undefined) {
    if (process.env['CI']) throw new Error('libfaketime is missing, and on CI nothing is skipped');
    return context.skip('skipped: moving the clock needs libfaketime (test/system-packages.sh installs it)');
  }
  const base = await startCluster(context, { folder: false });
  await base.up.stop();
  const files = ['server', 'a', 'b'].map((name) => join(base.directory, `clock-${name}`));
  const set = (offsets: readonly string[]): void =>
    files.forEach((file, at) => writeFileSync(file, `${offsets[at]}\n`));
  set(['+0', '+0', '+0']);
  const server: Surroundings = { ...base.owner, env: clockOf(files[0] as string) };
  const ports = ['--port', String(base.port), '--node-ports', base.nodePorts.join(',')];
  await service(context, ['up', '--data', base.data, ...ports], server);
  const devices = [];
  for (const [at, name] of ['a', 'b'].entries()) {
    const env = { ...clockOf(files[at + 1] as string), HOLDFAST_DEVICE_NAME: name };
    const surroundings = { home: join(base.directory, `home-${name}`), cwd: base.directory, env };
    const folder = join(base.directory, `drive-${name}`);
    const { invite } = await runJson<{ invite: string }>(['invite'], base.owner);
    await service(context, ['join', invite, folder], surroundings);
    devices.push({ folder, at: surroundings });
  }
  const [a, b] = devices as [(typeof devices)[0], (typeof devices)[0]];
  const folders = [a.folder, b.folder];
  writeFileSync(join(a.folder, 'shared'), 'begun');
  await untilIdentical(folders);
  for (const [round, offsets] of JUMPS.entries()) {
    set(offsets);
    // The file is read once a second: all see their new time when the server tells of it.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const text = `${round} ${from.folder}`;
      writeFileSync(join(from.folder, 'shared'), text);
      writeFileSync(join(from.folder, `goes-${round}`), text);
      const arrived = (): boolean =>
        readFileSync(join(to.folder, 'shared'), 'utf8') === text && existsSync(join(to.folder, `goes-${round}`));
      await until(`round ${round} crossed`, arrived, Boolean, 60_000);
      rmSync(join(to.folder, `goes-${round}`));
      await until('the deletion crossed', () => !existsSync(join(from.folder, `goes-${round}`)), Boolean, 60_000);
      await untilInSync(from.at);
      await untilInSync(to.at);
    }
  }
  const tree = await untilIdentical(folders);
  assert.deepEqual([...tree.keys()], ['shared'], 'no conflict came of it');
  assert.equal(readFileSync(join(a.folder, 'shared'), 'utf8'), `${JUMPS.length - 1} ${b.folder}`);
  // What each device removed for the other lies in its trash still, whatever year it was thought to be.
  for (const { folder } of devices) {
    const trash = join(folder, '.holdfast', 'trash');
    const kept = readdirSync(trash, { recursive: true, encoding: 'utf8' }).filter((path) => path.includes('goes-'));
    assert.equal(kept.length, JUMPS.length, `${folder}: ${kept.join(' ')}`);
  }
  const rows = await runJson<Listed[]>(['fetch'], base.owner);
  assert.deepEqual(
    rows.map(({ path, state }) => ({ path, state })),
    [{ path: 'shared', state: 'stored' }],
  );
  assert.equal(treeOf(a.folder).size, 1);
});
