import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContentId, EntryId } from './ids.ts';
import { pairMoves, type Thing, type Things } from './move-pairs.ts';

type Tree = { readonly [name: string]: string | Tree };

/** Things of a tree: texts are contents (`?`: not read, `-> x`: a symlink), ids are `prefix:path`. */
function thingsOf(prefix: string, tree: Tree, foreign: readonly string[] = []): Things {
  const all: Thing[] = [];
  const below = new Map<EntryId, Thing[]>();
  const walk = (under: string, level: Tree): Thing[] =>
    Object.entries(level).map(([name, value]) => {
      const path = under === '' ? name : `${under}/${name}`;
      const entry = `${prefix}:${path}` as EntryId;
      const isLink = typeof value === 'string' && value.startsWith('-> ');
      const kind = typeof value !== 'string' ? 'folder' : isLink ? 'symlink' : 'file';
      const thing: Thing = {
        entry,
        name,
        kind,
        contentId: kind === 'file' && value !== '?' ? (`id of ${value as string}` as ContentId) : null,
        size: kind === 'file' ? (value as string).length : 0,
        target: isLink ? (value as string) : null,
      };
      all.push(thing);
      if (typeof value !== 'string') below.set(entry, walk(path, value));
      return thing;
    });
  walk('', tree);
  return {
    all,
    children: (folder) => (foreign.includes(folder) ? null : (below.get(folder) ?? [])),
  };
}

function paired(gone: Tree, found: Tree): Record<string, string> {
  return Object.fromEntries(
    pairMoves(thingsOf('g', gone), thingsOf('f', found)).map(({ entry, found: other }) => [entry, other]),
  );
}

test('one gone and one new file with the same bytes are one', () => {
  assert.deepEqual(paired({ a: 'text', b: 'other' }, { x: 'text', y: 'third' }), { 'g:a': 'f:x' });
});

test('what is ambiguous, empty, unread or a link by itself does not pair', () => {
  assert.deepEqual(paired({ a: 'text', b: 'text' }, { x: 'text' }), {});
  assert.deepEqual(paired({ a: 'text' }, { x: 'text', y: 'text' }), {});
  assert.deepEqual(paired({ a: '' }, { x: '' }), {});
  assert.deepEqual(paired({ a: 'text' }, { x: '?' }), {});
  assert.deepEqual(paired({ a: '-> to' }, { x: '-> to' }), {});
  assert.deepEqual(paired({ a: {} }, { x: {} }), {});
  assert.deepEqual(paired({ a: { b: '' } }, { x: { b: '' } }), {});
});

test('a whole tree pairs with its equal, its equal and empty files by their names', () => {
  const tree: Tree = { one: 'same', two: 'same', 'init.py': '', sub: { 'init.py': '', link: '-> one', deep: 'text' } };
  const pairs = paired({ old: tree }, { new: tree });
  assert.equal(pairs['g:old'], 'f:new');
  assert.equal(pairs['g:old/one'], 'f:new/one');
  assert.equal(pairs['g:old/two'], 'f:new/two');
  assert.equal(pairs['g:old/sub/init.py'], 'f:new/sub/init.py');
  assert.equal(pairs['g:old/sub/link'], 'f:new/sub/link');
  assert.equal(Object.keys(pairs).length, 8);
});

test('where a folder is not wholly equal, its files pair by themselves, and whole folders in it', () => {
  const pairs = paired(
    { old: { kept: 'text', changed: 'before', sub: { in: 'deep' } } },
    { new: { renamed: 'text', changed: 'after', sub: { in: 'deep' } } },
  );
  assert.deepEqual(pairs, { 'g:old/kept': 'f:new/renamed', 'g:old/sub': 'f:new/sub', 'g:old/sub/in': 'f:new/sub/in' });
});

test('names count: equal bytes under other names make no equal folder', () => {
  assert.deepEqual(paired({ old: { a: 'one', b: 'one' } }, { new: { a: 'one', c: 'one' } }), {});
});

test('two equal trees are ambiguous, and so is what lies in them', () => {
  assert.deepEqual(paired({ p: { in: 'text' }, q: { in: 'text' } }, { r: { in: 'text' } }), {});
});

test('what a larger tree explains is ambiguous no more, in whatever order things are told', () => {
  const gone: Tree = { big: { same: 'text', more: 'more' }, same: 'text' };
  const found: Tree = { lone: 'text', large: { same: 'text', more: 'more' } };
  const expected = {
    'g:big': 'f:large',
    'g:big/same': 'f:large/same',
    'g:big/more': 'f:large/more',
    'g:same': 'f:lone',
  };
  assert.deepEqual(paired(gone, found), expected);
  const turned = (tree: Tree) => Object.fromEntries(Object.entries(tree).reverse());
  assert.deepEqual(paired(turned(gone), turned(found)), expected);
});

test('a folder that also holds what is neither gone nor new does not move as a whole', () => {
  const gone = thingsOf('g', { old: { in: 'text' } });
  const found = thingsOf('f', { new: { in: 'text' } }, ['f:new']);
  assert.deepEqual(pairMoves(gone, found), [{ entry: 'g:old/in', found: 'f:new/in' }]);
});
