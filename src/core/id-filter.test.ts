import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { IdFilter } from './id-filter.ts';

const id = (text: string) => createHash('sha256').update(text).digest('hex');

test('holds all that was added, and next to nothing else, with every salt', () => {
  for (let salt = 0; salt < 5; salt++) {
    const filter = new IdFilter(salt);
    assert.ok(!filter.has(id('nothing')));
    const ids = Array.from({ length: 20_000 }, (_, index) => id(`in ${index}`));
    for (const one of ids) filter.add(one);
    assert.ok(ids.every((one) => filter.has(one)));
    const wrong = Array.from({ length: 20_000 }, (_, index) => id(`out ${index}`)).filter((one) => filter.has(one));
    assert.ok(wrong.length < 20_000 * 0.04, `${wrong.length} of 20000`);
  }
});

test('what one salt holds wrongly, another does not', () => {
  const [one, two] = [new IdFilter(1), new IdFilter(2)];
  for (let index = 0; index < 20_000; index++) for (const filter of [one, two]) filter.add(id(`in ${index}`));
  const wrong = Array.from({ length: 50_000 }, (_, index) => id(`out ${index}`)).filter((of) => one.has(of));
  assert.ok(wrong.length > 0);
  assert.ok(wrong.filter((of) => two.has(of)).length < wrong.length / 5);
});
