import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import { keptHere, mustStayDeleted, mustSurvive, snapshot } from '../../test/planner/model-changes.ts';
import type { ModelClient } from '../../test/planner/model-client.ts';
import { ModelWorld, sorted } from '../../test/planner/model-world.ts';

/** Every pair of single changes on two devices, for each of these trees; with `PLANNER_CASES` set high, pairs of changes on each. */
const IS_LONG = Number(process.env['PLANNER_CASES'] ?? 0) >= 100_000;
const NAMES = ['a', 'b', 'c'];
const TREES: readonly (readonly string[])[] = [
  [],
  ['a'],
  ['a/'],
  ['a', 'b'],
  ['a/', 'b'],
  ['a/', 'a/b'],
  ['a/', 'b/', 'a/c'],
  ['a/', 'a/b/', 'a/b/c', 'c'],
  ['a/', 'b/', 'a/c', 'b/a'],
];

type Change = { readonly what: string; readonly act: (client: ModelClient) => void };

function plant(client: ModelClient, tree: readonly string[]): void {
  for (const path of tree) {
    const isFolder = path.endsWith('/');
    const steps = path.split('/').filter((name) => name !== '');
    const name = steps.pop()!;
    client.make(
      client.at(steps.join('/')),
      name,
      isFolder ? { kind: 'folder' } : { kind: 'file', content: `old ${path}` },
    );
  }
}

/** Everything that one person could do next. `mark` tells what is written by whom apart, or not. */
function changesOf(client: ModelClient, mark: string): Change[] {
  const rows = [...client.trees.localRows.values()].sort((left, right) => (left.entry < right.entry ? -1 : 1));
  const folders = [ROOT_ENTRY, ...rows.filter(({ kind }) => kind === 'folder').map(({ entry }) => entry)];
  const places = folders.flatMap((parent) => NAMES.map((name) => ({ parent, name })));
  const free = places.filter(({ parent, name }) => client.trees.localAt(parent, name) === null);
  const isInside = (inner: EntryId, outer: EntryId): boolean => {
    for (let at = inner; at !== ROOT_ENTRY; at = client.trees.local(at)!.parent) if (at === outer) return true;
    return false;
  };
  const changes: Change[] = [];
  for (const { parent, name } of free) {
    changes.push({ what: `make file ${name}`, act: (on) => on.make(parent, name, { kind: 'file', content: mark }) });
    changes.push({ what: `make folder ${name}`, act: (on) => on.make(parent, name, { kind: 'folder' }) });
  }
  for (const { entry, parent, name, kind } of rows) {
    changes.push({ what: `remove ${name}`, act: (on) => on.remove(entry) });
    if (kind === 'file') changes.push({ what: `edit ${name}`, act: (on) => on.edit(entry, mark, false) });
    const other = kind === 'file' ? ({ kind: 'folder' } as const) : ({ kind: 'file', content: mark } as const);
    changes.push({
      what: `replace ${name}`,
      act: (on) => {
        on.remove(entry);
        on.make(parent, name, other);
      },
    });
    for (const place of free) {
      if (isInside(place.parent, entry)) continue;
      changes.push({ what: `move ${name} to ${place.name}`, act: (on) => on.move(entry, place.parent, place.name) });
    }
    for (const second of rows) {
      if (second.entry <= entry || isInside(entry, second.entry) || isInside(second.entry, entry)) continue;
      changes.push({
        what: `swap ${name} and ${second.name}`,
        act: (on) => {
          on.move(entry, ROOT_ENTRY, 'between');
          on.move(second.entry, parent, name);
          on.move(entry, second.parent, second.name);
        },
      });
    }
  }
  return changes;
}

function play(tree: readonly string[], ours: readonly Change[], theirs: readonly Change[], isTogether: boolean): void {
  const world = new ModelWorld(2);
  plant(world.first, tree);
  world.converge();
  const before = snapshot(world.first);
  for (const { act } of theirs) act(world.first);
  for (const { act } of ours) act(world.second);
  const disks = world.clients.map(snapshot);
  const written = world.clients.flatMap((client) => keptHere(client, before));
  // Either the server has all of theirs when we first hear of it, or both send what they have without having heard of each other.
  if (isTogether) for (const client of world.clients) client.step();
  else for (let steps = 0; steps < 4; steps++) world.first.step();
  world.converge();
  mustSurvive(world, before, disks, written);
  mustStayDeleted(world, before, disks);
  if (ours.length === 0) assert.deepEqual(sorted(world.second.picture()), sorted(disks[0]!.picture));
  const refusals = world.clients.flatMap((client) => client.refusals);
  if (!isTogether) assert.deepEqual(refusals, [], 'every action is possible when its turn comes');
}

function grown(tree: readonly string[]): ModelWorld {
  const world = new ModelWorld(2);
  plant(world.first, tree);
  world.converge();
  return world;
}

/** All sequences of up to `length` changes, as they are possible one after the other. */
function sequences(
  tree: readonly string[],
  length: number,
  mark: string,
  before: readonly Change[] = [],
): (readonly Change[])[] {
  if (before.length === length) return [before];
  const { first } = grown(tree);
  for (const { act } of before) act(first);
  const next = changesOf(first, before.length === 0 ? mark : `${mark} again`);
  return [before, ...next.flatMap((change) => sequences(tree, length, mark, [...before, change]))];
}

for (const tree of TREES) {
  const title = tree.length === 0 ? 'an empty tree' : tree.join(' ');
  test(`${title}: any change here, any change there`, () => {
    for (const [here, there] of [
      ['ours', 'theirs'],
      ['same', 'same'],
    ] as const) {
      const theirs = sequences(tree, IS_LONG && tree.length < 3 ? 2 : 1, there);
      for (const ours of sequences(tree, 1, here)) {
        for (const other of theirs) {
          for (const isTogether of [false, true]) {
            try {
              play(tree, ours, other, isTogether);
            } catch (error) {
              const names = (changes: readonly Change[]) => changes.map(({ what }) => what).join(', ');
              throw new Error(`${title}: [${names(ours)}] here, [${names(other)}] there first`, { cause: error });
            }
          }
        }
      }
    }
  });
}
