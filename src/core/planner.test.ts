import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROOT_ENTRY, type ContentId, type EntryId } from './ids.ts';
import type { Absence } from './plan.ts';
import { plan } from './planner.ts';
import { MemoryTrees } from './trees.ts';
import { ModelWorld } from '../../test/planner/model-world.ts';
import {
  aim,
  edit,
  editUnread,
  exec,
  file,
  folder,
  make,
  makeUnread,
  move,
  remove,
  rotate,
  touch,
  type Act,
} from '../../test/planner/acts.ts';
import type { Chance } from '../../test/planner/model-client.ts';

const COPY = '(conflicted copy, device2, 2030-01-02)';

type Case = {
  readonly what: string;
  readonly before?: readonly Act[];
  /** Committed first: the server's order is theirs, then ours. */
  readonly theirs?: readonly Act[];
  readonly ours?: readonly Act[];
  readonly after: readonly string[];
};

const cases: readonly Case[] = [
  { what: 'one edits', before: [make('/a', file('1'))], ours: [edit('/a', '2')], after: ['/a = file 2'] },
  { what: 'one edits, unread', before: [make('/a', file('1'))], ours: [editUnread('/a', '2')], after: ['/a = file 2'] },
  {
    what: 'a touch is no edit',
    before: [make('/a', file('1'))],
    theirs: [edit('/a', '2')],
    ours: [touch('/a')],
    after: ['/a = file 2'],
  },
  {
    what: 'a touch keeps nothing from being deleted',
    before: [make('/a', file('1'))],
    theirs: [remove('/a')],
    ours: [touch('/a')],
    after: [],
  },
  {
    what: 'both edit alike',
    before: [make('/a', file('1'))],
    theirs: [edit('/a', '2')],
    ours: [editUnread('/a', '2')],
    after: ['/a = file 2'],
  },
  {
    what: 'both edit: the server keeps the path, the other bytes get a name of their own',
    before: [make('/a.txt', file('1'))],
    theirs: [edit('/a.txt', '2')],
    ours: [editUnread('/a.txt', '3')],
    after: [`/a ${COPY}.txt = file 3`, '/a.txt = file 2'],
  },
  {
    what: 'an edit beats a delete made by another',
    before: [make('/d', folder), make('/d/e', folder), make('/d/e/a', file('1')), make('/d/b', file('1'))],
    theirs: [remove('/d')],
    ours: [editUnread('/d/e/a', '2')],
    after: ['/d = folder', '/d/e = folder', '/d/e/a = file 2'],
  },
  {
    what: 'an edit by another beats a delete made here',
    before: [make('/d', folder), make('/d/e', folder), make('/d/e/a', file('1')), make('/d/b', file('1'))],
    theirs: [edit('/d/e/a', '2')],
    ours: [remove('/d')],
    after: ['/d = folder', '/d/e = folder', '/d/e/a = file 2'],
  },
  { what: 'both delete', before: [make('/a', file('1'))], theirs: [remove('/a')], ours: [remove('/a')], after: [] },
  {
    what: 'both move: the server decides',
    before: [make('/a', file('1'))],
    theirs: [move('/a', '/b')],
    ours: [move('/a', '/c')],
    after: ['/b = file 1'],
  },
  {
    what: 'both move alike',
    before: [make('/a', file('1'))],
    theirs: [move('/a', '/b')],
    ours: [move('/a', '/b')],
    after: ['/b = file 1'],
  },
  {
    what: 'a move and an edit: both',
    before: [make('/a', file('1'))],
    theirs: [move('/a', '/b')],
    ours: [editUnread('/a', '2')],
    after: ['/b = file 2'],
  },
  {
    what: 'an edit and a move: both',
    before: [make('/a', file('1'))],
    theirs: [edit('/a', '2')],
    ours: [move('/a', '/b')],
    after: ['/b = file 2'],
  },
  {
    what: 'a move by another beats a delete made here',
    before: [make('/a', file('1'))],
    theirs: [move('/a', '/b')],
    ours: [remove('/a')],
    after: ['/b = file 1'],
  },
  {
    what: 'a folder moved by another comes back whole',
    before: [make('/d', folder), make('/d/e', folder), make('/d/e/a', file('1'))],
    theirs: [move('/d', '/f')],
    ours: [remove('/d')],
    after: ['/f = folder', '/f/e = folder', '/f/e/a = file 1'],
  },
  {
    what: 'a delete by another beats a move made here',
    before: [make('/a', file('1'))],
    theirs: [remove('/a')],
    ours: [move('/a', '/b')],
    after: [],
  },
  {
    what: 'a delete by another beats the move of a folder, but not what is new in it',
    before: [make('/d', folder), make('/d/a', file('1'))],
    theirs: [remove('/d')],
    ours: [move('/d', '/e'), make('/e/b', file('2'))],
    after: ['/e = folder', '/e/b = file 2'],
  },
  {
    what: 'what is new here keeps a folder that another deleted',
    before: [make('/d', folder), make('/d/a', file('1'))],
    theirs: [remove('/d')],
    ours: [make('/d/b', file('2'))],
    after: ['/d = folder', '/d/b = file 2'],
  },
  {
    what: 'what another made keeps a folder that was deleted here',
    before: [make('/d', folder), make('/d/a', file('1'))],
    theirs: [make('/d/b', file('2'))],
    ours: [remove('/d')],
    after: ['/d = folder', '/d/b = file 2'],
  },
  {
    what: 'what was moved into a folder keeps it',
    before: [make('/d', folder), make('/a', file('1'))],
    theirs: [remove('/d')],
    ours: [move('/a', '/d/a')],
    after: ['/d = folder', '/d/a = file 1'],
  },
  {
    what: 'what was moved out of a folder outlives it, even under its name',
    before: [make('/d', folder), make('/d/a', file('1')), make('/d/b', file('1'))],
    ours: [move('/d/a', '/a'), remove('/d'), move('/a', '/d')],
    after: ['/d = file 1'],
  },
  {
    what: 'what another moved out of a folder and under its name',
    before: [make('/d', folder), make('/d/a', file('1')), make('/d/b', file('1'))],
    theirs: [move('/d/a', '/a'), remove('/d'), move('/a', '/d')],
    after: ['/d = file 1'],
  },
  {
    what: 'two names change places',
    before: [make('/a', file('1')), make('/b', file('2'))],
    ours: [rotate('/a', '/b')],
    after: ['/a = file 2', '/b = file 1'],
  },
  {
    what: 'three names change places',
    before: [make('/a', file('1')), make('/b', folder), make('/c', file('3')), make('/b/x', file('4'))],
    ours: [rotate('/a', '/b', '/c')],
    after: ['/a = file 3', '/b = file 1', '/c = folder', '/c/x = file 4'],
  },
  {
    what: 'a folder and the folder in it change places',
    before: [make('/a', folder), make('/a/b', folder), make('/a/b/x', file('1')), make('/a/y', file('2'))],
    ours: [move('/a/b', '/between'), move('/a', '/between/b'), move('/between', '/a')],
    after: ['/a = folder', '/a/b = folder', '/a/b/y = file 2', '/a/x = file 1'],
  },
  {
    what: 'a file and the new folder in its place',
    before: [make('/a', file('1'))],
    ours: [move('/a', '/between'), make('/a', folder), move('/between', '/a/a')],
    after: ['/a = folder', '/a/a = file 1'],
  },
  {
    what: 'a file becomes a folder',
    before: [make('/a', file('1'))],
    ours: [remove('/a'), make('/a', folder), make('/a/b', file('2'))],
    after: ['/a = folder', '/a/b = file 2'],
  },
  {
    what: 'two folders are moved into each other: the server decides, nothing is lost',
    before: [make('/a', folder), make('/b', folder), make('/a/x', file('1')), make('/b/y', file('2'))],
    theirs: [move('/b', '/a/b')],
    ours: [move('/a', '/b/a')],
    after: ['/a = folder', '/a/b = folder', '/a/b/y = file 2', '/a/x = file 1'],
  },
  {
    what: 'both make the same',
    theirs: [make('/d', folder), make('/d/a', file('1'))],
    ours: [make('/d', folder), makeUnread('/d/a', '1')],
    after: ['/d = folder', '/d/a = file 1'],
  },
  {
    what: 'both make a folder, with other files in it',
    theirs: [make('/d', folder), make('/d/a', file('1'))],
    ours: [make('/d', folder), make('/d/b', file('2'))],
    after: ['/d = folder', '/d/a = file 1', '/d/b = file 2'],
  },
  {
    what: 'both make a file, another one',
    theirs: [make('/a.txt', file('1'))],
    ours: [makeUnread('/a.txt', '2')],
    after: [`/a ${COPY}.txt = file 2`, '/a.txt = file 1'],
  },
  {
    what: 'a file here, a folder there',
    theirs: [make('/a', folder), make('/a/x', file('1'))],
    ours: [make('/a', file('2'))],
    after: [`/a ${COPY} = file 2`, '/a = folder', '/a/x = file 1'],
  },
  {
    what: 'a folder here, a file there',
    theirs: [make('/a', file('2'))],
    ours: [make('/a', folder), make('/a/x', file('1'))],
    after: [`/a ${COPY} = folder`, `/a ${COPY}/x = file 1`, '/a = file 2'],
  },
  {
    what: 'equal links',
    theirs: [make('/a', { kind: 'symlink', target: 't' })],
    ours: [make('/a', { kind: 'symlink', target: 't' })],
    after: ['/a = symlink t'],
  },
  {
    what: 'both aim a link, elsewhere',
    before: [make('/a', { kind: 'symlink', target: 't' })],
    theirs: [aim('/a', 'u')],
    ours: [aim('/a', 'v')],
    after: [`/a ${COPY} = symlink v`, '/a = symlink u'],
  },
  {
    what: 'something was moved to a name that another took',
    before: [make('/a', file('1'))],
    theirs: [make('/b', file('2'))],
    ours: [move('/a', '/b')],
    after: [`/b ${COPY} = file 1`, '/b = file 2'],
  },
  { what: 'an exec bit', before: [make('/a', file('1'))], theirs: [exec('/a', true)], after: ['/a = file 1 exec'] },
  { what: 'an exec bit here', before: [make('/a', file('1'))], ours: [exec('/a', true)], after: ['/a = file 1 exec'] },
  {
    what: 'a found file is the server’s, but for its exec bit',
    theirs: [make('/a', { ...file('1'), exec: true })],
    ours: [make('/a', file('1'))],
    after: ['/a = file 1 exec'],
  },
  {
    what: 'the whole of a folder is replaced under its name',
    before: [make('/d', folder), make('/d/a', file('1'))],
    theirs: [remove('/d'), make('/d', folder), make('/d/b', file('2'))],
    ours: [make('/d/c', file('3'))],
    after: ['/d = folder', '/d/b = file 2', '/d/c = file 3'],
  },
];

