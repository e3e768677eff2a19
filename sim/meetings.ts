/**
 * People do at nearly the same moment what does not go together, and what chance alone brings about too seldom. Where everybody works, once in a round
 * each.
 */
import { SimRandom } from '#world/sim/sim-random.ts';
import { wallMs } from '#world/sim/sim-clock.ts';
import type { SimProcess } from '#world/sim/scheduler.ts';
import type { DeviceMachine } from './device-machine.ts';
import type { Machine } from './machines.ts';
import { nameOf } from './programs.ts';
import { actSlowly } from './slowly.ts';
import type { World } from './world.ts';

/** Until a change of one device is on another, mostly. */
const ARRIVES_MS = 2000;
const MOMENTS_MAX = 3;
const REPLY_MS = 900;
const LOOK_MS = 15;
/** A disk that stamps files by the second. */
const COARSE_MS = 1000;

/** Two people at their devices, in a round that is over at `endMs`. */
type Meeting = {
  readonly world: World;
  readonly random: SimRandom;
  readonly one: DeviceMachine;
  readonly other: DeviceMachine;
  readonly endMs: number;
};

const meetings: readonly ((meeting: Meeting) => void)[] = [
  intoEachOther,
  inItsPlace,
  oneOfTwoGoes,
  inTheLastMoment,
  whileItLooks,
  asItIsAnswered,
  ({ world, random, one, endMs }) => actSlowly(world, random, one, endMs),
];

export function planMeetings(world: World, random: SimRandom, lengthMs: number): void {
  const endMs = world.scheduler.nowMs + lengthMs;
  for (const meet of meetings) {
    const drawn = new SimRandom(`${random.below(2 ** 32)}`);
    const [one, other] = twoOf(world, drawn);
    const meeting = { world, random: drawn, one, other, endMs };
    world.scheduler.after(null, drawn.below(lengthMs), 'people meet', () => meet(meeting));
  }
  planReply(world, random, lengthMs, endMs);
}

/** Two folders, each moved into the other. */
function intoEachOther({ world, random, one, other }: Meeting): void {
  if (!one.hasPerson || !other.hasPerson) return;
  const known = foldersOfBoth(one, other);
  const [left, right] = [random.pick([...known, null]), random.pick([...known, null])];
  if (left === null || right === null || left === right) return;
  one.user.moveInto(left, right);
  other.user.moveInto(right, left);
  world.coverage.add('people: into each other');
}

/** Two folders change places, which is one change or none; somebody else takes one of them away, and perhaps both know nothing of it yet. */
function oneOfTwoGoes({ world, random, one, other }: Meeting): void {
  if (!one.hasPerson || !other.hasPerson) return;
  const known = foldersOfBoth(one, other);
  const [left, right] = [random.pick([...known, null]), random.pick([...known, null])];
  if (left === null || right === null || !one.user.swapTwo(left, right)) return;
  other.user.delete(random.pick([left, right]));
  world.coverage.add('people: one of two goes');
}

/** One puts another folder in a folder's place, and somebody else takes the old one away just before the other comes. */
function inItsPlace({ world, random, one, other, endMs }: Meeting): void {
  const { process } = other;
  if (!one.hasPerson || !other.hasPerson || !process || process.before) return;
  const known = foldersOfBoth(one, other);
  const [path, by, into] = [random.pick([...known, null]), random.pick([...known, null]), random.pick(['', ...known])];
  if (path === null || by === null || !one.user.replaceFolder(path, by)) return;
  before(world, process, endMs, (effect, over) => {
    if (effect !== 'folder apply' || !other.isToGet(nameOf(path))) return;
    over();
    const there = other.hasPerson ? foldersOf(other) : [];
    if (!there.includes(path)) return;
    if (random.chance(0.5) || (into !== '' && !there.includes(into))) other.user.delete(path);
    else other.user.moveInto(path, into);
    world.coverage.add('people: away as another comes');
  });
}

