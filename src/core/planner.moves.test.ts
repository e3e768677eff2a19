/** Folders that are moved here and by others at once, into each other and out of each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from './assert.ts';
import type { NameProfile } from './name-profile.ts';
import { EXACT_NAMES } from './name-profile.ts';
import { PlanMoves } from './plan-moves.ts';
import { PlanView } from './plan-view.ts';
import { file, folder, make, move, remove, type Act } from '../../test/planner/acts.ts';
import type { ModelClient } from '../../test/planner/model-client.ts';
import { ModelWorld } from '../../test/planner/model-world.ts';

const WINDOWS: NameProfile = { letterCase: 'kept', forms: 'distinct', refuses: 'windows' };

type Case = { readonly before: readonly Act[]; readonly theirs: readonly Act[]; readonly ours: readonly Act[] };

/** With ids in several orders: none of them may decide whether an action is possible. */
function* worldsOf(
  { before, theirs, ours }: Case,
  profiles: readonly NameProfile[] = [EXACT_NAMES, EXACT_NAMES],
): Iterable<ModelWorld> {
  for (const salt of [0, 0x1357_9bdf, 0x2468_ace0, 0x5a5a_5a5a, 0x7fff_ffff, 0xdead_beef]) {
    const world = new ModelWorld(profiles).copy(salt);
    for (const act of before) act(world.first);
    world.converge();
    for (const act of theirs) act(world.first);
    for (const act of ours) act(world.second);
    for (let steps = 0; steps < 5; steps++) world.first.step();
    world.second.pull();
    yield world;
  }
}

function settle(world: ModelWorld): readonly string[] {
  world.converge();
  const refusals = world.clients.flatMap((client) => client.refusals);
  assert.deepEqual(refusals, [], 'every action is possible when its turn comes');
  return world.paths().map((path) => path.split(' = ')[0]!);
}

/** Together the three close a circle; any two of them are possible. */
const round: Case = {
  before: [make('/a', folder), make('/b', folder), make('/c', folder)],
  theirs: [move('/c', '/a/c')],
  ours: [move('/b', '/c/b'), move('/a', '/c/b/a')],
};

test('of two moves that close a circle with what another moved one stands, and the folders are all there', () => {
  for (const world of worldsOf(round)) {
    const paths = settle(world);
    const isEither = ['/b,/b/a,/b/a/c', '/a,/a/c,/a/c/b'].includes(paths.join());
    assert.ok(isEither, `one move too many was undone, or a folder is lost: ${paths}`);
  }
});

test('which of them stands is the same whatever is planned first: else each plan could undo the one before', () => {
  for (const { second } of worldsOf(round)) {
    const entries = ['/c/b', '/c/b/a'].map((path) => second.at(path));
    const standing = (asked: readonly (typeof entries)[number][]) => {
      const moves = new PlanMoves(new PlanView(second.trees));
      return asked.filter((entry) => moves.isLocal(entry));
    };
    const [one, other] = [standing(entries), standing([...entries].reverse())];
    assert.equal(one.length, 1);
    assert.deepEqual(one, other);
  }
});

test('a move into a folder stands that another put into what left the moved one here', () => {
  const out: Case = {
    before: [make('/a', folder), make('/a/c', folder), make('/b', folder), make('/a/x', file('1'))],
    theirs: [move('/b', '/a/c/b')],
    ours: [move('/a/c', '/c'), move('/a', '/b/a')],
  };
  for (const world of worldsOf(out)) assert.deepEqual(settle(world), ['/c', '/c/b', '/c/b/a', '/c/b/a/x']);
});

test('a folder goes up into one that lies in it on the server when that has left it', () => {
  const out: Case = {
    before: [make('/x', folder), make('/x/l', folder), make('/f', folder)],
    theirs: [make('/x/l/r', folder), move('/f', '/x/l/r/f')],
    ours: [move('/x/l', '/l'), move('/x', '/f/x')],
  };
  for (const world of worldsOf(out)) assert.deepEqual(settle(world), ['/l', '/l/r', '/l/r/f', '/l/r/f/x']);
});

