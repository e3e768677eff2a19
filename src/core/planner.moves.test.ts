/** Folders that are moved here and by others at once, into each other and out of each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NameProfile } from './name-profile.ts';
import { EXACT_NAMES } from './name-profile.ts';
import { PlanMoves } from './plan-moves.ts';
import { PlanView } from './plan-view.ts';
import { file, folder, make, move, type Act } from '../../test/planner/acts.ts';
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
