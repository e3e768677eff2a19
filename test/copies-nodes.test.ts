/** Nodes of a pool with two copies come and go: one is lost with its disk, one joins, one drains and leaves, one is copied; the server is killed in between. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { CopiesPlace } from './copies-place.ts';
import { run, runJson, until } from './holdfast.ts';

type Story = { placed: { repairs: { from: string[]; to: string[]; blocks: number; atMs: number }[] } };

test('two copies: a disk is wiped, a node joins, another drains and leaves, a directory is copied; the server restarts in between', {
  timeout: 300_000,
}, async (context) => {
  const place = await CopiesPlace.start(context, 2, ['--lost-after', '8']);
  place.write(30, 'file', () => randomInt(1, 400_000));
  place.write(1, 'large', () => 5_000_000);
  await place.inSync();
  await place.checkFetch(2);

  // What it would cost is what it costs: the node is gone with its disk.
  const foretold = await runJson<{
    filesLost: number;
    filesWithOneCopy: number;
    blocksToCopy: number;
    bytesToCopy: number;
  }>(['nodes', 'whatif', 'a'], place.owner);
  assert.equal(foretold.filesLost, 0);
  assert.ok(foretold.filesWithOneCopy > 5);
  assert.ok(foretold.blocksToCopy > 5);
  await place.node('a').kill();
  rmSync(place.dataOf('a'), { recursive: true });
  const missed = await until(
    'its copies are missed',
    () => place.status(),
    ({ copiesAtRisk }) => copiesAtRisk > 0,
  );
  assert.equal(missed.copiesAtRisk, foretold.blocksToCopy);
  await until(
    'it is lost',
    () => place.row('a'),
    (row) => row?.standing === 'lost',
    30_000,
  );
  await place.server.kill();
  await place.startServer();
  await place.untilWhole();
  await place.checkFetch(2);
  // The story of a file tells of it: every block that lay there was copied to another node.
  const device = { ...place.owner, home: join(place.directory, 'home-device') };
  const { placed } = await runJson<Story>(['why', 'large-0.dat'], device);
  assert.ok(placed.repairs.length > 0);
  for (const { from, to, blocks, atMs } of placed.repairs) {
    assert.ok(blocks > 0 && atMs <= Date.now() && atMs > Date.now() - 60_000);
    assert.deepEqual([...from, ...to].sort(), ['b', 'c']);
  }
  assert.match(
    (await run(['why', 'large-0.dat'], device)).stdout,
    /^Repaired on .*: \d+ blocks? copied from [bc] to [bc]\.$/m,
  );
  const refused = await run(['nodes', 'drain', 'b'], place.owner);
  assert.equal(refused.code, 5, refused.stderr);
  await runJson(['nodes', 'remove', 'a', '--lost'], place.owner);
  assert.equal(await place.row('a'), undefined);

  // Another joins and gets its share; then one leaves.
  const early = await run(['node', '--site', 'attic', '--data', place.dataOf('d')], place.owner);
  assert.deepEqual([early.code, /when the node joins/.test(early.stderr)], [2, true]);
  await place.joinNode('d', ['--site', 'attic']);
  await place.untilWhole();
  await until(
    'it has its share',
    () => place.row('d'),
    (row) => (row?.blocks ?? 0) > 5,
  );
  await place.checkFetch(2);
  // Where nodes are: said with the join, or later. What their disks have they said themselves.
  assert.equal((await place.row('d'))?.site, 'attic');
  await runJson(['nodes', 'set', 'c', '--site', 'cellar'], place.owner);
  assert.match((await run(['nodes'], place.owner)).stdout, /\bc +safe +cellar /);
  await place.untilWhole();
  await runJson(['nodes', 'set', 'c', '--site', 'none'], place.owner);
  assert.equal((await place.row('c'))?.site, null);
  await place.untilWhole();
  assert.equal((await run(['nodes', 'remove', 'b'], place.owner)).code, 5);
  const { freeBytes } = (await place.row('d')) as { freeBytes: number };
  await runJson(['nodes', 'drain', 'd'], place.owner);
  await place.server.kill();
  const database = new DatabaseSync(join(place.directory, 'data-server', 'server', 'meta.db'));
  const spaces = database.prepare("select name, weight from node where standing != 'removed'").all();
  database.close();
  assert.equal(spaces.length, 3);
  for (const { name, weight } of spaces)
    assert.ok(Math.abs((Number(weight) * 2 ** 30) / freeBytes - 1) < 0.5, `${name}: ${weight} GiB, ${freeBytes} free`);
  await place.startServer();
  await until(
    'it is empty',
    () => place.row('d'),
    (row) => row?.drain?.blocksLeft === 0,
    30_000,
  );
  await runJson(['nodes', 'remove', 'd'], place.owner);
  await place.node('d').kill();
  await place.checkFetch(2);

  // A copy of a node's directory is started beside it.
  cpSync(place.dataOf('b'), place.dataOf('copy'), { recursive: true, filter: (path) => !path.endsWith('lock') });
  await place.startNode('copy');
  const warned = await until(
    'the copy is noticed',
    () => place.status(),
    ({ problems }) => problems.some(({ code }) => code === 'node_cloned'),
  );
  assert.ok(
    warned.problems.some(({ message }) => message.includes('two processes have the identity of the storage node b')),
  );
  await place.node('copy').kill();
  await place.checkFetch(2);
});