for (const { what, before = [], theirs = [], ours = [], after } of cases) {
  test(what, () => {
    const world = new ModelWorld(2);
    for (const act of before) act(world.first);
    world.converge();
    for (const act of theirs) act(world.first);
    for (const act of ours) act(world.second);
    for (let steps = 0; steps < 5; steps++) world.first.step();
    world.converge();
    assert.deepEqual(world.paths(), [...after].sort());
    assert.deepEqual(
      world.clients.flatMap((client) => client.refusals),
      [],
      'every action is possible when its turn comes',
    );
  });
}

test('a move of a folder is one operation, and so is the delete of one', () => {
  const world = new ModelWorld(2);
  for (const act of [make('/d', folder), make('/d/e', folder), make('/d/e/a', file('1')), make('/d/b', file('1'))])
    act(world.first);
  world.converge();
  const entry = world.first.at('/d');
  move('/d', '/f')(world.first);
  assert.deepEqual(
    world.first.makePlan().up.flat(),
    [{ kind: 'up_move', entry, base: 1, parent: ROOT_ENTRY, name: 'f' }].map((action) => ({
      ...action,
      base: world.first.trees.remote(entry)!.placed,
    })),
  );
  world.converge();
  remove('/f')(world.first);
  assert.deepEqual(world.first.makePlan().up.flat(), [{ kind: 'up_delete', entry, basis: world.server.head }]);
});

