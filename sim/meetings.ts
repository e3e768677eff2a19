/** Two people do at the same moment what does not go together, and what chance alone brings about too seldom: two folders, each moved into the other. */
import type { SimRandom } from '#world/sim/sim-random.ts';
import type { DeviceMachine } from './device-machine.ts';
import type { World } from './world.ts';

/** Where everybody works, once in a round. */
export function planMeeting(world: World, random: SimRandom, lengthMs: number): void {
  const first = random.below(world.devices.length);
  const second = (first + 1 + random.below(world.devices.length - 1)) % world.devices.length;
  world.scheduler.after(null, random.below(lengthMs), 'people meet', () => {
    const [one, other] = [world.devices[first], world.devices[second]];
    if (!one || !other || ![one, other].every((device) => device.files.isMounted && device.hasPower)) return;
    const there = new Set(foldersOf(other));
    const known = foldersOf(one).filter((path) => there.has(path));
    const [left, right] = [random.pick([...known, null]), random.pick([...known, null])];
    if (left === null || right === null || left === right) return;
    one.user.moveInto(left, right);
    other.user.moveInto(right, left);
    world.coverage.add('people: into each other');
  });
}

function foldersOf({ programs }: DeviceMachine): readonly string[] {
  return programs.paths().flatMap(({ kind, path }) => (kind === 'folder' ? [path] : []));
}
