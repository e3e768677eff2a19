/**
 * What people and their programs do in several steps with time between them, so that a device sees each by itself, and what others do comes in
 * between. Each step looks at what is there by then, as a careful program does.
 */
import type { SimRandom } from '#world/sim/sim-random.ts';
import type { DeviceMachine } from './device-machine.ts';
import { childOf, type Programs } from './programs.ts';
import { isErrno, type User } from './user.ts';
import type { World } from './world.ts';

const PAUSE_MS_MAX = 600;

type Step = () => void;
/** Null where there is nothing to do it with. */
type Slow = (user: User, programs: Programs, random: SimRandom) => readonly Step[] | null;

/** Until the round is over. */
export function actSlowly(world: World, random: SimRandom, device: DeviceMachine, endMs: number): void {
  const { programs, user } = device;
  const { scheduler } = world;
  const steps = device.hasPerson ? guarded(() => random.pick(slow)(user, programs, random)) : null;
  if (!steps) return;
  const goOn = (at: number): void => {
    const step = steps[at];
    if (!step) return world.coverage.add('people: slowly');
    // What a disk does not let them do, they leave.
    if (scheduler.nowMs >= endMs || !device.hasPerson || guarded(() => [step()]) === null) return;
    scheduler.after(null, random.below(PAUSE_MS_MAX), 'a person goes on', () => goOn(at + 1));
  };
  goOn(0);
}

const slow: readonly Slow[] = [swap, saveByRenaming, saveByBackup, unpack];

/** By a third name, for as long as it takes. */
function swap(user: User, programs: Programs, random: SimRandom): readonly Step[] | null {
  const paths = programs.paths().map(({ path }) => path);
  const [one, other] = [random.pick(paths.concat('')), random.pick(paths.concat(''))];
  if (one === '' || other === '' || one === other || isBelow(one, other) || isBelow(other, one)) return null;
  const aside = `${one}.swap`;
  const move = (from: string, to: string) => () => {
    if (programs.kindAt(to) === null) user.moveTo('swap slowly', from, to);
  };
  return [move(one, aside), move(other, one), move(aside, other)];
}

/** Into a file beside it, which then takes its name. */
function saveByRenaming(user: User, programs: Programs, random: SimRandom): readonly Step[] | null {
  const path = aFile(programs, random);
  if (path === null) return null;
  const beside = `${path}.tmp`;
  return [() => user.writeTo(beside, random), () => user.moveTo('save slowly', beside, path)];
}

/** What was there takes another name, and goes in the end. */
function saveByBackup(user: User, programs: Programs, random: SimRandom): readonly Step[] | null {
  const path = aFile(programs, random);
  if (path === null) return null;
  const backup = `${path}~`;
  return [
    () => user.moveTo('save slowly', path, backup),
    () => user.writeTo(path, random),
    () => user.removeFile(backup),
  ];
}

/** A folder with files in it, which gets its name when they are there. */
function unpack(user: User, programs: Programs, random: SimRandom): readonly Step[] {
  const above = random.pick(['', ...programs.paths().flatMap(({ kind, path }) => (kind === 'folder' ? [path] : []))]);
  const folder = childOf(above, 'u.part');
  const write = (name: string) => () => user.writeTo(childOf(folder, name), random);
  const named = childOf(above, random.pick(['p', 'q', 'r', 'u']));
  const rename = () => {
    if (programs.kindAt(named) === null) user.moveTo('unpack', folder, named);
  };
  return [() => user.makeFolderAt(folder), write('a'), write('b'), rename, write('a')];
}

function aFile(programs: Programs, random: SimRandom): string | null {
  const files = programs.paths().flatMap(({ kind, path }) => (kind === 'file' ? [path] : []));
  return files.length === 0 ? null : random.pick(files);
}

function isBelow(path: string, above: string): boolean {
  return path.startsWith(`${above}/`);
}

function guarded<T>(act: () => T): T | null {
  try {
    return act();
  } catch (error) {
    if (!isErrno(error)) throw error;
    return null;
  }
}