test('swapped names go up as one group, and come down with one parked', () => {
  const world = new ModelWorld(2);
  for (const act of [make('/a', file('1')), make('/b', file('2')), make('/c', file('3'))]) act(world.first);
  world.converge();
  rotate('/a', '/b', '/c')(world.first);
  const { up } = world.first.makePlan();
  assert.deepEqual(
    up.map((group) => group.length),
    [3],
  );
  world.first.step();
  world.second.pull();
  assert.deepEqual(
    world.second.makePlan().down.map(({ kind }) => kind),
    ['down_park', 'down_move', 'down_move', 'down_move'],
  );
});

test('what is absent is never taken for deleted', () => {
  for (const why of [
    'not_selected',
    'ignored',
    'placeholder',
    'name_impossible',
    'case_clash',
    'link_unsupported',
    'disk_full',
    'held',
  ] satisfies Absence[]) {
    const world = new ModelWorld(2);
    for (const act of [make('/d', folder), make('/d/a', file('1')), make('/d/b', file('2'))]) act(world.first);
    world.converge();
    const { second } = world;
    const entry = second.at('/d/a');
    second.trees.localRows.drop(entry);
    second.trees.syncedRows.put({ ...second.trees.synced(entry)!, presence: why });
    const unwanted = why === 'not_selected' || why === 'ignored' ? why : null;
    second.trees.wish = (remote) => (remote.entry === entry ? unwanted : null);
    second.dirty.add(entry);
    assert.equal(second.step(), false, why);
    // Nor does the delete of the folder around it reach it.
    remove('/d')(second);
    for (let steps = 0; steps < 10; steps++) second.step();
    assert.ok(world.server.isLive(entry), why);
    assert.deepEqual(world.paths(), ['/d = folder', '/d/a = file 1']);
    // Deleted by another, it is forgotten.
    world.first.pull();
    for (let steps = 0; steps < 10; steps++) world.first.step();
    remove('/d')(world.first);
    for (let steps = 0; steps < 5; steps++) world.first.step();
    second.pull();
    for (let steps = 0; steps < 10; steps++) second.step();
    assert.equal(second.trees.synced(entry), null, why);
    assert.deepEqual([...second.picture()], [], why);
  }
});

