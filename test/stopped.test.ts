/** Processes that stand still for a while, as on a machine that is out of breath: everything converges, nothing is doubled, and no status tells of more than is so. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { treeOf, untilIdentical, untilInSync, type Listed, type Status } from './cluster.ts';
import { run, runJson, scratch, until } from './holdfast.ts';
import { startRoles } from './proof/roles.ts';

/** Longer than a server waits before it asks another node, and than a device's patience with a look. */
const STANDS_STILL_MS = 6000;

test('each process stands still in the middle of work, and goes on', { timeout: 400_000 }, async (context) => {
  const { all, devices, folders, reader } = await startRoles(context, scratch(context));
  const [a, b] = folders as [string, string];
  let expected = 0;
  for (const [round, role] of all.entries()) {
    const directory = `round-${round}`;
    const work = (from: number, folder: string): void => {
      mkdirSync(join(folder, `${directory}-${from}`), { recursive: true });
      for (let index = 0; index < 40; index++) {
        const path = join(folder, `${directory}-${from}`, `${index}${index % 3 === 0 ? '.txt' : '.bin'}`);
        writeFileSync(path, randomBytes(20_000 + index));
        if (index % 10 === 1) renameSync(path, `${path}.renamed`);
        if (index % 10 === 2) rmSync(path);
      }
      writeFileSync(join(folder, `${directory}-${from}`, 'large.bin'), randomBytes(6_000_000));
      expected += 1 + 40 - 4 + 1;
    };
    work(0, a);
    role.running.process.kill('SIGSTOP');
    work(1, b);
    work(2, a);
    await new Promise((resolve) => setTimeout(resolve, STANDS_STILL_MS));
    // Whoever is in sync has sent what was written before it was asked; while somebody stands still, nobody can have all of it.
    const held = treeOf(a).size === expected && treeOf(b).size === expected;
    assert.equal(held, false, `${role.name} stood still, and all arrived`);
    if (role.name === 'server')
      for (const device of devices) {
        const { inSync } = JSON.parse((await run(['status', '--json'], device.at)).stdout) as Status;
        assert.equal(inSync, false, `${device.name}, of which the server has not everything`);
      }
    role.running.process.kill('SIGCONT');
    for (const device of devices) await untilInSync(device.at, 120_000);
    await until(
      `all of it crossed after ${role.name} stood still`,
      () => folders.map((folder) => treeOf(folder).size),
      (sizes) => sizes.every((size) => size === expected),
      120_000,
    );
  }
  const tree = await untilIdentical(folders);
  const rows = await runJson<Listed[]>(['fetch'], reader);
  assert.equal(rows.length, [...tree.values()].filter((value) => value !== 'folder').length, 'listed once each');
  assert.ok(rows.every(({ state }) => state === 'stored'));
});
