/**
 * People do at nearly the same moment what does not go together, and what chance alone brings about too seldom. Where everybody works, once in a round
 * each.
 */
import { SimRandom } from '#world/sim/sim-random.ts';
import { wallMs } from '#world/sim/sim-clock.ts';
import type { DeviceMachine } from './device-machine.ts';
import { nameOf } from './programs.ts';
import type { World } from './world.ts';

/** Until a change of one device is on another, mostly. */
const ARRIVES_MS = 2000;
const MOMENTS_MAX = 3;
const LOOKS_MAX = 60;
const LOOK_MS = 15;
/** A disk that stamps files by the second. */
const COARSE_MS = 1000;

export function planMeetings(world: World, random: SimRandom, lengthMs: number): void {
  for (const plan of [intoEachOther, inItsPlace, oneOfTwoGoes, inTheLastMoment]) {
    const drawn = new SimRandom(`${random.below(2 ** 32)}`);
    const [one, other] = twoOf(world, drawn);
    world.scheduler.after(null, drawn.below(lengthMs), 'people meet', () => plan(world, drawn, one, other));
  }
  planReply(world, random, lengthMs);
}

/** Two folders, each moved into the other. */
function intoEachOther(world: World, random: SimRandom, one: DeviceMachine, other: DeviceMachine): void {
  if (!one.hasPerson || !other.hasPerson) return;
  const known = foldersOfBoth(one, other);
  const [left, right] = [random.pick([...known, null]), random.pick([...known, null])];
  if (left === null || right === null || left === right) return;
  one.user.moveInto(left, right);
  other.user.moveInto(right, left);
  world.coverage.add('people: into each other');
}

/** Two folders change places, which is one change or none; somebody else takes one of them away, and perhaps both know nothing of it yet. */
function oneOfTwoGoes(world: World, random: SimRandom, one: DeviceMachine, other: DeviceMachine): void {
  if (!one.hasPerson || !other.hasPerson) return;
  const known = foldersOfBoth(one, other);
  const [left, right] = [random.pick([...known, null]), random.pick([...known, null])];
  if (left === null || right === null || !one.user.swapTwo(left, right)) return;
  other.user.delete(random.pick([left, right]));
  world.coverage.add('people: one of two goes');
}

/** One puts another folder in a folder's place, and somebody else takes the old one away just before the other comes. */
function inItsPlace(world: World, random: SimRandom, one: DeviceMachine, other: DeviceMachine): void {
  const { process } = other;
  if (!one.hasPerson || !other.hasPerson || !process) return;
  const known = foldersOfBoth(one, other);
  const [path, by, into] = [random.pick([...known, null]), random.pick([...known, null]), random.pick(['', ...known])];
  if (path === null || by === null || !one.user.replaceFolder(path, by)) return;
  process.before = (effect) => {
    if (effect !== 'folder apply' || !other.isToGet(nameOf(path))) return;
    process.before = null;
    const there = other.hasPerson ? foldersOf(other) : [];
    if (!there.includes(path)) return;
    if (random.chance(0.5) || (into !== '' && !there.includes(into))) other.user.delete(path);
    else other.user.moveInto(path, into);
    world.coverage.add('people: away as another comes');
  };
  world.scheduler.after(null, ARRIVES_MS, 'people have met', () => {
    process.before = null;
  });
}

/** Of what others changed, and is about to change here, a person changes something before each of some steps. */
function inTheLastMoment(world: World, random: SimRandom, one: DeviceMachine): void {
  const { process } = one;
  // Somebody else waits for a moment of it.
  if (!process || process.before) return;
  let left = MOMENTS_MAX;
  const touch = (effect: string): void => {
    if (effect !== 'folder apply' || left === 0 || !one.hasPerson || !random.chance(0.5)) return;
    const coming = one.namesToGet();
    const there = one.programs.paths().filter(({ path }) => coming.has(nameOf(path)));
    if (there.length === 0) return;
    const { path, kind } = random.pick(there);
    left--;
    if (one.user.touch(path, kind, random)) world.coverage.add('people: in the last moment');
  };
  process.before = touch;
  world.scheduler.after(null, ARRIVES_MS, 'the moment is over', () => {
    if (process.before === touch) process.before = null;
  });
}

/**
 * What somebody saves is changed by another as soon as it comes, with as many bytes: where the disk stamps by the second, it may say the same
 * time as before. That takes the beginning of a second.
 */
function planReply(world: World, random: SimRandom, lengthMs: number): void {
  const quick = world.devices.find(({ files }) => (files.profile.stampMs ?? 0) >= COARSE_MS);
  if (!quick) return;
  const writer = random.pick(world.devices.filter((device) => device !== quick));
  const drawn = new SimRandom(`${random.below(2 ** 32)}`);
  const { scheduler } = world;
  scheduler.after(null, random.below(lengthMs), 'somebody writes', () => {
    const waitMs = COARSE_MS - (wallMs(scheduler, writer.wall) % COARSE_MS);
    scheduler.after(null, waitMs, 'somebody writes', () => {
      const saved = writer.hasPerson ? writer.user.saveOne(drawn) : null;
      if (saved) reply(world, quick, saved, LOOKS_MAX);
    });
  });
}

function reply(world: World, device: DeviceMachine, saved: { path: string; text: string }, looks: number): void {
  if (device.hasPerson && device.user.replaceBytes(saved.path, saved.text)) world.coverage.add('people: a quick reply');
  else if (looks > 0)
    world.scheduler.after(null, LOOK_MS, 'somebody waits', () => reply(world, device, saved, looks - 1));
}

function twoOf(world: World, random: SimRandom): readonly [DeviceMachine, DeviceMachine] {
  const one = random.pick(world.devices);
  return [one, random.pick(world.devices.filter((device) => device !== one))];
}

function foldersOfBoth(one: DeviceMachine, other: DeviceMachine): readonly string[] {
  const there = new Set(foldersOf(other));
  return foldersOf(one).filter((path) => there.has(path));
}

function foldersOf({ programs }: DeviceMachine): readonly string[] {
  return programs.paths().flatMap(({ kind, path }) => (kind === 'folder' ? [path] : []));
}
