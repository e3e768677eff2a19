/**
 * `kill -9` of any process at any moment loses no acknowledged file: real processes under load, killed at named points and at random. A ledger
 * outside the system notes what `fetch` listed as stored, with its hash; at the end it all is there, and the devices are identical.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { treeOf, untilIdentical } from './cluster.ts';
import { scratch, until } from './holdfast.ts';
import { runKills } from './proof/kills.ts';
import { restart, startRoles, type Role } from './proof/roles.ts';

const CYCLES = 50;
/** Printed, so that a failing run's choices can be repeated; the moments at which processes die cannot. */
const SEED = Number(process.env['SEED'] ?? randomBytes(4).readUInt32BE());

test(`${CYCLES} kills, most of them at named points, lose no acknowledged file`, async (context) => {
  context.diagnostic(`SEED=${SEED}`);
  const counts = await runKills(context, { directory: scratch(context), cycles: CYCLES, seed: SEED });
  context.diagnostic(JSON.stringify(counts));
  assert.ok(counts.kills >= CYCLES);
  assert.ok(counts.atPoints * 2 >= counts.kills, 'half of the kills were at points');
});
test('a device killed while it renames and deletes neither brings back nor loses', async (context) => {
  const { devices, folders } = await startRoles(context, scratch(context));
  const [a, b] = folders as [string, string];
  for (let index = 0; index < 120; index++) {
    mkdirSync(join(a, `k${index % 6}`), { recursive: true });
    writeFileSync(join(a, `k${index % 6}/file${index}.txt`), `content ${index}`);
  }
  await until(
    'all arrived',
    () => treeOf(b).size,
    (size) => size === 126,
  );
  const device = devices[0] as Role;
  for (let round = 0; round < 6; round++) {
    renameSync(join(a, `k${round}`), join(a, `r${round}`));
    rmSync(join(a, `r${round}/file${round}.txt`));
    await device.running.kill();
    await restart(context, device);
  }
  await until(
    'the last rename crossed',
    () => treeOf(b),
    (tree) => [0, 1, 2, 3, 4, 5].every((round) => tree.has(`r${round}`) && !tree.has(`k${round}`)),
    60_000,
  );
  const tree = await untilIdentical(folders);
  assert.equal(tree.size, 6 + 120 - 6);
});
