/** Backups of the index by command, with real processes: made while it runs, checked, and put back. */
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { addDevice, everyFile, startCluster, treeOf, untilIdentical, untilInSync } from './cluster.ts';
import { run, runJson, service, until } from './holdfast.ts';

type Made = { backup: string; cluster: string; files: number; bytes: number };
type Checked = Made & { createdMs: number; spaces: number; opened: boolean };
type Restored = { files: number; spaces: number; incarnation: number; aside: string | null };

test('a backup that is made while everything runs puts the index back: devices unite, nothing is deleted', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await startCluster(context);
  const desk = await addDevice(context, cluster, 'desk');
  const { folder, owner, data } = cluster;
  mkdirSync(join(folder, 'dir'));
  for (const name of ['kept.txt', 'edited.txt', 'deleted.txt', 'renamed.txt', 'dir/f.mp3'])
    writeFileSync(join(folder, name), `${name} before`);
  await untilIdentical([folder, desk.folder]);
  await untilInSync(owner);
  const { invite: unused } = await runJson<{ invite: string }>(['invite'], owner);

  const backup = join(cluster.directory, 'backup');
  const made = await runJson<Made>(['backup', 'create', backup], owner);
  assert.equal(made.files, 5);
  assert.deepEqual(readdirSync(backup).sort(), ['backup.json', 'index.db']);
  assert.equal(statSync(join(backup, 'index.db')).mode & 0o077, 0);
  // Neither a byte of a file nor the key to anything is in it.
  const rootKey = readFileSync(join(data, 'server/root.key'), 'utf8');
  for (const { bytes } of everyFile(backup)) {
    assert.equal(bytes.indexOf('kept.txt before'), -1);
    for (const line of rootKey.trim().split('\n')) assert.equal(bytes.indexOf(line), -1);
  }
  const checked = await runJson<Checked>(['backup', 'verify', backup], owner);
  assert.deepEqual([checked.cluster, checked.files, checked.spaces, checked.opened], [made.cluster, 5, 1, true]);
  const again = await run(['backup', 'create', backup], owner);
  assert.equal(again.code, 2, again.stderr);
  const while_ = await run(['backup', 'restore', backup, '--data', data], owner);
  assert.equal(while_.code, 5, while_.stderr);

  // What happens after it.
  writeFileSync(join(folder, 'edited.txt'), 'edited after');
  unlinkSync(join(folder, 'deleted.txt'));
  renameSync(join(folder, 'renamed.txt'), join(folder, 'moved.txt'));
  writeFileSync(join(desk.folder, 'new.txt'), 'new after');
  const late = await addDevice(context, cluster, 'late');
  const after = await untilIdentical([folder, desk.folder, late.folder]);
  for (const at of [owner, desk.at, late.at]) await untilInSync(at);
  await cluster.up.stop();
  const restored = await runJson<Restored>(['backup', 'restore', backup, '--data', data], owner);
  assert.equal(restored.incarnation, 2);
  assert.ok(restored.aside !== null && existsSync(join(restored.aside, 'meta.db')));
  // The very same backup again: the server goes on rising above all that it ever was.
  const second = await runJson<Restored>(['backup', 'restore', backup, '--data', data], owner);
  assert.equal(second.incarnation, 3);
  assert.notEqual(second.aside, restored.aside);

  await cluster.restart();
  const tree = await until(
    'both sides are united',
    () => treeOf(folder),
    (seen) => seen.has('deleted.txt') && seen.size === treeOf(desk.folder).size,
    120_000,
  );
  await untilIdentical([folder, desk.folder]);
  for (const at of [owner, desk.at]) await untilInSync(at);
  for (const [path, state] of after) assert.equal(treeOf(folder).get(path), state, path);
  assert.ok(tree.has('deleted.txt'), 'what was deleted since comes back');
  const copies = [...treeOf(folder).keys()].filter((path) => path.includes('conflicted copy'));
  assert.deepEqual(copies, [], 'what is newer here is newer, and no conflict');

  // Who joined after the backup is not known any more, is told so, and has lost nothing.
  const told = await until(
    'the late device is told',
    () => run(['status'], late.at),
    ({ code }) => code === 4,
    60_000,
  );
  assert.match(told.stderr, /no longer linked; ask the owner for a new invite/);
  assert.deepEqual(treeOf(late.folder), after);
  await late.sync.stop();
  writeFileSync(join(late.folder, 'while-away.txt'), 'while away');
  const { invite } = await runJson<{ invite: string }>(['invite'], owner);
  late.sync = await service(context, ['join', invite, late.folder], late.at);
  await until('its file goes up', () => treeOf(folder).has('while-away.txt'), Boolean, 60_000);
  await untilIdentical([folder, desk.folder, late.folder]);
  // An invite that was open at the backup may have been used since: it is dead.
  const dead = await run(['join', unused, join(cluster.directory, 'never')], {
    ...owner,
    home: join(cluster.directory, 'home-never'),
  });
  assert.equal(dead.code, 4, dead.stderr);
});

