/** Devices whose disks cannot hold every name, beside one that can. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import { EXACT_NAMES, type NameProfile } from './name-profile.ts';
import {
  change,
  keptHere,
  mustStayDeleted,
  mustSurvive,
  snapshot,
  type Draw,
} from '../../test/planner/model-changes.ts';
import { CERTAIN, type ModelClient } from '../../test/planner/model-client.ts';
import { ModelWorld, sorted } from '../../test/planner/model-world.ts';

const FOLDING: NameProfile = { letterCase: 'kept', forms: 'distinct', refuses: 'nothing' };
const NORMALISING: NameProfile = { letterCase: 'kept', forms: 'changed', refuses: 'nothing' };
const WINDOWS: NameProfile = { letterCase: 'kept', forms: 'distinct', refuses: 'windows' };

type Change = { readonly what: string; readonly act: (client: ModelClient) => void };

function plant(client: ModelClient, tree: readonly string[]): void {
  for (const path of tree) {
    const steps = path.split('/').filter((name) => name !== '');
    const name = steps.pop()!;
    const made = path.endsWith('/')
      ? ({ kind: 'folder' } as const)
      : ({ kind: 'file', content: `old ${path}` } as const);
    client.make(client.at(steps.join('/')), name, made);
  }
}

function grown(tree: readonly string[], profiles: readonly NameProfile[]): ModelWorld {
  // The first can hold whatever is planted.
  const world = new ModelWorld([EXACT_NAMES, ...profiles]);
  plant(world.first, tree);
  world.converge();
  return world;
}

/** Everything that a person could do next on this disk. */
function changesOf(client: ModelClient, names: readonly string[], mark: string): Change[] {
  const rows = [...client.trees.localRows.values()].sort((left, right) => (left.entry < right.entry ? -1 : 1));
  const folders = [ROOT_ENTRY, ...rows.filter(({ kind }) => kind === 'folder').map(({ entry }) => entry)];
  const isInside = (inner: EntryId, outer: EntryId): boolean => {
    for (let at = inner; at !== ROOT_ENTRY; at = client.trees.local(at)!.parent) if (at === outer) return true;
    return false;
  };
  const changes: Change[] = [];
  for (const parent of folders) {
    for (const name of names) {
      if (client.trees.refuses(parent, name)) continue;
      const there = client.trees.localAt(parent, name);
      if (!there) {
        changes.push({ what: `make ${name}`, act: (on) => on.make(parent, name, { kind: 'file', content: mark }) });
        changes.push({ what: `make ${name}/`, act: (on) => on.make(parent, name, { kind: 'folder' }) });
      }
      for (const row of rows) {
        const isHere = row.parent === parent && row.name === name;
        if (isHere || isInside(parent, row.entry) || (there && there.entry !== row.entry)) continue;
        changes.push({ what: `move ${row.name} to ${name}`, act: (on) => on.move(row.entry, parent, name) });
      }
    }
    for (const row of rows) {
      if (row.alias === null || row.parent === parent || isInside(parent, row.entry)) continue;
      if (client.trees.localAt(parent, row.alias)) continue;
      changes.push({ what: `drag ${row.alias}`, act: (on) => on.drag(row.entry, parent) });
    }
  }
  for (const { entry, name, kind } of rows) {
    changes.push({ what: `remove ${name}`, act: (on) => on.remove(entry) });
    if (kind === 'file') changes.push({ what: `edit ${name}`, act: (on) => on.edit(entry, mark, false) });
  }
  for (const one of rows) {
    for (const other of rows) {
      if (other.entry <= one.entry || isInside(one.entry, other.entry) || isInside(other.entry, one.entry)) continue;
      const swap = (on: ModelClient) => {
        on.move(one.entry, ROOT_ENTRY, 'between');
        on.move(other.entry, one.parent, one.alias ?? one.name);
        on.move(one.entry, other.parent, other.alias ?? other.name);
      };
      changes.push({ what: `swap ${one.name} and ${other.name}`, act: swap });
    }
  }
  return changes;
}