test('a folder comes down into one that lies in it on the disk when that has left it', () => {
  const out: Case = {
    before: [make('/x', folder), make('/x/m', folder), make('/g', folder)],
    theirs: [move('/x/m', '/m'), move('/x', '/g/x')],
    ours: [make('/x/m/n', folder), move('/g', '/x/m/n/g')],
  };
  for (const world of worldsOf(out)) assert.deepEqual(settle(world), ['/m', '/m/n', '/m/n/g', '/m/n/g/x']);
});

test('so it does where its folder stays on this disk in another place than on the server', () => {
  const stuck: Case = {
    before: [make('/x', folder), make('/x/m', folder), make('/x/m/g', folder)],
    theirs: [
      make('/not: here', folder),
      move('/x/m/g', '/not: here/g'),
      move('/x/m', '/m'),
      move('/x', '/not: here/g/x'),
    ],
    ours: [],
  };
  for (const world of worldsOf(stuck, [EXACT_NAMES, WINDOWS])) {
    settle(world);
    assert.deepEqual(world.second.shown(), ['/m', '/m/g', '/m/g/x']);
  }
});

/** Of a group of moves that turned two folders round, one row has come: in the tree of the space each of them lies in the other. */
function halfCome(ours: readonly Act[], isNew = false): { readonly world: ModelWorld; readonly client: ModelClient } {
  const world = new ModelWorld(2);
  for (const act of [make('/a', folder), make('/a/x', file('1')), make('/a/b', folder), make('/a/b/y', file('2'))])
    act(world.first);
  world.converge();
  const client = isNew ? world.link() : world.second;
  client.pull();
  const entry = world.first.at('/a');
  for (const act of [move('/a/b', '/b'), move('/a', '/b/a')]) act(world.first);
  for (let steps = 0; steps < 3; steps++) world.first.step();
  for (const act of ours) act(client);
  client.trees.remoteRows.put(must(world.server.entries.get(entry), 'it was moved'));
  client.dirtyAll();
  return { world, client };
}

test('while a group of moves has come by half, so that two folders lie in each other, they stay as they are', () => {
  const came = ['/b', '/b/a', '/b/a/x', '/b/y'];
  const cases: readonly (readonly [ours: readonly Act[], isNew: boolean, after: readonly string[]])[] = [
    [[], false, came],
    [[], true, came],
    [[make('/a/b/n', folder), make('/a/b/n/z', file('3'))], false, [...came, '/b/n', '/b/n/z']],
    [[move('/a/x', '/a/b/x')], false, ['/b', '/b/a', '/b/x', '/b/y']],
    // Moved by another, it comes back with what was in it.
    [[remove('/a')], false, came],
  ];
  for (const [ours, isNew, after] of cases) {
    const { world, client } = halfCome(ours, isNew);
    const { tree, up, down } = client.makePlan();
    assert.deepEqual(down, [], 'nobody knows yet what lies in what');
    const isHarmless = up.flat().every(({ kind, entry }) => kind === 'up_create' || entry === world.first.at('/b/a/x'));
    assert.ok(isHarmless, 'no folder is moved or deleted for others either');
    if (tree.length > 0 || up.length > 0) client.step();
    assert.deepEqual(settle(world).toSorted(), [...after].sort());
    assert.deepEqual(client.shown(), [...after].sort());
  }
});

test('of two folders that lie in each other, also by what this device had, none is deleted for others when it is gone here', () => {
  const { world, client } = halfCome([remove('/a')]);
  const entries = [world.first.at('/b'), world.first.at('/b/a')];
  for (const entry of entries) {
    const { parent, placed } = must(client.trees.remote(entry), 'another moved it');
    client.trees.syncedRows.put({ ...must(client.trees.synced(entry), 'it was here'), parent, placed });
  }
  const sent = client.makePlan().up.flat();
  assert.ok(sent.every(({ entry }) => !entries.includes(entry)));
});
