import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { openSync, readFileSync, renameSync, writeFileSync, writeSync, closeSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

const MIB = 1024 * 1024;

let world: SyncWorld;
let a: Device;
let b: Device;

before(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
});
after(() => world.end());

const hashOf = (device: Device, name: string) =>
  createHash('sha256')
    .update(readFileSync(device.path(name)))
    .digest('hex');
const countOf = (device: Device, verb: string) => device.gate.calls.filter((call) => call === verb).length;

test('a large file stopped in the middle goes on where it was', async () => {
  writeFileSync(a.path('film.bin'), randomBytes(40 * MIB));
  a.start();
  await eventually(
    () => (a.gate.answeredBytes['put'] ?? 0) >= 12 * MIB,
    () => a.gate.calls,
  );
  await a.stop();
  const stored = a.gate.answeredBytes['put'] ?? 0;
  a.gate.sentBytes = {};
  a.start();
  b.start();
  await converged([a, b]);
  assert.equal(hashOf(b, 'film.bin'), hashOf(a, 'film.bin'));
  const again = a.gate.sentBytes['put'] ?? 0;
  assert.ok(stored < 40 * MIB, 'it was stopped before its end');
  assert.ok(again <= 40 * MIB - stored + 0.1 * MIB, `${again} bytes sent after ${stored} were stored`);
});

test('a small change of a large file sends little', async () => {
  a.gate.calls.length = 0;
  b.gate.calls.length = 0;
  const fd = openSync(a.path('film.bin'), 'r+');
  writeSync(fd, randomBytes(1000), 0, 1000, 20 * MIB);
  closeSync(fd);
  await converged([a, b]);
  assert.equal(hashOf(b, 'film.bin'), hashOf(a, 'film.bin'));
  assert.ok(countOf(a, 'put') <= 2, `${countOf(a, 'put')} puts`);
  assert.ok(countOf(b, 'blocks') <= 2, `${countOf(b, 'blocks')} requests for blocks`);
});

test('a rename of a large file sends no bytes', async () => {
  a.gate.calls.length = 0;
  b.gate.calls.length = 0;
  renameSync(a.path('film.bin'), a.path('movie.bin'));
  await converged([a, b]);
  assert.equal(hashOf(b, 'movie.bin'), hashOf(a, 'movie.bin'));
  assert.equal(countOf(a, 'put') + countOf(b, 'blocks') + countOf(b, 'contents'), 0);
});

test('small files go through while a large one is under way', async () => {
  writeFileSync(a.path('second.bin'), randomBytes(60 * MIB));
  await eventually(
    () => countOf(a, 'put') >= 1,
    () => a.gate.calls.slice(-5),
  );
  writeFileSync(a.path('note.txt'), 'small');
  await eventually(
    () => b.tree()['note.txt'] === 'small',
    () => a.client?.status(),
  );
  await converged([a, b]);
  assert.equal(hashOf(b, 'second.bin'), hashOf(a, 'second.bin'));
});

test('a large file that is nearly all zeros', async () => {
  const fd = openSync(a.path('zeros.bin'), 'w');
  writeSync(fd, randomBytes(1000), 0, 1000, 60 * MIB);
  closeSync(fd);
  await converged([a, b]);
  assert.equal(hashOf(b, 'zeros.bin'), hashOf(a, 'zeros.bin'));
});

test('a large file edited on both devices', async () => {
  await a.stop();
  await b.stop();
  for (const [device, at] of [
    [a, 1],
    [b, 30],
  ] as const) {
    const fd = openSync(device.path('movie.bin'), 'r+');
    writeSync(fd, Buffer.from(device.name), 0, 4, at * MIB);
    closeSync(fd);
  }
  const [first, second] = [hashOf(a, 'movie.bin'), hashOf(b, 'movie.bin')];
  a.start();
  await a.client?.untilInSync(new AbortController().signal);
  b.start();
  await converged([a, b]);
  assert.equal(hashOf(a, 'movie.bin'), first);
  const copy = Object.keys(a.tree()).find((path) => path.includes('conflicted copy, bert'));
  assert.equal(hashOf(a, copy as string), second);
});
