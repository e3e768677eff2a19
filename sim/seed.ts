/**
 * One seed: a world is built, people work in rounds while things go wrong, and after each round it must come to rest with nothing lost.
 * In some rounds one person works alone, and the result is known exactly.
 */
import { must } from '#core/assert.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import { choosingDevice, selectAll, stirChoices } from './choices.ts';
import { actAtClone, checkClone, cloningRound, planClone } from './cloned.ts';
import { buildCopies, checkCopies, keepsCopies, stirCopies } from './copies.ts';
import type { Counts } from './coverage.ts';
import { historyEnds, noteEnded } from './history.ts';
import { dropAllRules, keepsRules, stirRules } from './ignores.ts';
import type { Tree } from './programs.ts';
import { checkDurability, checkQuiet, checkStillness, copyTree, untilQuiet, withoutOthers } from './quiet.ts';
import { checkRescue } from './rescue-check.ts';
import { planMeetings } from './meetings.ts';
import { makeScript, type ScriptRound, type SeedOptions } from './script.ts';
import { checkUntouched, noteBefore, Shadow } from './untouched.ts';
import { said, World } from './world.ts';

export type SeedOutcome = {
  readonly seed: string;
  readonly violations: readonly string[];
  readonly hash: string;
  readonly tasks: number;
  readonly virtualMs: number;
  readonly counts: Counts;
  readonly lines: readonly string[];
};

const DEVICES = 3;
const POOLS = ['txt', 'mp3', 'others'];

/** `traceLines`: of the history, how many to keep; 0 for none. */
export async function runSeed(options: SeedOptions, traceLines = 0): Promise<SeedOutcome> {
  const world = new World({ seed: options.seed, devices: DEVICES, pools: POOLS, traceLines });
  try {
    await world.build();
    if (keepsCopies(options.seed)) await world.drive(buildCopies(world));
    await runRounds(world, options);
  } catch (error) {
    world.violate(`the world broke: ${said(error)}`);
  } finally {
    world.end();
  }
  const { scheduler, coverage, violations } = world;
  return {
    seed: options.seed,
    violations,
    hash: scheduler.trace.hash,
    tasks: scheduler.count,
    virtualMs: scheduler.nowMs,
    counts: coverage.counts,
    lines: scheduler.trace.lines,
  };
}

async function runRounds(world: World, options: SeedOptions): Promise<void> {
  const holds = () => world.violations.length === 0;
  if (!(await untilQuiet(world))) return;
  const rounds = makeScript(options, DEVICES);
  for (const [number, round] of rounds.entries()) {
    await runRound(world, options, round, number);
    if (!holds()) return;
    if (number % 2 === 1) await checkStillness(world, new SimRandom(`${options.seed} stillness ${number}`));
    if (!holds()) return;
  }
  const choosing = choosingDevice(world);
  if (choosing && new SimRandom(`${options.seed} all again`).chance(0.5)) {
    selectAll(world, choosing);
    world.coverage.add('choices: all selected again');
    if (!(await untilQuiet(world))) return;
    await checkQuiet(world, null);
    if (!holds()) return;
  }
  await checkDurability(world);
  if (!holds()) return;
  await checkRescue(world, withoutOthers(must(world.devices[0], 'there is a device').tree()));
}

