/** Conflicts between things of all kinds, on up to three devices: every side's bytes are somewhere, and every device says the same. */
import assert from 'node:assert/strict';
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { after, before, beforeEach, test } from 'node:test';
import { readState } from '#client/status.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { entryAt, sent } from './sync-state.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
let a: Device;
let b: Device;
let c: Device;

before(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
  c = await world.device('carl');
  for (const device of [a, b, c]) device.start();
});
after(() => world.end());

beforeEach(async () => {
  for (const device of [a, b, c]) if (!device.client) device.start();
  for (const name of Object.keys(a.tree())) rmSync(a.path(name), { recursive: true, force: true });
  await converged([a, b, c], {});
});

/** All devices have it, and none runs. */
async function all(tree: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(tree)) {
    if (text === '/') mkdirSync(a.path(path));
    else writeFileSync(a.path(path), text);
  }
  await converged([a, b, c], tree);
  for (const device of [a, b, c]) await device.stop();
}

/** One after the other comes back. */
async function run(...devices: Device[]): Promise<Record<string, string>> {
  for (const device of devices) {
    device.start();
    await device.client?.untilInSync(new AbortController().signal);
  }
  for (const device of [a, b, c]) if (!device.client) device.start();
  await converged([a, b, c]);
  return a.tree();
}

const today = () => new Date().toISOString().slice(0, 10);
const copyOf = (stem: string, device: string, extension = '', count = '') =>
  `${stem} (conflicted copy, ${device}, ${today()}${count})${extension}`;
const listed = (device: Device) => readState(sqliteOpener, device.statePath)?.conflicts;

test('three edits of one file: two copies, and all devices list them', async () => {
  await all({ 'plan.txt': 'base' });
  for (const device of [a, b, c]) writeFileSync(device.path('plan.txt'), `edited by ${device.name}`);
  const ofBert = copyOf('plan', 'bert', '.txt');
  const ofCarl = copyOf('plan', 'carl', '.txt');
  assert.deepEqual(await run(a, b, c), {
    [ofBert]: 'edited by bert',
    [ofCarl]: 'edited by carl',
    'plan.txt': 'edited by anna',
  });
  for (const device of [a, b, c]) {
    assert.deepEqual(listed(device), [
      { path: ofBert, of: 'plan.txt', device: 'bert', date: today() },
      { path: ofCarl, of: 'plan.txt', device: 'carl', date: today() },
    ]);
    const state = readState(sqliteOpener, device.statePath);
    assert.deepEqual([state?.inSync, state?.problems], [true, []], 'a conflict keeps nothing from being in sync');
  }
  unlinkSync(c.path(ofBert));
  renameSync(a.path(ofCarl), a.path('plan of carl.txt'));
  await converged([a, b, c], { 'plan of carl.txt': 'edited by carl', 'plan.txt': 'edited by anna' });
  for (const device of [a, b, c]) assert.deepEqual(listed(device), [], 'deleted or renamed, it is off the list');
});

test('a conflict of a copy gets a name of its own, and so does the next one of the same file', async () => {
  await all({ dir: '/', 'dir/plan.txt': 'base' });
  for (const device of [a, b]) writeFileSync(device.path('dir/plan.txt'), `edited by ${device.name}`);
  await run(a, b);
  const first = `dir/${copyOf('plan', 'bert', '.txt')}`;
  for (const device of [a, b, c]) await device.stop();
  for (const device of [a, b, c]) writeFileSync(device.path(first), `copy of ${device.name}`);
  for (const device of [a, b]) writeFileSync(device.path('dir/plan.txt'), `again by ${device.name}, longer`);
  assert.deepEqual(await run(a, b, c), {
    dir: '/',
    'dir/plan.txt': 'again by anna, longer',
    [`dir/${copyOf('plan', 'bert', '.txt', ' 2')}`]: 'again by bert, longer',
    [first]: 'copy of anna',
    [`dir/${copyOf(first.slice(4, -4), 'bert', '.txt')}`]: 'copy of bert',
    [`dir/${copyOf(first.slice(4, -4), 'carl', '.txt')}`]: 'copy of carl',
  });
  assert.deepEqual(
    listed(c)
      ?.map(({ of, device }) => `${of} by ${device}`)
      .sort(),
    [`${first} by bert`, `${first} by carl`, 'dir/plan.txt by bert', 'dir/plan.txt by bert'],
  );
});

test('a delete against two edits: the file lives on with both', async () => {
  await all({ file: 'base' });
  unlinkSync(a.path('file'));
  for (const device of [b, c]) writeFileSync(device.path('file'), `edited by ${device.name}`);
  assert.deepEqual(await run(a, b, c), { [copyOf('file', 'carl')]: 'edited by carl', file: 'edited by bert' });
});

test('a folder and a file at one place', async () => {
  await all({});
  mkdirSync(a.path('thing'));
  writeFileSync(a.path('thing/in'), 'in the folder');
  writeFileSync(b.path('thing'), 'a file');
  assert.deepEqual(await run(a, b), { thing: '/', 'thing/in': 'in the folder', [copyOf('thing', 'bert')]: 'a file' });
});

test('a file and a folder at one place, the file first', async () => {
  await all({});
  writeFileSync(a.path('thing'), 'a file');
  mkdirSync(b.path('thing'));
  writeFileSync(b.path('thing/in'), 'in the folder');
  const aside = copyOf('thing', 'bert');
  assert.deepEqual(await run(a, b), { thing: 'a file', [aside]: '/', [`${aside}/in`]: 'in the folder' });
});

