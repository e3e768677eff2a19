/**
 * In some worlds a person does not want all of the space on one device: folders and files are deselected and selected while the client runs
 * or before it starts, and what is missing there for that must be missed by nobody else.
 */
import { must } from '#core/assert.ts';
import { chooseAt, readNotSelected } from '#client/choose.ts';
import { readChoices } from '#client/selection.ts';
import { openState } from '#client/state.ts';
import type { EntryId } from '#core/ids.ts';
import { ROOT_ENTRY } from '#core/ids.ts';
import { IGNORE_FILE } from '#core/ignore.ts';
import { isSelected, type Choices } from '#core/selection.ts';
import type { SqlOpener } from '#world/sql.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import type { DeviceMachine } from './device-machine.ts';
import { whileAtWork } from './moments.ts';
import { nameOf } from './programs.ts';
import type { World } from './world.ts';

const ACTS_MAX = 4;
const MOMENTS_MAX = 2;
const SOON_MS = 500;
/** One command chooses at a time; this many undo whatever choices there are. */
const SELECTS_MAX = 1000;

/** Of the devices, the one at which somebody chooses; null: nobody does. Never the first one, which others are compared with. */
export function choosingDevice(world: World): DeviceMachine | null {
  const random = new SimRandom(`${world.options.seed} choices`);
  if (!random.chance(0.3)) return null;
  return must(world.devices[1 + random.below(world.options.devices - 1)], 'there are more devices than one');
}

/** What a person chooses on that device while people work. */
export function stirChoices(world: World, device: DeviceMachine, random: SimRandom, lengthMs: number): void {
  for (let left = random.below(ACTS_MAX + 1); left > 0; left--) {
    const drawn = new SimRandom(`${random.below(2 ** 32)}`);
    world.scheduler.after(null, random.below(lengthMs), 'person chooses', () => chooseSomething(world, device, drawn));
  }
  const moment = { world, random: new SimRandom(`${random.below(2 ** 32)}`), endMs: world.scheduler.nowMs + lengthMs };
  world.scheduler.after(null, random.below(lengthMs), 'person waits to choose', () =>
    whileAtWork(moment, device, MOMENTS_MAX, (named) => chooseOf(world, device, named, moment.random)),
  );
}

/** Of what the device is about, or what that lies in, something is to go, or comes back. */
function chooseOf(world: World, device: DeviceMachine, named: ReadonlySet<string>, random: SimRandom): void {
  const sql = device.otherProcess();
  const rows = readSpace(sql, device.statePath).filter(
    ({ path }) => nameOf(path) !== IGNORE_FILE && path.split('/').some((name) => named.has(name)),
  );
  if (rows.length === 0) return;
  const { entry, path } = random.pick(rows);
  const isWanted = !readNotWanted(sql, device.statePath).has(entry);
  choose(world, device, path, !isWanted, random.chance(0.8));
  world.coverage.add('people: choose in the moment');
}

/** Something that is there now goes from that device. */
export function deselectSoon(world: World, device: DeviceMachine, random: SimRandom): void {
  const drawn = new SimRandom(`${random.below(2 ** 32)}`);
  world.scheduler.after(null, random.below(SOON_MS), 'person deselects', () => {
    if (!device.hasPower || !device.isLinked) return;
    const notWanted = device.notWanted();
    const rows = readSpace(device.otherProcess(), device.statePath).filter(
      ({ entry, path }) => !notWanted.has(entry) && nameOf(path) !== IGNORE_FILE,
    );
    if (rows.length > 0) choose(world, device, drawn.pick(rows).path, false, true);
  });
}

function chooseSomething(world: World, device: DeviceMachine, random: SimRandom): void {
  if (!device.hasPower || !device.isLinked) return;
  const sql = device.otherProcess();
  const notSelected = readNotSelected(sql, device.statePath);
  if (notSelected.length > 0 && random.chance(0.4))
    return choose(world, device, random.pick(notSelected).path, true, random.chance(0.8));
  const rows = readSpace(sql, device.statePath).filter(({ path }) => nameOf(path) !== IGNORE_FILE);
  const folders = rows.filter(({ kind }) => kind === 'folder');
  const from = folders.length > 0 && random.chance(0.8) ? folders : rows;
  if (from.length > 0) choose(world, device, random.pick(from).path, random.chance(0.15), random.chance(0.8));
}

/** `told`: whether a client that runs hears of it at once. */
function choose(world: World, device: DeviceMachine, path: string, wanted: boolean, told: boolean): void {
  chooseAt(device.otherProcess(), device.statePath, path, wanted);
  world.around.onAct(device.name, wanted ? 'select' : 'deselect', path);
  if (told) device.tellChosen();
}

/** Everything is wanted there again, by the commands that a person has. */
export function selectAll(world: World, device: DeviceMachine): void {
  for (let left = SELECTS_MAX; left > 0; left--) {
    const [first] = readNotSelected(device.otherProcess(), device.statePath);
    if (!first) return;
    choose(world, device, first.path, true, true);
  }
  world.violate(`${device.name}: things stay deselected, whatever is selected`);
}

type SpaceRow = { readonly entry: EntryId; readonly parent: EntryId; readonly path: string; readonly kind: string };

/** What a device has heard of the space, folders before what is in them. */
function readSpace(sql: SqlOpener, statePath: string): readonly SpaceRow[] {
  const state = openState(sql, statePath, { readOnly: true });
  const rows = state.sql.prepare(
    `WITH RECURSIVE placed (entry, parent, path, kind) AS (
       SELECT entry, parent, name, kind FROM remote WHERE parent = ?
       UNION ALL SELECT r.entry, r.parent, p.path || '/' || r.name, r.kind FROM remote r JOIN placed p ON r.parent = p.entry)
     SELECT * FROM placed`,
  );
  return rows.all(ROOT_ENTRY) as unknown as SpaceRow[];
}

/** What a device is not to have on its disk: entries, with their paths in the space. */
export function readNotWanted(sql: SqlOpener, statePath: string): ReadonlyMap<EntryId, string> {
  const state = openState(sql, statePath, { readOnly: true });
  const choices: Choices = readChoices(state);
  const notWanted = new Map<EntryId, string>();
  if (choices.size === 0) return notWanted;
  const rows = readSpace(sql, statePath);
  const parents = new Map(rows.map(({ entry, parent }) => [entry, parent]));
  const parentOf = (entry: EntryId) => parents.get(entry) ?? null;
  for (const { entry, parent, path } of rows)
    if (notWanted.has(parent) || !isSelected(choices, entry, parentOf)) notWanted.set(entry, path);
  return notWanted;
}
