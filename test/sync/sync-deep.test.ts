/** Trees deeper than a space holds, and paths longer than a system call takes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { limits } from '#core/limits.ts';
import { entryAt } from './sync-state.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

const LONG_MS = 60_000;
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
afterEach(async () => {
  for (const name of Object.keys(a.tree())) rmSync(a.path(name), { recursive: true, force: true });
  await converged([a, b], {}, LONG_MS);
});
after(() => world.end());

const chain = (levels: number, name = 'd') => Array.from({ length: levels }, () => name).join('/');
const rest = (device: Device) =>
  eventually(
    () => device.client?.status().settled === true,
    () => device.client?.status(),
    LONG_MS,
  );
const problems = (device: Device) => device.client?.status().problems ?? [];

const STEPS = `
import os, sys
what, *names = sys.argv[1:]
for name in names:
    if what == 'make': os.mkdir(name)
    os.chdir(name)
if what == 'remove': os.unlink('file')
elif what == 'read': sys.stdout.write(open('file').read() if os.path.exists('file') else '')
else: open('file', 'w').write('one' if what == 'make' else 'two, longer')
`;

/** Step by step: no system call takes the whole path. */
function below(device: Device, what: 'make' | 'edit' | 'read' | 'remove', names: readonly string[]): string {
  return execFileSync('python3', ['-c', STEPS, what, ...names], {
    cwd: device.folder,
    encoding: 'utf8',
    stdio: 'pipe',
  });
}

test('a path far longer than the system takes in one call crosses, is edited and goes', async () => {
  const names = Array.from({ length: 20 }, (_, index) => `${index}-${'n'.repeat(240)}`);
  assert.ok(names.join('/').length > 4096);
  const read = (device: Device) => {
    try {
      return below(device, 'read', names);
    } catch {
      return null;
    }
  };
  const becomes = (device: Device, text: string) =>
    eventually(
      () => read(device) === text,
      () => [problems(device), read(device)],
      LONG_MS,
    );
  below(a, 'make', names);
  await becomes(b, 'one');
  below(b, 'edit', names);
  await becomes(a, 'two, longer');
  below(a, 'remove', names);
  await becomes(b, '');
  for (const device of [a, b]) assert.deepEqual(problems(device), []);
  const top = names[0] as string;
  execFileSync('rm', ['-r', top], { cwd: a.folder });
  await eventually(
    () => !existsSync(b.path(top)),
    () => b.client?.status(),
    LONG_MS,
  );
});

test('what lies too deep stays here and is told of; what lies beside and above it crosses, and it does when it is moved up', async () => {
  const deepest = limits.treeDepthMax;
  mkdirSync(a.path(chain(deepest + 2)), { recursive: true });
  writeFileSync(a.path(`${chain(deepest + 2)}/bottom`), 'bottom');
  writeFileSync(a.path(`${chain(deepest - 1)}/last`), 'last');
  writeFileSync(a.path('beside'), 'beside');
  await eventually(
    () => existsSync(b.path(`${chain(deepest - 1)}/last`)) && existsSync(b.path('beside')),
    () => problems(a),
    LONG_MS,
  );
  await rest(a);
  const told = problems(a);
  assert.ok(told.length > 0 && told.every(({ path }) => path.startsWith(chain(deepest - 1))), JSON.stringify(told));
  assert.equal(a.client?.status().inSync, false);
  assert.ok(!existsSync(b.path(chain(deepest + 1))));
  renameSync(a.path(chain(deepest - 1)), a.path('up'));
  await converged([a, b], undefined, LONG_MS);
  assert.equal(b.tree()['up/d/d/d/bottom'], 'bottom');
  assert.deepEqual(problems(a), []);
});

test('a tree that is moved to where it lies too deep stays where it was for others, with its entries', async () => {
  mkdirSync(a.path(chain(200, 'in')), { recursive: true });
  mkdirSync(a.path(chain(100, 'out')), { recursive: true });
  writeFileSync(a.path(`${chain(200, 'in')}/bottom`), 'bottom');
  await converged([a, b], undefined, LONG_MS);
  const before = b.tree();
  const entry = entryAt(b, 'in');
  renameSync(a.path('in'), a.path(`${chain(100, 'out')}/in`));
  await eventually(
    () => problems(a).length > 0,
    () => a.client?.status(),
    LONG_MS,
  );
  await rest(a);
  assert.deepEqual(b.tree(), before);
  renameSync(a.path(`${chain(100, 'out')}/in`), a.path('back'));
  await eventually(
    () => existsSync(b.path('back')),
    () => a.client?.status(),
    LONG_MS,
  );
  await converged([a, b], undefined, LONG_MS);
  assert.equal(b.tree()[`back/${chain(199, 'in')}/bottom`], 'bottom');
  assert.equal(entryAt(b, 'back'), entry);
});
