/** A folder of many files in which one is written to all the time. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { converged, SyncWorld } from './sync-world.ts';

test('a log that is written to all the time costs looks at the log, not listings of the folder that it lies in', async (context) => {
  const world = await SyncWorld.start();
  context.after(() => world.end());
  const [a, b] = [await world.device('anna'), await world.device('bert')];
  mkdirSync(a.path('logs'));
  for (let index = 0; index < 1000; index++) writeFileSync(a.path(`logs/${index}`), String(index));
  for (const device of [a, b]) device.start();
  await converged([a, b], undefined, 60_000);
  await delay(3000);
  const lists = new Map([a, b].map((device) => [device.name, [] as string[]]));
  for (const device of [a, b]) device.gate.onList = (paths) => lists.get(device.name)?.push(...paths);
  for (let line = 0; line < 40; line++) {
    appendFileSync(a.path('logs/7'), `line ${line}\n`);
    await delay(150);
  }
  await converged([a, b]);
  for (const [name, listed] of lists) assert.ok(listed.length <= 3, `${name} listed ${listed.join(', ')}`);
});
