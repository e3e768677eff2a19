/** Cases by chance: what some devices do to a small tree, in which order, with which failures. Each throws where something does not hold. */
import assert from 'node:assert/strict';
import type { EntryId } from '#core/ids.ts';
import { CommitJournal } from './commit-journal.ts';
import {
  change,
  keptHere,
  mustStayDeleted,
  NAMES,
  mustSurvive,
  snapshot,
  writerOf,
  type Draw,
  type Writer,
} from './model-changes.ts';
import type { Chance, ModelClient } from './model-client.ts';
import { ModelServer } from './model-server.ts';
import { ModelWorld, sorted } from './model-world.ts';
import { foldersMustStayDeleted, mustKeepAll, mustMakeFewCopies } from './oracle.ts';
import { baseOf, PairProof, type Case, type Tally } from './pair-cases.ts';
import { changesOf, SMALL_TREES } from './small-trees.ts';
import { reorder } from './reorder.ts';

/** `run` adds to the tally how many worlds it brought to quiet, and the most plans that a device needed for it. */
export type RandomCase = {
  readonly what: string;
  /** How many worlds it takes, about. */
  readonly worlds: number;
  readonly run: (draw: Draw, tally: Tally) => void;
};

export const randomCases: readonly RandomCase[] = [
  {
    what: 'devices that change a small tree at random converge and lose nothing',
    worlds: 1,
    run: (draw, tally) => rounds(draw, tally, false),
  },
  {
    what: 'so they do when any step may fail or not be heard of, any part may be planned at a time, and in any order',
    worlds: 1,
    run: (draw, tally) => rounds(draw, tally, true),
  },
  { what: 'a first link, and a link after the merge base was lost, is a union', worlds: 1, run: union },
  { what: 'devices that people go on working on while they sync converge when they stop', worlds: 1, run: atWork },
  { what: 'two devices with two changes each, however it is told, cut short or named', worlds: 7, run: twoByTwo },
  { what: 'three devices with a change or two each, whoever is first', worlds: 4, run: byThree },
];

/** Half of the worlds have the rules in their simplest form, half the server's own. */
function worldOf(clients: number, draw: Draw): ModelWorld {
  return new ModelWorld(clients, draw(2) === 0 ? new ModelServer() : new CommitJournal());
}

function chanceOf(draw: Draw, failures: boolean): Chance {
  const mode = failures ? draw(4) : 0;
  // A crash: so many actions, then none for the rest of the plan.
  let left = draw(12);
  const crashes = () => left-- <= 0 && (left = draw(12)) >= 0;
  return {
    fails: () => (mode === 1 ? draw(4) === 0 : mode > 1 && crashes()),
    some: (items) => (mode === 0 || draw(2) === 0 ? items : items.filter(() => draw(2) === 0)),
    downFirst: () => failures && draw(2) === 0,
    unheard: () => mode > 1 && draw(4) === 0,
    reorder: (made, trees) => (draw(2) === 0 ? made : reorder(made, trees, draw)),
  };
}

function pickBy(draw: Draw): (clients: readonly ModelClient[]) => ModelClient {
  return (clients) => clients[draw(clients.length)]!;
}

function doSome(client: ModelClient, count: number, draw: Draw, write: Writer): void {
  for (let left = count; left > 0; left--) change(client, draw, NAMES, write);
}

function rounds(draw: Draw, tally: Tally, failures: boolean): void {
  const world = worldOf(draw(3) + 1, draw);
  const write = writerOf(draw);
  const changesMost = draw(6) + 1;
  for (let left = draw(4) + 1; left > 0; left--) {
    const before = snapshot(world.first);
    const actors = world.clients.filter(() => draw(3) !== 0);
    for (const actor of actors) doSome(actor, draw(changesMost) + 1, draw, write);
    const disks = world.clients.map(snapshot);
    const survivors = world.clients.flatMap((client) => keptHere(client, before));
    world.converge(chanceOf(draw, failures), pickBy(draw));
    for (const client of world.clients) client.refusals = [];
    mustSurvive(world, before, disks, survivors);
    mustStayDeleted(world, before, disks);
    foldersMustStayDeleted(world, before, disks);
    if (!failures) mustMakeFewCopies(world, disks, actors.length);
    mustKeepAll(world);
    // Who works alone meets no conflict, and everybody gets exactly what he made.
    if (actors.length === 1 && actors[0])
      assert.deepEqual(sorted(actors[0].picture()), sorted(disks[world.clients.indexOf(actors[0])]!.picture));
  }
  count(tally, world);
}

