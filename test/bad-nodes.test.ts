/** A node that is cut off in one direction, and one whose disk takes a second for each read: nothing waits long, nothing is lost, and nobody has to help. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { Direction } from './bad-line.ts';
import { CopiesPlace } from './copies-place.ts';
import { run, runJson, until } from './holdfast.ts';

/** A call to a node that does not answer may take ten seconds, and the device tries again after some. */
const WRITE_MS_MAX = 25_000;

type Story = { placed: { nodes: { name: string }[] } };
type Verified = { ok: boolean; findings: unknown[] };

async function verifyClean(place: CopiesPlace): Promise<void> {
  const report = await runJson<Verified>(['verify', '--full'], place.owner);
  assert.deepEqual([report.ok, report.findings], [true, []]);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

const rounds: [number, Direction[]][] = [
  [2, ['from the node', 'to the node']],
  [3, ['to the node']],
];
// They wait more than they work.
suite('cut off', { concurrency: 2 }, () => {
  for (const [copies, ways] of rounds)
    test(`${copies} copies: a node cut off one way (${ways.join(', then ')}): reads and writes go on, copies come back`, {
      timeout: 180_000,
    }, async (context) => {
      const place = await CopiesPlace.start(context, copies, ['--lost-after', '4'], true);
      place.write(10, 'file', () => randomInt(1, 200_000));
      await place.inSync();
      await place.untilWhole();
      for (const [round, way] of ways.entries()) {
        const name = ['a', 'b'][round] as string;
        const line = place.lines.get(name);
        assert.ok(line);
        line.cut(way);
        // At once, before anybody can know of it.
        const readMs = await timed(() => place.checkFetch(null));
        assert.ok(readMs < 8000, `${way}: reading took ${readMs} ms`);
        place.write(5, `cut-${round}`, () => randomInt(1, 200_000));
        const writeMs = await timed(() => place.inSync());
        assert.ok(writeMs < WRITE_MS_MAX, `${way}: writing took ${writeMs} ms`);
        await until(
          'it is lost',
          () => place.row(name),
          (row) => row?.standing === 'lost',
        );
        if (copies === 2) {
          await place.untilWhole();
          await place.checkFetch(2);
        }
        context.diagnostic(`${way}: read ${Math.round(readMs)} ms, write ${Math.round(writeMs)} ms`);
        line.cut(null);
        await until(
          'it is back',
          () => place.row(name),
          (row) => row?.standing === 'in',
        );
        await place.untilWhole();
        await place.checkFetch(copies);
        await verifyClean(place);
      }
    });
});

test('a disk that takes a second for each read delays no file that another node has', {
  timeout: 300_000,
}, async (context) => {
  const place = await CopiesPlace.start(context, 2, [], true);
  place.write(40, 'file', () => randomInt(1, 50_000));
  await place.inSync();
  await place.untilWhole();
  const device = { ...place.owner, home: join(place.directory, 'home-device') };
  const onSlow: string[] = [];
  for (let index = 0; onSlow.length < 8; index++) {
    const { placed } = await runJson<Story>(['why', `file-${index}.dat`], device);
    if (placed.nodes[0]?.name === 'a') onSlow.push(`file-${index}.dat`);
  }
  // One by one, those that would be read from there.
  const fetchSome = async (): Promise<void> => {
    for (const name of onSlow) {
      const ran = await run(['fetch', name, '--to', join(place.directory, 'some')], place.owner);
      assert.equal(ran.code, 0, ran.stderr);
    }
  };
  const quickMs = await timed(fetchSome);
  writeFileSync(place.slowFileOf('a'), '');
  const slowMs = await timed(fetchSome);
  context.diagnostic(`8 files: ${Math.round(quickMs)} ms, with a slow disk ${Math.round(slowMs)} ms`);
  place.write(5, 'more', () => randomInt(1, 50_000));
  await place.inSync();
  assert.ok(slowMs < quickMs + 6000, `${slowMs} ms where it took ${quickMs} ms`);
  // Where it alone has a good copy, it gets the time that it needs.
  await Promise.all([place.node('b').kill(), place.node('c').kill()]);
  const alone = (await run(['fetch', 'file-0.dat', '--to', join(place.directory, 'alone')], place.owner)).code;
  assert.ok(alone === 0 || alone === 6, `it answered ${alone}`);
  await Promise.all([place.startNode('b'), place.startNode('c')]);
  rmSync(place.slowFileOf('a'));
  await place.untilWhole();
  await place.checkFetch(2);
  await verifyClean(place);
});
