import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EntryId } from './ids.ts';
import { ModelWorld, sorted } from '../../test/planner/model-world.ts';
import type { Chance, ModelClient } from '../../test/planner/model-client.ts';
import {
  change,
  keptHere,
  mustSurvive,
  mustStayDeleted,
  snapshot,
  type Draw,
} from '../../test/planner/model-changes.ts';

/** Few names, few contents, little depth: whatever can collide does. `PLANNER_CASES` for a long run. */
const CASES = Number(process.env['PLANNER_CASES'] ?? 3000);
const SEED = Number(process.env['PLANNER_SEED'] ?? 20300102);

const choices = fc.record({ seed: fc.nat(), first: fc.array(fc.nat({ max: 0xffff }), { maxLength: 60 }) });
const counts = fc.record({
  clients: fc.integer({ min: 1, max: 3 }),
  rounds: fc.integer({ min: 1, max: 4 }),
  changes: fc.integer({ min: 1, max: 6 }),
});

/** Goes on by the seed where the first choices are used up, so that shrinking may drop any of them. */
function drawFrom({ seed, first }: { readonly seed: number; readonly first: readonly number[] }): Draw {
  let next = 0;
  return (count) => (first[next++] ?? scatter(seed + next)) % count;
}

function scatter(value: number): number {
  const mixed = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  return Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b) >>> 16;
}

function chanceOf(draw: Draw, failures: boolean): Chance {
  return {
    fails: () => failures && draw(4) === 0,
    some: (items) => (!failures || draw(2) === 0 ? items : items.filter(() => draw(2) === 0)),
    downFirst: () => failures && draw(2) === 0,
  };
}

function pickBy(draw: Draw): (clients: readonly ModelClient[]) => ModelClient {
  return (clients) => clients[draw(clients.length)]!;
}

function rounds(failures: boolean) {
  return fc.property(choices, counts, (choices, { clients, rounds, changes }) => {
    const draw = drawFrom(choices);
    const world = new ModelWorld(clients);
    for (let round = 0; round < rounds; round++) {
      const before = snapshot(world.first);
      const actors = world.clients.filter(() => draw(3) !== 0);
      for (const actor of actors) for (let count = draw(changes) + 1; count > 0; count--) change(actor, draw);
      const disks = world.clients.map(snapshot);
      const survivors = world.clients.flatMap((client) => keptHere(client, before));
      world.converge(chanceOf(draw, failures), pickBy(draw));
      const refusals = world.clients.flatMap((client) => client.refusals.splice(0));
      if (!failures) assert.deepEqual(refusals, [], 'every action is possible when its turn comes');
      mustSurvive(world, before, disks, survivors);
      mustStayDeleted(world, before, disks);
      // Who works alone meets no conflict, and everybody gets exactly what he made.
      if (actors.length === 1 && actors[0]) {
        assert.deepEqual(sorted(actors[0].picture()), sorted(disks[world.clients.indexOf(actors[0])]!.picture));
      }
    }
  });
}

test('devices that change a small tree at random converge and lose nothing', () => {
  fc.assert(rounds(false), { numRuns: CASES, seed: SEED });
});

test('so they do when any step may fail, any part may be planned at a time, and in any order', () => {
  fc.assert(rounds(true), { numRuns: CASES, seed: SEED });
});

test('a first link, and a link after the merge base was lost, is a union', () => {
  const property = fc.property(choices, (choices) => {
    const draw = drawFrom(choices);
    const world = new ModelWorld(2);
    for (const client of world.clients) for (let count = draw(8); count > 0; count--) change(client, draw);
    const empty = { rows: new Map<EntryId, never>(), picture: new Map<string, string>() };
    const written = world.clients.flatMap((client) => keptHere(client, empty));
    world.converge(chanceOf(draw, true), pickBy(draw));
    mustSurvive(world, empty, world.clients.map(snapshot), written);
    for (const client of world.clients) for (let count = draw(4); count > 0; count--) change(client, draw);
    for (let steps = 0; steps < 50; steps++) world.first.step();
    world.second.forgetEverything();
    world.second.pull();
    const onDisk = keptHere(world.second, empty);
    world.converge(chanceOf(draw, false), pickBy(draw));
    const there = new Set(world.contents().map((text) => text.split(' ')[1]));
    for (const content of onDisk) assert.ok(there.has(content), `${content} was on the disk and is gone`);
  });
  fc.assert(property, { numRuns: Math.ceil(CASES / 2), seed: SEED });
});

test('devices that people go on working on while they sync converge when they stop', () => {
  const property = fc.property(choices, (choices) => {
    const draw = drawFrom(choices);
    const world = new ModelWorld(draw(3) + 1);
    for (let steps = draw(60); steps > 0; steps--) {
      const client = world.clients[draw(world.clients.length)]!;
      if (draw(3) === 0) change(client, draw);
      else if (draw(2) === 0) client.pull();
      else client.step(chanceOf(draw, draw(4) === 0));
    }
    const disks = world.clients.map(snapshot);
    world.converge(chanceOf(draw, false), pickBy(draw));
    // No device's last word is lost: what it has and the server never had is somewhere.
    const ever = new Set(world.server.rows.map(({ entry }) => entry.content?.contentId as string | undefined));
    for (const disk of disks)
      for (const { bytes } of disk.rows.values())
        assert.ok(bytes === null || ever.has(bytes), `${bytes} was never sent`);
  });
  fc.assert(property, { numRuns: CASES, seed: SEED });
});
