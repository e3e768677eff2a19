import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_POOL, DEFAULT_RULES, poolOf, type Rule } from './rules.ts';

const at = (name: string, rules: readonly Rule[] = DEFAULT_RULES): string => poolOf(rules, { name, size: 1 }).pool;

test('the rules of a new cluster', () => {
  assert.deepEqual(
    ['song.mp3', 'Notes.TXT', 'a.b.pdf', 'photo.jpg', 'txt', '.pdf', 'mp3.', '', 'x.mp3.bak'].map((name) => at(name)),
    ['mp3', 'txt', 'pdf', 'others', 'others', 'others', 'others', 'others', 'others'],
  );
});

test('the first rule by position decides, in whatever order they come', () => {
  const rule = (name: string, position: number, extensions: string[], pool: string): Rule => ({
    rule: name,
    position,
    extensions,
    pool,
  });
  const late = rule('late', 9, ['JPG', 'raw'], 'archive');
  const early = rule('early', 2, ['png', 'Jpg'], 'photos');
  assert.deepEqual(poolOf([late, early], { name: 'a.jPG', size: 1 }), { pool: 'photos', rule: early });
  assert.deepEqual(poolOf([early, late], { name: 'a.jPG', size: 1 }), { pool: 'photos', rule: early });
  assert.deepEqual(poolOf([early, late], { name: 'a.raw', size: 1 }), { pool: 'archive', rule: late });
  assert.deepEqual(poolOf([], { name: 'a.raw', size: 1 }), { pool: DEFAULT_POOL, rule: null });
});
