/** A kill at every step of making a conflict's copy: the entry keeps its place and its id, and neither side's bytes are ever nowhere. */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { killAtEveryPoint } from './sync-crashes.ts';
import { entryAt, sent } from './sync-state.ts';
import { converged, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
let a: Device;
let b: Device;

before(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
  a.start();
  b.start();
});
after(() => world.end());

const LARGE = 'of many bytes, '.repeat(200_000);

for (const [what, base, theirs, ours] of [
  ['small', 'base', 'from anna', 'from bert, longer'],
  ['large', `base ${LARGE}`, `from anna ${LARGE}`, `from bert ${LARGE}`],
] as const)
  test(`killed at every step of a conflict of two edits of a ${what} file`, async () => {
    const entries = new Map<number, string | null>();
    const nameOf = (round: number) => `${what} ${round}.txt`;
    const copiesOf = (device: Device, round: number) =>
      Object.keys(device.tree()).filter((path) => path.startsWith(`${what} ${round} (conflicted copy, bert, `));
    const bytes = (device: Device, path: string) => readFileSync(device.path(path), 'utf8');
    const points = await killAtEveryPoint(b, {
      prepare: async (round) => {
        if (!b.client) b.start();
        writeFileSync(a.path(nameOf(round)), base);
        await converged([a, b]);
        entries.set(round, entryAt(b, nameOf(round)));
        await b.stop();
        await sent(a, () => writeFileSync(a.path(nameOf(round)), theirs));
        writeFileSync(b.path(nameOf(round)), ours);
      },
      atOnce: (round, point) => {
        const there = bytes(b, nameOf(round));
        assert.ok(there === ours || there === theirs, point);
        const copies = copiesOf(b, round).map((path) => bytes(b, path));
        assert.ok(copies.length <= 1, point);
        assert.ok(there === ours || copies.includes(ours), `${point}: the bytes made here are on this disk`);
      },
      atLast: async (round, point) => {
        await converged([a, b]);
        assert.equal(entryAt(a, nameOf(round)), entries.get(round), `${point}: the entry keeps its id`);
        assert.equal(bytes(a, nameOf(round)), theirs, point);
        const copies = copiesOf(a, round);
        assert.deepEqual(
          copies.map((path) => bytes(a, path)),
          [ours],
          point,
        );
        assert.notEqual(entryAt(a, copies[0] as string), entries.get(round), point);
      },
    });
    for (const step of ['before commit', 'after commit', 'before link', 'after link', 'before flush', 'after flush'])
      assert.ok(points.includes(step), `${step}: ${points.join('; ')}`);
    assert.ok(points.some((point) => point.startsWith('after place')));
  });

test('killed at every step of a conflict of two files that were made at one place', async () => {
  const nameOf = (round: number) => `made ${round}.txt`;
  let entry: string | null = null;
  await killAtEveryPoint(b, {
    prepare: async (round) => {
      if (b.client) await b.stop();
      await sent(a, () => writeFileSync(a.path(nameOf(round)), 'from anna'));
      entry = entryAt(a, nameOf(round));
      writeFileSync(b.path(nameOf(round)), 'from bert');
    },
    atOnce: (round, point) => assert.ok(statSync(b.path(nameOf(round))).isFile(), point),
    atLast: async (round, point) => {
      await converged([a, b]);
      const tree = Object.entries(a.tree()).filter(([path]) => path.startsWith(`made ${round}`));
      assert.deepEqual(
        tree.map(([, text]) => text),
        ['from bert', 'from anna'],
        point,
      );
      assert.equal(entryAt(a, nameOf(round)), entry, point);
    },
  });
});
