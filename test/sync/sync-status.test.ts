import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { readState } from '#client/status.ts';
import { HoldfastError } from '#core/errors.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
before(async () => {
  world = await SyncWorld.start();
});
after(() => {
  // Also where a test failed before it came to that.
  for (const barrier of barriers) barrier.open();
  return world.end();
});

/** As another process reads it. */
const stored = (device: Device) => readState(sqliteOpener, device.statePath);

/** A place where something waits until it is let go. */
type Barrier = { readonly reached: () => boolean; readonly wait: () => Promise<void>; readonly open: () => void };
const barriers: Barrier[] = [];
function barrier(): Barrier {
  let isReached = false;
  const { promise, resolve } = Promise.withResolvers<void>();
  const made: Barrier = {
    reached: () => isReached,
    wait: () => {
      isReached = true;
      return promise;
    },
    open: resolve,
  };
  barriers.push(made);
  return made;
}

test('what the last run said does not stand while the next one has not looked', async () => {
  const device = await world.device('again');
  device.start();
  await converged([device]);
  assert.deepEqual([stored(device)?.running, stored(device)?.inSync], [true, true]);
  await device.stop();
  assert.deepEqual([stored(device)?.running, stored(device)?.inSync], [false, false]);
  const server = barrier();
  device.gate.before = server.wait;
  device.start();
  assert.deepEqual([stored(device)?.running, stored(device)?.inSync], [true, false]);
  server.open();
  await converged([device]);
  await device.stop();
});

test('a client that cannot reach its server at start says so to other processes', async () => {
  const device = await world.device('alone');
  device.gate.before = () => {
    throw new HoldfastError('unreachable', 'no line');
  };
  device.start();
  await eventually(
    () => stored(device)?.problems[0]?.code === 'unreachable',
    () => stored(device),
  );
  await device.stop();
});

test('a change is told of at once, even while the client is busy with something that takes long', async () => {
  const device = await world.device('busy');
  device.start();
  await converged([device]);
  // A directory is listed by caution alone some time after a change: mostly when all is in sync again.
  const listing = barrier();
  device.gate.beforeList = () => (device.client?.status().inSync ? listing.wait() : undefined);
  for (let round = 0; round < 5 && !listing.reached(); round++) {
    writeFileSync(device.path('first'), String(round));
    const untilMs = Date.now() + 4000;
    await eventually(
      () => listing.reached() || Date.now() > untilMs,
      () => device.client?.status(),
    );
  }
  assert.ok(listing.reached());
  assert.equal(stored(device)?.inSync, true);
  writeFileSync(device.path('second'), '2');
  await eventually(
    () => stored(device)?.inSync === false && device.client?.status().inSync === false,
    () => stored(device),
  );
  listing.open();
  await converged([device]);
  await device.stop();
});

test('what another device did is told of before it is fetched', async () => {
  const here = await world.device('here');
  const there = await world.device('there');
  here.start();
  there.start();
  await converged([here, there]);
  const fetching = barrier();
  here.gate.before = (verb) => (/get|fetch|content/.test(verb) ? fetching.wait() : undefined);
  writeFileSync(there.path('theirs'), 'text');
  await eventually(fetching.reached, () => here.gate.calls);
  assert.equal(stored(here)?.inSync, false);
  fetching.open();
  await converged([here, there]);
  await here.stop();
  await there.stop();
});

test('whoever waits for everything to be in sync hears of what the disk refuses, for as long as it does', async () => {
  const writer = await world.device('writer');
  const refused = await world.device('refused');
  for (const device of [writer, refused]) device.start();
  await converged([writer, refused]);
  let asked = 0;
  refused.gate.refuse = (step) => {
    if (step.kind !== 'place') return null;
    asked++;
    return { kind: 'failed', code: 'no_space', detail: 'the disk is full' };
  };
  writeFileSync(writer.path('file'), 'text');
  await eventually(
    () => asked > 0,
    () => refused.client?.status(),
  );
  const status = await refused.client?.untilInSync(new AbortController().signal);
  assert.deepEqual(
    [status?.inSync, status?.problems.map(({ path, code }) => [path, code])],
    [false, [['file', 'no_space']]],
  );
  // A moment is no reason to give up.
  assert.ok(asked > 1);
  delete refused.gate.refuse;
  await converged([writer, refused]);
  await writer.stop();
  await refused.stop();
});

test('nor does a directory that cannot be read keep anybody waiting', async () => {
  const device = await world.device('unreadable');
  device.start();
  mkdirSync(device.path('closed'));
  await converged([device]);
  device.gate.closed.add('closed');
  writeFileSync(device.path('closed/file'), 'text');
  await eventually(
    () => device.client?.status().inSync === false,
    () => device.client?.status(),
  );
  const status = await device.client?.untilInSync(new AbortController().signal);
  assert.deepEqual(
    [status?.inSync, status?.problems.map(({ path, code }) => [path, code])],
    [false, [['closed', 'not_permitted_by_disk']]],
  );
  device.gate.closed.clear();
  await device.stop();
});
