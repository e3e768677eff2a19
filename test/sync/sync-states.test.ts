/** What a device keeps of its link, lost, put back from an older time, or copied to another machine; and folders that are copies. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { chooseAt } from '#client/choose.ts';
import { linkFolder } from '#client/link.ts';
import { openFolder } from '#world/real/folder.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { converged, copyState, eventually, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
let a: Device;
let b: Device;
let clones: Device[] = [];
let runs = 0;
before(async () => {
  world = await SyncWorld.start();
});
after(() => world.end());
beforeEach(async () => {
  runs++;
  clones = [];
  a = await world.device(`a${runs}`);
  b = await world.device(`b${runs}`);
  a.start();
  b.start();
  await converged([a, b], {});
});
afterEach(async () => {
  const all = [a, b, ...clones];
  for (const device of all) {
    device.gate.calls.length = 0;
    delete device.gate.before;
    if (!device.client) device.start();
  }
  await converged(all);
  for (const name of Object.keys(a.tree())) rmSync(a.path(name), { recursive: true, force: true });
  await converged(all, {});
  for (const device of all) await device.stop();
});

function cloneOf(device: Device): Device {
  const made = world.clone(device, `c${runs}`);
  clones.push(made);
  return made;
}

/** How often a device began to read the space anew. */
const listings = (device: Device) => device.gate.calls.filter((verb) => verb === 'list').length;

test('a state that is put back from an older time deletes nothing', async () => {
  for (const name of ['f', 'g']) writeFileSync(a.path(name), name);
  await converged([a, b]);
  await a.stop();
  const old = join(world.directory, `old-${runs}`);
  copyState(a.statePath, old);
  a.start();
  await converged([a, b]);
  unlinkSync(b.path('f'));
  writeFileSync(b.path('h'), 'h');
  await converged([a, b], { g: 'g', h: 'h' });
  await a.stop();
  // It comes back from the trash as it was, and this device has not seen that yet.
  await b.bringBack('f');
  await eventually(
    () => b.tree()['f'] === 'f',
    () => b.tree(),
  );
  copyState(old, a.statePath);
  a.start();
  await converged([a, b], { f: 'f', g: 'g', h: 'h' });
});

test('a state from before others deleted something, in the same run, leaves what was brought back since', async () => {
  writeFileSync(a.path('f'), 'f');
  mkdirSync(a.path('d'));
  writeFileSync(a.path('d/g'), 'g');
  await converged([a, b]);
  const old = join(world.directory, `old-${runs}`);
  copyState(a.statePath, old);
  unlinkSync(b.path('f'));
  rmSync(b.path('d'), { recursive: true });
  await converged([a, b], {});
  await a.stop();
  await b.bringBack('f');
  await b.bringBack('d');
  await eventually(
    () => b.tree()['f'] === 'f' && b.tree()['d/g'] === 'g',
    () => b.tree(),
  );
  copyState(old, a.statePath);
  a.start();
  await converged([a, b], { f: 'f', d: '/', 'd/g': 'g' });
});

test('a state from before something was deselected, in the same run, does not take it for deleted', async () => {
  mkdirSync(a.path('d'));
  writeFileSync(a.path('d/f'), 'f');
  await converged([a, b]);
  const old = join(world.directory, `old-${runs}`);
  copyState(a.statePath, old);
  chooseAt(sqliteOpener, a.statePath, 'd', false);
  a.client?.chosen();
  await eventually(
    () => Object.keys(a.tree()).length === 0 && a.client?.status().inSync === true,
    () => ({ tree: a.tree(), status: a.client?.status() }),
  );
  await a.stop();
  copyState(old, a.statePath);
  a.start();
  await converged([a, b], { d: '/', 'd/f': 'f' });
});

