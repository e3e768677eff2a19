import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Stat } from '#world/folder.ts';
import { isSameThing, mostChildrenRemain } from './identity.ts';
import { isRacy, isUnmoved, parseStat, statText } from './stat-text.ts';

const file: Stat = {
  kind: 'file',
  dev: 42n,
  ino: 2n ** 63n + 1n,
  size: 10,
  mtimeNs: 1_700_000_000_123_456_789n,
  ctimeNs: 1_700_000_000_123_456_789n,
  birthNs: 1_600_000_000_000_000_001n,
  links: 1,
  exec: true,
};

test('a stat survives being kept as a text, whatever its size', () => {
  assert.deepEqual(parseStat(statText(file)), file);
});

test('every field of a file counts; of a folder only which it is', () => {
  const changes: Partial<Stat>[] = [
    { dev: 43n },
    { ino: 7n },
    { size: 11 },
    { mtimeNs: 1n },
    { ctimeNs: 1n },
    { birthNs: 1n },
    { links: 2 },
    { exec: false },
  ];
  for (const change of changes) assert.notEqual(statText({ ...file, ...change }), statText(file));
  const folder: Stat = { ...file, kind: 'folder' };
  assert.equal(statText({ ...folder, mtimeNs: 1n, ctimeNs: 1n, size: 99, links: 7 }), statText(folder));
  assert.notEqual(statText({ ...folder, ino: 7n }), statText(folder));
});

test('a reused inode is no rename', () => {
  const known = { kind: 'file', stat: statText(file) };
  const reused = { ...file, birthNs: 5n, size: 11, mtimeNs: 6n };
  assert.equal(isSameThing(known, reused), false);
  assert.equal(isSameThing(known, { ...reused, size: file.size }), false);
  assert.equal(isSameThing(known, { ...file, birthNs: 5n }), false, 'of the same size, and given the same time');
  assert.equal(isSameThing(known, { ...file, ctimeNs: 9n }), true);
  assert.equal(isSameThing(known, { ...file, mtimeNs: 9n, size: 1 }), true, 'renamed and edited: born together');
  assert.equal(isSameThing({ kind: 'file', stat: statText({ ...file, birthNs: 0n }) }, { ...file, birthNs: 0n }), true);
});

test('a folder is known by its birth, else by its children', () => {
  const folder: Stat = { ...file, kind: 'folder' };
  const known = { kind: 'folder', stat: statText(folder) };
  assert.equal(isSameThing(known, folder), true);
  assert.equal(isSameThing(known, { ...folder, birthNs: 9n }), false);
  const birthless = { ...folder, birthNs: 0n };
  assert.equal(isSameThing({ kind: 'folder', stat: statText(birthless) }, birthless), null);
});

test('a folder without a birth is known by most of its children, and they by more than their names', () => {
  const text: Stat = { ...file, birthNs: 0n };
  const below: Stat = { ...text, kind: 'folder', ino: 8n };
  const known = (name: string, stat: Stat) => ({ name, kind: stat.kind, stat: statText(stat) });
  const listed = (name: string, stat: Stat) => ({ name, stat, target: null });
  const before = [known('a', text), known('b', text), known('c', below)];
  assert.ok(mostChildrenRemain(before, [listed('a', text), listed('c', below), listed('x', text)]));
  assert.ok(!mostChildrenRemain(before, [listed('a', text)]));
  assert.ok(!mostChildrenRemain([], [listed('a', text)]));
  assert.ok(!mostChildrenRemain([known('a', text)], [listed('a', { ...text, mtimeNs: 9n })]), 'another file');
  assert.ok(!mostChildrenRemain([known('c', below)], [listed('c', { ...below, ino: 9n })]), 'another folder');
  assert.ok(!mostChildrenRemain([known('c', below)], [listed('c', text)]), 'another kind');
});

test('bytes read within the resolution of their stamps are read again', () => {
  const ctimeMs = Number(file.ctimeNs / 1_000_000n);
  assert.ok(isRacy(file, ctimeMs + 10));
  assert.ok(!isRacy(file, ctimeMs + 100));
  const coarse = { ...file, ctimeNs: 1_700_000_000_000_000_000n };
  assert.ok(isRacy(coarse, 1_700_000_001_000));
  assert.ok(!isRacy(coarse, 1_700_000_003_000));
  assert.ok(isRacy(file, ctimeMs - 1_000_000), 'from the future');
});

test('a second name moves the time of change alone', () => {
  assert.ok(isUnmoved(file, { ...file, ctimeNs: 5n, links: 2 }));
  assert.ok(!isUnmoved(file, { ...file, mtimeNs: 5n }));
});
