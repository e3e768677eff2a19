/** Timers of real machines end a fraction of a millisecond early, and time passes while a turn is made. Nobody sleeps for a minute for it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { HoldfastError } from '#core/errors.ts';
import type { Clock } from '#world/clock.ts';
import { realClock } from '#world/real/clock.ts';
import { converged, SyncWorld } from './sync-world.ts';

/** What looking at the clock takes. */
const LOOK_MS = 0.01;
/** The first wait after an outage is a fifth of a second, and the longest rest a minute. */
const SOON_MS = 10_000;
/** After what was written, the folder is looked at for a second yet. */
const QUIET_MS = 1300;

let world: SyncWorld;
before(async () => {
  world = await SyncWorld.start();
});
after(() => world.end());

/** Its time passes by being looked at and slept, and each sleep ends that much before it should. */
function earlyClock(early: { ms: number }): Clock {
  let atMs = 0;
  return {
    ...realClock,
    monotonicMs: () => (atMs += LOOK_MS),
    sleep: async (ms, signal) => {
      const wakesMs = atMs + ms - early.ms;
      await realClock.sleep(ms, signal);
      if (!signal.aborted) atMs = Math.max(atMs, wakesMs);
    },
  };
}

test('a device that wakes a moment before the server is to be asked again asks it a moment later', async () => {
  const early = { ms: 0 };
  const [a, b] = [await world.device('a'), await world.device('b')];
  b.clock = earlyClock(early);
  a.start();
  b.start();
  await converged([a, b], {});
  const tree: Record<string, string> = {};
  for (let looks = 1; looks <= 20; looks += 3) {
    early.ms = looks * LOOK_MS;
    let failed = 0;
    // Nothing else is to wake it.
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    // The request that is held is answered by the change.
    b.gate.answer = (verb) => {
      if (verb !== 'pull' || failed++ > 0) return null;
      throw new HoldfastError('unreachable', 'the line is cut once');
    };
    tree[`f${looks}`] = 'new';
    writeFileSync(a.path(`f${looks}`), 'new');
    await converged([a, b], tree, SOON_MS);
    assert.ok(failed > 0, 'the line was not cut: the test does not test what it says');
  }
});
