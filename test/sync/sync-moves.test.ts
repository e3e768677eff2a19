/** Moves: of folders by their names, and those that only the bytes tell of: copied and deleted, written anew elsewhere, brought back from another file system. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { must } from '#core/assert.ts';
import type { FolderStep } from '#world/folder.ts';
import { entryAt, headSeq, sent } from './sync-state.ts';
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

async function both(tree: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(tree)) {
    if (text === '/') mkdirSync(a.path(path));
    else writeFileSync(a.path(path), text);
  }
  await converged([a, b], tree);
}

/** As `mv` does it across file systems: another inode, another birth. */
function moveByCopy(device: Device, from: string, to: string): void {
  cpSync(device.path(from), device.path(to), { recursive: true });
  rmSync(device.path(from), { recursive: true });
}

/** Bytes that a device sent beside its requests. */
function bytesSent(device: Device): number {
  const { commit, put } = device.gate.sentBytes;
  return (commit ?? 0) + (put ?? 0);
}

test('a folder that is found again before the journal tells of its delete lives on as something new, over restarts as well', async () => {
  const tree = { 'q/f': 'text', 'q/deep/g': 'another', kept: 'beside' };
  for (const folder of ['q', 'q/deep', 'p']) mkdirSync(a.path(folder));
  for (const [path, text] of Object.entries(tree)) writeFileSync(a.path(path), text);
  await converged([a, b], { q: '/', 'q/deep': '/', p: '/', ...tree });
  // Where nobody looks: so does a folder where no more directories are watched.
  const elsewhere = `${a.folder}.elsewhere`;
  a.gate.killAt = (point) => point === 'after commit';
  renameSync(a.path('q'), elsewhere);
  await eventually(
    () => a.killed,
    () => a.tree(),
  );
  delete a.gate.killAt;
  await a.stop();
  // The answer is asked for and heard at the next start, and that run ends as well, before the journal tells of the delete.
  a.gate.before = async (verb) => {
    if (verb === 'pull') await delay(2000);
  };
  a.start();
  await eventually(
    () => a.gate.calls.includes('settle'),
    () => a.gate.calls,
  );
  await delay(300);
  await a.stop();
  renameSync(elsewhere, a.path('p/q'));
  a.start();
  await delay(1500);
  delete a.gate.before;
  await converged([a, b], {
    p: '/',
    'p/q': '/',
    'p/q/f': 'text',
    'p/q/deep': '/',
    'p/q/deep/g': 'another',
    kept: 'beside',
  });
});

for (const running of [true, false])
  test(`a folder that is renamed is one row of the journal and one step on the other disk, ${running ? 'while it runs' : 'found at the next start'}`, async () => {
    const under = (folder: string) =>
      Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`${folder}/deep/${index}`, `text ${index}`]));
    await both({ work: '/', 'work/deep': '/', ...under('work'), shelf: '/' });
    const entries = [entryAt(a, 'work'), entryAt(a, 'work/deep/7')];
    const inodes = () => ['', '/deep', '/deep/7'].map((path) => statSync(b.path(`shelf/done${path}`)).ino);
    const before = ['', '/deep', '/deep/7'].map((path) => statSync(b.path(`work${path}`)).ino);
    const [head, sent] = [headSeq(a), bytesSent(a)];
    if (!running) await a.stop();
    b.gate.calls.length = 0;
    const steps: string[] = [];
    b.gate.refuse = (step) => {
      steps.push(step.kind);
      return null;
    };
    renameSync(a.path('work'), a.path('shelf/done'));
    if (!running) a.start();
    await converged([a, b], { shelf: '/', 'shelf/done': '/', 'shelf/done/deep': '/', ...under('shelf/done') });
    delete b.gate.refuse;
    assert.deepEqual([entryAt(b, 'shelf/done'), entryAt(b, 'shelf/done/deep/7')], entries);
    assert.equal(headSeq(b), head + 1);
    assert.equal(bytesSent(a), sent);
    assert.deepEqual(
      b.gate.calls.filter((verb) => verb === 'contents' || verb === 'blocks'),
      [],
    );
    assert.deepEqual(steps, ['move']);
    assert.deepEqual(inodes(), before);
  });

