import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry } from './entry.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type DeviceId, type EntryId, type Epoch, type SpaceId } from './ids.ts';
import { storyOf, type EntryRow } from './story.ts';

const device = (digit: string) => digit.repeat(32) as DeviceId;
const other = '5'.repeat(32) as EntryId;

function row(seq: number, by: string, entry: Partial<Entry>): EntryRow {
  const content = { contentId: '1'.repeat(64) as never, manifestId: '2'.repeat(64) as never, size: seq };
  return {
    kind: 'entry',
    space: '3'.repeat(32) as SpaceId,
    epoch: '4'.repeat(32) as Epoch,
    seq,
    base: 0,
    device: device(by),
    atMs: 1000 * seq,
    entry: {
      entry: '6'.repeat(32) as EntryId,
      parent: ROOT_ENTRY,
      name: 'a.txt',
      kind: 'file',
      revision: seq,
      placed: seq,
      seq,
      content,
      target: null,
      mtimeUs: 0,
      exec: false,
      trashedFrom: null,
      ...entry,
    },
  };
}

const told = (rows: readonly EntryRow[]) =>
  storyOf(rows).map(({ kind, seq, device: by, name, before }) => [seq, kind, by[0], name, before?.name ?? null]);

test('a life, row by row', () => {
  const rows = [
    row(1, 'a', {}),
    row(3, 'b', { placed: 1 }),
    row(4, 'a', { revision: 3, name: 'b.txt' }),
    row(6, 'a', { revision: 3, name: 'b.txt', parent: other }),
    row(7, 'b', { revision: 3, name: 'b.txt', parent: TRASH_ENTRY, trashedFrom: other }),
    row(9, 'a', { revision: 3, name: 'c.txt', parent: other }),
  ];
  assert.deepEqual(told(rows), [
    [1, 'created', 'a', 'a.txt', null],
    [3, 'changed', 'b', 'a.txt', null],
    [4, 'renamed', 'a', 'b.txt', 'a.txt'],
    [6, 'moved', 'a', 'b.txt', 'b.txt'],
    [7, 'deleted', 'b', 'b.txt', null],
    [9, 'restored', 'a', 'c.txt', 'b.txt'],
  ]);
});

test('where rows are missing, what is kept is told and nothing made up', () => {
  assert.deepEqual(told([]), []);
  assert.deepEqual(told([row(5, 'a', { revision: 2 })]), [[5, 'known', 'a', 'a.txt', null]]);
  assert.deepEqual(told([row(5, 'a', { revision: 2, parent: TRASH_ENTRY, trashedFrom: ROOT_ENTRY })]), [
    [5, 'deleted', 'a', 'a.txt', null],
  ]);
  // Changed and moved between two rows.
  assert.deepEqual(told([row(1, 'a', {}), row(9, 'b', { revision: 7, parent: other })]), [
    [1, 'created', 'a', 'a.txt', null],
    [9, 'changed', 'b', 'a.txt', null],
    [9, 'moved', 'b', 'a.txt', 'a.txt'],
  ]);
});
