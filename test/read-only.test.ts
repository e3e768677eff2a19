/** A file system that is mounted read-only for a while: what cannot be written waits and is told of, all else goes on, and nobody has to be started again. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { addDevice, startCluster, untilIdentical, untilInSync, type Status } from './cluster.ts';
import { atEnd, runJson, until } from './holdfast.ts';
import { lacksRoot } from './privilege.ts';

function mounted(context: TestContext, directory: string): (how: 'ro' | 'rw') => void {
  mkdirSync(directory, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'holdfast-test', directory]);
  atEnd(context, () => void execFileSync('umount', ['-l', directory]));
  return (how) => void execFileSync('mount', ['-o', `remount,${how}`, directory]);
}

test('a device whose folder is mounted read-only for a while', { timeout: 300_000 }, async (context) => {
  if (lacksRoot(context, 'a file system of its own')) return;
  const cluster = await startCluster(context);
  const folder = join(cluster.directory, 'drive-far');
  const remount = mounted(context, folder);
  const far = await addDevice(context, cluster, 'far');
  writeFileSync(join(cluster.folder, 'before'), randomBytes(50_000));
  writeFileSync(join(cluster.folder, 'goes'), 'is deleted meanwhile');
  await untilIdentical([cluster.folder, far.folder]);
  await untilInSync(far.at);
  remount('ro');
  writeFileSync(join(cluster.folder, 'meanwhile'), randomBytes(60_000));
  execFileSync('rm', [join(cluster.folder, 'goes')]);
  const status = await until(
    'it is told of',
    () => runJson<Status>(['status'], far.at),
    ({ problems }) => problems.some(({ path }) => path === 'meanwhile'),
  );
  assert.match(JSON.stringify(status.problems), /read-only/);
  assert.equal(status.inSync, false);
  assert.ok(existsSync(join(far.folder, 'goes')) && existsSync(join(cluster.folder, 'before')));
  remount('rw');
  await untilInSync(far.at);
  const tree = await untilIdentical([cluster.folder, far.folder]);
  assert.deepEqual([...tree.keys()].sort(), ['before', 'meanwhile']);
});