/** Of what others changed, and is about to change here, a person changes something before each of some steps. */
function inTheLastMoment(meeting: Meeting): void {
  const { one } = meeting;
  inMoments(meeting, {
    of: one,
    isNow: (effect) => effect === 'folder apply',
    names: () => one.namesToGet(),
    what: 'in the last moment',
  });
}

const LOOKING = new Set(['folder list', 'folder look', 'folder seal']);

/** Of what a device looks at, or is about to, a person changes something between two looks. */
function whileItLooks(meeting: Meeting): void {
  const { one } = meeting;
  inMoments(meeting, {
    of: one,
    isNow: (effect) => LOOKING.has(effect),
    names: () => one.namesInHand(),
    what: 'while it looks',
  });
}

/** Of what a device sends, a person changes something while the server works on that, or has, and the device does not know. */
function asItIsAnswered(meeting: Meeting): void {
  const { world, one } = meeting;
  inMoments(meeting, {
    of: world.server,
    isNow: (effect) => effect === 'serve commit' || effect === 'answer commit',
    names: () => one.namesInHand(),
    what: 'as it is answered',
  });
}

/** `of`: before whose effects, of those that `isNow` names; `names`: of what may be changed then. */
type Moments = {
  readonly of: Machine;
  readonly isNow: (effect: string) => boolean;
  readonly names: () => ReadonlySet<string>;
  readonly what: string;
};

function inMoments({ world, random, one, endMs }: Meeting, { of, isNow, names, what }: Moments): void {
  const { process } = of;
  // Somebody else waits for a moment of it.
  if (!process || process.before) return;
  let left = MOMENTS_MAX;
  before(world, process, endMs, (effect, over) => {
    if (!isNow(effect) || !one.hasPerson || !random.chance(0.5)) return;
    const named = names();
    const there = named.size === 0 ? [] : one.programs.paths().filter(({ path }) => named.has(nameOf(path)));
    if (there.length === 0) return;
    const { path, kind } = random.pick(there);
    if (--left === 0) over();
    if (one.user.touch(path, kind, random)) world.coverage.add(`people: ${what}`);
  });
}

/** Before each effect of a process until `over` is called, a while has passed, or the round is over. */
function before(
  world: World,
  process: SimProcess,
  endMs: number,
  act: (effect: string, over: () => void) => void,
): void {
  const over = () => {
    if (process.before === acting) process.before = null;
  };
  const acting = (effect: string) => act(effect, over);
  process.before = acting;
  world.scheduler.after(null, Math.min(ARRIVES_MS, endMs - world.scheduler.nowMs), 'people have met', over);
}

/**
 * What somebody saves is changed by another as soon as it comes, with as many bytes: where the disk stamps by the second, it may say the same
 * time as before. That takes the beginning of a second.
 */
function planReply(world: World, random: SimRandom, lengthMs: number, endMs: number): void {
  const quick = world.devices.find(({ files }) => (files.profile.stampMs ?? 0) >= COARSE_MS);
  if (!quick) return;
  const writer = random.pick(world.devices.filter((device) => device !== quick));
  const drawn = new SimRandom(`${random.below(2 ** 32)}`);
  const { scheduler } = world;
  // Early enough for a reply before the round is over.
  scheduler.after(null, random.below(Math.ceil(0.8 * lengthMs)), 'somebody writes', () => {
    const waitMs = COARSE_MS - (wallMs(scheduler, writer.wall) % COARSE_MS);
    scheduler.after(null, waitMs, 'somebody writes', () => {
      if (scheduler.nowMs >= endMs || !writer.hasPerson) return;
      const saved = writer.user.saveOne(drawn);
      if (saved) reply(world, quick, saved, Math.min(endMs, scheduler.nowMs + REPLY_MS));
    });
  });
}

function reply(world: World, device: DeviceMachine, saved: { path: string; text: string }, untilMs: number): void {
  const { scheduler } = world;
  if (scheduler.nowMs >= untilMs) return;
  if (device.hasPerson && device.user.replaceBytes(saved.path, saved.text)) world.coverage.add('people: a quick reply');
  else scheduler.after(null, LOOK_MS, 'somebody waits', () => reply(world, device, saved, untilMs));
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
