import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Entry } from '#core/entry.ts';
import { HoldfastError } from '#core/errors.ts';
import { ROOT_ENTRY, type ContentId, type EntryId } from '#core/ids.ts';
import type { Stat } from '#world/folder.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { Dirty } from './dirty.ts';
import { tryAgain } from './names.ts';
import { Problems } from './problems.ts';
import { openState } from './state.ts';
import { Trees } from './trees.ts';
import { changeId } from './tree-actions.ts';
import type { Device } from './device.ts';

const directory = mkdtempSync(join(tmpdir(), 'holdfast-state-'));
after(() => rmSync(directory, { recursive: true }));
let files = 0;
const fresh = () => join(directory, `state-${++files}`);
const id = (digit: string) => digit.repeat(32) as EntryId;
const stat: Stat = {
  kind: 'folder',
  dev: 1n,
  ino: 2n,
  size: 0,
  mtimeNs: 3n,
  ctimeNs: 4n,
  birthNs: 5n,
  links: 1,
  exec: false,
};

function local(trees: Trees, entry: EntryId, parent: EntryId, name: string, kind: 'file' | 'folder'): void {
  const row = { entry, parent, name, alias: null, kind, contentId: null, target: null, exec: false };
  trees.putLocal(row, { ...stat, kind }, false);
}

test('what was written is there when it is opened again', () => {
  const path = fresh();
  const state = openState(sqliteOpener, path);
  state.durably(() => state.setMeta('root_id', 'abc'));
  new Problems(state).set('x', { path: 'a', code: 'no_space', message: 'full' });
  state.close();
  const again = openState(sqliteOpener, path);
  assert.equal(again.meta('root_id'), 'abc');
  assert.deepEqual(new Problems(again).all(), [{ path: 'a', code: 'no_space', message: 'full' }]);
  again.close();
});

test('a state of a later version is refused and left as it is', () => {
  const path = fresh();
  const state = openState(sqliteOpener, path);
  state.setMeta('format', '99');
  state.close();
  const before = readFileSync(path);
  assert.throws(
    () => openState(sqliteOpener, path),
    (error) => error instanceof HoldfastError && error.code === 'newer_version',
  );
  assert.ok(readFileSync(path).equals(before));
});

for (const { format, lacks } of [
  { format: 1, lacks: ['stat', 'target'] },
  { format: 2, lacks: ['target'] },
])
  test(`a state of format ${format} goes on as it is`, () => {
    const path = fresh();
    const state = openState(sqliteOpener, path);
    for (const column of lacks) state.sql.exec(`ALTER TABLE unflushed DROP COLUMN ${column}`);
    state.setMeta('format', String(format));
    state.setMeta('root_id', 'abc');
    state.sql.exec(`INSERT INTO unflushed (entry, content, mtime_us) VALUES ('e', 'c', 1)`);
    state.close();
    for (const _ of [1, 2]) {
      const again = openState(sqliteOpener, path);
      assert.equal(again.meta('root_id'), 'abc');
      assert.deepEqual(
        { ...again.sql.prepare('SELECT * FROM unflushed').get() },
        { n: 1, entry: 'e', content: 'c', mtime_us: 1, stat: null, target: null },
      );
      again.close();
    }
  });

test('paths follow moves of folders', () => {
  const state = openState(sqliteOpener, fresh());
  const trees = new Trees(state);
  local(trees, id('a'), ROOT_ENTRY, 'a', 'folder');
  local(trees, id('b'), id('a'), 'b', 'folder');
  local(trees, id('c'), id('b'), 'c', 'file');
  assert.equal(trees.localPath(id('c')), 'a/b/c');
  assert.equal(trees.localFolderAt('a/b'), id('b'));
  trees.moveLocal(id('a'), ROOT_ENTRY, { name: 'x', alias: null });
  assert.equal(trees.localPath(id('c')), 'x/b/c');
  assert.equal(trees.localFolderAt('a/b'), null);
  assert.equal(trees.localFolderAt('x/b'), id('b'));
  trees.parkLocal(id('b'), 'slot');
  assert.equal(trees.localPath(id('c')), null);
  assert.equal(trees.localAt(id('a'), 'b'), null);
  assert.equal(trees.local(id('b'))?.parked, true);
  trees.dropLocal({ entry: id('a'), kind: 'folder' });
  assert.equal(trees.localFolderAt('x'), null);
  state.close();
});

test('an entry that takes another id takes its children along, and all are dirty', () => {
  const state = openState(sqliteOpener, fresh());
  const trees = new Trees(state);
  const dirty = new Dirty(state);
  local(trees, id('a'), ROOT_ENTRY, 'a', 'folder');
  local(trees, id('b'), id('a'), 'b', 'file');
  changeId({ trees, dirty, unflushed: { follow: () => {} } } as unknown as Device, id('a'), id('f'));
  assert.equal(trees.local(id('a')), null);
  assert.deepEqual(trees.localChildren(id('f')), [id('b')]);
  assert.equal(trees.localPath(id('b')), 'a/b');
  assert.deepEqual([...dirty.take(10).keys()].sort(), [id('a'), id('b'), id('f')]);
  state.close();
});

