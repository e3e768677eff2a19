import assert from 'node:assert/strict';
import { existsSync, mkdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { converged, copyState, eventually, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
before(async () => {
  world = await SyncWorld.start();
});
after(() => world.end());

const hasProblem = (device: Device, path: string) =>
  device.client?.status().problems.some((problem) => problem.path === path) ?? false;

/** Two devices in sync with `shut/in`, `gone` and `moved`; the first is off. */
async function pair(name: string): Promise<{ readonly here: Device; readonly there: Device }> {
  const here = await world.device(`${name}-here`);
  const there = await world.device(`${name}-there`);
  here.start();
  there.start();
  for (const path of Object.keys(there.tree())) rmSync(there.path(path), { recursive: true, force: true });
  mkdirSync(here.path(`${name}-shut`));
  for (const path of [`${name}-shut/in`, `${name}-gone`, `${name}-moved`])
    writeFileSync(here.path(path), `text of ${path}`);
  await converged([here, there]);
  await here.stop();
  return { here, there };
}

test('a directory that cannot be read holds up what may lie in it, and nothing else', async () => {
  const { here, there } = await pair('a');
  renameSync(here.path('a-moved'), here.path('a-shut/moved'));
  here.gate.closed.add('a-shut');
  here.start();
  await eventually(
    () => hasProblem(here, 'a-shut'),
    () => here.client?.status(),
  );
  writeFileSync(there.path('a-new'), 'from there');
  writeFileSync(here.path('a-own'), 'from here');
  await eventually(
    () => existsSync(here.path('a-new')) && existsSync(there.path('a-own')),
    () => [here.tree(), there.tree()],
  );
  assert.ok(existsSync(there.path('a-moved')), 'what was moved into it is not taken for deleted');
  assert.ok(existsSync(there.path('a-shut/in')));

  // These were in their places while it could already not be read.
  renameSync(here.path('a-own'), here.path('a-renamed'));
  await eventually(
    () => existsSync(there.path('a-renamed')) && !existsSync(there.path('a-own')),
    () => [there.tree(), here.client?.status()],
  );
  unlinkSync(here.path('a-gone'));
  await eventually(
    () => !existsSync(there.path('a-gone')),
    () => [there.tree(), here.client?.status()],
  );
  assert.ok(existsSync(there.path('a-moved')));

  here.gate.closed.clear();
  const sent = () => Object.values(here.gate.sentBytes).reduce((sum, bytes) => sum + bytes, 0);
  const sentBefore = sent();
  await converged([here, there]);
  assert.ok(existsSync(there.path('a-shut/moved')) && !existsSync(there.path('a-moved')));
  assert.equal(sent(), sentBefore, 'it was recognised as moved');
  await here.stop();
  await there.stop();
});

test('a directory that could not be read and then goes away with what is above it is deleted like any other', async () => {
  const { here, there } = await pair('b');
  mkdirSync(here.path('b-above'));
  renameSync(here.path('b-shut'), here.path('b-above/shut'));
  here.start();
  await converged([here, there]);
  await here.stop();
  here.gate.closed.add('b-above/shut');
  here.start();
  await eventually(
    () => hasProblem(here, 'b-above/shut'),
    () => here.client?.status(),
  );
  rmSync(here.path('b-above'), { recursive: true });
  here.gate.closed.clear();
  await converged([here, there]);
  assert.ok(!existsSync(there.path('b-above')));
  await here.stop();
  await there.stop();
});

test('a state that is put back believes nothing of what a directory that cannot be read may hold', async () => {
  const { here, there } = await pair('c');
  const old = join(world.directory, 'c-old');
  copyState(here.statePath, old);
  here.start();
  unlinkSync(there.path('c-gone'));
  rmSync(there.path('c-shut/in'));
  await converged([here, there]);
  // Sent since: what is put back is older than what the server knows.
  writeFileSync(here.path('c-moved'), 'edited');
  await converged([here, there]);
  await here.stop();
  for (const name of ['c-gone', 'in']) await there.bringBack(name);
  await eventually(
    () => existsSync(there.path('c-gone')) && existsSync(there.path('in')),
    () => there.tree(),
  );
  renameSync(there.path('in'), there.path('c-shut/in'));
  await there.client?.untilInSync(new AbortController().signal);
  copyState(old, here.statePath);
  here.gate.closed.add('c-shut');
  here.start();
  await eventually(
    () => existsSync(here.path('c-gone')),
    () => [here.tree(), here.client?.status()],
  );
  here.gate.closed.delete('c-shut');
  const tree = there.tree();
  assert.equal(tree['c-shut/in'], 'text of c-shut/in');
  await converged([here, there], tree);
  await here.stop();
  await there.stop();
});
