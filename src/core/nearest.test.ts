import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editDistance, nearestNames } from './nearest.ts';

test('edit distance counts insertions, deletions and substitutions', () => {
  assert.equal(editDistance('kitten', 'sitting'), 3);
  assert.equal(editDistance('', 'abc'), 3);
  assert.equal(editDistance('same', 'same'), 0);
});

test('a slip finds its name, by path or by last name, and nonsense finds nothing', () => {
  const names = ['music/song.mp3', 'notes.txt', 'report.pdf'];
  assert.deepEqual(nearestNames('nots.txt', names, 3), ['notes.txt']);
  assert.deepEqual(nearestNames('Song.mp3', names, 1), ['music/song.mp3']);
  assert.deepEqual(nearestNames('zzzzzzzzzzzz', names, 3), []);
});