test('names of folders and of files change places: nothing is sent, and folders keep their entries', async () => {
  await both({ x: '/', y: '/', 'x/1': 'one', 'y/2': 'two!', 'y/in': '/' });
  const entries = [entryAt(a, 'x'), entryAt(a, 'y')];
  for (const running of [true, false]) {
    const [head, sent] = [headSeq(a), bytesSent(a)];
    if (!running) await a.stop();
    renameSync(a.path('x'), a.path('t'));
    renameSync(a.path('y'), a.path('x'));
    renameSync(a.path('t'), a.path('y'));
    if (!running) a.start();
    const [one, two] = running ? ['y', 'x'] : ['x', 'y'];
    await converged([a, b], { x: '/', y: '/', [`${one}/1`]: 'one', [`${two}/2`]: 'two!', [`${two}/in`]: '/' });
    assert.deepEqual([entryAt(b, one), entryAt(b, two)], entries);
    assert.equal(bytesSent(a), sent);
    assert.equal(headSeq(b), head + 2, 'a row for each of the two');
  }
});

test('two folders change places as an edit comes into one of them: the edit stays, and nothing old is sent', async () => {
  await both({ x: '/', y: '/', 'x/1': 'one', 'y/1': 'before' });
  const entries = [entryAt(a, 'x'), entryAt(a, 'y')];
  let swapped = false;
  a.gate.refuse = (step) => {
    if (swapped || step.kind !== 'place' || step.path !== 'y/1') return null;
    swapped = true;
    renameSync(a.path('x'), a.path('t'));
    renameSync(a.path('y'), a.path('x'));
    renameSync(a.path('t'), a.path('y'));
    return null;
  };
  const head = headSeq(b);
  // What lies at that path on the other disk by then is the other folder's, and the same.
  writeFileSync(b.path('y/1'), 'one');
  await converged([a, b], { x: '/', y: '/', 'x/1': 'one', 'y/1': 'one' });
  assert.equal(swapped, true);
  assert.deepEqual([entryAt(b, 'y'), entryAt(b, 'x')], entries);
  assert.equal(headSeq(b), head + 3, 'the edit, and a row for each of the two');
});

/** What another device does in the folder `y`, and how it lies there afterwards. */
const comings: readonly (readonly [FolderStep['kind'], () => void, Record<string, string>])[] = [
  ['place', () => writeFileSync(b.path('y/new'), 'new'), { new: 'new' }],
  ['make_folder', () => mkdirSync(b.path('y/new')), { new: '/' }],
  ['make_symlink', () => symlinkSync('target', b.path('y/new')), { new: '-> target' }],
  ['move', () => renameSync(b.path('file'), b.path('y/new')), { new: 'text' }],
];
for (const [kind, work, made] of comings)
  test(`two folders change places as something comes into one of them, by ${kind}: it comes into that one, and nowhere else`, async () => {
    const isMoved = kind === 'move';
    await both({ x: '/', y: '/', 'x/1': 'one', file: 'text' });
    const entries = [entryAt(a, 'x'), entryAt(a, 'y')];
    let tries = 0;
    a.gate.refuse = (step) => {
      if (step.kind !== kind || tries++ > 0) return null;
      renameSync(a.path('x'), a.path('t'));
      renameSync(a.path('y'), a.path('x'));
      renameSync(a.path('t'), a.path('y'));
      return null;
    };
    const head = headSeq(b);
    work();
    const inY = Object.fromEntries(Object.entries(made).map(([name, text]) => [`x/${name}`, text]));
    await converged([a, b], { x: '/', y: '/', 'y/1': 'one', ...(isMoved ? {} : { file: 'text' }), ...inY });
    delete a.gate.refuse;
    assert.deepEqual([entryAt(b, 'y'), entryAt(b, 'x')], entries);
    assert.equal(headSeq(b), head + 3, 'what came, and a row for each of the two');
    assert.ok(tries > 1 && tries < 10, `it was tried ${tries} times`);
  });

