/**
 * In some worlds people write rules of what is ignored, and take them away again: what is let go of on one disk goes on living there by itself. At the end
 * of a round all rules are taken away, and then everything that was ignored anywhere must come together again, with nothing lost.
 */
import { ROOT_ENTRY } from '#core/ids.ts';
import { IGNORE_FILE } from '#core/ignore.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import { choosingDevice } from './choices.ts';
import { cloningRound } from './cloned.ts';
import type { DeviceMachine } from './device-machine.ts';
import { whileAtWork } from './moments.ts';
import { childOf, nameOf, parentOf, textsAt } from './programs.ts';
import { untilInSync } from './quiet.ts';
import { isErrno } from './user.ts';
import type { World } from './world.ts';

const ACTS_MAX = 5;
const MOMENTS_MAX = 2;
const RULES = ['b\n', 'e\n', '*.txt\n', 'q/\n', 'p\n', '/r\n', '*\n!a\n!p\n', '# none\n'];
/** Rules of folders that were ignored come to light when the rules above have gone. */
const DROPS_MAX = 20;
/** Until a change is seen at the latest, and told. */
const SEEN_MS = 2000;
const TASKS_MAX = 600_000;

/** Where nothing else keeps things away from a disk, and nobody makes rules of megabytes: those are told as a problem for as long as they are there. */
export function keepsRules(world: World, rounds: number): boolean {
  if (world.around.largeShare > 0 || !new SimRandom(`${world.options.seed} rules`).chance(0.3)) return false;
  return choosingDevice(world) === null && cloningRound(world, rounds) === null;
}

/** What people do about rules while they work. */
export function stirRules(world: World, random: SimRandom, lengthMs: number): void {
  for (let left = random.below(ACTS_MAX + 1); left > 0; left--) {
    const drawn = new SimRandom(`${random.below(2 ** 32)}`);
    world.scheduler.after(null, random.below(lengthMs), 'person ignores', () => {
      const device = drawn.pick(world.devices);
      if (device.hasPerson) changeRules(world, device, drawn);
    });
  }
  const moment = { world, random: new SimRandom(`${random.below(2 ** 32)}`), endMs: world.scheduler.nowMs + lengthMs };
  world.scheduler.after(null, random.below(lengthMs), 'person waits to ignore', () => {
    const device = moment.random.pick(world.devices);
    whileAtWork(moment, device, MOMENTS_MAX, (named) => {
      if (device.hasPerson) ignoreOf(world, device, named, moment.random);
    });
  });
}

function changeRules(world: World, device: DeviceMachine, random: SimRandom): void {
  const entries = device.programs.paths();
  const there = entries.filter(areRules);
  if (there.length > 0 && random.chance(0.3)) return drop(world, device, random.pick(there).path);
  const folders = entries.filter(({ kind }) => kind === 'folder').map(({ path }) => path);
  write(world, device, random.chance(0.6) ? '' : random.pick(['', ...folders]), random.pick(RULES));
}

/** Something that the device is about is to be ignored from now on, where it lies; or is not any more. */
function ignoreOf(world: World, device: DeviceMachine, named: ReadonlySet<string>, random: SimRandom): void {
  const there = device.programs.paths().filter((one) => named.has(nameOf(one.path)) && !areRules(one));
  if (there.length === 0) return;
  const { path } = random.pick(there);
  const folder = random.chance(0.7) ? parentOf(path) : '';
  const rules = childOf(folder, IGNORE_FILE);
  if (device.programs.kindAt(rules) === 'file') drop(world, device, rules);
  // Rules are UTF-8, and the text of a file has a character a byte.
  else write(world, device, folder, Buffer.from(`${nameOf(path)}\n`, 'utf8').toString('latin1'));
  world.coverage.add('people: ignore in the moment');
}

function write(world: World, device: DeviceMachine, folder: string, text: string): void {
  const path = childOf(folder, IGNORE_FILE);
  const kind = device.programs.kindAt(path);
  if (kind !== null && kind !== 'file') return;
  giveUp(world, device, path);
  world.ledger.tolerate(text, device.name);
  try {
    device.programs.write(path, text);
    world.around.onAct(device.name, 'ignore', path);
  } catch (error) {
    if (!isErrno(error)) throw error;
    // Whatever the disk had taken by then may be seen by everybody.
    for (let at = 0; at < text.length; at++) world.ledger.tolerate(text.slice(0, at), device.name);
    device.user.failed = true;
  }
}

function areRules({ path, kind }: { readonly path: string; readonly kind: string }): boolean {
  return kind === 'file' && nameOf(path) === IGNORE_FILE;
}

function drop(world: World, device: DeviceMachine, path: string): void {
  giveUp(world, device, path);
  device.programs.remove(path);
  world.around.onAct(device.name, 'ignore no more', path);
}

/** Whatever somebody made of it. */
function giveUp({ ledger }: World, { programs }: DeviceMachine, path: string): void {
  for (const text of textsAt(programs.tree(), path)) ledger.gaveUp(text);
}

/** Folders that others deleted, and that stay for what their own rules ignored: nobody else's, until somebody clears them away. */
function remnants(device: DeviceMachine): readonly string[] {
  const sql = device.otherProcess().open(device.statePath, { durability: 'normal' });
  const rows = sql
    .prepare(
      `WITH RECURSIVE placed (entry, path) AS (
         SELECT entry, coalesce(alias, name) FROM local WHERE parent = ?
         UNION ALL SELECT l.entry, p.path || '/' || coalesce(l.alias, l.name) FROM local l JOIN placed p ON l.parent = p.entry)
       SELECT path FROM placed JOIN synced USING (entry)
       WHERE presence = 'ignored' AND entry NOT IN (SELECT entry FROM remote) ORDER BY path`,
    )
    .all(ROOT_ENTRY)
    .map((row) => row['path'] as string);
  return rows.filter((path) => !rows.some((other) => path.startsWith(`${other}/`)));
}

/** False where it could not be done in bounded time. */
export async function dropAllRules(world: World): Promise<boolean> {
  for (let left = DROPS_MAX; left > 0; left--) {
    if (!(await untilInSync(world))) return false;
    let dropped = false;
    for (const device of world.devices) {
      const rules = device.programs.paths().filter(areRules);
      const paths = rules.length > 0 ? rules.map(({ path }) => path) : remnants(device);
      for (const path of paths) drop(world, device, path);
      dropped ||= paths.length > 0;
    }
    if (!dropped) return true;
    const seenMs = world.scheduler.nowMs + SEEN_MS;
    await world.scheduler.run(() => world.scheduler.nowMs >= seenMs, { untilMs: seenMs + 1000, tasksMax: TASKS_MAX });
  }
  world.violate('rules: they come back, however often they are taken away');
  return false;
}
