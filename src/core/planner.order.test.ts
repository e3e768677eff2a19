/** In which order actions are done, and which of them at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import { components, orderGroups, orderSteps, type Need, type PlanNode, type PlanNodes } from './plan-order.ts';
import { streamOf } from '../../test/planner/draws.ts';

type Asked = { readonly placed?: string; readonly gone?: string; readonly isBlocked?: true; readonly isBound?: true };

/** By the name of each: what it needs. Its action is its name. */
function nodesOf(asked: Readonly<Record<string, Asked>>): PlanNodes<string> {
  const nodes = new Map<EntryId, PlanNode<string>>();
  for (const [name, { placed = '', gone = '', isBlocked, isBound }] of Object.entries(asked)) {
    const needs = [...needsOf('placed', placed), ...needsOf('gone', gone)];
    const entry = name as EntryId;
    nodes.set(entry, { entry, action: isBlocked ? null : name, needs, ...(isBound ? { isBound } : {}) });
  }
  return nodes;
}

const needsOf = (what: Need['what'], names: string): Need[] =>
  names
    .split(' ')
    .filter((name) => name !== '')
    .map((name) => ({ on: name as EntryId, what }));

const everything = () => true;
const park = (entry: EntryId) => `park ${entry}`;

test('what is needed goes first, and what nobody plans is there already', () => {
  const { steps, waiting } = orderGroups(nodesOf({ a: { placed: 'b' }, b: { gone: 'c elsewhere' }, c: {} }));
  assert.deepEqual(steps, [['c'], ['b'], ['a']]);
  assert.deepEqual(waiting, []);
});

test('what needs something that waits, waits as well, and so does all that changes places with it', () => {
  const swap = orderGroups(nodesOf({ a: { gone: 'b' }, b: { gone: 'a' } }));
  assert.deepEqual([swap.steps.map((group) => [...group].sort()), swap.waiting], [[['a', 'b']], []]);
  const needing = orderGroups(
    nodesOf({ a: { gone: 'b x' }, b: { gone: 'a' }, c: { placed: 'a' }, x: { isBlocked: true } }),
  );
  assert.deepEqual(needing.steps, []);
  assert.deepEqual([...needing.waiting].sort(), ['a', 'b', 'c'], 'x has no action that could wait for anything');
  const blocked = orderGroups(nodesOf({ a: { gone: 'b' }, b: { gone: 'a', isBlocked: true } }));
  assert.deepEqual(blocked, { steps: [], waiting: ['a'] }, 'half of a change of places would overwrite');
});

test('a folder is deleted when what was moved out of it is safe, or at once with that', () => {
  const bound = { placed: 'kept', isBound: true } as const;
  const before = orderGroups(nodesOf({ kept: {}, folder: bound }));
  assert.deepEqual(before, { steps: [['kept']], waiting: ['folder'] }, 'the move may fail: the next plan knows');
  const inPlace = orderGroups(nodesOf({ kept: { gone: 'folder' }, folder: bound }));
  assert.deepEqual(inPlace.waiting, []);
  assert.deepEqual([...inPlace.steps[0]!].sort(), ['folder', 'kept'], 'it is moved to the very place of the folder');
  assert.deepEqual(orderGroups(nodesOf({ folder: bound })).steps, [['folder']], 'nothing is planned for it any more');
});

test('in a group a folder comes before what is put into it, whatever their ids', () => {
  // A folder and the folder in it change places.
  assert.deepEqual(orderGroups(nodesOf({ a: { gone: 'b' }, b: { placed: 'a' } })).steps, [['a', 'b']]);
  assert.deepEqual(orderGroups(nodesOf({ a: { placed: 'b' }, b: { gone: 'a' } })).steps, [['b', 'a']]);
  const deep = { a: { placed: 'b' }, b: { placed: 'c' }, c: { gone: 'a' } };
  assert.deepEqual(orderGroups(nodesOf(deep)).steps, [['c', 'b', 'a']]);
});

test('of things that change places on a disk as few as it takes are taken away for a moment', () => {
  const noneInside = () => false;
  const swapped = orderSteps(nodesOf({ a: { gone: 'b' }, b: { gone: 'a' } }), everything, noneInside, park);
  assert.equal(swapped.steps.filter((step) => step.startsWith('park')).length, 1);
  // A file goes into the folder that takes its place: only the file is in anybody's way.
  for (const [outer, file] of [
    ['a', 'b'],
    ['b', 'a'],
  ] as const) {
    const asked = { [outer]: { gone: file }, [file]: { placed: outer } };
    const turned = Object.fromEntries(Object.entries(asked).reverse());
    for (const nodes of [nodesOf(asked), nodesOf(turned)]) {
      const { steps } = orderSteps(nodes, everything, noneInside, park);
      assert.deepEqual(steps, [`park ${file}`, outer, file]);
      // The folder is new, or to be removed: it cannot be parked.
      const alike = orderSteps(nodes, (entry) => entry === file, noneInside, park);
      assert.deepEqual(alike.steps, steps);
    }
  }
  assert.deepEqual(orderSteps(nodesOf({ a: {} }), everything, noneInside, park).steps, ['a'], 'nothing is in its way');
});

type Layout = ReadonlyMap<EntryId, { readonly parent: EntryId; readonly name: string }>;

