/**
 * In some worlds a device's folder and state are copied to another machine, as an image of a disk is, whatever the client is about just then; both go
 * on. One of them must unite what it has with the space, and be another device's installation from then on; nobody's deletion may come of it.
 */
import { must } from '#core/assert.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import type { FileSystem } from '#world/file-system.ts';
import { DeviceMachine, ROOT } from './device-machine.ts';
import { childOf } from './programs.ts';
import { untilQuiet } from './quiet.ts';
import type { World } from './world.ts';

const NAME = 'copy';
const ACTS = 8;
const SOON_MS = 100;

/** Of the rounds, the one in which it happens; null: never. */
export function cloningRound(world: World, rounds: number): number | null {
  const random = new SimRandom(`${world.options.seed} cloned`);
  return random.chance(0.3) ? random.below(rounds) : null;
}

export function planClone(world: World, random: SimRandom, lengthMs: number): void {
  const device = random.pick(world.devices);
  const startsAfterMs = random.pick([0, 0, 0, random.below(3000), 20_000]);
  const endMs = world.scheduler.nowMs + lengthMs;
  world.scheduler.after(null, random.below(lengthMs), 'a machine is copied', () => {
    const clone = cloneOf(device);
    if (!clone) return;
    world.coverage.add('cloned: a machine');
    world.devices.push(clone);
    world.scheduler.after(null, startsAfterMs, 'the copied machine starts', () => world.bringUp(clone));
    // Whoever has something to tell first is the installation from then on: mostly that is the other one.
    const drawn = new SimRandom(`${random.below(2 ** 32)}`);
    const actsAfterMs = startsAfterMs + random.below(SOON_MS);
    if (world.scheduler.nowMs + actsAfterMs >= endMs) return;
    world.scheduler.after(null, actsAfterMs, 'person at the copy', () => clone.act(drawn));
  });
}

/** What a person does at that machine. */
export function actAtClone(world: World, random: SimRandom, lengthMs: number): void {
  for (let left = ACTS; left > 0; left--) {
    const drawn = new SimRandom(`${random.below(2 ** 32)}`);
    world.scheduler.after(null, random.below(lengthMs), 'person at the copy', () => findClone(world)?.act(drawn));
  }
}

/** When all is quiet, and both have had something to tell, no two machines are the same installation: the server is told nothing by whoever only listens. */
export async function checkClone(world: World, random: SimRandom): Promise<void> {
  if (!findClone(world)) return;
  const silent = sameInstallation(world);
  if (silent.length > 0) {
    for (const { user } of silent) if (user.saveOne(random) === null) user.createOne(random);
    if (!(await untilQuiet(world))) return;
  }
  const still = sameInstallation(world);
  if (still.length > 0) world.violate(`one installation: ${still.map(({ name }) => name).join(', ')}`);
  else world.coverage.add('cloned: apart');
}

function sameInstallation({ devices }: World): readonly DeviceMachine[] {
  const installs = devices.map((device) => device.install());
  return devices.filter((_, index) => installs.filter((install) => install === installs[index]).length > 1);
}

function findClone(world: World): DeviceMachine | undefined {
  return world.devices.find(({ name }) => name === NAME);
}

function cloneOf(device: DeviceMachine): DeviceMachine | null {
  const state = device.copyState();
  if (state === null || !device.files.isMounted || !device.hasPower) return null;
  const clone = device.twin(NAME, state);
  copyFolder(device.files.people, clone.files.people, ROOT, new Map());
  return clone;
}

/** With all of Holdfast's own in it, and the files' times. */
function copyFolder(from: FileSystem, to: FileSystem, folder: string, known: Map<string, string>): void {
  for (const name of from.readdir(folder)) {
    const path = childOf(folder, name);
    const stat = must(from.lstat(path), 'what is listed is there');
    const inode = `${stat.dev}:${stat.ino}`;
    const first = known.get(inode);
    if (stat.kind === 'folder') {
      if (to.lstat(path) === null) to.mkdir(path, 0o755);
      copyFolder(from, to, path, known);
    } else if (stat.kind === 'symlink') to.symlink(Buffer.from(from.readlink(path)).toString('utf8'), path);
    else if (stat.kind === 'file' && first !== undefined) to.link(first, path);
    else if (stat.kind === 'file') {
      known.set(inode, path);
      copyFile(from, to, path);
    }
  }
}

function copyFile(from: FileSystem, to: FileSystem, path: string): void {
  const source = from.open(path, 'read');
  const { size, exec, mtimeNs } = from.fstat(source);
  const bytes = new Uint8Array(size);
  from.read(source, bytes, 0, size, 0);
  from.close(source);
  const target = to.open(path, 'create', exec ? 0o755 : 0o644);
  to.write(target, bytes, 0, size, 0);
  to.futimes(target, Number(mtimeNs / 1000n));
  to.fsync(target);
  to.close(target);
}
