/**
 * Three copies on real node processes: nodes are killed, stopped and damaged under a device that works on. No acknowledged file is lost, no read
 * fails that has a good copy, and the copies come back by themselves.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CopiesPlace } from './copies-place.ts';
import type { Listed } from './cluster.ts';
import { run, runJson, until } from './holdfast.ts';

/** How a sealed block begins, and what follows where it is of metadata. */
const BLOCK = Buffer.from('HFB\x01', 'latin1');
const METADATA = 3;
/** Further apart than any block is long, so that each damages another one. */
const FLIPS_APART = 2_500_000;

function flipBits(directory: string): number {
  const segments = join(directory, 'segments');
  const [name] = readdirSync(segments).sort();
  assert.ok(name, 'the node has a segment');
  const bytes = readFileSync(join(segments, name));
  let flips = 0;
  for (let at = 5000 + randomInt(10_000); at < bytes.length; at += FLIPS_APART) {
    // Metadata is not scrubbed: snapshots ask for it.
    const block = bytes.lastIndexOf(BLOCK, at);
    if (bytes[block + BLOCK.length] === METADATA) continue;
    bytes[at] = (bytes[at] as number) ^ (1 << randomInt(8));
    flips++;
  }
  writeFileSync(join(segments, name), bytes, { flag: 'r+' });
  return flips;
}

test('a rule asks for more copies than its pool keeps: its files outlive more nodes', {
  timeout: 300_000,
}, async (context) => {
  const place = await CopiesPlace.start(context, 1, ['--lost-after', '600']);
  place.write(6, 'dear', () => 200_000);
  place.write(6, 'plain', () => 1000);
  await place.inSync();
  const rule = ['--glob', 'dear-*', '--pool', 'safe', '--copies', '3', '--first'];
  const tried = await runJson<{ moves: unknown[] }>(['rules', 'test', ...rule], place.owner);
  assert.deepEqual(
    (tried.moves as { from: string; to: string; files: number; copies: unknown }[]).map(
      ({ from, to, files, copies }) => ({ from, to, files, copies }),
    ),
    [{ from: 'safe', to: 'safe*3', files: 6, copies: { before: 1, after: 3 } }],
  );
  await runJson(['rules', 'apply', ...rule], place.owner);
  await until(
    'the copies are made',
    () => runJson<Listed[]>(['fetch'], place.owner),
    (files) =>
      files.every(({ path, pool, copies }) =>
        path.startsWith('dear') ? pool === 'safe*3' && copies === 3 : copies === 1,
      ),
  );
  place.write(8, 'dear', () => 50_000);
  await place.inSync();
  for (const name of ['a', 'b']) await place.node(name).kill();
  const to = join(place.directory, 'fetched');
  for (let index = 0; index < 8; index++) {
    const name = `dear-${index}.dat`;
    const ran = await run(['fetch', name, '--to', to], place.owner);
    assert.equal(ran.code, 0, ran.stderr);
    assert.ok(readFileSync(join(to, name)).equals(readFileSync(join(place.folder, name))), name);
  }
});

test('three copies: a node killed in an upload, one that stands still, one whose disk goes bad', {
  timeout: 300_000,
}, async (context) => {
  const place = await CopiesPlace.start(context, 3, ['--lost-after', '600', '--scrub-days', '0.00005']);
  place.write(5, 'before', () => 300_000);
  await place.inSync();
  await place.checkFetch(3);

  // Killed at any moment of an upload.
  place.write(20, 'during', () => randomInt(1, 600_000));
  place.write(2, 'large', () => 6_000_000);
  await sleep(randomInt(600));
  await place.node('a').kill();
  await place.inSync();
  place.write(3, 'after', () => 1000);
  await place.inSync();
  const down = await place.status();
  assert.ok(down.copiesAtRisk > 0);
  await place.checkFetch(null);
  await place.startNode('a');
  await place.untilWhole();
  await place.checkFetch(3);

  // One stands still: it delays, and nothing fails.
  const still = place.node('b').process;
  still.kill('SIGSTOP');
  await place.checkFetch(null);
  place.write(3, 'still', () => 50_000);
  await place.inSync();
  still.kill('SIGCONT');
  await place.untilWhole();
  await place.checkFetch(3);

  // Bits flip on the third; scrub finds what nobody reads.
  const flips = flipBits(place.dataOf('c'));
  assert.ok(flips > 3);
  const found = () =>
    [...place.server.stderr().matchAll(/made anew blocks=(\d+)/g)].reduce((sum, [, blocks]) => sum + Number(blocks), 0);
  await until('every damaged block is found', found, (blocks) => blocks === flips, 60_000);
  await place.untilWhole();
  // What it holds now stands alone.
  for (const name of ['a', 'b']) await place.node(name).kill();
  await place.checkFetch(null);
});