async function runRound(
  world: World,
  { seed, rounds }: SeedOptions,
  round: ScriptRound,
  number: number,
): Promise<void> {
  const random = new SimRandom(`${seed} round ${number}`);
  const { scheduler } = world;
  const shadow = round.alone === null ? null : new Shadow();
  const choosing = choosingDevice(world);
  const lone = must(world.devices[round.alone ?? 0], 'there is a device');
  // Who sees a part alone is not known exactly to all others.
  let seesAll = lone !== choosing || lone.notWanted().size === 0;
  if (shadow) copyTree(lone.tree(), shadow);
  const before = shadow && (await noteBefore(world, shadow));
  const endMs = scheduler.nowMs + round.lengthMs;
  for (const device of world.devices) device.user.shadow = shadow;
  for (const operation of round.operations) {
    scheduler.after(null, operation.atMs, 'person', () => {
      const device = must(world.devices[operation.device], 'a person sits at a device');
      device.act(new SimRandom(`${seed} operation ${operation.number}`));
    });
  }
  if (!shadow) planMeetings(world, new SimRandom(`${seed} meeting ${number}`), round.lengthMs);
  if (keepsCopies(seed)) stirCopies(world, new SimRandom(`${seed} cluster ${number}`));
  if (choosing && !(shadow && seesAll && lone === choosing))
    stirChoices(world, choosing, new SimRandom(`${seed} choices ${number}`), round.lengthMs);
  const cloning = cloningRound(world, rounds);
  if (cloning === number) {
    planClone(world, new SimRandom(`${seed} cloned ${number}`), round.lengthMs);
    seesAll = false;
  } else if (cloning !== null && !shadow) actAtClone(world, new SimRandom(`${seed} cloned ${number}`), round.lengthMs);
  const ignoring = keepsRules(world, rounds);
  if (ignoring) {
    stirRules(world, new SimRandom(`${seed} rules ${number}`), round.lengthMs);
    seesAll = false;
  }
  const faults = new RunningFaults(world, seed);
  for (const fault of round.faults) faults.plan(fault);
  await scheduler.run(() => scheduler.nowMs >= endMs, { untilMs: endMs + 60_000, tasksMax: 3_000_000 });
  faults.endAll();
  heal(world, random);
  const { decided } = world;
  if (ignoring && !(await dropAllRules(world))) return;
  if (!(await untilQuiet(world))) return;
  const tellsNames = world.devices.every((device) => device.tellsNames);
  const exact =
    shadow !== null &&
    seesAll &&
    tellsNames &&
    faults.exact &&
    decided === world.decided &&
    world.devices.every(({ user }) => !user.failed);
  const expected: Tree | null = exact ? must(shadow, 'one person works alone').tree() : null;
  const isLeftAlone = faults.exact && cloning === null && !ignoring && world.devices.every(({ user }) => !user.failed);
  world.coverage.add(expected ? 'round: alone, exactly' : shadow ? 'round: alone' : 'round: all at once');
  for (const device of world.devices) device.user.failed = false;
  if (choosing && choosing.notWanted().size > 0) world.coverage.add('round: a part left out');
  if (ignoring) world.coverage.add('round: rules come and go');
  if (historyEnds(seed)) await noteEnded(world);
  await checkQuiet(world, expected);
  if (shadow && before && isLeftAlone) await checkUntouched(world, before, shadow);
  await checkClone(world, new SimRandom(`${seed} apart ${number}`));
  if (keepsCopies(seed) && world.violations.length === 0) await checkCopies(world);
}

class RunningFaults {
  readonly #world: World;
  readonly #seed: string;
  readonly #ends: (() => void)[] = [];
  exact = true;
  #closed = false;

  constructor(world: World, seed: string) {
    this.#world = world;
    this.#seed = seed;
  }

  plan({ number, fault, atMs, forMs }: ScriptRound['faults'][number]): void {
    const { scheduler, coverage } = this.#world;
    scheduler.after(null, atMs, `fault ${fault.name}`, () => {
      if (this.#closed) return;
      coverage.add(`fault: ${fault.name}`);
      if (fault.endsExactness) this.exact = false;
      const end = fault.begin(this.#world, new SimRandom(`${this.#seed} fault ${number}`));
      let over = false;
      const once = () => {
        if (!over) end();
        over = true;
      };
      this.#ends.push(once);
      scheduler.after(null, forMs, `end of ${fault.name}`, once);
    });
  }

  endAll(): void {
    this.#closed = true;
    for (const end of this.#ends) end();
  }
}

/** All faults are over. Devices that lost hints find what they missed by their next full scan; most are started anew, which scans as well. */
function heal(world: World, random: SimRandom): void {
  world.calm();
  world.net.mendAll();
  for (const machine of world.machines) {
    machine.wall.aheadMs = 0;
    if (machine.process) {
      machine.process.doom = null;
      machine.process.stoppedUntilMs = 0;
    }
    world.bringUp(machine);
  }
  for (const device of world.devices) device.openFolders();
  if (random.chance(0.05)) return;
  for (const device of world.devices) {
    device.kill();
    world.bringUp(device);
  }
}