test('a file that was renamed over a link, and goes on being written to, has its name', async () => {
  await both({ file: 'first', folder: '/' });
  symlinkSync('nowhere', a.path('name'));
  await converged([a, b], { file: 'first', folder: '/', name: '-> nowhere' });
  const entry = entryAt(a, 'file');
  renameSync(a.path('file'), a.path('name'));
  // It was seen there, and is not judged yet; then the folder that it is in is listed while it is waited for.
  await delay(120);
  rmdirSync(a.path('folder'));
  for (let write = 0; write < 15; write++) {
    writeFileSync(a.path('name'), `write ${write}`);
    await delay(10);
  }
  await converged([a, b], { name: 'write 14' });
  assert.equal(entryAt(a, 'name'), entry);
});

test('a file that was renamed over a link has its name, also while something else goes on and the link is not judged for it', async () => {
  await both({ file: 'text', folder: '/', busy: '/' });
  symlinkSync('nowhere', a.path('folder/name'));
  await converged([a, b], { file: 'text', folder: '/', busy: '/', 'folder/name': '-> nowhere' });
  const entry = entryAt(a, 'file');
  // Its name was changed again and again, and is looked at late.
  for (let touch = 0; touch < 4; touch++) {
    lutimesSync(a.path('folder/name'), touch, touch);
    await delay(60);
  }
  renameSync(a.path('file'), a.path('folder/name'));
  await delay(80);
  for (let write = 0; write < 50; write++) {
    writeFileSync(a.path('busy/log'), `write ${write}`);
    await delay(20);
  }
  await converged([a, b], { folder: '/', busy: '/', 'folder/name': 'text', 'busy/log': 'write 49' });
  assert.equal(entryAt(a, 'folder/name'), entry);
});

test('a folder that is renamed while a large file in it is on its way arrives once, under the new name', async () => {
  await both({ old: '/', 'old/small': 'small' });
  const entry = entryAt(a, 'old');
  const bytes = randomBytes(12 * 1024 * 1024);
  let puts = 0;
  a.gate.before = async (verb) => {
    if (verb !== 'put' || ++puts !== 2) return;
    renameSync(a.path('old'), a.path('new'));
    await delay(600);
  };
  writeFileSync(a.path('old/large'), bytes);
  await eventually(
    () => existsSync(b.path('new/large')),
    () => [b.tree(), a.client?.status()],
    60_000,
  );
  delete a.gate.before;
  await converged([a, b]);
  assert.deepEqual(Object.keys(b.tree()), ['new', 'new/large', 'new/small']);
  assert.ok(readFileSync(b.path('new/large')).equals(bytes));
  assert.equal(entryAt(b, 'new'), entry);
});

for (const running of [true, false])
  test(`a file that was copied and deleted is the same entry, ${running ? 'at once' : 'found at the next start'}`, async () => {
    await both({ dir: '/', 'old.txt': 'text', 'other.txt': 'others' });
    const entry = entryAt(a, 'old.txt');
    if (!running) await a.stop();
    const before = bytesSent(a);
    moveByCopy(a, 'old.txt', 'dir/new.txt');
    if (!running) a.start();
    await converged([a, b], { dir: '/', 'dir/new.txt': 'text', 'other.txt': 'others' });
    assert.equal(entryAt(b, 'dir/new.txt'), entry);
    assert.equal(bytesSent(a), before);
  });

test('a folder that was copied and deleted moves as one, with its equal and its empty files', async () => {
  const inside = { one: 'same', two: 'same', 'init.py': '', sub: '/', 'sub/init.py': '', 'sub/deep': 'deep' };
  const under = (folder: string) =>
    Object.fromEntries(Object.entries(inside).map(([path, text]) => [`${folder}/${path}`, text]));
  await both({ old: '/', ...under('old') });
  const [folder, two, deep] = [entryAt(a, 'old'), entryAt(a, 'old/two'), entryAt(a, 'old/sub/deep')];
  await a.stop();
  const head = headSeq(a);
  moveByCopy(a, 'old', 'new');
  a.start();
  await converged([a, b], { new: '/', ...under('new') });
  assert.deepEqual([entryAt(b, 'new'), entryAt(b, 'new/two'), entryAt(b, 'new/sub/deep')], [folder, two, deep]);
  assert.equal(headSeq(b), head + 1, 'one row of the journal for all of it');
});