test('a state that is put back keeps what was edited since, on both sides', async () => {
  for (const name of ['mine', 'theirs', 'both']) writeFileSync(a.path(name), name);
  await converged([a, b]);
  await a.stop();
  const old = join(world.directory, `old-${runs}`);
  copyState(a.statePath, old);
  a.start();
  writeFileSync(a.path('mine'), 'mine, newer');
  writeFileSync(b.path('theirs'), 'theirs, newer');
  writeFileSync(a.path('both'), 'both, newer');
  mkdirSync(a.path('made'));
  writeFileSync(a.path('made/since'), 'since');
  await converged([a, b]);
  const tree = a.tree();
  await a.stop();
  copyState(old, a.statePath);
  writeFileSync(a.path('both'), 'both, newest');
  a.start();
  const copy = `both (conflicted copy, ${a.name}, ${new Date().toISOString().slice(0, 10)})`;
  await converged([a, b], { ...tree, [copy]: 'both, newest' });
});

test('what lies in the trash under the id that a union finds here lives on under another', async () => {
  writeFileSync(a.path('f'), 'f');
  mkdirSync(a.path('d'));
  writeFileSync(a.path('d/g'), 'g');
  await converged([a, b]);
  await a.stop();
  const [old, disk] = [join(world.directory, `old-${runs}`), join(world.directory, `disk-${runs}`)];
  copyState(a.statePath, old);
  cpSync(a.folder, disk, { recursive: true, preserveTimestamps: true });
  a.start();
  unlinkSync(b.path('f'));
  rmSync(b.path('d'), { recursive: true });
  await converged([a, b], {});
  await a.stop();
  // The whole machine is put back: nobody can tell what its person would want, so nothing of it is lost.
  copyState(old, a.statePath);
  rmSync(a.folder, { recursive: true });
  renameSync(disk, a.folder);
  a.start();
  await converged([a, b], { d: '/', 'd/g': 'g', f: 'f' });
});