function drawLayout(draw: (count: number) => number, entries: readonly EntryId[]): Layout {
  const layout = new Map<EntryId, { readonly parent: EntryId; readonly name: string }>();
  const open = [...entries];
  while (open.length > 0) {
    const [entry] = open.splice(draw(open.length), 1);
    const parents = [ROOT_ENTRY, ...layout.keys()];
    const parent = parents[draw(parents.length)]!;
    const taken = new Set([...layout.values()].filter((place) => place.parent === parent).map(({ name }) => name));
    const names = ['x', 'y', 'z', 'u', 'v', 'w'].filter((name) => !taken.has(name));
    layout.set(entry!, { parent, name: names[draw(Math.min(2, names.length))]! });
  }
  return layout;
}

const isInsideOf = (layout: Layout) => (inner: EntryId, outer: EntryId) => {
  for (let at = layout.get(inner); at; at = layout.get(at.parent)) if (at.parent === outer) return true;
  return false;
};

type Step = { readonly parks: boolean; readonly entry: EntryId };

test('any rearrangement of a tree is done in steps that are all possible', () => {
  const all = ['a', 'b', 'c', 'd', 'e'] as EntryId[];
  let parks = 0;
  for (let number = 0; number < 6000; number++) {
    const next = streamOf(20300102, number);
    const draw = (count: number) => next() % count;
    const some = () => all.filter(() => draw(5) > 0);
    const [before, after] = [drawLayout(draw, some()), drawLayout(draw, some())];
    const there = (parent: EntryId, name: string) =>
      [...before].find(([, place]) => place.parent === parent && place.name === name)?.[0];
    const nodes = new Map<EntryId, PlanNode<Step>>();
    for (const entry of all) {
      const needs: Need[] = [];
      const [from, to] = [before.get(entry), after.get(entry)];
      if (!from && !to) continue;
      if (from && to && from.parent === to.parent && from.name === to.name) continue;
      if (to) {
        const held = there(to.parent, to.name);
        if (held !== undefined && held !== entry) needs.push({ on: held, what: 'gone' });
        // Those that stay where they are need nothing, but may lie in what moves.
        let above = to.parent;
        while (above !== ROOT_ENTRY && isSame(before.get(above), after.get(above))) above = after.get(above)!.parent;
        if (above !== ROOT_ENTRY) needs.push({ on: above, what: 'placed' });
      } else for (const [child, { parent }] of before) if (parent === entry) needs.push({ on: child, what: 'gone' });
      nodes.set(entry, { entry, action: { parks: false, entry }, needs });
    }
    const mayPark = (entry: EntryId) => before.has(entry) && after.has(entry);
    const ordered = orderSteps<Step>(nodes, mayPark, isInsideOf(before), (entry) => ({ parks: true, entry }));
    assert.deepEqual(ordered.waiting, []);
    const disk = new Map(before);
    const parked = new Set<EntryId>();
    const isReachable = (folder: EntryId): boolean =>
      folder === ROOT_ENTRY || (disk.has(folder) && !parked.has(folder) && isReachable(disk.get(folder)!.parent));
    const told = JSON.stringify({ number, before: [...before], after: [...after], steps: ordered.steps });
    for (const step of ordered.steps) {
      const { entry } = step;
      const from = disk.get(entry);
      const to = after.get(entry);
      if (from && !parked.has(entry)) assert.ok(isReachable(from.parent), `${entry} has no path: ${told}`);
      if (step.parks) {
        assert.ok(from && !parked.has(entry), `${entry} is parked from nowhere: ${told}`);
        parked.add(entry);
        parks++;
      } else if (to) {
        assert.ok(isReachable(to.parent), `${entry} goes nowhere: ${told}`);
        assert.ok(to.parent !== entry && !isInsideOf(disk)(to.parent, entry), `${entry} goes into itself: ${told}`);
        for (const [other, place] of disk)
          assert.ok(other === entry || parked.has(other) || !isSame(place, to), `${other} is overwritten: ${told}`);
        parked.delete(entry);
        disk.set(entry, to);
      } else {
        const children = [...disk].filter(([one, { parent }]) => parent === entry && !parked.has(one));
        assert.deepEqual(children, [], `${entry} is not empty: ${told}`);
        disk.delete(entry);
      }
    }
    assert.deepEqual([...parked], [], told);
    assert.deepEqual([...disk].sort(), [...after].sort(), told);
  }
  assert.ok(parks > 100, 'the cases have circles');
});

function isSame(left: { parent: EntryId; name: string } | undefined, right: typeof left): boolean {
  return left?.parent === right?.parent && left?.name === right?.name;
}

test('what goes at once is what needs each other, be it by a long way, and no more', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'] as EntryId[];
  for (let number = 0; number < 2000; number++) {
    const next = streamOf(20300103, number);
    const needs = new Map(names.map((name) => [name, names.filter(() => next() % 5 === 0)]));
    const node = (entry: EntryId): PlanNode<string> => ({
      entry,
      action: entry,
      needs: needs.get(entry)!.map((on) => ({ on, what: 'gone' })),
    });
    const reached = new Map(names.map((name) => [name, new Set([name])]));
    for (const _ of names)
      for (const name of names)
        for (const on of reached.get(name)!) for (const far of needs.get(on)!) reached.get(name)!.add(far);
    const found = components(new Map(names.map((name) => [name, node(name)])));
    const told = JSON.stringify([...needs]);
    assert.deepEqual(found.flat().sort(), names, told);
    const done = new Set<EntryId>();
    for (const together of found) {
      const [first] = together;
      const mutual = names.filter((name) => reached.get(name)!.has(first!) && reached.get(first!)!.has(name));
      assert.deepEqual([...together].sort(), mutual, told);
      for (const name of together) done.add(name);
      for (const name of together) for (const on of needs.get(name)!) assert.ok(done.has(on), told);
    }
  }
});