/** `here`: on the disk that cannot hold all; `there`: on the one that can. */
function play(world: ModelWorld, here: readonly Change[], there: readonly Change[], isTogether: boolean): void {
  const { first, second } = world;
  const all = snapshot(first);
  // What is not here can neither be kept nor deleted here.
  const isHere = ([entry]: readonly [EntryId, unknown]) => second.trees.local(entry) !== null;
  const before = { ...all, rows: new Map([...all.rows].filter(isHere)) };
  const elsewhere = [...all.rows].filter((row) => !isHere(row));
  for (const { act } of there) act(first);
  for (const { act } of here) act(second);
  const disks = [first, second].map(snapshot);
  const written = [first, second].flatMap((client) => keptHere(client, all));
  if (isTogether) for (const client of [first, second]) client.step();
  else for (let steps = 0; steps < 4; steps++) first.step();
  world.converge();
  mustSurvive(world, before, disks, written);
  mustStayDeleted(world, before, disks);
  for (const [entry, { name, bytes }] of elsewhere) {
    const now = disks[0]!.rows.get(entry);
    if (bytes !== null && now?.bytes === bytes)
      assert.ok(world.server.isLive(entry), `${name} was absent here and is gone`);
  }
  if (here.length === 0) assert.deepEqual(sorted(first.picture()), sorted(disks[0]!.picture), 'nobody else had a say');
  const isTaken = [...disks[1]!.picture.keys()].some((path) => path.endsWith('(taken)'));
  if (there.length === 0 && !isTaken) assert.deepEqual(sorted(second.picture()), sorted(disks[1]!.picture), 'nor here');
  const refusals = world.clients.flatMap((client) => client.refusals);
  if (!isTogether) assert.deepEqual(refusals, [], 'every action is possible when its turn comes');
}

const CASES: readonly {
  readonly names: readonly string[];
  readonly profile: NameProfile;
  readonly trees: readonly (readonly string[])[];
}[] = [
  {
    names: ['a', 'A', 'b'],
    profile: FOLDING,
    trees: [
      [],
      ['a'],
      ['a', 'A'],
      ['a/', 'A'],
      ['a', 'A', 'b'],
      ['a/', 'A/'],
      ['a/', 'a/a', 'a/A'],
      ['a/', 'A/', 'A/a', 'a/A'],
    ],
  },
  {
    names: ['\u00e9', 'e\u0301', 'b'],
    profile: NORMALISING,
    trees: [[], ['\u00e9'], ['e\u0301'], ['\u00e9', 'e\u0301'], ['e\u0301/', 'e\u0301/\u00e9', 'e\u0301/e\u0301']],
  },
  {
    names: ['a', 'a:', 'A'],
    profile: WINDOWS,
    trees: [[], ['a'], ['a:'], ['a', 'a:'], ['a:/', 'a:/a'], ['a:/', 'a:/A:/', 'a:/A:/a', 'a']],
  },
];

for (const { names, profile, trees } of CASES) {
  for (const tree of trees) {
    const title = `${names.join(' ')} in ${tree.length === 0 ? 'an empty tree' : tree.join(' ')}`;
    test(`${title}: any change here, any change there`, () => {
      const world = grown(tree, [profile]);
      const here = [[], ...changesOf(world.second, names, 'ours').map((change) => [change])];
      const there = [[], ...changesOf(world.first, names, 'theirs').map((change) => [change])];
      for (const ours of here) {
        for (const theirs of there) {
          for (const isTogether of [false, true]) {
            try {
              play(grown(tree, [profile]), ours, theirs, isTogether);
            } catch (error) {
              const told = (changes: readonly Change[]) => changes.map(({ what }) => what).join(', ');
              throw new Error(`${title}: [${told(ours)}] here, [${told(theirs)}] there`, { cause: error });
            }
          }
        }
      }
    });
  }
}

/** A disk that holds all, and one that does not, on which `tree` has come. */
function beside(profile: NameProfile, tree: readonly string[]) {
  const world = grown(tree, [profile]);
  const { first: there, second: here } = world;
  const act = (client: ModelClient, change: (at: (path: string) => EntryId) => void) => {
    change((path) => client.at(path));
    world.converge();
  };
  return { world, here, there, act };
}

