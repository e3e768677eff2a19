import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { plants } from './plants.ts';

test('every bug to plant still finds its place, once', () => {
  for (const { name, edits } of plants) {
    for (const { file, find } of edits) {
      const source = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');
      assert.equal(source.split(find).length, 2, `${name}: ${file}`);
    }
  }
});
