/** Moves that only the bytes tell of: copied and deleted, written anew elsewhere, brought back from another file system. */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { must } from '#core/assert.ts';
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