test('the second comer gets the alias, and its own name when the first goes, on whatever side', () => {
  for (const side of ['here', 'there'] as const) {
    const { here, there, act } = beside(FOLDING, ['Plan.txt']);
    act(there, () => there.make(ROOT_ENTRY, 'plan.txt', { kind: 'file', content: 'second' }));
    assert.deepEqual(here.shown(), ['/Plan.txt', '/plan (case clash).txt']);
    act(there, () => there.make(ROOT_ENTRY, 'PLAN.txt', { kind: 'file', content: 'third' }));
    assert.deepEqual(here.shown(), ['/PLAN (case clash 2).txt', '/Plan.txt', '/plan (case clash).txt']);
    const client = side === 'here' ? here : there;
    act(client, (at) => client.remove(at('/Plan.txt')));
    assert.equal(here.shown().filter((path) => path.includes('clash')).length, 1);
    assert.deepEqual(there.shown(), ['/PLAN.txt', '/plan.txt']);
  }
});

test('of two that come at once whoever had the name first has it', () => {
  const world = new ModelWorld(1);
  for (const path of ['b', 'B', 'A', 'a/', 'c', 'C']) {
    plant(world.first, [path]);
    world.converge();
  }
  const here = world.link(FOLDING);
  world.converge();
  assert.deepEqual(here.shown(), ['/A', '/C (case clash)', '/B (case clash)', '/a (case clash)', '/b', '/c'].sort());
});

test('a change of letter case is one move on the disk, of the same entry', () => {
  const { world, here, there } = beside(FOLDING, ['foo']);
  const entry = here.at('/foo');
  there.move(entry, ROOT_ENTRY, 'Foo');
  there.step();
  here.pull();
  const { up, down, conflicts } = here.makePlan();
  assert.deepEqual({ up, conflicts }, { up: [], conflicts: [] });
  assert.deepEqual(down, [{ kind: 'down_move', entry, parent: ROOT_ENTRY, name: 'Foo', alias: null }]);
  world.converge();
  here.move(entry, ROOT_ENTRY, 'FOO');
  world.converge();
  assert.deepEqual([here.shown(), there.shown()], [['/FOO'], ['/FOO']]);
  assert.equal(there.at('/FOO'), entry);
});

test('a delete and a new thing in another letter case need no alias in between', () => {
  const { here, there } = beside(FOLDING, ['foo']);
  there.remove(there.at('/foo'));
  there.make(ROOT_ENTRY, 'Foo', { kind: 'file', content: 'new' });
  there.step();
  here.pull();
  const kinds = here.makePlan().down.map((action) => [action.kind, 'alias' in action ? action.alias : null]);
  assert.deepEqual(kinds, [
    ['down_remove', null],
    ['down_create', null],
  ]);
});

test('what has an alias keeps its name where a person moves it, and is renamed where a person renames it', () => {
  const { here, there, act } = beside(FOLDING, ['a', 'A', 'box/']);
  act(here, (at) => here.drag(there.at('/A'), at('/box')));
  assert.deepEqual(
    [here.shown(), there.shown()],
    [
      ['/a', '/box', '/box/A'],
      ['/a', '/box', '/box/A'],
    ],
  );
  act(there, (at) => there.move(at('/box/A'), ROOT_ENTRY, 'A'));
  assert.deepEqual(here.shown(), ['/A (case clash)', '/a', '/box']);
  act(here, () => here.move(there.at('/A'), ROOT_ENTRY, 'c'));
  assert.deepEqual(
    [here.shown(), there.shown()],
    [
      ['/a', '/box', '/c'],
      ['/a', '/box', '/c'],
    ],
  );
});

test('what this disk refuses is absent with what lies in it, and comes with it under a possible name', () => {
  const { world, here, there, act } = beside(WINDOWS, ['con/', 'con/x', 'con/y:', 'ok']);
  assert.deepEqual(here.shown(), ['/ok']);
  act(there, (at) => there.edit(at('/con/x'), 'edited'));
  assert.deepEqual(here.shown(), ['/ok']);
  act(there, (at) => there.move(at('/con'), ROOT_ENTRY, 'con-'));
  assert.deepEqual(here.shown(), ['/con-', '/con-/x', '/ok']);
  // A folder is deleted here without what never was here.
  act(here, (at) => here.remove(at('/con-')));
  assert.deepEqual(world.paths(), ['/con- = folder', '/con-/y: = file old con/y:', '/ok = file old ok']);
});

