/** What is drawn is fair to every block, so that whoever drops some is found as soon as the numbers say. A seed decides all of it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { id16Of, id32Of, type BlockId, type SpaceId } from '#core/ids.ts';
import { putPresence } from '#meta/contents.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { realClock } from '#world/real/clock.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import { below, ChallengeSample } from './challenge-sample.ts';

/** Rows of each space. */
const SPACES = [100, 900, 4000];
const EACH = 60;

/** Node 1 holds every block, node 2 one of three. */
async function withRows(
  seed: string,
  spaces: readonly number[],
  work: (sample: ChallengeSample, ids: readonly (readonly BlockId[])[], meta: MetaStore) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-sample-'));
  const meta = await openSqliteMetaStore(sqliteOpener, path.join(directory, 'meta.db'));
  const random = new SimRandom(seed);
  const ids: BlockId[][] = [];
  for (const rows of spaces) {
    const space = id16Of<SpaceId>(random.bytes(16));
    const own = Array.from({ length: rows }, () => id32Of<BlockId>(random.bytes(32)));
    const placed = own.map((block, index) => {
      return { block, pool: 'txt', length: 100, holders: index % 3 === 0 ? [1, 2] : [1], owed: 0 };
    });
    await meta.write((writer) => putPresence(writer, space, placed));
    ids.push(own);
  }
  try {
    await work(new ChallengeSample({ meta, clock: realClock, random }), ids, meta);
  } finally {
    await meta.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

test('every space and every block has its share of the draws, also the ids that lie close behind others', () =>
  withRows('shares', SPACES, async (sample, ids) => {
    const draws = 200;
    const times = new Map<BlockId, number>();
    for (let draw = 0; draw < draws; draw++) {
      const drawn = await sample.draw([1, 2], EACH);
      assert.equal(drawn.get(1)?.length, EACH);
      assert.equal(drawn.get(2)?.length, EACH);
      assert.ok(drawn.get(2)?.every(({ holders }) => holders.includes(2)));
      for (const { block } of drawn.get(1) ?? []) times.set(block, 1 + (times.get(block) ?? 0));
    }
    const share = (blocks: readonly BlockId[]) =>
      blocks.reduce((sum, block) => sum + (times.get(block) ?? 0), 0) / (draws * EACH);
    ids.forEach((own) => {
      const fair = own.length / 5000;
      assert.ok(Math.abs(share(own) - fair) < 0.1 * fair + 0.01, `${share(own)} of the draws, not ${fair}`);
    });
    // What a node would drop that knows how it is drawn: the ids that lie closest behind their neighbours.
    const sorted = (ids[2] ?? []).toSorted();
    const at = (id: BlockId) => Number.parseInt(id.slice(0, 12), 16);
    const gaps = sorted.slice(1).map((id, index) => ({ id, gap: at(id) - at(sorted[index] as BlockId) }));
    const closest = gaps.toSorted((left, right) => left.gap - right.gap).slice(0, 400);
    const fair = closest.length / 5000;
    assert.ok(share(closest.map(({ id }) => id)) > 0.8 * fair);
  }));

// Each of 5,000 blocks is drawn within the hour with 1 - (1 - 60/5000)^60 = 52 in a hundred; three or more of ten are, with 95 in a hundred.
test('who dropped two blocks of a thousand is met three times within the hour, in nine trials of ten', () =>
  withRows('an hour', [5000], async (sample, [ids]) => {
    const drawn = new Set<BlockId>();
    for (let minute = 0; minute < 60; minute++)
      for (const { block } of (await sample.draw([1], EACH)).get(1) ?? []) drawn.add(block);
    let found = 0;
    for (let trial = 0; trial < 100; trial++)
      if ((ids ?? []).filter((block, index) => index % 500 === trial && drawn.has(block)).length >= 3) found++;
    assert.ok(found >= 90, `${found} of 100`);
  }));

test('of few rows each comes up; a node that holds nothing gets nothing', () =>
  withRows('few', [40], async (sample, [ids]) => {
    const drawn = await sample.draw([1, 2, 3], EACH);
    assert.deepEqual(new Set(drawn.get(1)?.map(({ block }) => block)), new Set(ids));
    assert.equal(drawn.get(2)?.length, 14);
    assert.deepEqual(drawn.get(3), []);
  }));

test('numbers below a limit are all drawn, and no other', () => {
  const random = new SimRandom('below');
  assert.deepEqual(new Set(Array.from({ length: 200 }, () => below(random, 5))), new Set([0, 1, 2, 3, 4]));
  assert.equal(below(random, 1), 0);
});