test('what lies elsewhere than in its folder is told of when that comes, by whatever way', () => {
  const state = openState(sqliteOpener, fresh());
  const freed: EntryId[] = [];
  const trees = new Trees(state, (entry) => freed.push(entry));
  trees.putRemote(folderAt(id('f'), ROOT_ENTRY));
  for (const name of ['a', 'b', 'c']) trees.putRemote(folderAt(id(name), id('f')));
  local(trees, id('a'), ROOT_ENTRY, 'a', 'folder');
  assert.deepEqual(freed, []);
  local(trees, id('e'), ROOT_ENTRY, 'e', 'folder');
  local(trees, id('b'), id('e'), 'b', 'folder');
  trees.renameLocalId(id('e'), id('f'));
  assert.deepEqual(freed.splice(0), [id('a')], 'found there');
  trees.dropLocal({ entry: id('f'), kind: 'folder' });
  local(trees, id('f'), ROOT_ENTRY, 'f', 'folder');
  assert.deepEqual(freed, [id('a')], 'made there');
  state.close();
});

test('what became dirty again while it was planned stays dirty; folders come first', () => {
  const state = openState(sqliteOpener, fresh());
  const dirty = new Dirty(state);
  dirty.add(id('1'), 'file');
  dirty.add(id('2'), 'folder');
  const taken = dirty.take(10);
  assert.deepEqual([...taken.keys()], [id('2'), id('1')]);
  dirty.add(id('1'), 'file');
  for (const [entry, mark] of taken) dirty.drop(entry, mark);
  assert.deepEqual([...dirty.take(10).keys()], [id('1')]);
  dirty.defer(id('1'));
  assert.equal(dirty.ready, false);
  assert.deepEqual(dirty.count(), { all: 1, deferred: 1 });
  dirty.add(id('1'), 'file');
  assert.ok(dirty.isReady(id('1')));
  state.close();
});

test('the merge base of the bytes moves without the place', () => {
  const state = openState(sqliteOpener, fresh());
  const trees = new Trees(state);
  const content = { contentId: 'c'.repeat(64) as ContentId, manifestId: 'd'.repeat(64) as never, size: 3 };
  const entry = {
    entry: id('1'),
    parent: ROOT_ENTRY,
    name: 'n',
    kind: 'file' as const,
    revision: 4,
    placed: 3,
    seq: 4,
    content,
    target: null,
    mtimeUs: -5,
    exec: true,
    trashedFrom: null,
  };
  trees.putRemote(entry);
  assert.deepEqual(trees.remote(id('1')), entry);
  assert.deepEqual(trees.remoteAt(ROOT_ENTRY, 'n'), entry);
  trees.putSynced(entry);
  trees.setSyncedContent(id('1'), 'e'.repeat(64) as ContentId, false);
  const synced = trees.synced(id('1'));
  assert.equal(synced?.contentId, 'e'.repeat(64));
  assert.equal(synced?.manifestId, null);
  assert.equal(synced?.exec, false);
  assert.equal(synced?.name, 'n');
  state.close();
});

function folderAt(entry: EntryId, parent: EntryId): Entry {
  const numbers = { revision: 1, placed: 1, seq: 1, mtimeUs: 0 };
  return {
    entry,
    parent,
    name: entry,
    kind: 'folder',
    ...numbers,
    content: null,
    target: null,
    exec: false,
    trashedFrom: null,
  };
}

test('what this disk refused once is tried again with all in it', () => {
  const state = openState(sqliteOpener, fresh());
  const trees = new Trees(state);
  const dirty = new Dirty(state);
  for (const [entry, parent] of [
    ['a', ROOT_ENTRY],
    ['b', id('a')],
    ['c', id('b')],
    ['d', ROOT_ENTRY],
  ] as const) {
    const made = folderAt(id(entry), parent);
    trees.putRemote(made);
    if (entry === 'a' || entry === 'b') trees.putSynced(made, 'name_impossible');
    else local(trees, id(entry), parent, id(entry), 'folder');
  }
  tryAgain({ state, trees, dirty });
  assert.deepEqual([...dirty.take(10).keys()].sort(), [id('a'), id('b')]);
  assert.deepEqual([trees.synced(id('a')), trees.synced(id('b'))], [null, null]);
  state.close();
});

test('what stayed where it was, because this disk refused the place where others have it, is tried again', () => {
  const state = openState(sqliteOpener, fresh());
  const trees = new Trees(state);
  const dirty = new Dirty(state);
  const made = folderAt(id('a'), ROOT_ENTRY);
  trees.putSynced(made);
  trees.putRemote({ ...made, name: 'elsewhere' });
  local(trees, id('a'), ROOT_ENTRY, 'a', 'folder');
  tryAgain({ state, trees, dirty });
  assert.deepEqual([...dirty.take(10).keys()], [id('a')]);
  state.close();
});

test('a folder that would lie in itself is told from one that would not', () => {
  const state = openState(sqliteOpener, fresh());
  const trees = new Trees(state);
  const remote = (entry: EntryId, parent: EntryId): void => trees.putRemote(folderAt(entry, parent));
  remote(id('a'), ROOT_ENTRY);
  remote(id('b'), id('a'));
  remote(id('c'), id('b'));
  assert.equal(trees.goesRound(id('a'), id('c')), true);
  assert.equal(trees.goesRound(id('a'), id('a')), true);
  assert.equal(trees.goesRound(id('c'), id('a')), false);
  assert.equal(trees.goesRound(id('b'), ROOT_ENTRY), false);
  // Between two rows of one group it may be so, and is walked once all the same.
  remote(id('a'), id('c'));
  assert.deepEqual([...trees.remoteSubtree(id('a'))].sort(), [id('b'), id('c')]);
  assert.equal(trees.goesRound(id('d'), id('c')), true);
  state.close();
});
