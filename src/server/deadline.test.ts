import assert from 'node:assert/strict';
import test from 'node:test';
import type { Clock } from '#world/clock.ts';
import { withDeadline } from './deadline.ts';

/** Sleepers wake when the test says so, or when their signal aborts. */
function stoppedClock() {
  const sleepers = new Set<() => void>();
  const clock: Clock = {
    nowMs: () => 0,
    monotonicMs: () => 0,
    sleep: (_ms, signal) =>
      new Promise((resolve) => {
        const wake = () => {
          sleepers.delete(wake);
          resolve();
        };
        sleepers.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      }),
  };
  return { clock, sleepers, pass: () => [...sleepers].forEach((wake) => wake()) };
}

const never = new AbortController().signal;

test('an answer in time is passed on, and nothing goes on sleeping', async () => {
  const { clock, sleepers } = stoppedClock();
  assert.equal(await withDeadline(clock, 5, never, async () => 7), 7);
  assert.equal(sleepers.size, 0);
  await assert.rejects(
    withDeadline(clock, 5, never, async () => {
      throw new Error('its own');
    }),
    /its own/,
  );
  assert.equal(sleepers.size, 0);
});

test('who does not answer is given up, and told by his signal', async () => {
  const { clock, pass } = stoppedClock();
  let told: AbortSignal | null = null;
  const waiting = withDeadline(clock, 5, never, (signal) => {
    told = signal;
    return new Promise<never>(() => {});
  });
  pass();
  await assert.rejects(waiting, { code: 'timeout' });
  assert.equal((told as AbortSignal | null)?.aborted, true);
});

test('a caller that gives up does not wait for the deadline', async () => {
  const { clock } = stoppedClock();
  const caller = new AbortController();
  const waiting = withDeadline(clock, 5, caller.signal, () => new Promise<never>(() => {}));
  caller.abort();
  await assert.rejects(waiting);
});
