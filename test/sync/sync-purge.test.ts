/** A device that was away while what others deleted and overtook was purged. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { rulesAdd, rulesApply } from '#protocol/cluster.ts';
import { ask } from '#protocol/call.ts';
import { realClock } from '#world/real/clock.ts';
import { converged, SyncWorld, type Device } from './sync-world.ts';

const DAY_MS = 24 * 3_600_000;
let aheadMs = 0;
const clock = { ...realClock, monotonicMs: () => realClock.monotonicMs() + aheadMs };

function countIn(index: string, table: string): number {
  const database = new DatabaseSync(index, { readOnly: true });
  try {
    return Number(database.prepare(`select count(*) as n from ${table}`).get()?.['n']);
  } finally {
    database.close();
  }
}

/** `horizon`: whether journals are shortened meanwhile, so that who was away reads a listing. */
for (const horizon of [false, true])
  test(`deletes hold, edits live on, and nothing comes back that was purged, ${horizon ? 'past' : 'within'} the journal’s horizon`, async () => {
    const world = await SyncWorld.start({
      clock,
      journalKept: { days: 1, rows: horizon ? 0 : 100_000, dayMs: DAY_MS },
      collection: { everyMs: DAY_MS, graceMs: 0 },
    });
    const days = async (count: number) => {
      for (let day = 0; day < count; day++) {
        aheadMs += DAY_MS;
        await world.server.trimJournals();
        await world.server.purgeHistory();
        await world.server.collectGarbage();
      }
    };
    try {
      const devices = [await world.device('a'), await world.device('b'), await world.device('witness')];
      const [a, b, witness] = devices as [Device, Device, Device];
      for (const device of devices) device.start();
      const never = new AbortController().signal;
      const rule = { extensions: [], glob: '*', pool: 'others', historyDays: 1, first: true };
      await ask(a.peer(), rulesAdd, rule, never);
      await ask(a.peer(), rulesApply, { rules: null }, never);
      for (const name of ['gone', 'kept']) mkdirSync(a.path(name));
      for (const name of ['gone/x', 'gone/edited', 'gone/moved', 'kept/f', 'twice', 'alone', 'single'])
        writeFileSync(a.path(name), `${name}, the first`);
      await converged(devices);
      await b.stop();
      rmSync(a.path('gone'), { recursive: true });
      for (const name of ['alone', 'single']) rmSync(a.path(name));
      for (const time of ['second', 'third']) {
        writeFileSync(a.path('twice'), `twice, the ${time}`);
        await converged([a, witness]);
      }
      await days(4);
      const index = await world.copyIndex();
      assert.deepEqual(
        [countIn(index, 'purged'), countIn(index, 'content')],
        [1, 2],
        'twice and kept/f have their bytes',
      );
      writeFileSync(b.path('gone/edited'), 'edited by b');
      writeFileSync(b.path('single'), 'edited by b as well');
      // Moved and not edited: it was deleted.
      renameSync(b.path('gone/moved'), b.path('kept/moved'));
      b.start();
      await converged(devices, {
        gone: '/',
        'gone/edited': 'edited by b',
        kept: '/',
        'kept/f': 'kept/f, the first',
        single: 'edited by b as well',
        twice: 'twice, the third',
      });
      for (const device of devices) await device.stop();
    } finally {
      await world.end();
    }
  });
