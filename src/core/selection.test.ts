import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import { applyChoices, deselect, isSelected, keep, select, type Choice, type ChoiceChange } from './selection.ts';

const id = (name: string) => name as EntryId;
/** `/a/b/c`, `/a/d`, `/e`. */
const parents: Readonly<Record<string, string>> = { a: ROOT_ENTRY, b: 'a', c: 'b', d: 'a', e: ROOT_ENTRY };
const parentOf = (entry: EntryId) => (parents[entry] ?? null) as EntryId | null;

function world() {
  const choices = new Map<EntryId, Choice>();
  const apply = (changes: readonly ChoiceChange[]) => applyChoices(choices, changes);
  const here = () => Object.keys(parents).filter((entry) => isSelected(choices, id(entry), parentOf));
  return { choices, apply, here };
}

test('without a choice everything is wanted', () => {
  assert.deepEqual(world().here(), ['a', 'b', 'c', 'd', 'e']);
});

test('a choice holds for all below, and what was chosen there before is forgotten', () => {
  const { choices, apply, here } = world();
  apply(deselect(choices, id('b'), parentOf));
  assert.deepEqual(here(), ['a', 'd', 'e']);
  apply(deselect(choices, id('a'), parentOf));
  assert.deepEqual(here(), ['e']);
  assert.equal(choices.size, 1);
  apply(select(choices, id('a'), parentOf));
  assert.deepEqual(here(), ['a', 'b', 'c', 'd', 'e']);
  assert.equal(choices.size, 0);
});

test('something in a folder that is not wanted brings the folders above it, and nothing beside', () => {
  const { choices, apply, here } = world();
  apply(deselect(choices, id('a'), parentOf));
  apply(select(choices, id('c'), parentOf));
  assert.deepEqual(here(), ['a', 'b', 'c', 'e']);
  apply(deselect(choices, id('a'), parentOf));
  assert.deepEqual(here(), ['e']);
});

test('what is made here stays here', () => {
  const { choices, apply, here } = world();
  apply(deselect(choices, id('a'), parentOf));
  apply(keep(choices, id('a'), parentOf, false));
  assert.deepEqual(here(), ['a', 'e']);
  apply(keep(choices, id('d'), parentOf, true));
  assert.deepEqual(here(), ['a', 'd', 'e']);
  assert.deepEqual(keep(choices, id('e'), parentOf, true), []);
});
