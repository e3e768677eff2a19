import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import { CERTAIN, type Chance, type ModelClient } from '../../test/planner/model-client.ts';
import { change, keptHere, mustSurvive, snapshot, type Draw } from '../../test/planner/model-changes.ts';
import { ModelWorld, sorted } from '../../test/planner/model-world.ts';

/** What is wanted on a device changes between plans, whatever else does. */
const CASES = Number(process.env['PLANNER_CASES'] ?? 3000);
const SEED = Number(process.env['PLANNER_SEED'] ?? 20300102);
const TREE = ['d/', 'd/a', 'd/e/', 'd/e/b', 'f/', 'c'];

type Act = { readonly what: string; readonly act: (client: ModelClient) => void };

function plant(client: ModelClient): void {
  for (const path of TREE) {
    const isFolder = path.endsWith('/');
    const names = path.split('/').filter((name) => name !== '');
    const name = names.pop()!;
    const made = isFolder ? ({ kind: 'folder' } as const) : ({ kind: 'file', content: `old ${path}` } as const);
    client.make(client.at(names.join('/')), name, made);
  }
}

function grown(): ModelWorld {
  const world = new ModelWorld(2);
  plant(world.first);
  world.converge();
  return world;
}

/** Each alone, on the planted tree; `mark` tells what is written by whom apart. */
function acts(mark: string): Act[] {
  const file = { kind: 'file', content: mark } as const;
  const paths = ['d', 'd/a', 'd/e', 'd/e/b', 'f', 'c'];
  const files = ['d/a', 'd/e/b', 'c'];
  const folders = ['', 'd', 'd/e', 'f'];
  const made: Act[] = [{ what: 'nothing', act: () => {} }];
  for (const path of paths) made.push({ what: `remove ${path}`, act: (on) => on.remove(on.at(path)) });
  for (const path of files) {
    made.push({ what: `edit ${path}`, act: (on) => on.edit(on.at(path), mark) });
    made.push({ what: `write ${path} unread`, act: (on) => on.edit(on.at(path), mark, false) });
  }
  for (const folder of folders) {
    made.push({ what: `make ${folder}/n`, act: (on) => on.make(on.at(folder), 'n', file) });
    made.push({ what: `make ${folder}/n/`, act: (on) => on.make(on.at(folder), 'n', { kind: 'folder' }) });
  }
  for (const path of paths) {
    for (const folder of folders) {
      if (folder === path || folder.startsWith(`${path}/`)) continue;
      made.push({ what: `move ${path} to ${folder}/m`, act: (on) => on.move(on.at(path), on.at(folder), 'm') });
    }
  }
  return made;
}

const deselections: readonly (readonly string[])[] = [['d'], ['d/a'], ['d/e'], ['f'], ['d', 'f'], ['d/e', 'c']];

function deselectAt(client: ModelClient, entries: readonly EntryId[]): void {
  for (const entry of entries) client.deselect(entry);
}

/**
 * The second device stops wanting something after some of its steps, while both sides change something; then it wants all of it again. Never
 * may that delete or bring back anything.
 */
function play(theirs: Act, ours: Act, paths: readonly string[], stepsBefore: number, stepsAfter: number): void {
  const world = grown();
  const { first, second } = world;
  const before = snapshot(first);
  const entries = paths.map((path) => second.at(path));
  theirs.act(first);
  ours.act(second);
  const disks = world.clients.map(snapshot);
  const written = world.clients.flatMap((client) => keptHere(client, before));
  for (let steps = 0; steps < 4; steps++) first.step();
  const turn = () => {
    second.pull();
    second.step();
  };
  for (let steps = 0; steps < stepsBefore; steps++) turn();
  deselectAt(second, entries);
  // Wanted again in the middle of it, or when it is done.
  for (let steps = 0; steps < stepsAfter; steps++) turn();
  if (stepsAfter > 4) {
    world.converge();
    // What became of a conflict was made here, and stays; nothing else does.
    const isAlone = theirs.what === 'nothing' || ours.what === 'nothing';
    if (isAlone) for (const entry of entries) assert.equal(second.trees.local(entry), null);
    mustSurvive(world, before, disks, written);
  }
  second.selectAll();
  world.converge();
  mustSurvive(world, before, disks, written);
  assert.deepEqual(sorted(second.picture()), sorted(first.picture()));
  assert.deepEqual(
    world.clients.flatMap((client) => client.refusals),
    [],
    'every action is possible when its turn comes',
  );
}

for (const paths of deselections) {
  test(`not wanting ${paths.join(' and ')} deletes nothing, whatever changes here and there meanwhile`, () => {
    for (const theirs of acts('theirs')) {
      for (const ours of acts('ours')) {
        // Where both did something the pairs are many: one moment is enough.
        const isPair = theirs.what !== 'nothing' && ours.what !== 'nothing';
        for (const [stepsBefore, stepsAfter] of isPair
          ? [[0, 9]]
          : [0, 1, 2].flatMap((begin) => [1, 2, 3, 9].map((end) => [begin, end]))) {
          try {
            play(theirs, ours, paths, stepsBefore!, stepsAfter!);
          } catch (error) {
            const what = `${theirs.what} there, ${ours.what} here, steps ${stepsBefore} ${stepsAfter}`;
            throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
          }
        }
      }
    }
  });
}

