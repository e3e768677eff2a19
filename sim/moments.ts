/**
 * Moments between two steps of a device, or of the server for it, in which something happens to just what these steps are about: somebody changes it, the
 * disk is pulled, the process ends. Chance alone meets such a moment too seldom.
 */
import type { SimProcess } from '#world/sim/scheduler.ts';
import type { SimRandom } from '#world/sim/sim-random.ts';
import type { DeviceMachine } from './device-machine.ts';
import type { Machine } from './machines.ts';
import { childOf, nameOf, parentOf } from './programs.ts';
import type { World } from './world.ts';

/** Until a change of one device is on another, mostly. */
const ARRIVES_MS = 2000;
const MOMENTS_MAX = 3;
const AWAY_MS_MAX = 3000;
const DOWN_MS_MAX = 1000;
const POWER_MS_MAX = 200;

/** Two people at their devices, in a round that is over at `endMs`. */
export type Meeting = {
  readonly world: World;
  readonly random: SimRandom;
  readonly one: DeviceMachine;
  readonly other: DeviceMachine;
  readonly endMs: number;
};

export const momentsOf: readonly ((meeting: Meeting) => void)[] = [
  inTheLastMoment,
  whileItLooks,
  asItIsAnswered,
  asAnotherSends,
  asItIsFlushed,
  asTheDiskIsPulled,
  whileItIsDown,
  asThePowerGoes,
];

/** Of what others changed, and is about to change here, a person changes something before each of some steps. */
function inTheLastMoment(meeting: Meeting): void {
  const { one } = meeting;
  changeInMoments(meeting, {
    of: one,
    isNow: (effect) => effect === 'folder apply',
    names: () => one.namesToGet(),
    by: one,
    what: 'in the last moment',
  });
}

const LOOKING = new Set(['folder list', 'folder look', 'folder seal']);

/** Of what a device looks at, or is about to, a person changes something between two looks. */
function whileItLooks(meeting: Meeting): void {
  const { one } = meeting;
  changeInMoments(meeting, {
    of: one,
    isNow: (effect) => LOOKING.has(effect),
    names: () => one.namesInHand(),
    by: one,
    what: 'while it looks',
  });
}

const COMMITTING = new Set(['serve commit', 'answer commit']);

/** Of what a device sends, a person changes something while the server works on that, or has, and the device does not know. */
function asItIsAnswered(meeting: Meeting): void {
  const { world, one } = meeting;
  changeInMoments(meeting, {
    of: world.server,
    isNow: (effect) => COMMITTING.has(effect),
    names: () => one.namesInHand(),
    by: one,
    what: 'as it is answered',
  });
}

/** What a device sends, or has just sent, is changed by somebody else who does not have that yet. */
function asAnotherSends(meeting: Meeting): void {
  const { world, one, other } = meeting;
  changeInMoments(meeting, {
    of: world.server,
    isNow: (effect) => COMMITTING.has(effect) || effect === 'answer pull',
    names: () => one.namesInHand(),
    by: other,
    what: 'as another sends',
  });
}

/** What nobody has made durable yet is changed as the device has that done; and sometimes the power goes. */
function asItIsFlushed(meeting: Meeting): void {
  const { world, random, one, endMs } = meeting;
  changeInMoments(meeting, {
    of: one,
    isNow: (effect) => effect === 'folder flush' || effect === 'folder look',
    names: () => one.namesUnflushed(),
    by: one,
    what: 'as it is flushed',
    afterwards: () => {
      if (!random.chance(0.3)) return;
      const { process } = one;
      world.scheduler.after(null, within(world, endMs, random.below(POWER_MS_MAX)), 'the power goes', () => {
        if (!process?.alive || process !== one.process) return;
        world.bringDown(one, 'powerCut');
        world.scheduler.after(null, random.below(DOWN_MS_MAX), 'the power is back', () => world.bringUp(one));
      });
    },
  });
}

const AT_WORK = new Set(['folder apply', 'folder list', 'folder look', 'folder seal', 'folder flush', 'files fsync']);

/** Between two steps of a device that has something in hand, by its names; so many times at most. */
export function whileAtWork(
  { world, random, endMs }: Pick<Meeting, 'world' | 'random' | 'endMs'>,
  device: DeviceMachine,
  times: number,
  act: (named: ReadonlySet<string>, process: SimProcess) => void,
): void {
  const { process } = device;
  // Somebody else waits for a moment of it.
  if (!process || process.before) return;
  let left = times;
  before(world, process, endMs, (effect, over) => {
    if (!AT_WORK.has(effect) || !random.chance(0.3)) return;
    const named = new Set([...device.namesInHand(), ...device.namesToGet()]);
    if (named.size === 0) return;
    if (--left === 0) over();
    act(named, process);
  });
}