test('below a folder that is absent everything is', () => {
  const world = new ModelWorld(2);
  make('/d', folder)(world.first);
  world.converge();
  const { second } = world;
  const entry = second.at('/d');
  second.deselect(entry);
  for (let steps = 0; steps < 5; steps++) second.step();
  assert.equal(second.trees.synced(entry)?.presence, 'not_selected');
  for (const act of [make('/d/e', folder), make('/d/e/a', file('1'))]) act(world.first);
  world.first.step();
  second.pull();
  second.step();
  assert.deepEqual([...second.picture()], []);
  assert.equal(second.trees.synced(world.first.at('/d/e/a'))?.presence, 'not_selected');
  second.dirtyAll();
  assert.equal(second.step(), false);
});

test('what was parked when the device stopped comes back to a place', () => {
  const world = new ModelWorld(2);
  for (const act of [make('/a', folder), make('/a/x', file('1')), make('/b', file('2'))]) act(world.first);
  world.converge();
  rotate('/a', '/b')(world.first);
  world.first.step();
  world.second.pull();
  // The park succeeds, nothing after it does.
  world.second.step(stopAfter(1));
  assert.deepEqual([...world.second.picture().keys()].filter((path) => path.endsWith('(parked)')).length, 1);
  world.converge();
  assert.deepEqual(world.paths(), ['/a = file 2', '/b = folder', '/b/x = file 1']);
});

/** Fails once, after so many actions, for the rest of that plan. */
function stopAfter(actions: number): Chance {
  let done = 0;
  return { fails: () => ++done > actions, some: (items) => items, downFirst: () => false };
}

test('nothing else comes to the place to which a parked thing comes back', () => {
  const world = new ModelWorld(2);
  for (const act of [make('/a', folder), make('/b', file('2'))]) act(world.first);
  world.converge();
  rotate('/a', '/b')(world.first);
  world.first.step();
  world.second.pull();
  world.second.step(stopAfter(1));
  const { down, waiting } = world.second.makePlan();
  const entry = world.first.at('/a');
  assert.deepEqual(down, [{ kind: 'down_move', entry, parent: ROOT_ENTRY, name: 'b', alias: null }]);
  assert.deepEqual(waiting, [entry, world.first.at('/b')].sort());
  world.converge();
  assert.deepEqual(world.paths(), ['/a = file 2', '/b = folder']);
});

