/** A device that was away for longer than the journal is kept, and servers that answer what cannot be. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { HoldfastError } from '#core/errors.ts';
import type { Wire } from '#protocol/wire.ts';
import { realClock } from '#world/real/clock.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

const DAY_MS = 24 * 3_600_000;
/** More than a thousand entries, looked at over and over while they settle. */
const LONG_MS = 90_000;
let aheadMs = 0;
const clock = { ...realClock, monotonicMs: () => realClock.monotonicMs() + aheadMs };

let world: SyncWorld;
let a: Device;
let b: Device;
/** Shows what of `a` is on the server. */
let witness: Device;
let runs = 0;
before(async () => {
  world = await SyncWorld.start({ clock, journalKept: { days: 1, rows: 0, dayMs: DAY_MS } });
});
after(() => world.end());
beforeEach(async () => {
  runs++;
  a = await world.device(`a${runs}`);
  b = await world.device(`b${runs}`);
  witness = await world.device(`w${runs}`);
  for (const device of [a, b, witness]) device.start();
  await converged([a, b, witness], {});
});
afterEach(async () => {
  for (const device of [a, b]) {
    delete device.gate.answer;
    delete device.gate.before;
    if (!device.client) device.start();
  }
  for (const name of Object.keys(a.tree())) rmSync(a.path(name), { recursive: true, force: true });
  await converged([a, b, witness], {});
  for (const device of [a, b, witness]) await device.stop();
});

/** Nobody's cursor of today is valid afterwards. */
async function shorten(): Promise<void> {
  for (let day = 0; day < 3; day++) {
    aheadMs += DAY_MS;
    await world.server.trimJournals();
  }
}

const reasons = (device: Device) => {
  const seen: string[] = [];
  device.gate.answer = (verb, answer) => {
    const { spaces } = answer.body as { spaces?: { kind: string; reason?: string }[] };
    if (verb === 'pull') for (const { reason } of spaces ?? []) if (reason) seen.push(reason);
    return null;
  };
  return seen;
};

test('who was away past the horizon: others’ deletes hold, own edits and deletes go up, nothing comes back', async () => {
  for (const name of ['gone', 'stays']) mkdirSync(a.path(name));
  for (const name of ['gone/x', 'gone/edited', 'stays/f', 'edit', 'mine', 'moved', 'both'])
    writeFileSync(a.path(name), name);
  await converged([a, b, witness]);
  await b.stop();
  rmSync(a.path('gone'), { recursive: true });
  renameSync(a.path('moved'), a.path('stays/moved'));
  writeFileSync(a.path('new'), 'new');
  writeFileSync(a.path('both'), 'both by a');
  await converged([a, witness]);
  writeFileSync(b.path('edit'), 'edited by b');
  writeFileSync(b.path('gone/edited'), 'edited before b knew');
  writeFileSync(b.path('both'), 'both by b');
  writeFileSync(b.path('own'), 'own');
  unlinkSync(b.path('mine'));
  await shorten();
  const seen = reasons(b);
  b.start();
  const copy = `both (conflicted copy, ${b.name}, ${new Date().toISOString().slice(0, 10)})`;
  await converged([a, b], {
    gone: '/',
    'gone/edited': 'edited before b knew',
    stays: '/',
    'stays/f': 'stays/f',
    'stays/moved': 'moved',
    edit: 'edited by b',
    'new': 'new',
    own: 'own',
    both: 'both by a',
    [copy]: 'both by b',
  });
  assert.deepEqual([...new Set(seen)], ['cursor_expired']);
});

test('a listing that is broken off half-way, while rows arrive and a folder comes back from the trash', async () => {
  mkdirSync(a.path('many'));
  mkdirSync(a.path('back'));
  mkdirSync(a.path('back/deep'));
  writeFileSync(a.path('back/deep/f'), 'deep');
  for (let index = 0; index < 1100; index++) symlinkSync(String(index), a.path(`many/f${index}`));
  await converged([a, b, witness], undefined, LONG_MS);
  await b.stop();
  rmSync(a.path('back'), { recursive: true });
  rmSync(a.path('many/f0'));
  await converged([a, witness], undefined, LONG_MS);
  await shorten();
  let lists = 0;
  b.gate.before = async (verb) => {
    if (verb !== 'list') return;
    lists++;
    // The second page of the first listing, and of the one after it.
    if (lists === 2) {
      await a.bringBack('back');
      rmSync(a.path('many/f1'));
      renameSync(a.path('many/f2'), a.path('f2'));
      await eventually(
        () => a.tree()['back/deep/f'] === 'deep',
        () => a.tree(),
      );
      await converged([a, witness], undefined, LONG_MS);
      throw new HoldfastError('timeout', 'the network lost it');
    }
    if (lists !== 4) return;
    mkdirSync(a.path('late'));
    writeFileSync(a.path('late/f'), 'late');
    renameSync(a.path('many'), a.path('late/many'));
    await converged([a, witness], undefined, LONG_MS);
  };
  b.start();
  await converged([a, b], undefined, LONG_MS);
  assert.ok(lists >= 4, `${lists} pages`);
  const tree = b.tree();
  assert.equal(
    Object.keys(tree).length,
    1097 + ['f2', 'back', 'back/deep', 'back/deep/f', 'late', 'late/f', 'late/many'].length,
  );
  assert.equal(tree['late/many/f0'] ?? tree['late/many/f1'], undefined);
});

