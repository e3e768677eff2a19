/** Processes that may open no further file, nor any socket: nobody ends, nothing is lost or taken for deleted, and all goes on without a restart when they may again. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { treeOf, untilIdentical, untilInSync, type Listed } from './cluster.ts';
import { runJson, scratch, until } from './holdfast.ts';
import { startRoles } from './proof/roles.ts';

/** Fewer than any process here has open already. */
const NONE = 8;

test('each process runs out of files in the middle of work, and goes on when it may open some again', {
  timeout: 300_000,
  skip: process.platform === 'linux' ? false : 'prlimit is of Linux',
}, async (context) => {
  const { all, devices, folders, reader } = await startRoles(context, scratch(context));
  const [a, b] = folders as [string, string];
  let expected = 0;
  // One of each.
  const roles = all.filter(({ name }) => ['server', 'node others', 'device a'].includes(name));
  for (const [round, role] of roles.entries()) {
    const work = (folder: string, from: string): void => {
      const directory = join(folder, `round-${round}-${from}`);
      mkdirSync(directory);
      for (let index = 0; index < 12; index++)
        writeFileSync(join(directory, `${index}${index % 3 === 0 ? '.txt' : '.bin'}`), randomBytes(20_000 + index));
      writeFileSync(join(directory, 'large.bin'), randomBytes(5_000_000));
      rmSync(join(directory, '5.bin'));
      expected += 1 + 12;
    };
    work(a, 'before');
    const limit = (...args: readonly string[]) =>
      execFileSync('prlimit', ['--pid', String(role.running.process.pid), ...args], { encoding: 'utf8' }).trim();
    const usual = limit('--nofile', '--output=SOFT', '--noheadings');
    limit(`--nofile=${NONE}:`);
    work(a, 'without');
    work(b, 'without-too');
    await new Promise((resolve) => setTimeout(resolve, 4000));
    assert.equal(role.running.process.exitCode, null, `${role.name} ended: ${role.running.stderr()}`);
    limit(`--nofile=${usual}:`);
    for (const device of devices) await untilInSync(device.at, 60_000);
    await until(
      `all of it crossed after ${role.name} could open nothing`,
      () => folders.map((folder) => treeOf(folder).size),
      (sizes) => sizes.every((size) => size === expected),
      60_000,
    );
  }
  const tree = await untilIdentical(folders);
  const rows = await runJson<Listed[]>(['fetch'], reader);
  assert.equal(rows.length, [...tree.values()].filter((value) => value !== 'folder').length, 'listed once each');
  assert.ok(rows.every(({ state }) => state === 'stored'));
});
