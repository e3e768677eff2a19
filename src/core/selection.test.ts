import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import {
  applyChoices,
  chosenIn,
  deselect,
  isSelected,
  keep,
  select,
  type Choice,
  type ChoiceChange,
} from './selection.ts';

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

test('folders that lie in each other, as between two rows of one group, are wanted as they were chosen', () => {
  const round = (entry: EntryId) => id({ a: 'b', b: 'a' }[entry as string] ?? ROOT_ENTRY);
  const choices = new Map<EntryId, Choice>();
  applyChoices(choices, deselect(choices, id('x'), round));
  assert.equal(isSelected(choices, id('a'), round), true);
  applyChoices(choices, deselect(choices, id('b'), round));
  assert.equal(isSelected(choices, id('a'), round), false);
  applyChoices(choices, keep(choices, id('a'), round, true));
  assert.deepEqual(
    ['a', 'b'].map((entry) => isSelected(choices, id(entry), round)),
    [true, true],
  );
});

test('what was chosen by itself is found below any folder, and not at it or beside it', () => {
  const { choices, apply } = world();
  for (const name of ['a', 'e']) apply(deselect(choices, id(name), parentOf));
  apply(select(choices, id('c'), parentOf));
  const found = (...folders: readonly string[]) => chosenIn(new Set(folders.map(id)), choices, parentOf);
  assert.deepEqual(found('a').sort(), ['b', 'c']);
  assert.deepEqual(found('b', 'e'), ['c']);
  assert.deepEqual(found('c', 'd'), []);
});