test('the mark comes before anything leaves the disk, and a crash between the two deletes nothing', () => {
  const world = grown();
  const { first, second } = world;
  const entry = second.at('d');
  second.deselect(entry);
  const marking = second.makePlan();
  assert.deepEqual([marking.down, marking.up], [[], []]);
  assert.equal(marking.tree.filter(({ kind }) => kind === 'withdraw').length, 4);
  second.step();
  // Of what leaves the disk the trees hear nothing: as after a kill, a scan finds it gone, and the person wants it again.
  for (const row of Array.from(second.trees.localRows.values()))
    if (row.name === 'a' || row.name === 'b') second.remove(row.entry);
  second.selectAll();
  world.converge();
  assert.deepEqual(sorted(second.picture()), sorted(first.picture()));
  assert.ok(first.picture().has('/d/e/b'));
});

test('what is made where something unwanted is joins it, and stays', () => {
  const world = grown();
  const { first, second } = world;
  second.deselect(second.at('d'));
  world.converge();
  assert.deepEqual([...second.picture().keys()].sort(), ['/c', '/f']);
  const folder = second.make(ROOT_ENTRY, 'd', { kind: 'folder' });
  second.make(folder, 'mine', { kind: 'file', content: 'mine' });
  world.converge();
  assert.deepEqual([...second.picture().keys()].sort(), ['/c', '/d', '/d/mine', '/f']);
  assert.deepEqual([...first.picture().keys()].sort(), ['/c', '/d', '/d/a', '/d/e', '/d/e/b', '/d/mine', '/f']);
  first.make(first.at('d'), 'theirs', { kind: 'file', content: 'theirs' });
  first.edit(first.at('d/mine'), 'edited');
  world.converge();
  assert.equal(second.picture().get('/d/mine'), 'file edited');
  assert.equal(second.picture().has('/d/theirs'), false);
  second.remove(second.at('d/mine'));
  world.converge();
  assert.equal(first.picture().has('/d/mine'), false);
});

test('what another moves into an unwanted folder leaves, and comes back with what is in it when it is moved out', () => {
  const world = grown();
  const { first, second } = world;
  second.deselect(second.at('f'));
  world.converge();
  const entry = first.at('d');
  first.move(entry, first.at('f'), 'd');
  world.converge();
  assert.deepEqual([...second.picture().keys()], ['/c']);
  first.move(entry, ROOT_ENTRY, 'd');
  world.converge();
  assert.deepEqual([...second.picture().keys()].sort(), ['/c', '/d', '/d/a', '/d/e', '/d/e/b']);
});

test('what another moves to where it is ignored here leaves; what comes to be ignored where it lies stays', () => {
  const { first, second } = grown();
  const folder = second.at('f');
  const settle = () => {
    for (let steps = 0; steps < 12; steps++)
      for (const client of [first, second]) {
        client.pull();
        client.step();
      }
  };
  const ignores = (name: string | null) => {
    second.trees.wish = (remote) => (remote.entry === folder || remote.name === name ? 'ignored' : null);
    second.dirtyAll();
  };
  ignores(null);
  // Let go of, as what the rules of a device say is: on the disk, and in no local tree.
  second.trees.localRows.drop(folder);
  second.trees.syncedRows.put({ ...second.trees.synced(folder)!, presence: 'ignored' });
  settle();
  first.move(first.at('d'), first.at('f'), 'd');
  second.edit(second.at('d/a'), 'edited here');
  settle();
  assert.deepEqual([...second.picture().keys()], ['/c']);
  assert.equal(first.picture().get('/f/d/a'), 'file edited here');
  ignores('c');
  settle();
  assert.deepEqual([...second.picture().keys()], ['/c']);
});

test('what another gives an ignored name, or moves into an ignored folder that is here, follows on this disk and stays', () => {
  for (const to of ['/c.tmp', '/f/c']) {
    const world = grown();
    const { first, second } = world;
    const folder = second.at('f');
    second.trees.wish = ({ entry, name }) => (entry === folder || name === 'c.tmp' ? 'ignored' : null);
    second.dirtyAll();
    const entry = first.at('c');
    if (to === '/f/c') first.move(entry, folder, 'c');
    else first.move(entry, ROOT_ENTRY, 'c.tmp');
    for (let steps = 0; steps < 4; steps++) first.step();
    world.converge();
    assert.equal(second.picture().get(to), 'file old c', 'nobody asked that it be gone from here');
  }
});