test('a symlink against a file, and against another symlink', async () => {
  await all({});
  symlinkSync('there', a.path('thing'));
  writeFileSync(b.path('thing'), 'a file');
  symlinkSync('here', c.path('thing'));
  assert.deepEqual(await run(a, b, c), {
    thing: '-> there',
    [copyOf('thing', 'bert')]: 'a file',
    [copyOf('thing', 'carl')]: '-> here',
  });
});

test('an edit in a folder that another deletes brings back its folders, and nothing else', async () => {
  await all({ dir: '/', 'dir/sub': '/', 'dir/sub/edited': 'base', 'dir/sub/gone': 'gone', 'dir/gone': 'gone' });
  rmSync(a.path('dir'), { recursive: true });
  writeFileSync(b.path('dir/sub/edited'), 'edited');
  assert.deepEqual(await run(a, b), { dir: '/', 'dir/sub': '/', 'dir/sub/edited': 'edited' });
});

/** x -> y -> z -> x. */
function rotate(device: Device): void {
  renameSync(device.path('x'), device.path('t'));
  renameSync(device.path('z'), device.path('x'));
  renameSync(device.path('y'), device.path('z'));
  renameSync(device.path('t'), device.path('y'));
}

test('three folders change places in a circle while a file in one is edited: ids follow, no copies', async () => {
  await all({ x: '/', y: '/', z: '/', 'x/in': 'one', 'y/in': 'two!', 'z/in': 'three' });
  const before = ['x', 'y', 'z'].map((name) => entryAt(a, name));
  rotate(a);
  writeFileSync(b.path('x/in'), 'one, edited');
  assert.deepEqual(await run(a, b), {
    x: '/',
    'x/in': 'three',
    y: '/',
    'y/in': 'one, edited',
    z: '/',
    'z/in': 'two!',
  });
  assert.deepEqual(
    ['y', 'z', 'x'].map((name) => entryAt(c, name)),
    before,
  );
});

test('two devices turn a circle of folders in opposite ways: the first that the server had wins', async () => {
  await all({ x: '/', y: '/', z: '/', 'x/in': 'one', 'y/in': 'two!', 'z/in': 'three' });
  rotate(a);
  rotate(b);
  rotate(b);
  assert.deepEqual(await run(a, b), {
    x: '/',
    'x/in': 'three',
    y: '/',
    'y/in': 'one',
    z: '/',
    'z/in': 'two!',
  });
});

test('three files change places in a circle: each place keeps its entry, as when programs save, and an edit survives', async () => {
  await all({ x: 'one', y: 'two!', z: 'three' });
  const before = ['x', 'y', 'z'].map((name) => entryAt(a, name));
  rotate(a);
  writeFileSync(b.path('x'), 'one, edited');
  assert.deepEqual(await run(a, b), { x: 'three', [copyOf('x', 'bert')]: 'one, edited', y: 'one', z: 'two!' });
  assert.deepEqual(
    ['x', 'y', 'z'].map((name) => entryAt(c, name)),
    before,
  );
});

test('two devices swap two folders, one of them by way of moving them into each other', async () => {
  await all({ p: '/', q: '/', 'p/1': 'one', 'q/2': 'two!' });
  renameSync(a.path('p'), a.path('t'));
  renameSync(a.path('q'), a.path('p'));
  renameSync(a.path('t'), a.path('q'));
  renameSync(b.path('p'), b.path('q/p'));
  const tree = await run(a, b);
  assert.deepEqual(
    Object.values(tree)
      .filter((text) => text !== '/')
      .sort(),
    ['one', 'two!'],
  );
  assert.equal(tree['q/1'], 'one');
  assert.equal(tree['p/2'], 'two!');
});

test('a database that a program has open stays whole in a conflict, under the very inode that the program writes to', async () => {
  await all({});
  const make = (path: string, text: string) => {
    const db = new DatabaseSync(path);
    db.exec('CREATE TABLE IF NOT EXISTS t (text)');
    db.prepare('INSERT INTO t VALUES (?)').run(text);
    return db;
  };
  make(a.path('data.db'), 'base').close();
  await run(a);
  await b.stop();
  await sent(a, () => make(a.path('data.db'), 'by anna').close());
  const open = make(b.path('data.db'), 'by bert');
  const fd = openSync(b.path('data.db'), 'r+');
  b.start();
  await converged([a, b, c]);
  const copy = copyOf('data', 'bert', '.db');
  assert.equal(statSync(b.path(copy)).ino, fstatSync(fd).ino);
  const texts = (path: string) => {
    const db = new DatabaseSync(path, { readOnly: true });
    assert.equal(db.prepare('PRAGMA integrity_check').get()?.['integrity_check'], 'ok');
    const rows = db.prepare('SELECT text FROM t').all();
    db.close();
    return rows.map((row) => row['text']);
  };
  assert.deepEqual(texts(b.path(copy)), ['base', 'by bert']);
  assert.deepEqual(texts(c.path(copy)), ['base', 'by bert']);
  assert.deepEqual(texts(b.path('data.db')), ['base', 'by anna']);
  assert.deepEqual(open.prepare('SELECT count(*) AS n FROM t').get()?.['n'], 2, 'it reads on');
  open.close();
  // What is still written through an open file goes to the copy, and across.
  writeSync(fd, 'X', 40);
  closeSync(fd);
  await eventually(
    () => a.tree()[copy]?.charAt(40) === 'X',
    () => a.client?.status(),
  );
});