function union(draw: Draw, tally: Tally): void {
  const world = worldOf(2, draw);
  const write = writerOf(draw);
  for (const client of world.clients) doSome(client, draw(8), draw, write);
  const empty = { rows: new Map<EntryId, never>(), picture: new Map<string, string>() };
  const written = world.clients.flatMap((client) => keptHere(client, empty));
  world.converge(chanceOf(draw, true), pickBy(draw));
  mustSurvive(world, empty, world.clients.map(snapshot), written);
  mustKeepAll(world);
  for (const client of world.clients) doSome(client, draw(4), draw, write);
  for (let steps = 0; steps < 50 && world.first.step(); steps++);
  world.second.forgetEverything();
  world.second.pull();
  const onDisk = keptHere(world.second, empty);
  world.converge(chanceOf(draw, false), pickBy(draw));
  const there = new Set(world.contents().map((text) => text.split(' ')[1]));
  for (const content of onDisk) assert.ok(there.has(content), `${content} was on the disk and is gone`);
  mustKeepAll(world);
  count(tally, world);
}

function atWork(draw: Draw, tally: Tally): void {
  const world = worldOf(draw(3) + 1, draw);
  const write = writerOf(draw);
  for (let steps = draw(60); steps > 0; steps--) {
    const client = world.clients[draw(world.clients.length)]!;
    if (draw(3) === 0) change(client, draw, NAMES, write);
    else if (draw(2) === 0) client.pull();
    else client.step(chanceOf(draw, draw(4) === 0));
  }
  const disks = world.clients.map(snapshot);
  world.converge(chanceOf(draw, false), pickBy(draw));
  // No device's last word is lost: what it has and the server never had is somewhere.
  const ever = new Set(world.server.rows.map(({ entry }) => entry.content?.contentId as string | undefined));
  for (const disk of disks)
    for (const { bytes } of disk.rows.values()) assert.ok(bytes === null || ever.has(bytes), `${bytes} was never sent`);
  mustKeepAll(world);
  count(tally, world);
}

function count(tally: Tally, world: ModelWorld): void {
  tally.cases++;
  tally.plansMost = Math.max(tally.plansMost, world.plansMost);
}

function twoByTwo(draw: Draw, tally: Tally): void {
  const one = someDeeds(draw, [2, 2]);
  const proof = new PairProof(tally);
  if (draw(8) === 0) proof.proveDeep(one, draw(0x10000));
  else proof.prove(one);
}

function byThree(draw: Draw, tally: Tally): void {
  new PairProof(tally).prove(someDeeds(draw, [draw(2) + 1, draw(2) + 1, draw(2) + 1]));
}

/** For each device as many changes as `counts` says, all begun in the same small tree. */
function someDeeds(draw: Draw, counts: readonly number[]): Case {
  const base = baseOf(SMALL_TREES[draw(SMALL_TREES.length)]!, counts.length, draw(2) === 0);
  const areAlike = draw(4) === 0;
  const deeds = counts.map((length, index) => {
    const { first } = base.copy();
    const made: EntryId[] = [];
    return Array.from({ length }, (_, step) => {
      const mark = `${areAlike ? 'same' : `by${index}`}${step === 0 ? '' : '-again'}`;
      const changes = changesOf(first, made, mark);
      const chosen = changes[draw(changes.length)]!;
      chosen.act(first, made);
      return chosen;
    });
  });
  return { base, deeds };
}
