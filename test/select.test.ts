/** `holdfast select` and `.holdfastignore` as a person meets them: real processes, while a client runs and while it does not. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { addDevice, startCluster, treeOf, untilIdentical, untilInSync, type Device, type Status } from './cluster.ts';
import { run, runJson, service, until } from './holdfast.ts';

type Linked = Status & { links: { notHere: Record<string, number> }[] };

const shows = (device: Device, paths: readonly string[]) =>
  until(
    `${device.name} has ${paths.join(', ')}`,
    () => [...treeOf(device.folder).keys()].sort(),
    (there) => there.join() === paths.join(),
  );

test('select: away from this disk alone and back, with and without a client that runs; ignored things stay at home', async (context) => {
  const cluster = await startCluster(context);
  mkdirSync(join(cluster.folder, 'photos'));
  for (const name of ['photos/one.jpg', 'photos/two.jpg', 'notes.txt']) writeFileSync(join(cluster.folder, name), name);
  const device = await addDevice(context, cluster, 'laptop');
  await untilIdentical([cluster.folder, device.folder]);
  await untilInSync(device.at);
  const all = ['notes.txt', 'photos', 'photos/one.jpg', 'photos/two.jpg'];

  assert.deepEqual(await runJson(['select'], device.at), []);
  assert.deepEqual(await runJson(['select', 'remove', 'photos/'], device.at), { path: 'photos', selected: false });
  await shows(device, ['notes.txt']);
  const status = (await untilInSync(device.at)) as Linked;
  assert.deepEqual(status.links[0]?.notHere, { not_selected: 2 });
  assert.match((await run(['status'], device.at)).stdout, /not on this disk: 2 not selected/);
  assert.deepEqual(await runJson(['select', 'list'], device.at), [
    { path: 'photos', kind: 'folder', selected: 'none' },
  ]);
  assert.match((await run(['select'], device.at)).stdout, /^photos\/ +not kept here$/m);
  assert.deepEqual([...treeOf(cluster.folder).keys()].sort(), all);

  // While nothing runs; by the path in the folder.
  await device.sync.stop();
  const away = await run(['select', 'remove', join(device.folder, 'notes.txt')], device.at);
  assert.equal(away.code, 0);
  assert.match(away.stderr, /Nothing syncs this folder at present/);
  await runJson(['select', 'add', 'photos/one.jpg'], device.at);
  assert.ok(existsSync(join(device.folder, 'notes.txt')));
  device.sync = await service(context, ['sync'], device.at);
  await shows(device, ['photos', 'photos/one.jpg']);

  await runJson(['select', 'add', 'photos'], device.at);
  await runJson(['select', 'add', 'notes.txt'], device.at);
  await shows(device, all);
  await untilInSync(device.at);

  for (const [args, code] of [
    [['select', 'remove', 'nothing.here'], 3],
    [['select', 'remove', '/etc/passwd'], 2],
    [['select', 'remove', '.'], 2],
    [['select', 'remove'], 2],
  ] as const) {
    const refused = await run(args, device.at);
    assert.equal(refused.code, code, refused.stderr);
    assert.equal(refused.stderr.trim().split('\n').length, 1, refused.stderr);
  }

  writeFileSync(join(device.folder, '.holdfastignore'), 'node_modules\n');
  mkdirSync(join(device.folder, 'node_modules/x'), { recursive: true });
  writeFileSync(join(device.folder, 'node_modules/x/y'), 'y');
  writeFileSync(join(device.folder, 'last'), '');
  await until('the last file is there', () => existsSync(join(cluster.folder, 'last')), Boolean);
  await untilInSync(device.at);
  assert.deepEqual([...treeOf(cluster.folder).keys()].sort(), ['.holdfastignore', 'last', ...all]);
  rmSync(join(cluster.folder, 'last'));
  await until(
    'it is gone',
    () => existsSync(join(device.folder, 'last')),
    (there) => !there,
  );
  assert.ok(existsSync(join(device.folder, 'node_modules/x/y')));
});