test('a listing that shows nothing deletes nothing: what was deleted is shown in the trash', async () => {
  for (let index = 0; index < 30; index++) writeFileSync(a.path(`f${index}`), String(index));
  await converged([a, b, witness]);
  await b.stop();
  unlinkSync(a.path('f0'));
  await converged([a, witness]);
  await shorten();
  let lies = 0;
  b.gate.answer = (verb, answer): Wire | null => {
    if (verb !== 'list' || lies > 0) return null;
    lies++;
    const { head } = answer.body as { head: object };
    return { body: { head, done: true, count: 0 }, parts: [new Uint8Array()] };
  };
  b.start();
  await eventually(
    () => lies > 0 && b.client?.status().inSync === true && a.client?.status().inSync === true,
    () => [b.client?.status(), b.tree()],
  );
  for (let index = 1; index < 30; index++) {
    assert.equal(b.tree()[`f${index}`], String(index));
    assert.equal(a.tree()[`f${index}`], String(index));
  }
});

const wrong: Readonly<Record<string, (verb: string, answer: Wire) => Wire | null>> = {
  'a page that is empty although more is to come': (verb, { body }) =>
    verb === 'list' ? { body: { ...(body as object), done: false, count: 0 }, parts: [new Uint8Array()] } : null,
  'a page that holds fewer rows than it says': (verb, { body }) =>
    verb === 'list' ? { body, parts: [new Uint8Array()] } : null,
  'rows that are not there': (verb, { body }) => (verb === 'pull' ? { body, parts: [] } : null),
  'fewer rows than were told': (verb, { body, parts }) =>
    verb === 'pull' ? { body, parts: parts.map(() => new Uint8Array()) } : null,
};

for (const [what, lie] of Object.entries(wrong))
  test(`${what}: nothing is concluded from it`, async () => {
    for (let index = 0; index < 5; index++) writeFileSync(a.path(`f${index}`), String(index));
    await converged([a, b, witness]);
    await b.stop();
    writeFileSync(a.path('new'), 'new');
    await converged([a, witness]);
    if (lie('list', { body: {}, parts: [] })) await shorten();
    const before = b.tree();
    let told = 0;
    b.gate.answer = (verb, answer) => {
      const { count, spaces } = answer.body as { count?: number; spaces?: unknown[] };
      if (count === undefined && !spaces?.length) return null;
      const lied = lie(verb, answer);
      if (lied) told++;
      return lied;
    };
    b.start();
    await eventually(
      () => told > 0 && b.client?.status().problems[0]?.code === 'integrity',
      () => b.client?.status(),
    );
    assert.deepEqual(b.tree(), before);
    delete b.gate.answer;
    await converged([a, b]);
    assert.equal(b.tree()['new'], 'new');
  });

for (const code of ['defect', 'unauthenticated', 'not_found', 'integrity'] as const)
  test(`a server that answers everything with ${code} is out of order, not empty`, async () => {
    for (let index = 0; index < 5; index++) writeFileSync(a.path(`f${index}`), String(index));
    await converged([a, b]);
    await b.stop();
    writeFileSync(a.path('new'), 'new');
    await converged([a, witness]);
    const before = b.tree();
    let asked = 0;
    b.gate.before = (verb) => {
      if (verb === 'spaces') return;
      asked++;
      throw new HoldfastError(code, 'so says the server');
    };
    b.start();
    await eventually(
      () => asked > 0 && (b.client?.status().problems.length ?? 0) > 0,
      () => b.client?.status(),
    );
    assert.deepEqual(b.tree(), before);
    assert.equal(b.client?.status().inSync, false);
    delete b.gate.before;
    await converged([a, b]);
    assert.equal(b.tree()['new'], 'new');
    assert.equal(Object.keys(b.tree()).length, 6);
  });