/** The disk goes between two steps that are about something on it, and comes back. */
function asTheDiskIsPulled(meeting: Meeting): void {
  const { world, random, one, endMs } = meeting;
  whileAtWork(meeting, one, 1, () => {
    if (!one.files.isMounted) return;
    one.files.unmount();
    world.coverage.add('people: as the disk is pulled');
    const awayMs = within(world, endMs, random.below(AWAY_MS_MAX));
    world.scheduler.after(null, awayMs, 'the disk is back', () => one.files.mount());
  });
}

/** The client ends at a step, heard of or not, and before it is started again somebody changes what that step was about. */
function whileItIsDown(meeting: Meeting): void {
  const { world, random, one, endMs } = meeting;
  whileAtWork(meeting, one, 1, (named, process) => {
    if (process.doom) return;
    process.doom = { atEffect: 0, applied: random.chance(0.5), ended: () => changeWhileDown(named) };
  });
  const changeWhileDown = (named: ReadonlySet<string>) => {
    world.bringDown(one, 'kill');
    if (changeSome(one, named, random)) world.coverage.add('people: while it is down');
    const downMs = within(world, endMs, random.below(DOWN_MS_MAX));
    world.scheduler.after(null, downMs, 'somebody starts it', () => world.bringUp(one));
  };
}

/**
 * The power goes at a step, heard of or not, or as what was sent is answered. Once it is back somebody may change what that was about before the client is
 * started.
 */
function asThePowerGoes(meeting: Meeting): void {
  const { world, random, one, endMs } = meeting;
  const go = (named: ReadonlySet<string>) => {
    world.bringDown(one, 'powerCut');
    world.coverage.add('people: as the power goes');
    world.scheduler.after(null, within(world, endMs, random.below(DOWN_MS_MAX)), 'the power is back', () => {
      one.hasPower = true;
      if (!one.isUp && random.chance(0.3)) changeSome(one, named, random);
      world.bringUp(one);
    });
  };
  if (random.chance(0.5))
    whileAtWork(meeting, one, 1, (named, process) => {
      if (process.doom) return;
      process.doom = { atEffect: 0, applied: random.chance(0.5), ended: () => go(named) };
    });
  else {
    const { process } = world.server;
    if (!process || process.before) return;
    before(world, process, endMs, (effect, over) => {
      if (!COMMITTING.has(effect) || !one.isUp || !random.chance(0.3)) return;
      const named = one.namesInHand();
      if (named.size === 0) return;
      over();
      go(named);
    });
  }
}

/** `of`: before whose effects, of those that `isNow` names; `names`: of what may be changed then; `by`: at whose device. */
type Moments = {
  readonly of: Machine;
  readonly isNow: (effect: string) => boolean;
  readonly names: () => ReadonlySet<string>;
  readonly by: DeviceMachine;
  readonly what: string;
  readonly afterwards?: () => void;
};

function changeInMoments({ world, random, endMs }: Meeting, { of, isNow, names, by, what, afterwards }: Moments): void {
  const { process } = of;
  // Somebody else waits for a moment of it.
  if (!process || process.before) return;
  let left = MOMENTS_MAX;
  before(world, process, endMs, (effect, over) => {
    if (!isNow(effect) || !by.hasPerson || !random.chance(0.5)) return;
    const named = names();
    if (named.size === 0) return;
    const changed = changeOf(by, named, random);
    if (changed === null) return;
    if (--left === 0) over();
    if (!changed) return;
    world.coverage.add(`people: ${what}`);
    afterwards?.();
  });
}

/** One after the other, where somebody is there. Whether any came to something. */
function changeSome(device: DeviceMachine, named: ReadonlySet<string>, random: SimRandom): boolean {
  let changed = false;
  for (let left = 1 + random.below(MOMENTS_MAX); left > 0; left--)
    if (device.hasPerson && changeOf(device, named, random)) changed = true;
  return changed;
}

/**
 * Something with what has one of these names, mostly; else with what it lies in, or something new of such a name. False where it came to nothing, null where
 * there is nothing of that name.
 */
function changeOf({ programs, user }: DeviceMachine, named: ReadonlySet<string>, random: SimRandom): boolean | null {
  const entries = programs.paths();
  if (random.chance(0.1)) {
    const folders = ['', ...entries.flatMap(({ kind, path }) => (kind === 'folder' ? [path] : []))];
    const path = childOf(random.pick(folders), random.pick([...named]));
    return random.chance(0.5) ? user.writeTo(path, random) : user.makeFolderAt(path);
  }
  const there = entries.filter(({ path }) => named.has(nameOf(path)));
  if (there.length === 0) return null;
  const { path, kind } = random.pick(there);
  const above = parentOf(path);
  return above !== '' && random.chance(0.15) ? user.touch(above, 'folder', random) : user.touch(path, kind, random);
}

/** So long, but not longer than the round. */
function within(world: World, endMs: number, ms: number): number {
  return Math.max(0, Math.min(ms, endMs - world.scheduler.nowMs - 1));
}

/** Before each effect of a process until `over` is called, a while has passed, or the round is over. */
export function before(
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
