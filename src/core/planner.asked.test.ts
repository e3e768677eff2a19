/** How much a device looks at when it is asked about one thing alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXACT_NAMES, type NameProfile } from './name-profile.ts';
import { edit, file, folder, make, move, remove } from '../../test/planner/acts.ts';
import { deselect, drop, note, park, playCase, toldPlan } from '../../test/planner/told-plan.ts';

const WINDOWS: NameProfile = { letterCase: 'kept', forms: 'distinct', refuses: 'windows' };
const one = [make('/a', file('1'))];
const inFolder = [make('/d', folder), make('/d/a', file('1')), make('/d/b', file('1')), make('/d/c', file('1'))];
const deep = [make('/d', folder), make('/d/e', folder), make('/d/e/a', file('1')), make('/d/b', file('1'))];

test('asked about one thing a device looks at all that this needs', () => {
  // By its path before anybody did anything.
  const asked = (path: string, told: Parameters<typeof playCase>[0]) => {
    const { names = EXACT_NAMES, before = [] } = told;
    const entry = playCase({ names, before }).world.first.at(path);
    return toldPlan(playCase(told).world.second, [entry]);
  };
  const gone = asked('/d', { before: deep, theirs: [remove('/d')] });
  assert.deepEqual(gone, ['down remove /d/e/a', 'down remove /d/e', 'down remove /d/b', 'down remove /d']);
  const moved = asked('/d/a', { before: inFolder, theirs: [move('/d/a', '/a'), remove('/d')] });
  assert.deepEqual(moved, ['down move /a at /a', 'down remove /d/c', 'down remove /d/b', 'down remove /d']);
  const deleted = asked('/d/e/a', { before: deep, ours: [remove('/d')] });
  assert.deepEqual(deleted, ['up delete /d', 'wait /d', 'wait /d/e', 'wait /d/e/a']);
  const back = asked('/d', { before: deep, theirs: [move('/d', '/f')], ours: [remove('/d')] });
  const below = ['/f/e', '/f/b', '/f/e/a'];
  const made = ['/f', '/f/e', '/f/b', '/f/e/a'].map((path) => `down create ${path} at ${path}`);
  assert.deepEqual(back, [...below.map((path) => `forget ${path}`), ...made]);
  const child = asked('/d/a', { before: inFolder, ours: [edit('/d/a', '2')], hearing: [park('/d')] });
  assert.deepEqual(child, ['down move /d at /d', 'wait /d', 'wait /d/a']);
  const all = ['/d', '/d/a', '/d/b', '/d/c'];
  const left = all.flatMap((path) => [`withdraw ${path}`, `wait ${path}`]).sort();
  for (const path of ['/d/a', '/d'])
    assert.deepEqual(asked(path, { before: inFolder, ours: [deselect('/d')] }).sort(), left);
  const stays = asked('/d', { before: inFolder, ours: [make('/d/n', file('2')), deselect('/d')] });
  assert.deepEqual(stays.sort(), [...left.filter((line) => !line.endsWith(' /d')), 'up create /d/n at /d/n'].sort());
  const can = asked('/con', {
    names: WINDOWS,
    before: [
      make('/con', folder),
      make('/con/x', file('1')),
      make('/b', folder),
      make('/b/i', file('1')),
      move('/b', '/con/b'),
    ],
    theirs: [move('/con', '/can')],
  });
  assert.deepEqual(can, ['forget /can/x', 'down create /can at /can', 'down move /can/b at /can/b']);
  // Made here by the name that it has there now: what this disk could not hold with it comes, be the folder there marked or not.
  const { second } = playCase({
    names: WINDOWS,
    before: [make('/con', folder), make('/con/x', file('1'))],
    theirs: [move('/con', '/can')],
    ours: [make('/can', folder)],
  }).world;
  const found = toldPlan(second, [second.at('/can')]);
  assert.deepEqual(found, ['adopt /can for what was found', 'forget /can/x', 'agree /can']);
  const wasLeft = [...all.map((path) => note(path, 'not_selected')), ...all.toReversed().map(drop)];
  const again = asked('/d', { before: inFolder, hearing: wasLeft });
  assert.deepEqual(
    again.sort(),
    all.map((path) => `down create ${path} at ${path}`),
  );
});

test('asked about one thing a device looks at nothing that this does not need', () => {
  const asked = (path: string, told: Parameters<typeof playCase>[0]) => {
    const { world } = playCase(told);
    return toldPlan(world.second, [world.first.at(path)]);
  };
  const alone = asked('/a', { before: inFolder, theirs: [move('/d/a', '/a')], ours: [move('/d', '/e')] });
  assert.deepEqual(alone, ['down move /a at /a']);
  const inside = asked('/e', { before: inFolder, theirs: [move('/d', '/e')], ours: [edit('/d/a', '2')] });
  assert.deepEqual(inside, ['down move /e at /e']);
  const comes = asked('/n', { before: one, theirs: [make('/n', folder), make('/n/x', file('1'))] });
  assert.deepEqual(comes, ['down create /n at /n']);
});
