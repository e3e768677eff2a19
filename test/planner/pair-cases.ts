/** What two devices do at the same time, each its own; and every way in which that must come out alike. */
import assert from 'node:assert/strict';
import type { EntryId } from '#core/ids.ts';
import { CommitJournal } from './commit-journal.ts';
import { keptHere, mustStayDeleted, mustSurvive, snapshot, type Draw } from './model-changes.ts';
import { CERTAIN, type Chance, type ModelClient } from './model-client.ts';
import { ModelWorld, sorted } from './model-world.ts';
import { foldersMustStayDeleted, mustKeepAll, mustMakeFewCopies } from './oracle.ts';
import { reorder } from './reorder.ts';
import { grown, type Change } from './small-trees.ts';
import { streamOf } from './draws.ts';

export type Deeds = readonly Change[];
/** What each device does, in the order in which they do it. */
export type Case = { readonly base: ModelWorld; readonly deeds: readonly Deeds[] };
export type Tally = { cases: number; plansMost: number };

/** `turn`: the one of that number sends all it has before the others hear of it. `together`: all send before they hear of each other. */
type Way = { readonly start: number | 'together'; readonly salt?: number; readonly chance?: Chance };
type Picture = readonly (readonly [string, string])[];
type End = { readonly picture: Picture; readonly plans: number };

const bases = new Map<string, ModelWorld>();

/** Devices that hold that tree. `isOwn`: with the server's own commits. */
export function baseOf(tree: readonly string[], clients: number, isOwn: boolean): ModelWorld {
  const key = `${tree.join(' ')} ${clients} ${isOwn}`;
  const known = bases.get(key);
  if (known) return known;
  const made = isOwn ? grown(tree, clients, new ModelWorld(clients, new CommitJournal())) : grown(tree, clients);
  bases.set(key, made);
  return made;
}

export class PairProof {
  readonly #tally: Tally;

  constructor(tally: Tally) {
    this.#tally = tally;
  }

  /** Whoever sends first, or all at once. */
  prove(one: Case): void {
    for (const start of ['together', ...one.deeds.keys()] as const) this.#play(one, { start });
  }

  /** And however it is told, cut short, or named. Two devices. */
  proveDeep(one: Case, seed: number): void {
    const ends = ([0, 1] as const).map((start) => this.#play(one, { start }));
    this.#proveSymmetry(one, ends);
    this.#proveOrder(one, ends, seed);
    this.#proveSequence(one, ends);
    this.#proveCuts(one, ends);
  }

  /** The devices change places, and everything made gets other ids: nothing but the names of copies tells. */
  #proveSymmetry({ base, deeds }: Case, ends: readonly End[]): void {
    const turned = { base, deeds: [...deeds].reverse() };
    for (const start of [0, 1]) {
      const { picture } = this.#play(turned, { start: 1 - start, salt: 0x5a5a5a5a });
      assert.deepEqual(anonymous(picture), anonymous(ends[start]!.picture), 'the devices change places');
    }
  }

  #proveOrder(one: Case, ends: readonly End[], seed: number): void {
    const next = streamOf(seed, 0);
    const draw: Draw = (count) => next() % count;
    const chance: Chance = {
      ...CERTAIN,
      reorder: (made, trees) => reorder(made, trees, draw),
      downFirst: () => draw(2) === 0,
    };
    for (const start of [0, 1])
      assert.deepEqual(this.#play(one, { start, chance }).picture, ends[start]!.picture, 'actions in another order');
  }

  /**
   * Of one change each: what comes out the same whoever goes first, when each hears of the other before, comes out so at the same time
   * too. But for the exec bit, which follows the side that changed the content.
   */
  #proveSequence({ base, deeds }: Case, ends: readonly End[]): void {
    // The same twice may undo itself where it is done one after the other: at the same time it is done once.
    if (deeds.some(({ length }) => length > 1) || deeds[0]![0]!.what === deeds[1]![0]!.what) return;
    const pictures: Picture[] = [];
    for (const order of [
      [0, 1],
      [1, 0],
    ] as const) {
      const world = base.copy();
      for (const index of order) {
        if (!act(world.clients[index]!, deeds[index]!)) return;
        world.converge();
      }
      this.#tally.cases++;
      pictures.push(sorted(world.server.picture()));
    }
    if (JSON.stringify(pictures[0]) !== JSON.stringify(pictures[1])) return;
    const isAboutExec = deeds.some((done) => done.some(({ what }) => what.startsWith('exec')));
    const seen = isAboutExec ? withoutExec : (picture: Picture) => picture;
    for (const { picture } of ends)
      assert.deepEqual(seen(picture), seen(pictures[0]!), 'as if one came after the other');
  }

  /** Every action in turn is the last one before a crash: not done, or done and not heard of. */
  #proveCuts(one: Case, ends: readonly End[]): void {
    for (const start of [0, 1]) {
      for (const isDone of [false, true]) {
        for (let left = 0; ; left++) {
          const cut = cutAfter(left, isDone);
          const { picture } = this.#play(one, { start, chance: cut.chance });
          if (!cut.happened()) break;
          if (!isDone)
            assert.deepEqual(anonymous(picture), anonymous(ends[start]!.picture), `cut after ${left} actions`);
        }
      }
    }
  }

  #play({ base, deeds }: Case, { start, salt = 0, chance = CERTAIN }: Way): End {
    this.#tally.cases++;
    const world = base.copy(salt);
    const before = snapshot(world.first);
    deeds.forEach((done, index) => assert.ok(act(world.clients[index]!, done), 'possible at first'));
    const disks = world.clients.map(snapshot);
    const written = world.clients.flatMap((client) => keptHere(client, before));
    if (start === 'together') for (const client of world.clients) client.step(chance);
    else for (let steps = 0; steps < 6; steps++) world.clients[start]!.step(chance);
    world.converge(chance);
    this.#tally.plansMost = Math.max(this.#tally.plansMost, world.plansMost);
    mustSurvive(world, before, disks, written);
    mustStayDeleted(world, before, disks);
    foldersMustStayDeleted(world, before, disks);
    mustKeepAll(world);
    const writers = deeds.filter(({ length }) => length > 0).length;
    if (!chance.unheard) mustMakeFewCopies(world, disks, writers, deeds.every(({ length }) => length < 2) ? 1 : 2);
    return { picture: sorted(world.server.picture()), plans: world.plansMost };
  }
}

function act(client: ModelClient, deeds: Deeds): boolean {
  const made: EntryId[] = [];
  return deeds.every((deed) => deed.act(client, made));
}

function cutAfter(actions: number, isDone: boolean): { readonly chance: Chance; readonly happened: () => boolean } {
  let left = actions;
  let isOver = false;
  const chance: Chance = {
    ...CERTAIN,
    // `some` is asked once for each plan: what follows a crash is a plan like any other.
    some: (items) => {
      if (left < 0) isOver = true;
      return items;
    },
    fails: () => !isOver && left-- <= (isDone ? -1 : 0),
    unheard: () => isDone && !isOver && left === -1,
  };
  return { chance, happened: () => left < 0 };
}

function withoutExec(picture: Picture): Picture {
  return picture.map(([path, text]) => [path, text.replace(/ exec$/, '')]);
}

function anonymous(picture: Picture): Picture {
  return sorted(new Map(picture.map(([path, text]) => [path.replace(/, device\d/g, ''), text])));
}