test('a backup is refused where it is damaged, of another cluster, or without its root key; nothing is changed then', {
  timeout: 300_000,
}, async (context) => {
  const cluster = await startCluster(context, { folder: false });
  const { owner, data, directory } = cluster;
  await cluster.up.stop();
  // Also without a server that runs.
  const backup = join(directory, 'backup');
  await runJson<Made>(['backup', 'create', backup, '--data', data], owner);
  const kept = () => ['meta.db', 'root.key'].map((name) => readFileSync(join(data, 'server', name)).toString('hex'));
  const before = kept();
  const unchanged = () => assert.deepEqual(kept(), before);

  const damaged = join(directory, 'damaged');
  cpSync(backup, damaged, { recursive: true });
  const file = openSync(join(damaged, 'index.db'), 'r+');
  writeSync(file, Buffer.from([1, 2, 3]), 0, 3, 5000);
  closeSync(file);
  for (const verb of ['verify', 'restore']) {
    const ran = await run(['backup', verb, damaged, '--data', data], owner);
    assert.equal(ran.code, 7, ran.stderr);
  }
  const partial = join(directory, 'partial');
  cpSync(backup, partial, { recursive: true });
  rmSync(join(partial, 'backup.json'));
  assert.equal((await run(['backup', 'verify', partial], owner)).code, 7);
  assert.equal((await run(['backup', 'verify', join(directory, 'nowhere')], owner)).code, 3);
  unchanged();

  const other = await startCluster(context, { folder: false });
  await other.up.stop();
  const foreign = await run(['backup', 'restore', backup, '--data', other.data], owner);
  assert.equal(foreign.code, 7, foreign.stderr);

  const fresh = join(directory, 'fresh');
  const keyless = await run(['backup', 'restore', backup, '--data', fresh], owner);
  assert.equal(keyless.code, 7, keyless.stderr);
  assert.match(keyless.stderr, /root\.key is missing/);
  assert.ok(!existsSync(join(fresh, 'server/meta.db')));
  const strange = join(directory, 'strange');
  mkdirSync(join(strange, 'server'), { recursive: true });
  writeFileSync(join(strange, 'server/something'), 'x');
  const key = join(data, 'server/root.key');
  const occupied = await run(['backup', 'restore', backup, '--data', strange, '--root-key', key], owner);
  assert.equal(occupied.code, 5, occupied.stderr);

  // A new machine: the backup, and the root key from where it was kept.
  const ran = await runJson<Restored>(['backup', 'restore', backup, '--data', fresh, '--root-key', key], owner);
  assert.equal(ran.aside, null);
  assert.equal(readFileSync(join(fresh, 'server/root.key'), 'utf8'), readFileSync(key, 'utf8'));
  assert.equal(statSync(join(fresh, 'server/root.key')).mode & 0o077, 0);
});