test('a small folder moves as one while the client runs', async () => {
  await both({ old: '/', 'old/one': 'one', 'old/two': 'two!' });
  const entries = [entryAt(a, 'old'), entryAt(a, 'old/one')];
  moveByCopy(a, 'old', 'new');
  await converged([a, b], { new: '/', 'new/one': 'one', 'new/two': 'two!' });
  assert.deepEqual([entryAt(b, 'new'), entryAt(b, 'new/one')], entries);
});

test('where a folder changed on its way, its files move by themselves', async () => {
  await both({ old: '/', 'old/kept': 'kept', 'old/changed': 'before' });
  const [kept, changed] = [entryAt(a, 'old/kept'), entryAt(a, 'old/changed')];
  await a.stop();
  moveByCopy(a, 'old', 'new');
  writeFileSync(a.path('new/changed'), 'after, longer');
  a.start();
  await converged([a, b], { new: '/', 'new/kept': 'kept', 'new/changed': 'after, longer' });
  assert.equal(entryAt(b, 'new/kept'), kept);
  assert.notEqual(entryAt(b, 'new/changed'), changed);
});

test('what is ambiguous is a delete and a new file', async () => {
  await both({ one: 'same', two: 'same', empty: '' });
  const entries = [entryAt(a, 'one'), entryAt(a, 'two'), entryAt(a, 'empty')];
  await a.stop();
  for (const [from, to] of [
    ['one', 'uno'],
    ['two', 'due'],
    ['empty', 'vuoto'],
  ] as const)
    moveByCopy(a, from, to);
  a.start();
  await converged([a, b], { due: 'same', uno: 'same', vuoto: '' });
  for (const name of ['uno', 'due', 'vuoto']) assert.ok(!entries.includes(entryAt(b, name)), name);
});

test('a copy that was synced is one of its own, whatever becomes of what it was copied from', async () => {
  await both({ original: 'text' });
  const entry = entryAt(a, 'original');
  copyFileSync(a.path('original'), a.path('copy'));
  await converged([a, b], { copy: 'text', original: 'text' });
  unlinkSync(a.path('original'));
  await converged([a, b], { copy: 'text' });
  assert.notEqual(entryAt(b, 'copy'), entry);
});

test('an edit that another made of the original arrives where it was moved to', async () => {
  await both({ dir: '/', file: 'text' });
  await a.stop();
  moveByCopy(a, 'file', 'dir/moved');
  await sent(b, () => writeFileSync(b.path('file'), 'edited by bert'));
  a.start();
  await converged([a, b], { dir: '/', 'dir/moved': 'edited by bert' });
});

test('what another deleted meanwhile stays, as a new file', async () => {
  await both({ dir: '/', file: 'text' });
  await a.stop();
  await sent(b, () => unlinkSync(b.path('file')));
  moveByCopy(a, 'file', 'dir/moved');
  a.start();
  await converged([a, b], { dir: '/', 'dir/moved': 'text' });
});

test('two devices that move the same tree by copying agree', async () => {
  await both({ old: '/', 'old/one': 'one', 'old/two': 'two!' });
  const entry = entryAt(a, 'old/one');
  await a.stop();
  await b.stop();
  moveByCopy(a, 'old', 'new');
  moveByCopy(b, 'old', 'new');
  a.start();
  await a.client?.untilInSync(new AbortController().signal);
  b.start();
  await converged([a, b], { new: '/', 'new/one': 'one', 'new/two': 'two!' });
  assert.equal(entryAt(a, 'new/one'), entry);
});

test('a large file that was copied and deleted is not sent again', async () => {
  const bytes = Buffer.alloc(3 * 1024 * 1024, 'all kinds of bytes, ');
  writeFileSync(a.path('large'), bytes);
  await converged([a, b]);
  const entry = entryAt(a, 'large');
  await a.stop();
  moveByCopy(a, 'large', 'moved');
  const before = bytesSent(a);
  a.start();
  await a.client?.untilInSync(new AbortController().signal);
  await converged([b]);
  assert.equal(entryAt(a, 'moved'), entry);
  assert.equal(bytesSent(a), before);
});

/**
 * At bert's: `m/q` ends in a folder that is where another was, which is where `m` was. At anna's something has to be parked for that, and it is
 * what has the lower id.
 */
