/** Disks that keep no births, and give things other numbers each time that they are mounted: one gets the number that another had. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, test } from 'node:test';
import { HoldfastError } from '#core/errors.ts';
import { mountAnew, mountOther } from '../other-disk.ts';
import { lacksRoot } from '../privilege.ts';
import { countingAnew } from './simulated-disk.ts';
import { changeState, headSeq, sent } from './sync-state.ts';
import { converged, SyncWorld, type Device } from './sync-world.ts';

const TIME_S = 1_700_000_000;
let world: SyncWorld;
let a: Device;
let b: Device;
/** Of things on the disk of a, that differ from what they really are. */
let numbers: Map<bigint, bigint>;
let flushes: boolean;

beforeEach(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
  numbers = new Map();
  flushes = true;
  a.asFolder = (folder) => ({
    ...countingAnew(folder, numbers),
    flush: (alsoAt) =>
      flushes || !alsoAt?.length
        ? folder.flush(alsoAt)
        : Promise.reject(new HoldfastError('disk_failed', 'the disk takes its time')),
  });
  a.start();
  b.start();
  await converged([a, b], {});
});
afterEach(() => world.end());

/** All of the same time. */
function write(files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    writeFileSync(a.path(path), text);
    utimesSync(a.path(path), TIME_S, TIME_S);
  }
}

/** As it is mounted anew. */
function swapNumbers(one: string, other: string): void {
  const [left, right] = [one, other].map((path) => statSync(a.path(path), { bigint: true }).ino) as [bigint, bigint];
  numbers.set(left, right).set(right, left);
}

test('what a power cut tore is fetched again, and nothing that has its number now is taken for it', async () => {
  const files = { torn: 'of a person', whole: 'of another' };
  flushes = false;
  write(files);
  await converged([a, b], files);
  await a.stop();
  flushes = true;
  changeState(a, (sql) => {
    sql.exec('UPDATE local SET racy = 0');
    sql.exec(`DELETE FROM unflushed WHERE entry = (SELECT entry FROM local WHERE name = 'whole')`);
    sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`);
  });
  swapNumbers('torn', 'whole');
  write({ torn: '' });
  a.start();
  await converged([a, b], files);
});

test('what is there under the time of what was sent may be another file, unless it is empty, and is kept', async () => {
  write({ one: 'first' });
  await converged([a, b], { one: 'first' });
  flushes = false;
  await sent(a, () => write({ one: 'second' }));
  await a.stop();
  flushes = true;
  write({ one: 'new' });
  changeState(a, (sql) => sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`));
  a.start();
  await converged([a, b]);
  const { one, ...copies } = b.tree();
  assert.equal(one, 'second');
  assert.deepEqual(Object.values(copies), ['new']);
});

test('what a person put over a file that was just placed is not torn where it has the bytes of another', async () => {
  write({ here: 'as placed', other: 'of another' });
  await converged([a, b], { here: 'as placed', other: 'of another' });
  await a.stop();
  changeState(a, (sql) => {
    sql.exec('DELETE FROM unflushed');
    sql.exec(`INSERT INTO placing SELECT name, entry, content, mtime_us, name FROM remote WHERE name = 'here'`);
    sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`);
  });
  renameSync(a.path('other'), a.path('here'));
  a.start();
  await converged([a, b]);
  assert.deepEqual(Object.values(b.tree()).sort(), ['as placed', 'of another']);
});

for (const both of [false, true])
  test(`of two files that changed places, ${both ? 'both' : 'one'} of them sent, and changed back in a power cut, both are there`, async () => {
    write({ one: 'first', other: 'second' });
    await converged([a, b], { one: 'first', other: 'second' });
    flushes = false;
    await sent(a, () => write({ one: 'second', ...(both && { other: 'first' }) }));
    await a.stop();
    flushes = true;
    write({ one: 'first', other: 'second' });
    // Before the client runs again.
    if (both) writeFileSync(a.path('other'), 'third');
    changeState(a, (sql) => sql.exec(`INSERT OR REPLACE INTO meta VALUES ('boot', 'the run before')`));
    swapNumbers('one', 'other');
    a.start();
    await converged([a, b]);
    const { one, other, ...copies } = b.tree();
    assert.deepEqual([one, other], ['second', both ? 'third' : 'second']);
    assert.deepEqual(Object.values(copies), ['first']);
  });

test('folders that look alike are not taken for each other by their numbers', async () => {
  mkdirSync(a.path('one'));
  mkdirSync(a.path('two'));
  write({ 'one/file': 'in one', 'two/file': 'in two' });
  const tree = { one: '/', 'one/file': 'in one', two: '/', 'two/file': 'in two' };
  await converged([a, b], tree);
  await a.stop();
  const head = headSeq(b);
  swapNumbers('one', 'two');
  swapNumbers('one/file', 'two/file');
  a.start();
  await converged([a, b], tree);
  writeFileSync(a.path('last'), 'last');
  await converged([a, b], { ...tree, last: 'last' });
  assert.equal(headSeq(b), head + 1);
});

test('a disk of exFAT that was mounted anew, and looked through in another order, has nothing to send', async (context) => {
  if (lacksRoot(context, 'mounting a disk of exFAT')) return;
  let unmount = () => {};
  const stick = await world.device('stick', (folder) => {
    unmount = mountOther('exfat', folder);
  });
  const numberOf = (path: string) => statSync(stick.path(path)).ino;
  const lookThrough = (...paths: string[]) => {
    mountAnew('exfat', stick.folder);
    return new Map(paths.map((path) => [path, numberOf(path)]));
  };
  try {
    for (const name of ['one', 'two']) mkdirSync(a.path(name));
    write({ 'one/file': 'in one', 'two/file': 'in two' });
    const tree = { one: '/', 'one/file': 'in one', two: '/', 'two/file': 'in two' };
    stick.start();
    await converged([a, b, stick], tree);
    await stick.stop();
    const before = lookThrough('one', 'two', 'one/file', 'two/file');
    stick.start();
    await converged([a, b, stick], tree);
    await stick.stop();
    const head = headSeq(b);
    const now = lookThrough('two', 'one', 'two/file', 'one/file');
    assert.equal(now.get('one/file'), before.get('two/file'), 'the disk is one of those');
    stick.start();
    await converged([a, b, stick], tree);
    await sent(stick, () => writeFileSync(stick.path('last'), 'last'));
    await converged([a, b, stick], { ...tree, last: 'last' });
    assert.equal(headSeq(b), head + 1);
  } finally {
    // Before the world goes with all its files; lazily, for the device may still run.
    unmount();
  }
});
