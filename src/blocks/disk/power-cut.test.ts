import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BlockId } from '#core/ids.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { realChecksum } from '#world/real/checksum.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { blockOf } from '../block-store.contract.ts';
import type { Block } from '../block-store.ts';
import { openDiskBlockStore } from './disk-block-store.ts';
import { recordingLog, TEST_NODE } from './disk-block-store.contract.ts';
import { powerCutDisk, type PowerCutDisk } from './power-cut-disk.contract.ts';

const { signal } = new AbortController();

/** Numbers that only depend on the seed. */
function numbers(seed: number): (below: number) => number {
  let state = createHash('sha256').update(String(seed)).digest();
  return (below) => {
    state = createHash('sha256').update(state).digest();
    return state.readUInt32BE() % below;
  };
}

async function open(power: PowerCutDisk) {
  const log = recordingLog();
  const store = await openDiskBlockStore({
    disk: power.disk,
    sql: sqliteOpener,
    // After a power cut the index may know anything that is true of a prefix of the log: here, nothing.
    indexPath: ':memory:',
    node: TEST_NODE,
    log,
    checksum: realChecksum,
    primitives: nodePrimitives,
    segmentBytesMax: 3000,
    segmentRecordsMax: 7,
  });
  return { store, log };
}

/** Puts until a moment that `next` chooses, then cuts the power, or kills the process. Answers with what was acknowledged by then. */
async function runAndCut(power: PowerCutDisk, next: (below: number) => number) {
  const { store, log } = await open(power);
  const errors = log.lines.filter((line) => line.startsWith('error:'));
  const acknowledged: Block[] = [];
  const puts = Array.from({ length: 1 + next(12) }, async (_, put) => {
    for (let wait = next(6); wait > 0; wait--) await Promise.resolve();
    const blocks = Array.from({ length: 1 + next(4) }, () =>
      blockOf(new Uint8Array(next(400)).fill(next(256), 0, next(400))),
    );
    const results = await store.put(blocks, put, signal);
    assert.ok(results.every((result) => result === 'stored' || result === 'held'));
    acknowledged.push(...blocks);
  });
  const moment = next(60);
  for (let turn = 0; turn < moment; turn++) await Promise.resolve();
  const ledger = acknowledged.slice();
  const found = next(3) === 0 ? power.kill() : power.cut(next);
  await Promise.all(puts);
  await store.close();
  return { found, ledger, errors, all: acknowledged };
}

test('a power cut or a kill at any moment loses nothing acknowledged, and what it tears is no damage', async () => {
  let cuts = 0;
  let before = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const next = numbers(seed);
      let power = powerCutDisk();
      const ledger = new Map<BlockId, Uint8Array>();
      for (let round = 0; round < 3; round++) {
        const run = await runAndCut(power, next);
        assert.deepEqual(run.errors, []);
        for (const { id, bytes } of run.ledger) ledger.set(id, bytes);
        cuts += 1;
        if (run.ledger.length < run.all.length) before += 1;
        power = run.found;
        const { store } = await open(power);
        // What nobody had acknowledged is, if it is held: from then on it must survive the next cut.
        const held = await store.has(
          run.all.map(({ id }) => id),
          signal,
        );
        const again = run.all.filter((_, index) => held[index]);
        assert.deepEqual(new Set(await store.put(again, 0, signal)), new Set(again.map(() => 'held')));
        for (const { id, bytes } of again) ledger.set(id, bytes);
        if (next(2) === 0) power = power.cut(next);
        const ids = [...ledger.keys()];
        const got = await store.get(ids, signal);
        got.forEach((result, index) =>
          assert.deepEqual(result, { kind: 'found', bytes: ledger.get(ids[index] as BlockId) }),
        );
        assert.equal((await store.status()).quarantined, 0);
        await store.close();
      }
    }),
    { numRuns: 100 },
  );
  assert.ok(before > cuts / 3, `only ${before} of ${cuts} cuts hit the midst of the work`);
});