test('what is here stays here when others give it a name that this disk refuses', () => {
  const { here, there, act } = beside(WINDOWS, ['a', 'box/', 'box/in']);
  act(there, (at) => there.move(at('/a'), at('/box'), 'a?'));
  act(there, (at) => there.move(at('/box'), ROOT_ENTRY, 'box.'));
  assert.deepEqual(here.shown(), ['/box', '/box/a', '/box/in']);
  act(here, () => here.edit(there.at('/box./a?'), 'edited here'));
  act(here, () => here.move(there.at('/box.'), ROOT_ENTRY, 'chest'));
  assert.deepEqual(there.shown(), ['/chest', '/chest/a?', '/chest/in']);
  act(there, (at) => there.move(at('/chest/a?'), at('/chest'), 'a!'));
  assert.deepEqual(here.shown(), there.shown());
});

test('what keeps its name here, since the new one is refused, leaves it to what lies or comes where it goes', () => {
  const there = ['/box/a', '/box/a?'];
  const beside1 = beside(WINDOWS, ['a', 'box/', 'box/a']);
  beside1.act(beside1.there, (at) => beside1.there.move(at('/a'), at('/box'), 'a?'));
  assert.deepEqual(beside1.here.shown(), ['/box', '/box/a', '/box/a (case clash)'], 'it lies there');
  const two = beside(WINDOWS, ['l/', 'l/a', 'r/', 'r/a', 'box/']);
  two.there.move(two.there.at('/l/a'), two.there.at('/box'), 'a?');
  two.there.move(two.there.at('/r/a'), two.there.at('/box'), 'a:');
  for (let steps = 0; steps < 3; steps++) two.there.step();
  two.world.converge();
  assert.deepEqual(two.here.shown(), ['/box', '/box/a', '/box/a (case clash)', '/l', '/r'], 'both keep it');
  for (const isFirst of [true, false]) {
    const { world, here, there: client } = beside(WINDOWS, ['a', 'box/']);
    const make = () => client.make(client.at('/box'), 'a', { kind: 'file', content: 'new' });
    if (isFirst) make();
    client.move(client.at('/a'), client.at('/box'), 'a?');
    if (!isFirst) make();
    for (let steps = 0; steps < 3; steps++) client.step();
    world.converge();
    assert.deepEqual(client.shown(), ['/box', ...there]);
    assert.deepEqual(here.refusals, []);
    assert.equal(here.shown().length, 3, 'it comes');
  }
});

test('what changes its name and its alias with another is not renamed on the disk for that', () => {
  const { world, here, there } = beside(FOLDING, ['a', 'A']);
  const rows = [...here.trees.localRows.values()];
  const aliased = rows.find(({ alias }) => alias !== null)!;
  const other = rows.find(({ alias }) => alias === null)!;
  assert.equal(aliased.alias, `${aliased.name} (case clash)`);
  there.move(other.entry, ROOT_ENTRY, 'between');
  there.move(aliased.entry, ROOT_ENTRY, other.name);
  there.move(other.entry, ROOT_ENTRY, aliased.name);
  for (let steps = 0; steps < 3; steps++) there.step();
  world.converge();
  assert.deepEqual(here.shown(), [`/${aliased.name}`, `/${other.name} (case clash)`].sort());
  assert.equal(here.at(`/${aliased.name}`), other.entry);
});

test('what others put into a folder that is absent stays where it is here, and goes there when the folder comes', () => {
  const { here, there, act } = beside(WINDOWS, ['con/', 'box/', 'box/in', 'ok']);
  act(there, (at) => there.move(at('/box'), at('/con'), 'box'));
  act(there, (at) => there.move(at('/ok'), at('/con/box'), 'ok'));
  assert.deepEqual(here.shown(), ['/box', '/box/in', '/box/ok']);
  act(there, (at) => there.move(at('/con'), ROOT_ENTRY, 'can'));
  assert.deepEqual(here.shown(), ['/can', '/can/box', '/can/box/in', '/can/box/ok']);
});