async function turnRound(): Promise<void> {
  await both({ m: '/', one: '/', other: '/' });
  const isInOrder = must(entryAt(a, 'one'), 'it is synced') < must(entryAt(a, 'other'), 'it is synced');
  renameSync(a.path(isInOrder ? 'one' : 'other'), a.path('m/q'));
  renameSync(a.path(isInOrder ? 'other' : 'one'), a.path('p'));
  writeFileSync(a.path('m/q/f'), 'f');
  writeFileSync(a.path('p/x'), 'x');
  await converged([a, b], { m: '/', 'm/q': '/', 'm/q/f': 'f', p: '/', 'p/x': 'x' });
  for (const device of [a, b]) await device.stop();
  renameSync(b.path('m/q'), b.path('t'));
  rmdirSync(b.path('m'));
  renameSync(b.path('p'), b.path('m'));
  mkdirSync(b.path('p'));
  renameSync(b.path('t'), b.path('p/q'));
  b.start();
  await converged([b], { m: '/', 'm/x': 'x', p: '/', 'p/q': '/', 'p/q/f': 'f' });
  // Else the new folder would come first, and what stands in its place be parked.
  const isKnown = (path: string) =>
    eventually(
      () => entryAt(b, path) !== null,
      () => b.client?.status(),
    );
  while (must(entryAt(b, 'p'), 'it is synced') < must(entryAt(b, 'p/q'), 'it is synced')) {
    renameSync(b.path('p/q'), b.path('t'));
    rmdirSync(b.path('p'));
    await isKnown('t');
    await converged([b]);
    mkdirSync(b.path('p'));
    renameSync(b.path('t'), b.path('p/q'));
    await isKnown('p/q');
    await converged([b]);
  }
}

test('what is parked out of a folder outlives it, with what nobody has seen in it yet', async () => {
  await turnRound();
  const kinds: string[] = [];
  a.gate.refuse = (step) => {
    kinds.push(step.kind);
    // Somebody writes into it once it was looked at.
    if (step.kind === 'park') writeFileSync(a.path('m/q/new'), 'new');
    return null;
  };
  a.start();
  await converged([a, b], { m: '/', 'm/x': 'x', p: '/', 'p/q': '/', 'p/q/f': 'f', 'p/q/new': 'new' });
  assert.deepEqual(
    kinds.filter((kind) => kind.endsWith('park')),
    ['park', 'unpark'],
  );
});

test('what is parked when the client ends comes back, though its folder is not there any more', async () => {
  await turnRound();
  a.gate.refuse = (step) => {
    if (step.kind === 'park') writeFileSync(a.path('m/q/new'), 'new');
    return step.kind === 'unpark' ? { kind: 'failed', code: 'disk_failed', detail: 'refused' } : null;
  };
  a.start();
  await eventually(
    () => existsSync(a.path('m/x')),
    () => [a.tree(), a.client?.status()],
  );
  await a.stop();
  assert.equal(existsSync(a.path('p/q')), false);
  a.gate.refuse = () => null;
  a.start();
  await converged([a, b], { m: '/', 'm/x': 'x', p: '/', 'p/q': '/', 'p/q/f': 'f', 'p/q/new': 'new' });
});

for (const state of ['runs', 'does not run'] as const)
  test(`what got the inode, the size and the time of a deleted file while the device ${state} is another file`, async () => {
    const write = (name: string, text: string) => {
      writeFileSync(a.path(name), text);
      utimesSync(a.path(name), 1_700_000_000, 1_700_000_000);
    };
    write('old', 'as it was');
    await converged([a, b], { old: 'as it was' });
    if (state === 'does not run') await a.stop();
    const { ino } = statSync(a.path('old'));
    unlinkSync(a.path('old'));
    // Disks differ in when they use a number again; ext4 mostly does at once.
    for (let left = 20; left > 0; left--) {
      write(`new-${left}`, 'other one');
      if (statSync(a.path(`new-${left}`)).ino === ino) break;
    }
    if (state === 'does not run') a.start();
    await converged([a, b]);
    const texts = Object.values(b.tree());
    assert.ok(texts.length > 0);
    assert.deepEqual(new Set(texts), new Set(['other one']));
  });
