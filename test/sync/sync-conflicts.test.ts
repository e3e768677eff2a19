import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, beforeEach, test } from 'node:test';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
let a: Device;
let b: Device;

before(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
  a.start();
  b.start();
});
after(() => world.end());

beforeEach(async () => {
  for (const device of [a, b]) if (!device.client) device.start();
  for (const name of Object.keys(a.tree())) rmSync(a.path(name), { recursive: true, force: true });
  await converged([a, b], {});
});

/** Both devices have it, and neither runs. */
async function both(tree: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(tree)) {
    if (text === '/') mkdirSync(a.path(path));
    else writeFileSync(a.path(path), text);
  }
  await converged([a, b], tree);
  await a.stop();
  await b.stop();
}

async function run(first: Device, second: Device): Promise<void> {
  first.start();
  await first.client?.untilInSync(new AbortController().signal);
  second.start();
  await converged([first, second]);
}

test('two edits of one file: the first stays, the second lives on beside it', async () => {
  await both({ 'plan.txt': 'base' });
  writeFileSync(a.path('plan.txt'), 'from anna');
  writeFileSync(b.path('plan.txt'), 'from bert, longer');
  await run(a, b);
  const tree = a.tree();
  assert.equal(tree['plan.txt'], 'from anna');
  const copies = Object.keys(tree).filter((path) =>
    /^plan \(conflicted copy, bert, \d{4}-\d\d-\d\d\)\.txt$/.test(path),
  );
  assert.equal(copies.length, 1);
  assert.equal(tree[copies[0] as string], 'from bert, longer');
  assert.equal(Object.keys(tree).length, 2);
});

test('equal edits are no conflict', async () => {
  await both({ 'plan.txt': 'base' });
  for (const device of [a, b]) writeFileSync(device.path('plan.txt'), 'the same');
  await run(a, b);
  assert.deepEqual(a.tree(), { 'plan.txt': 'the same' });
});

test('the same file made on two devices is one; different ones are two', async () => {
  await both({});
  for (const device of [a, b]) {
    mkdirSync(device.path('dir'));
    writeFileSync(device.path('dir/same'), 'same');
    writeFileSync(device.path('dir/other'), device.name);
  }
  await run(a, b);
  const tree = a.tree();
  assert.equal(tree['dir/same'], 'same');
  assert.equal(tree['dir/other'], 'anna');
  const copy = Object.keys(tree).find((path) => path.includes('conflicted copy, bert'));
  assert.equal(tree[copy as string], 'bert');
  assert.equal(Object.keys(tree).length, 4);
});

test('an edit survives a delete, whichever comes first', async () => {
  await both({ one: 'base', two: 'base' });
  unlinkSync(a.path('one'));
  writeFileSync(b.path('one'), 'edited');
  writeFileSync(a.path('two'), 'edited too');
  unlinkSync(b.path('two'));
  await run(a, b);
  assert.deepEqual(a.tree(), { one: 'edited', two: 'edited too' });
});

test('a file made in a folder that another deletes survives with its folders', async () => {
  await both({ dir: '/', 'dir/sub': '/', 'dir/sub/old': 'old', 'dir/gone': 'gone' });
  rmSync(a.path('dir'), { recursive: true });
  writeFileSync(b.path('dir/sub/new'), 'new');
  await run(a, b);
  assert.deepEqual(a.tree(), { dir: '/', 'dir/sub': '/', 'dir/sub/new': 'new' });
});

test('a delete of a folder does not take what another put into it first', async () => {
  await both({ dir: '/', 'dir/sub': '/', 'dir/sub/old': 'old', 'dir/gone': 'gone' });
  rmSync(a.path('dir'), { recursive: true });
  writeFileSync(b.path('dir/sub/new'), 'new');
  await run(b, a);
  assert.deepEqual(a.tree(), { dir: '/', 'dir/sub': '/', 'dir/sub/new': 'new' });
});

test('names change places, while running and while stopped', async () => {
  await both({ x: '/', y: '/', 'x/1': 'one', 'y/2': 'two' });
  const swap = () => {
    renameSync(a.path('x'), a.path('t'));
    renameSync(a.path('y'), a.path('x'));
    renameSync(a.path('t'), a.path('y'));
  };
  swap();
  await run(a, b);
  assert.deepEqual(b.tree(), { x: '/', 'x/2': 'two', y: '/', 'y/1': 'one' });
  const puts = a.gate.calls.length;
  swap();
  await converged([a, b], { x: '/', 'x/1': 'one', y: '/', 'y/2': 'two' });
  assert.ok(a.gate.calls.length > puts);
});

test('files change places', async () => {
  await both({ x: 'one', y: 'two!' });
  a.start();
  b.start();
  renameSync(a.path('x'), a.path('t'));
  renameSync(a.path('y'), a.path('x'));
  renameSync(a.path('t'), a.path('y'));
  await converged([a, b], { x: 'two!', y: 'one' });
});

test('two moves of one file: the first that the server had wins', async () => {
  await both({ p: '/', q: '/', file: 'text' });
  renameSync(a.path('file'), a.path('p/file'));
  renameSync(b.path('file'), b.path('q/file'));
  await run(a, b);
  assert.deepEqual(b.tree(), { p: '/', 'p/file': 'text', q: '/' });
});

test('two folders moved into each other', async () => {
  await both({ p: '/', q: '/', 'p/1': 'one', 'q/2': 'two' });
  renameSync(a.path('p'), a.path('q/p'));
  renameSync(b.path('q'), b.path('p/q'));
  await run(a, b);
  assert.deepEqual(b.tree(), { q: '/', 'q/2': 'two', 'q/p': '/', 'q/p/1': 'one' });
});

