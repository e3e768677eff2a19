import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Settling } from './settling.ts';

const looked = (settling: Settling, nowMs: number) =>
  settling.take(nowMs).looks.flatMap(({ directory, names }) => names.map((name) => `${directory}/${name}`));

test('a changed name is looked at after 25 ms', () => {
  const settling = new Settling();
  settling.hintName('d', 'f', 1000);
  assert.equal(settling.nextDueMs(), 1025);
  assert.deepEqual(looked(settling, 1024), []);
  assert.deepEqual(looked(settling, 1025), ['d/f']);
  assert.ok(settling.quiet);
});

test('several hints of one write are one change; changes that keep coming double the wait, up to two seconds', () => {
  const settling = new Settling();
  const waits: number[] = [];
  for (let nowMs = 0; waits.length < 9; ) {
    settling.hintName('', 'f', nowMs);
    settling.hintName('', 'f', nowMs + 1);
    const dueMs = settling.nextDueMs();
    waits.push(dueMs - nowMs - 1);
    settling.take(dueMs);
    nowMs = dueMs + 100;
  }
  assert.deepEqual(waits, [25, 50, 100, 200, 400, 800, 1600, 2000, 2000]);
  settling.hintName('', 'f', 1_000_000);
  assert.equal(settling.nextDueMs(), 1_000_025);
});

test('saves a second and more apart are not made to wait for each other; writing every half second is', () => {
  const settling = new Settling();
  const waitOf = (nowMs: number): number => {
    settling.hintName('', 'f', nowMs);
    const dueMs = settling.nextDueMs();
    settling.take(dueMs);
    return dueMs - nowMs;
  };
  for (let save = 0; save < 30; save++) assert.equal(waitOf(1_000_000 + 1100 * save), 25);
  let last = 0;
  for (let write = 0; write < 60; write++) last = waitOf(2_000_000 + 500 * write);
  assert.equal(last, 2000);
});

test('a name that never is quiet is looked at all the same', () => {
  const settling = new Settling();
  let lookedAtMs = 0;
  for (let nowMs = 0; nowMs < 15_000 && lookedAtMs === 0; nowMs += 30) {
    settling.hintName('', 'log', nowMs);
    if (looked(settling, nowMs).length > 0 && nowMs > 5000) lookedAtMs = nowMs;
  }
  assert.ok(lookedAtMs > 5000 && lookedAtMs <= 15_000);
});

test('a busy directory is listed instead, after half a second', () => {
  const settling = new Settling();
  for (let index = 0; index < 65; index++) settling.hintName('d', `f${index}`, 0);
  assert.deepEqual(settling.take(499), { lists: [], looks: [] });
  assert.deepEqual(settling.take(500), { lists: ['d'], looks: [] });
  assert.ok(settling.quiet);
});

test('what vanished is judged only when every directory that was dirty then is clean', () => {
  const settling = new Settling();
  settling.hintName('from', 'f', 0);
  settling.hintName('to', 'f', 10);
  settling.take(25);
  const { mark } = settling;
  assert.equal(settling.settledSince(mark), false);
  settling.hintName('later', 'x', 30);
  settling.take(35);
  assert.equal(settling.settledSince(mark), true);
  assert.equal(settling.quiet, false);
});

test('a listing out of caution keeps nothing waiting, and becomes due by itself', () => {
  const settling = new Settling();
  settling.listWhenQuiet('d', 0);
  assert.ok(settling.quiet);
  assert.equal(settling.nextDueMs(), 1000);
  settling.hintName('d', 'f', 990);
  assert.equal(settling.quiet, false);
  settling.listWhenQuiet('d', 995);
  assert.deepEqual(settling.take(1900).looks.length, 1);
  assert.deepEqual(settling.take(1995).lists, ['d']);
});

test('listings of one directory take a tenth of the time at most', () => {
  const settling = new Settling();
  settling.hintDirectory('huge', 0);
  assert.deepEqual(settling.take(25).lists, ['huge']);
  settling.listed('huge', 1000, 1025);
  settling.hintDirectory('huge', 1100);
  assert.equal(settling.nextDueMs(), 10_025);
});