test('nothing moves into a folder that comes back from being parked before it has come', () => {
  const world = new ModelWorld(2);
  for (const act of [make('/a', folder), make('/a/b', folder)]) act(world.first);
  world.converge();
  for (const act of [move('/a/b', '/b'), move('/a', '/b/a'), make('/a', file('1'))]) act(world.first);
  world.first.step();
  world.second.pull();
  const b = world.first.at('/b');
  const parked = world.second.trees.local(b)!;
  world.second.trees.localRows.put({ ...parked, parked: true });
  move('/a', '/b')(world.second);
  world.second.dirtyAll();
  const { down, waiting } = world.second.makePlan();
  assert.deepEqual(down[0], { kind: 'down_move', entry: b, parent: world.first.at('/b/a'), name: 'b', alias: null });
  assert.ok(
    down.every(({ entry }) => entry !== world.first.at('/b/a')),
    'a folder into what lies in it',
  );
  assert.ok(waiting.includes(world.first.at('/b/a')));
  world.converge();
  assert.deepEqual(world.paths(), ['/a = file 1', '/b = folder', '/b/a = folder']);
});

test('what comes back from being parked waits for the folder that gets another id', () => {
  const world = new ModelWorld(2);
  for (const act of [make('/a', folder), make('/a/b', file('1'))]) act(world.first);
  world.converge();
  remove('/a')(world.first);
  world.first.step();
  make('/a/new', file('2'))(world.second);
  const parked = world.second.trees.local(world.second.at('/a/b'))!;
  world.second.trees.localRows.put({ ...parked, parked: true });
  world.second.pull();
  world.second.dirtyAll();
  const { tree, down, waiting } = world.second.makePlan();
  assert.deepEqual(tree, [{ kind: 'renew', entry: parked.parent }]);
  assert.deepEqual(down, []);
  assert.ok(waiting.includes(parked.entry));
  world.converge();
  assert.deepEqual(world.paths(), ['/a = folder', '/a/new = file 2']);
});

test('ten thousand new files are planned in well under a second, whatever lies around them', () => {
  const trees = new MemoryTrees();
  const id = (number: number) => number.toString(16).padStart(32, '0') as EntryId;
  const local = { alias: null, target: null, exec: false, parked: false } as const;
  const dirty: EntryId[] = [];
  for (let number = 1; number <= 10_100; number++) {
    const isFolder = number <= 100;
    const parent = isFolder ? ROOT_ENTRY : id((number % 100) + 1);
    const contentId = isFolder ? null : (`c${number}` as ContentId);
    trees.localRows.put({
      ...local,
      entry: id(number),
      parent,
      name: `n${number}`,
      kind: isFolder ? 'folder' : 'file',
      contentId,
    });
    dirty.push(id(number));
  }
  let asked = 0;
  const view = new Proxy(trees, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (...args: unknown[]) => (asked++, value.apply(target, args)) : value;
    },
  });
  const made = plan(view, dirty, { deviceName: 'd', date: '2030-01-02' });
  assert.equal(made.up.length, 10_100);
  const order = new Map(made.up.flat().map((action, index) => [action.entry, index]));
  for (const action of made.up.flat()) {
    if (action.kind === 'up_create' && action.parent !== ROOT_ENTRY)
      assert.ok(order.get(action.parent)! < order.get(action.entry)!);
  }
  assert.ok(asked < 6 * dirty.length, `${asked} questions to the trees`);
});

test('a chain of ten thousand renames needs no group and no deep stack', () => {
  const world = new ModelWorld(1);
  for (let number = 0; number < 10_000; number++) make(`/${number}`, file('1'))(world.first);
  const { first } = world;
  const made = first.makePlan();
  for (const action of made.up.flat()) {
    const row = first.trees.local(action.entry)!;
    const base = { target: null, exec: false, revision: 1, placed: 1, contentId: '1' as ContentId } as const;
    const { entry, parent, name, kind } = row;
    const content = { contentId: base.contentId, manifestId: '1' as never, size: 1 };
    first.trees.remoteRows.put({ ...base, entry, parent, name, kind, content, seq: 1, mtimeUs: 0, trashedFrom: null });
    first.trees.syncedRows.put({ ...base, entry, parent, name, kind, presence: 'here' });
  }
  for (let number = 9_999; number >= 0; number--) move(`/${number}`, `/${number + 1}`)(first);
  const { up } = first.makePlan();
  assert.equal(up.length, 10_000);
  assert.ok(up.every((group) => group.length === 1));
});