test('what lies elsewhere here than in the space, in an unwanted folder there, leaves also where nothing was agreed on', () => {
  const world = grown();
  const { first, second } = world;
  second.deselect(second.at('f'));
  world.converge();
  for (const name of ['c', 'd']) first.move(first.at(name), first.at('f'), name);
  for (let steps = 0; steps < 4; steps++) first.step();
  second.pull();
  second.forgetEverything();
  world.converge();
  assert.deepEqual([...second.picture().keys()], []);
  assert.deepEqual([...first.picture().keys()].sort(), ['/f', '/f/c', '/f/d', '/f/d/a', '/f/d/e', '/f/d/e/b']);
});

test('a folder that stays for what is ignored in it is in no way of the others', () => {
  const world = grown();
  const { first, second } = world;
  const entry = second.at('d/e');
  first.remove(entry);
  for (let steps = 0; steps < 4; steps++) first.step();
  second.pull();
  // As where it cannot be removed, since there is something in it that nobody looks at.
  second.remove(second.at('d/e/b'));
  second.trees.syncedRows.put({ ...second.trees.synced(entry)!, presence: 'ignored' });
  for (let steps = 0; steps < 4; steps++) second.step();
  assert.equal(second.trees.local(entry)?.name, 'e');
  assert.equal(first.picture().has('/d/e'), false);
  second.dirtyAll();
  assert.equal(second.step(), false);
  // A folder of that name is the same to it, and so is a new file in it.
  const made = first.make(first.at('d'), 'e', { kind: 'folder' });
  first.make(made, 'x', { kind: 'file', content: 'x' });
  world.converge();
  assert.deepEqual([second.at('d/e'), second.picture().get('/d/e/x')], [made, 'file x']);
});

test('a new file in such a folder takes it up again', () => {
  const world = grown();
  const { first, second } = world;
  const entry = second.at('f');
  first.remove(entry);
  for (let steps = 0; steps < 4; steps++) first.step();
  second.pull();
  second.trees.syncedRows.put({ ...second.trees.synced(entry)!, presence: 'ignored' });
  second.make(entry, 'new', { kind: 'file', content: 'new' });
  world.converge();
  assert.equal(first.picture().get('/f/new'), 'file new');
});

const choices = fc.record({ seed: fc.nat(), first: fc.array(fc.nat({ max: 0xffff }), { maxLength: 60 }) });

function drawFrom({ seed, first }: { readonly seed: number; readonly first: readonly number[] }): Draw {
  let next = 0;
  return (count) => (first[next++] ?? scatter(seed + next)) % count;
}

function scatter(value: number): number {
  const mixed = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  return Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b) >>> 16;
}

function chanceOf(draw: Draw): Chance {
  return {
    fails: () => draw(4) === 0,
    some: (items) => (draw(2) === 0 ? items : items.filter(() => draw(2) === 0)),
    downFirst: () => draw(2) === 0,
  };
}

function chooseAny(client: ModelClient, draw: Draw): void {
  const known = [...client.trees.remoteRows.values()].map(({ entry }) => entry).sort();
  const entry = known[draw(Math.max(1, known.length))];
  if (entry === undefined) return;
  if (draw(3) === 0) client.select(entry);
  else client.deselect(entry);
}

test('devices whose people change what they want at any moment converge, and no written byte is lost', () => {
  const property = fc.property(choices, (choices) => {
    const draw = drawFrom(choices);
    const world = new ModelWorld(draw(2) + 2);
    for (let steps = draw(80); steps > 0; steps--) {
      const client = world.clients[draw(world.clients.length)]!;
      const kind = draw(8);
      if (kind < 3) change(client, draw);
      else if (kind === 3) chooseAny(client, draw);
      else if (kind < 6) client.pull();
      else client.step(draw(4) === 0 ? chanceOf(draw) : CERTAIN);
    }
    const disks = world.clients.map(snapshot);
    world.converge(chanceOf(draw), (clients) => clients[draw(clients.length)]!);
    const ever = new Set(world.server.rows.map(({ entry }) => entry.content?.contentId as string | undefined));
    for (const disk of disks)
      for (const { bytes } of disk.rows.values())
        assert.ok(bytes === null || ever.has(bytes), `${bytes} was never sent`);
    for (const client of world.clients) client.selectAll();
    world.converge();
    for (const client of world.clients) assert.deepEqual(sorted(client.picture()), sorted(world.server.picture()));
  });
  fc.assert(property, { numRuns: Math.ceil(CASES / 3), seed: SEED });
});

test('changing what is wanted, alone, never reaches the server', () => {
  const property = fc.property(choices, (choices) => {
    const draw = drawFrom(choices);
    const world = new ModelWorld(2);
    for (let count = draw(12); count > 0; count--) change(world.first, draw);
    world.converge();
    const { head } = world.server;
    for (let steps = draw(40); steps > 0; steps--) {
      const client = world.clients[draw(2)]!;
      if (draw(3) === 0) chooseAny(client, draw);
      else client.step(chanceOf(draw));
    }
    world.converge(chanceOf(draw));
    assert.equal(world.server.head, head);
  });
  fc.assert(property, { numRuns: Math.ceil(CASES / 3), seed: SEED });
});
