/**
 * People do at nearly the same moment what does not go together, and what chance alone brings about too seldom. Where everybody works, once in a round
 * each.
 */
import { SimRandom } from '#world/sim/sim-random.ts';
import { wallMs } from '#world/sim/sim-clock.ts';
import type { DeviceMachine } from './device-machine.ts';
import { before, momentsOf, type Meeting } from './moments.ts';
import { nameOf } from './programs.ts';
import { actSlowly } from './slowly.ts';
import type { World } from './world.ts';

const REPLY_MS = 900;
const LOOK_MS = 15;
/** A disk that stamps files by the second. */
const COARSE_MS = 1000;

const meetings: readonly ((meeting: Meeting) => void)[] = [
  intoEachOther,
  inItsPlace,
  oneOfTwoGoes,
  ...momentsOf,
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
