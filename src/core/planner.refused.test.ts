/** A device whose disk refuses names, beside others that give them to folders and take them away again. */
import { test } from 'node:test';
import fc from 'fast-check';
import { EXACT_NAMES, type NameProfile } from './name-profile.ts';
import { file, folder, make } from '../../test/planner/acts.ts';
import { choices, drawFrom } from '../../test/planner/draws.ts';
import { change, keptHere, mustSurvive, snapshot, type Draw } from '../../test/planner/model-changes.ts';
import type { Chance } from '../../test/planner/model-client.ts';
import { ModelWorld } from '../../test/planner/model-world.ts';

const NORMALISING: NameProfile = { letterCase: 'kept', forms: 'changed', refuses: 'nothing' };
const WINDOWS: NameProfile = { letterCase: 'kept', forms: 'distinct', refuses: 'windows' };
const CASES = Number(process.env['PLANNER_CASES'] ?? 3000);
const SEED = Number(process.env['PLANNER_SEED'] ?? 20300102);

function chanceOf(draw: Draw): Chance {
  return {
    fails: () => draw(5) === 0,
    some: (items) => (draw(2) === 0 ? items : items.filter(() => draw(2) === 0)),
    downFirst: () => draw(2) === 0,
    unheard: () => draw(6) === 0,
  };
}

test('what others made is here in the end, wherever a name allows it, and nothing is lost', () => {
  const property = fc.property(choices, (chosen) => {
    const draw = drawFrom(chosen);
    const world = new ModelWorld(draw(2) === 0 ? [EXACT_NAMES, WINDOWS] : [EXACT_NAMES, WINDOWS, NORMALISING]);
    const { first, second } = world;
    for (const act of [make('/con', folder), make('/con/b', folder), make('/con/b/a', file('old'))]) act(first);
    world.converge();
    for (let round = draw(4); round >= 0; round--) {
      const before = snapshot(first);
      for (let count = draw(7); count > 0; count--) change(first, draw, ['a', 'con', 'q?', 'b']);
      for (let count = draw(4); count > 0; count--) change(second, draw, ['a', 'b']);
      for (const third of world.clients.slice(2))
        for (let count = draw(4); count > 0; count--) change(third, draw, ['a', 'con', 'b', 'e\u0301']);
      const disks = world.clients.map(snapshot);
      const written = world.clients.flatMap((client) => keptHere(client, before));
      if (draw(2) === 0) world.converge();
      else world.converge(chanceOf(draw), (clients) => clients[draw(clients.length)]!);
      mustSurvive(world, before, disks, written);
    }
  });
  fc.assert(property, { numRuns: CASES, seed: SEED });
});