test('a lost state is a first link: a union that deletes nothing', async () => {
  for (const name of ['f', 'g', 'h']) writeFileSync(a.path(name), name);
  await converged([a, b]);
  await a.stop();
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${a.statePath}${suffix}`, { force: true });
  writeFileSync(a.path('g'), 'g by a');
  unlinkSync(a.path('h'));
  unlinkSync(b.path('f'));
  await eventually(
    () => b.client?.status().inSync === true && b.client.status().counts.files === 2,
    () => b.client?.status(),
  );
  const folder = openFolder(a.folder);
  await linkFolder({ folder, sql: sqliteOpener, random: realRandom, statePath: a.statePath });
  await folder.close();
  a.start();
  const copy = `g (conflicted copy, ${a.name}, ${new Date().toISOString().slice(0, 10)})`;
  await converged([a, b], { f: 'f', g: 'g', h: 'h', [copy]: 'g by a' });
});

test('a clone’s delete does not take what the other made since, and both go on', async () => {
  mkdirSync(a.path('d'));
  writeFileSync(a.path('d/old'), 'old');
  await converged([a, b]);
  await a.stop();
  const c = cloneOf(a);
  a.start();
  writeFileSync(a.path('d/new'), 'new');
  writeFileSync(a.path('d/old'), 'old, edited');
  await converged([a, b], { d: '/', 'd/new': 'new', 'd/old': 'old, edited' });
  rmSync(c.path('d'), { recursive: true });
  c.start();
  await converged([a, b, c], { d: '/', 'd/new': 'new', 'd/old': 'old, edited' });
  writeFileSync(a.path('by-a'), 'a');
  writeFileSync(c.path('by-c'), 'c');
  unlinkSync(b.path('d/old'));
  await converged([a, b, c], { 'by-a': 'a', 'by-c': 'c', d: '/', 'd/new': 'new' });
  rmSync(c.path('d'), { recursive: true });
  await converged([a, b, c], { 'by-a': 'a', 'by-c': 'c' });
  // Each has a state of its own now: another start finds nothing to unite.
  for (const device of [a, c]) {
    await device.stop();
    device.gate.calls.length = 0;
    device.start();
  }
  writeFileSync(c.path('later'), 'later');
  await converged([a, b, c], { 'by-a': 'a', 'by-c': 'c', later: 'later' });
  assert.equal(listings(a) + listings(c), 0);
});

test('of two that run on copies of one state, taken while it ran, exactly one unites', async () => {
  for (const name of ['f', 'g']) writeFileSync(a.path(name), name);
  await converged([a, b]);
  const c = cloneOf(a);
  a.gate.calls.length = 0;
  c.start();
  await converged([a, b, c]);
  writeFileSync(c.path('f'), 'f by c');
  await converged([a, b, c], { f: 'f by c', g: 'g' });
  writeFileSync(a.path('g'), 'g by a');
  await converged([a, b, c], { f: 'f by c', g: 'g by a' });
  writeFileSync(c.path('h'), 'h by c');
  await converged([a, b, c], { f: 'f by c', g: 'g by a', h: 'h by c' });
  const copied = (device: Device) => listings(device) > 0;
  // The copy lies in a folder of another root, so that it unites in any case; the other sees that it was superseded.
  assert.ok(copied(c));
});

test('a folder that is a copy with the mark of the linked one may lack things: nobody deleted them', async () => {
  for (const name of ['f', 'g']) writeFileSync(a.path(name), name);
  await converged([a, b]);
  await a.stop();
  const original = `${a.folder}-original`;
  renameSync(a.folder, original);
  cpSync(original, a.folder, { recursive: true, preserveTimestamps: true });
  unlinkSync(a.path('f'));
  a.start();
  await converged([a, b], { f: 'f', g: 'g' });
  rmSync(original, { recursive: true });
});

test('the mark alone, copied into an empty folder in the place of the root while it runs, deletes nothing', async () => {
  for (const name of ['f', 'g']) writeFileSync(a.path(name), name);
  await converged([a, b]);
  const original = `${a.folder}-original`;
  renameSync(a.folder, original);
  mkdirSync(a.path('.holdfast'), { recursive: true });
  cpSync(join(original, '.holdfast/root-id'), a.path('.holdfast/root-id'));
  await eventually(
    () => a.tree()['g'] === 'g' && a.tree()['f'] === 'f',
    () => [a.tree(), a.client?.status()],
  );
  await converged([a, b], { f: 'f', g: 'g' });
  rmSync(original, { recursive: true });
});

for (const [what, replace] of Object.entries({
  gone: () => {},
  'an empty folder': () => mkdirSync(a.folder),
  'a folder with a mark made by hand': () => {
    mkdirSync(a.path('.holdfast'), { recursive: true });
    writeFileSync(a.path('.holdfast/root-id'), `${'00'.repeat(16)}\n`);
  },
  'a folder with an empty mark': () => {
    mkdirSync(a.path('.holdfast'), { recursive: true });
    writeFileSync(a.path('.holdfast/root-id'), '');
  },
  'another device’s folder': () => cpSync(b.folder, a.folder, { recursive: true }),
  'a file': () => writeFileSync(a.folder, 'not a folder'),
  'a symlink to another folder': () => symlinkSync(b.folder, a.folder),
}))
  test(`a root that is ${what} pauses: nothing is deleted, and it goes on when the root is back`, async () => {
    for (const name of ['f', 'g']) writeFileSync(a.path(name), name);
    await converged([a, b]);
    const original = `${a.folder}-original`;
    renameSync(a.folder, original);
    replace();
    await eventually(
      () => a.client?.status().problems[0]?.code === 'folder_missing',
      () => a.client?.status(),
    );
    writeFileSync(b.path('meanwhile'), 'x');
    await eventually(
      () => b.client?.status().inSync === true && b.client.status().counts.files === 3,
      () => b.client?.status(),
    );
    assert.deepEqual(Object.keys(b.tree()), ['f', 'g', 'meanwhile']);
    rmSync(a.folder, { recursive: true, force: true });
    renameSync(original, a.folder);
    a.gate.calls.length = 0;
    await converged([a, b], { f: 'f', g: 'g', meanwhile: 'x' });
    assert.equal(listings(a), 0, 'the root that is back is the one it was');
  });

test('a root that was moved and is reached by a symlink is the same root', async () => {
  writeFileSync(a.path('f'), 'f');
  await converged([a, b]);
  await a.stop();
  const moved = `${a.folder}-moved`;
  renameSync(a.folder, moved);
  symlinkSync(moved, a.folder);
  unlinkSync(join(moved, 'f'));
  a.start();
  // Deleted by its person while nobody looked: that is no copy.
  await converged([a, b], {});
  assert.equal(readFileSync(join(moved, '.holdfast/root-id'), 'utf8').trim().length, 32);
});
