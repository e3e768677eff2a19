import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIB } from '#core/limits.ts';
import { CARE } from './care-settings.ts';
import { Jobs, type StandingWork } from './jobs.ts';
import type { ServerContext } from './server-context.ts';

/** Runs work whose steps each take that long and carry that much, until so many are done. Resolves with how long that was. */
async function carry(steps: number, stepMs: number, bytes: number): Promise<number> {
  const closing = new AbortController();
  let nowMs = 0;
  let left = steps;
  const work: StandingWork = {
    wake() {},
    row: async () => null,
    async step() {
      if (left-- === 0) closing.abort();
      else nowMs += stepMs;
      return { busy: !closing.signal.aborted, bytes: closing.signal.aborted ? 0 : bytes };
    },
  };
  const context = {
    care: CARE,
    closing: closing.signal,
    clock: {
      monotonicMs: () => nowMs,
      async sleep(ms: number) {
        if (!closing.signal.aborted) nowMs += ms;
      },
    },
    meta: { read: async () => [] },
  };
  await new Jobs(context as unknown as ServerContext, [work]).run();
  return nowMs;
}

test('what repair carries is what it may carry, whatever part of the time the carrying takes', async () => {
  // 64 MiB a second: 62.5 ms for each 4 MiB.
  for (const stepMs of [0, 20, 60]) assert.equal(await carry(16, stepMs, 4 * MIB), 1000);
});

test('where carrying takes longer than it may, nothing is waited for', async () => {
  assert.equal(await carry(10, 100, 4 * MIB), 1000);
});
