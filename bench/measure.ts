import { setTimeout as sleep } from 'node:timers/promises';
import { startMeter, untilQuiet, type Usage } from './meter.ts';
import type { Running } from './systems/system.ts';
import { difference } from './tree.ts';
import type { Change, Place } from './workloads.ts';

export type Measured = Usage & {
  /** Seconds from the beginning of each change until B held it. */
  readonly seconds: readonly number[];
};

/** How often B is looked at. One look costs tens of microseconds, so this takes one or two per cent of a core. */
const LOOK_MS = 4;

/**
 * Makes a change, and resolves with the seconds until everything about it showed in B.
 * Throws where it takes longer than `secondsMax`, or where the system gives up.
 */
export async function makeAndWait(running: Running, change: Change, secondsMax: number): Promise<number> {
  let failure: string | null = null;
  const start = performance.now();
  change.make();
  const told = running.tell().catch((error: unknown) => void (failure = String(error)));
  let held = 0;
  for (;;) {
    while (held < change.looks.length && change.looks[held]?.()) held++;
    const seconds = (performance.now() - start) / 1000;
    if (held === change.looks.length) {
      await told;
      if (failure !== null) throw new Error(failure);
      return seconds;
    }
    failure ??= running.trouble();
    if (failure !== null) throw new Error(failure);
    if (seconds > secondsMax) throw new Error(`timed out after ${secondsMax} s`);
    await sleep(LOOK_MS);
  }
}

/**
 * Waits until A and B are the same by the hash of every file, for the looks do not see everything.
 * Returns the seconds that it had to wait for that, 0 where it was so at first sight.
 */
async function verify(place: Place, secondsMax: number): Promise<number> {
  const start = performance.now();
  for (;;) {
    const begun = performance.now();
    const different = await difference(place.a, place.b);
    if (different === null) return (begun - start) / 1000;
    if (begun - start > secondsMax * 1000) throw new Error(`not identical: ${different}`);
    await sleep(250);
  }
}

/** Times each of these changes, and counts what all of them cost until the system is at rest again. */
export async function measure(
  running: Running,
  place: Place,
  changes: readonly Change[],
  secondsMax: number,
): Promise<Measured> {
  const meter = startMeter();
  try {
    const seconds: number[] = [];
    for (const [index, change] of changes.entries()) {
      // Saves meet a system at rest, as a person's do, and at odd moments, not always at one point of its own rhythm.
      if (index > 0) await sleep(1000 + ((index * 173) % 1000));
      seconds.push(await makeAndWait(running, change, secondsMax));
    }
    const late = await verify(place, secondsMax);
    // What the looks took for finished was not: the time until it was is part of the time.
    if (late > 0) seconds.push((seconds.pop() ?? 0) + late);
    if (!(await untilQuiet())) console.error('  still busy 15 seconds after the work was done');
    const usage = meter.stop();
    // Having been identical once is not enough: what a system does afterwards must leave it so.
    const different = await difference(place.a, place.b);
    if (different !== null) throw new Error(`identical once, but not at rest: ${different}`);
    const trouble = running.trouble();
    if (trouble !== null) throw new Error(trouble);
    return { seconds, ...usage };
  } finally {
    meter.abandon();
  }
}