test('a move and an edit of one file meet', async () => {
  await both({ p: '/', file: 'text' });
  renameSync(a.path('file'), a.path('p/renamed'));
  writeFileSync(b.path('file'), 'edited');
  await run(a, b);
  assert.deepEqual(a.tree(), { p: '/', 'p/renamed': 'edited' });
});

test('a file becomes a folder, and a folder a file', async () => {
  await both({ x: 'file', y: '/', 'y/in': 'in' });
  a.start();
  b.start();
  unlinkSync(a.path('x'));
  mkdirSync(a.path('x'));
  writeFileSync(a.path('x/in'), 'in x');
  rmSync(a.path('y'), { recursive: true });
  writeFileSync(a.path('y'), 'file now');
  await converged([a, b], { x: '/', 'x/in': 'in x', y: 'file now' });
});

test('editors save by renaming: nothing is left over', async () => {
  await both({ doc: 'v1' });
  a.start();
  b.start();
  for (const version of ['v2', 'v3', 'v4']) {
    // Vim with backups by renaming.
    renameSync(a.path('doc'), a.path('doc~'));
    writeFileSync(a.path('doc'), version);
    unlinkSync(a.path('doc~'));
    await converged([a, b], { doc: version });
    // A temporary file renamed over.
    writeFileSync(a.path('.doc.swp'), `${version}+`);
    renameSync(a.path('.doc.swp'), a.path('doc'));
    await converged([a, b], { doc: `${version}+` });
  }
  assert.equal(readFileSync(b.path('doc'), 'utf8'), 'v4+');
});

test('hard links are files of their own', async () => {
  await both({ one: 'text', dir: '/' });
  a.start();
  b.start();
  linkSync(a.path('one'), a.path('dir/two'));
  await converged([a, b], { one: 'text', dir: '/', 'dir/two': 'text' });
  unlinkSync(a.path('one'));
  await converged([a, b], { dir: '/', 'dir/two': 'text' });
});

test('what is written through one name of a hard-linked file is seen under the others, in other folders', async () => {
  await both({ one: 'text', dir: '/' });
  a.start();
  b.start();
  linkSync(a.path('one'), a.path('dir/two'));
  await converged([a, b], { one: 'text', dir: '/', 'dir/two': 'text' });
  appendFileSync(a.path('one'), ' and more');
  await converged([a, b], { one: 'text and more', dir: '/', 'dir/two': 'text and more' });
  // What another sets for one of them, Holdfast sets for that one alone.
  chmodSync(b.path('one'), 0o755);
  const isExec = (device: Device, name: string) => (statSync(device.path(name)).mode & 0o100) !== 0;
  await eventually(
    () => isExec(a, 'one'),
    () => statSync(a.path('one')).mode,
  );
  await converged([a, b], { one: 'text and more', dir: '/', 'dir/two': 'text and more' });
  assert.ok(!isExec(a, 'dir/two') && !isExec(b, 'dir/two'));
});

test('a folder whose mark is gone pauses and deletes nothing; it goes on when it is back', async () => {
  await both({ one: 'text', dir: '/', 'dir/two': 'text' });
  renameSync(a.folder, `${a.folder}-elsewhere`);
  mkdirSync(a.folder);
  a.start();
  b.start();
  await eventually(
    () => a.client?.status().problems.some(({ code }) => code === 'folder_missing') ?? false,
    () => a.client?.status(),
  );
  assert.deepEqual(b.tree(), { dir: '/', 'dir/two': 'text', one: 'text' });
  rmSync(a.folder, { recursive: true });
  renameSync(`${a.folder}-elsewhere`, a.folder);
  await converged([a, b], { dir: '/', 'dir/two': 'text', one: 'text' });
});

test('the folder goes away while the client runs', async () => {
  await both({ one: 'text', dir: '/', 'dir/two': 'text' });
  a.start();
  b.start();
  await converged([a, b]);
  renameSync(a.folder, `${a.folder}-elsewhere`);
  writeFileSync(b.path('three'), 'three');
  await eventually(
    () => a.client?.status().problems.some(({ code }) => code === 'folder_missing') ?? false,
    () => a.client?.status(),
  );
  renameSync(`${a.folder}-elsewhere`, a.folder);
  await converged([a, b], { dir: '/', 'dir/two': 'text', one: 'text', three: 'three' });
  writeFileSync(a.path('four'), 'four');
  await converged([a, b], { dir: '/', 'dir/two': 'text', four: 'four', one: 'text', three: 'three' });
});

test('a deletion made while the client was stopped goes across', async () => {
  await both({ one: 'text', dir: '/', 'dir/two': 'text' });
  rmSync(a.path('dir'), { recursive: true });
  await run(a, b);
  assert.deepEqual(b.tree(), { one: 'text' });
  assert.ok(!existsSync(b.path('dir')));
});

test('a state that was lost is a first link: a union that deletes nothing', async () => {
  await both({ one: 'text', two: 'text' });
  for (const suffix of ['', '-wal', '-shm']) rmSync(a.statePath + suffix, { force: true });
  rmSync(a.path('.holdfast'), { recursive: true });
  unlinkSync(a.path('one'));
  writeFileSync(a.path('three'), 'three');
  await a.link();
  await run(a, b);
  assert.deepEqual(b.tree(), { one: 'text', three: 'three', two: 'text' });
});