test('what can be called neither by its new name nor by its old one stays where it is', () => {
  const { here, there } = beside(FOLDING, ['box/', 'box/.Holdfast']);
  there.move(there.at('/box/.Holdfast'), ROOT_ENTRY, '.HoldFast');
  for (let steps = 0; steps < 4; steps++) {
    there.step();
    here.pull();
    here.step();
  }
  assert.deepEqual([here.shown(), [...here.dirty]], [['/box', '/box/.Holdfast'], []]);
});

test('what meets another thing under a name that this disk refuses is moved aside under one that it holds', () => {
  const { world, here, there, act } = beside(WINDOWS, ['a', 'box/']);
  act(there, (at) => there.move(at('/a'), ROOT_ENTRY, 'a?'));
  const entry = there.at('/a?');
  there.make(there.at('/box'), 'a?', { kind: 'folder' });
  there.step();
  here.drag(entry, here.at('/box'));
  world.converge();
  assert.deepEqual(here.shown(), ['/box', '/box/a (conflicted copy, device2, 2030-01-02)']);
});

test('what was parked comes back under a name that this disk holds', () => {
  const { world, here, there, act } = beside(WINDOWS, ['a/', 'b']);
  const [a, b] = [there.at('/a'), there.at('/b')];
  there.move(a, ROOT_ENTRY, 'between');
  there.move(b, ROOT_ENTRY, 'a');
  there.move(a, ROOT_ENTRY, 'b');
  for (let steps = 0; steps < 4; steps++) there.step();
  here.pull();
  let actions = 0;
  // The park succeeds, nothing after it does.
  here.step({ fails: () => ++actions > 1, some: (items) => items, downFirst: () => false });
  const parked = [...here.trees.localRows.values()].filter((row) => row.parked).map(({ entry }) => entry);
  assert.equal(parked.length, 1);
  there.move(parked[0]!, ROOT_ENTRY, 'free?');
  for (let steps = 0; steps < 4; steps++) there.step();
  world.converge();
  assert.equal(here.shown().length, 2);
  act(there, (at) => there.move(at('/free?'), ROOT_ENTRY, 'free'));
  assert.deepEqual(here.shown(), there.shown());
});

test('what is here under an alias and meets a new version of itself is not made a second time', () => {
  const { world, here, there } = beside(FOLDING, ['a', 'A']);
  const aliased = [...here.trees.localRows.values()].find(({ alias }) => alias !== null)!;
  here.edit(aliased.entry, 'edited');
  there.remove(aliased.entry);
  there.make(ROOT_ENTRY, aliased.name, { kind: 'file', content: 'theirs' });
  for (let steps = 0; steps < 4; steps++) there.step();
  here.pull();
  // It lives on under a fresh id, and is planned together with the new one.
  here.step({ ...CERTAIN, some: (items) => items.filter((entry) => entry === aliased.entry) });
  world.converge();
  assert.deepEqual(here.refusals, []);
  assert.deepEqual(
    world.paths().filter((path) => path.endsWith('theirs') || path.endsWith('edited')),
    [`/${aliased.name} (conflicted copy, device2, 2030-01-02) = file edited`, `/${aliased.name} = file theirs`],
  );
});

test('of two forms of one name only the one that is called so meets what is found', () => {
  const { world, here, there } = beside(NORMALISING, []);
  for (const name of ['e\u0301', '\u00e9']) there.make(ROOT_ENTRY, name, { kind: 'file', content: name });
  for (let steps = 0; steps < 4; steps++) there.step();
  here.make(ROOT_ENTRY, '\u00e9', { kind: 'file', content: '\u00e9' });
  world.converge();
  assert.deepEqual(here.refusals, []);
  assert.deepEqual(here.shown(), ['/e\u0301', '/e\u0301 (case clash)']);
  assert.equal(world.paths().length, 2);
});

