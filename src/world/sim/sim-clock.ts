/** One machine's clock in a simulated world: the wall clock may be set, the monotonic one is the world's. */
import type { Clock } from '../clock.ts';
import type { Scheduler, SimProcess } from './scheduler.ts';

/** 2026-01-01T00:00:00Z. */
const START_MS = 1_767_225_600_000;

/** What a machine's wall clock is ahead of the world's. */
export type Wall = { aheadMs: number };

export function wallMs(scheduler: Scheduler, wall: Wall): number {
  return Math.floor(START_MS + scheduler.nowMs + wall.aheadMs);
}

export function simClock(scheduler: Scheduler, actor: SimProcess, wall: Wall): Clock {
  const asleep = new Set<() => void>();
  // A signal that is listened to is never collected, nor is what its listener knows: the whole process that ended.
  actor.onEnd(() => {
    for (const forget of asleep) forget();
    asleep.clear();
  });
  return {
    nowMs: () => wallMs(scheduler, wall),
    monotonicMs: () => scheduler.nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const end = () => {
          forget();
          asleep.delete(forget);
          resolve();
        };
        const timer = scheduler.after(actor, ms, 'timer', end);
        const abort = () => {
          timer.cancel();
          end();
        };
        const forget = () => signal.removeEventListener('abort', abort);
        asleep.add(forget);
        signal.addEventListener('abort', abort, { once: true });
      }),
  };
}
