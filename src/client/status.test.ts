import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Device } from './device.ts';
import { NOT_YET, StatusBook } from './status.ts';

test('who has told of something stuck looks again as soon as nothing is left to do', () => {
  const device = { clock: { monotonicMs: () => 0 }, state: { ifRoom: () => true } };
  const book = new StatusBook(device as unknown as Device);
  assert.equal(book.isDue(true), true);
  book.write({ ...NOT_YET, settled: true });
  assert.equal(book.isDue(true), true);
  assert.equal(book.isDue(false), true);
  book.write({ ...NOT_YET, settled: true, inSync: true });
  assert.equal(book.isDue(true), false);
  assert.equal(book.isDue(false), true);
});