test('what is found under a name that another is about to leave meets no other form of it', () => {
  const { world, here, there } = beside(NORMALISING, ['\u00e9']);
  here.move(here.at('/\u00e9'), ROOT_ENTRY, 'x');
  here.make(ROOT_ENTRY, '\u00e9', { kind: 'file', content: 'same' });
  there.make(ROOT_ENTRY, 'e\u0301', { kind: 'file', content: 'same' });
  for (let steps = 0; steps < 3; steps++) there.step();
  world.converge();
  assert.deepEqual(there.shown(), ['/e\u0301', '/x', '/\u00e9']);
});

test('what is here under an alias is no other form of its name', () => {
  const { world, here, there } = beside(NORMALISING, ['\u00e9', 'e\u0301']);
  const rows = [...here.trees.localRows.values()];
  const aliased = rows.find((row) => row.alias?.includes('clash'))!;
  const other = rows.find((row) => row !== aliased)!;
  here.edit(aliased.entry, 'edited');
  for (const { entry } of rows) there.remove(entry);
  there.make(ROOT_ENTRY, other.name, { kind: 'file', content: 'theirs' });
  for (let steps = 0; steps < 4; steps++) there.step();
  here.pull();
  here.step({ ...CERTAIN, some: (items) => items.filter((entry) => entry === aliased.entry) });
  world.converge();
  assert.equal(world.contents().length, 2);
  assert.deepEqual(there.shown(), [`/${aliased.name}`, `/${other.name}`].sort());
});

test('whoever had a name on this disk only in a plan that failed keeps nobody from it', () => {
  const { world, here, there } = beside(FOLDING, ['a', 'b']);
  const [a, b] = [there.at('/a'), there.at('/b')];
  there.remove(a);
  for (let steps = 0; steps < 3; steps++) there.step();
  const late = there.make(ROOT_ENTRY, 'a', { kind: 'file', content: 'late' });
  for (let steps = 0; steps < 3; steps++) there.step();
  there.move(b, ROOT_ENTRY, 'A');
  for (let steps = 0; steps < 3; steps++) there.step();
  here.pull();
  const failing = (fails: (action: number) => boolean) => {
    let actions = 0;
    here.step({ fails: () => fails(++actions), some: (items) => items, downFirst: () => false });
  };
  failing((action) => action === 2);
  assert.deepEqual(here.shown(), ['/A (case clash)']);
  failing(() => true);
  there.remove(late);
  for (let steps = 0; steps < 3; steps++) there.step();
  world.converge();
  assert.deepEqual(here.shown(), ['/A']);
});

const CASES_AT_RANDOM = Number(process.env['PLANNER_CASES'] ?? 2000);
const SEED = Number(process.env['PLANNER_SEED'] ?? 20300102);

test('devices of all sorts that change a small tree at random converge and lose nothing, whatever fails meanwhile', () => {
  const choices = fc.array(fc.nat({ max: 0xffff }), { minLength: 400, maxLength: 400 });
  const property = fc.property(choices, (numbers) => {
    let next = 0;
    const draw: Draw = (count) => numbers[next++ % numbers.length]! % count;
    const sorts = [EXACT_NAMES, FOLDING, NORMALISING];
    const world = new ModelWorld([FOLDING, ...Array.from({ length: draw(2) + 1 }, () => sorts[draw(3)]!)]);
    const chance = {
      fails: () => draw(4) === 0,
      some: (items: readonly EntryId[]) => (draw(2) === 0 ? items : items.filter(() => draw(2) === 0)),
      downFirst: () => draw(2) === 0,
    };
    for (let round = draw(3); round >= 0; round--) {
      const before = snapshot(world.first);
      for (const client of world.clients)
        for (let count = draw(5); count > 0; count--) change(client, draw, ['a', 'A', '\u00e9', 'e\u0301', 'E\u0301']);
      const disks = world.clients.map(snapshot);
      const written = world.clients.flatMap((client) => keptHere(client, before));
      world.converge(chance, (clients) => clients[draw(clients.length)]!);
      mustSurvive(world, before, disks, written);
      mustStayDeleted(world, before, disks);
    }
  });
  fc.assert(property, { numRuns: CASES_AT_RANDOM, seed: SEED });
});
