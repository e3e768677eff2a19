import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { chooseAt, readNotSelected } from '#client/choose.ts';
import { HoldfastError } from '#core/errors.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { sent } from './sync-state.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
let a: Device;
let b: Device;

const TREE = { big: '/', 'big/deep': '/', 'big/deep/x': 'x', 'big/one': 'one', 'big/two': 'two', small: 'small' };

beforeEach(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
  mkdirSync(a.path('big/deep'), { recursive: true });
  for (const [path, text] of Object.entries(TREE)) if (text !== '/') writeFileSync(a.path(path), text);
  for (const device of [a, b]) device.start();
  await converged([a, b], TREE);
});
afterEach(() => world.end());

/** As the command does it, from whatever process. */
function choose(device: Device, path: string, wanted: boolean): void {
  chooseAt(sqliteOpener, device.statePath, path, wanted);
  device.client?.chosen();
}
const remove = (device: Device, path: string) => choose(device, path, false);
const add = (device: Device, path: string) => choose(device, path, true);

async function shows(device: Device, expected: Record<string, string>): Promise<void> {
  const sorted = JSON.stringify(Object.fromEntries(Object.entries(expected).sort()));
  await eventually(
    () => JSON.stringify(device.tree()) === sorted && device.client?.status().inSync === true,
    () => ({ tree: device.tree(), status: device.client?.status() }),
  );
}

async function nothingAbsent(device: Device): Promise<void> {
  await eventually(
    () => Object.keys(device.client?.status().counts.notHere ?? { none: 1 }).length === 0,
    () => device.client?.status(),
  );
}

/** Whether the server has a file as it is on this disk, in that folder. */
function isCommitted(device: Device, name: string, folder: string): boolean {
  const state = sqliteOpener.open(device.statePath, { durability: 'normal', readOnly: true });
  const row = state
    .prepare(
      `SELECT 1 FROM local l JOIN local f ON f.entry = l.parent JOIN remote r ON r.entry = l.entry
       WHERE l.name = ? AND f.name = ? AND r.parent = l.parent AND r.content = l.content`,
    )
    .get(name, folder);
  state.close();
  return row !== undefined;
}

/** Contents that a device's folder keeps of what left it. */
function trash(device: Device): string[] {
  const root = device.path('.holdfast/trash');
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    .sort();
}

test('what is not wanted here leaves this disk alone, and comes back as others left it', async () => {
  remove(b, 'big');
  await shows(b, { small: 'small' });
  assert.deepEqual(b.client?.status().counts.notHere, { not_selected: 3 });
  assert.deepEqual(trash(b), ['one', 'two', 'x']);
  assert.deepEqual(readNotSelected(sqliteOpener, b.statePath), [{ path: 'big', kind: 'folder', selected: 'none' }]);
  // Others go on with it, under whatever name.
  writeFileSync(a.path('big/one'), 'one, edited');
  writeFileSync(a.path('big/three'), 'three');
  rmSync(a.path('big/two'));
  renameSync(a.path('big'), a.path('large'));
  const now = {
    large: '/',
    'large/deep': '/',
    'large/deep/x': 'x',
    'large/one': 'one, edited',
    'large/three': 'three',
  };
  await shows(a, { ...now, small: 'small' });
  await shows(b, { small: 'small' });
  // A restart changes nothing.
  await b.stop();
  b.start();
  await shows(b, { small: 'small' });
  add(b, 'large');
  await converged([a, b], { ...now, small: 'small' });
  assert.deepEqual(readNotSelected(sqliteOpener, b.statePath), []);
});

test('a choice is made while nothing runs, and for single things below', async () => {
  await b.stop();
  remove(b, 'big');
  add(b, 'big/deep');
  b.start();
  await shows(b, { big: '/', 'big/deep': '/', 'big/deep/x': 'x', small: 'small' });
  assert.deepEqual(readNotSelected(sqliteOpener, b.statePath), [{ path: 'big', kind: 'folder', selected: 'part' }]);
  writeFileSync(a.path('big/new'), 'new');
  writeFileSync(a.path('big/deep/new'), 'new');
  await shows(b, { big: '/', 'big/deep': '/', 'big/deep/new': 'new', 'big/deep/x': 'x', small: 'small' });
  remove(b, 'big/deep/x');
  await shows(b, { big: '/', 'big/deep': '/', 'big/deep/new': 'new', small: 'small' });
  assert.throws(
    () => remove(b, 'nothing/there'),
    (error) => error instanceof HoldfastError && error.code === 'not_found',
  );
});

test('what others delete, move in or move out while it is not here', async () => {
  remove(b, 'big');
  await shows(b, { small: 'small' });
  renameSync(a.path('small'), a.path('big/small'));
  await shows(b, {});
  renameSync(a.path('big/deep'), a.path('deep'));
  await shows(b, { deep: '/', 'deep/x': 'x' });
  rmSync(a.path('big'), { recursive: true });
  await converged([a, b], { deep: '/', 'deep/x': 'x' });
  await nothingAbsent(b);
});

test('what is made here in its place goes up and stays, and takes nothing away', async () => {
  remove(b, 'big');
  await shows(b, { small: 'small' });
  mkdirSync(b.path('big'));
  writeFileSync(b.path('big/mine'), 'mine');
  await shows(a, { ...TREE, 'big/mine': 'mine' });
  await shows(b, { big: '/', 'big/mine': 'mine', small: 'small' });
  // Another thing under the very name of one that is not here: both are kept.
  writeFileSync(b.path('big/one'), 'another one');
  await eventually(
    () => Object.values(a.tree()).includes('another one'),
    () => a.tree(),
  );
  await shows(a, { ...a.tree(), 'big/one': 'one' });
  writeFileSync(a.path('big/mine'), 'edited');
  await eventually(
    () => readFileSync(b.path('big/mine'), 'utf8') === 'edited',
    () => b.tree(),
  );
  add(b, 'big');
  await converged([a, b]);
  assert.equal(a.tree()['big/two'], 'two');
});

test('what is not safe on the server yet goes there first', async () => {
  await b.stop();
  writeFileSync(b.path('big/one'), 'edited here');
  writeFileSync(b.path('big/new'), 'new here');
  renameSync(b.path('big/two'), b.path('big/deep/two'));
  remove(b, 'big');
  b.start();
  await shows(b, { small: 'small' });
  await shows(a, {
    big: '/',
    'big/deep': '/',
    'big/deep/two': 'two',
    'big/deep/x': 'x',
    'big/new': 'new here',
    'big/one': 'edited here',
    small: 'small',
  });
});

test('what was edited here, and by another who moved it into what is not wanted, is a conflict here', async () => {
  remove(b, 'big');
  await shows(b, { small: 'small' });
  await b.stop();
  writeFileSync(b.path('small'), 'edited here');
  writeFileSync(a.path('small'), 'edited there');
  renameSync(a.path('small'), a.path('big/small'));
  const { small: _, ...rest } = TREE;
  await eventually(
    () => isCommitted(a, 'small', 'big'),
    () => a.client?.status(),
  );
  b.start();
  await eventually(
    () => b.client?.status().inSync === true && !existsSync(b.path('small')),
    () => [b.tree(), b.client?.status()],
  );
  assert.deepEqual(Object.values(b.tree()), ['edited here']);
  await shows(a, { ...rest, 'big/small': 'edited there', ...b.tree() });
});

for (const how of ['made there', 'selected'] as const)
  test(`what was kept here, and others moved into what is not wanted, is back with what is ${how}`, async () => {
    mkdirSync(a.path('out'));
    writeFileSync(a.path('out/y'), 'y');
    await converged([a, b]);
    remove(b, 'big');
    await shows(b, { out: '/', 'out/y': 'y', small: 'small' });
    mkdirSync(b.path('big'));
    writeFileSync(b.path('big/mine'), 'mine');
    await shows(a, { ...TREE, out: '/', 'out/y': 'y', 'big/mine': 'mine' });
    await shows(b, { big: '/', 'big/mine': 'mine', out: '/', 'out/y': 'y', small: 'small' });
    remove(b, 'out');
    await shows(b, { big: '/', 'big/mine': 'mine', small: 'small' });
    renameSync(a.path('big'), a.path('out/big'));
    await shows(b, { small: 'small' });
    const whole = { out: '/', 'out/big': '/', 'out/big/mine': 'mine', small: 'small' };
    if (how === 'selected') {
      add(b, 'out/y');
      await shows(b, { ...whole, 'out/y': 'y' });
    } else {
      mkdirSync(b.path('out'));
      writeFileSync(b.path('out/z'), 'z');
      await shows(b, { ...whole, 'out/z': 'z' });
    }
  });

test('a folder leaves when what it stayed for is deleted or moved away before it was sent', async () => {
  for (const leave of [() => rmSync(b.path('big/new')), () => renameSync(b.path('big/new'), b.path('new'))]) {
    world.down.add('others');
    writeFileSync(b.path('big/new'), 'new');
    await eventually(
      () => (b.client?.status().problems.length ?? 0) > 0,
      () => b.client?.status(),
    );
    remove(b, 'big');
    await eventually(
      () => !existsSync(b.path('big/one')),
      () => b.tree(),
    );
    leave();
    await eventually(
      () => !existsSync(b.path('big')),
      () => [b.tree(), b.client?.status()],
    );
    world.down.delete('others');
    add(b, 'big');
    await shows(b, TREE);
  }
  // What had yet to go up when the choice fell goes up and leaves, wherever it was moved since.
  await shows(a, { ...TREE, new: 'new' });
});

test('a folder leaves when others moved away what it stayed for', async () => {
  world.down.add('others');
  writeFileSync(b.path('big/one'), 'edited here');
  await eventually(
    () => (b.client?.status().problems.length ?? 0) > 0,
    () => b.client?.status(),
  );
  remove(b, 'big');
  await eventually(
    () => !existsSync(b.path('big/two')),
    () => b.tree(),
  );
  renameSync(a.path('big/one'), a.path('one'));
  await eventually(
    () => existsSync(b.path('one')) && !existsSync(b.path('big')),
    () => [b.tree(), b.client?.status()],
  );
  world.down.delete('others');
  await shows(b, { one: 'edited here', small: 'small' });
});

test('what others moved away, and could not follow yet, is not chosen about with the folder that it is still in', async () => {
  let asked = 0;
  b.gate.refuse = (step) => {
    if (step.kind !== 'move') return null;
    asked++;
    return { kind: 'failed', code: 'not_permitted_by_disk', detail: 'another program holds it' };
  };
  renameSync(a.path('big/one'), a.path('moved'));
  await eventually(
    () => asked > 0,
    () => b.client?.status(),
  );
  remove(b, 'big');
  await eventually(
    () => !existsSync(b.path('big/two')),
    () => b.tree(),
  );
  delete b.gate.refuse;
  await shows(b, { small: 'small', moved: 'one' });
});

test('a folder that could not leave in the plan of the last thing in it leaves later', async () => {
  await b.stop();
  writeFileSync(b.path('big/one'), 'edited here');
  remove(b, 'big');
  let refused = 0;
  b.gate.refuse = (step) =>
    step.kind === 'remove' && step.path === 'big' && refused++ === 0 ? { kind: 'stale' } : null;
  b.start();
  await shows(b, { small: 'small' });
  assert.equal(refused, 2);
  await shows(a, { ...TREE, 'big/one': 'edited here' });
});

test('folders that are chosen for the sake of something in them come, also where others delete that before the client hears of the choice', async () => {
  remove(b, 'big');
  await shows(b, { small: 'small' });
  await b.stop();
  add(b, 'big/deep/x');
  await sent(a, () => rmSync(a.path('big/deep/x')));
  // It hears of what others did before it has looked at its folder.
  b.asFolder = (folder) => ({
    ...folder,
    list: async (directories) => {
      await delay(1000);
      return await folder.list(directories);
    },
  });
  b.start();
  await shows(b, { big: '/', 'big/deep': '/', small: 'small' });
});

test('a folder that is not wanted stays for what is ignored in it, and becomes whole again', async () => {
  writeFileSync(b.path('.holdfastignore'), '*.o\n');
  writeFileSync(b.path('big/mine.o'), 'mine');
  const rules = { '.holdfastignore': '*.o\n' };
  await shows(a, { ...TREE, ...rules });
  remove(b, 'big');
  await shows(b, { ...rules, big: '/', 'big/mine.o': 'mine', small: 'small' });
  await shows(a, { ...TREE, ...rules });
  add(b, 'big');
  await shows(b, { ...TREE, ...rules, 'big/mine.o': 'mine' });
  await shows(a, { ...TREE, ...rules });
});

test('a folder takes its own rules away last: what they ignore does not go up', async () => {
  writeFileSync(b.path('big/.holdfastignore'), '*.o\n');
  writeFileSync(b.path('big/deep/mine.o'), 'mine');
  const whole = { ...TREE, 'big/.holdfastignore': '*.o\n' };
  await shows(a, whole);
  const left = { big: '/', 'big/deep': '/', 'big/deep/mine.o': 'mine', small: 'small' };
  remove(b, 'big');
  await shows(b, left);
  await b.stop();
  b.start();
  await shows(b, left);
  await shows(a, whole);
  assert.throws(
    () => remove(b, 'big/.holdfastignore'),
    (error) => error instanceof HoldfastError && error.code === 'invalid_usage',
  );
  add(b, 'big');
  await shows(b, { ...whole, 'big/deep/mine.o': 'mine' });
  rmSync(a.path('big'), { recursive: true });
  await shows(b, left);
  await b.stop();
  b.start();
  await shows(b, left);
  await shows(a, { small: 'small' });
});

/** Each is a moment at which the process is killed while the choice is carried out; and what becomes of the disk then. */
const moments: readonly {
  readonly what: string;
  readonly when: 'before' | 'after';
  readonly lost: readonly string[];
}[] = [
  { what: 'when nothing has left the disk yet', when: 'before', lost: [] },
  { what: 'when some has left the disk', when: 'before', lost: ['big/one'] },
  { what: 'when a folder has', when: 'before', lost: ['big/deep'] },
  { what: 'when all but the folder has', when: 'before', lost: ['big/one', 'big/two', 'big/deep'] },
  { what: 'when all has left the disk and nothing is written down of it', when: 'after', lost: [] },
];

for (const { what, when, lost } of moments) {
  for (const next of [
    'it goes on',
    'the person wants it again',
    'the person wants it again before the start',
  ] as const) {
    test(`killed ${what}, ${next}: nothing is deleted anywhere`, async () => {
      b.gate.killAt = (point) => point.startsWith(`${when} remove`);
      remove(b, 'big');
      await eventually(
        () => b.killed,
        () => b.tree(),
      );
      delete b.gate.killAt;
      await b.stop();
      for (const path of lost) rmSync(b.path(path), { recursive: true });
      if (next === 'the person wants it again before the start') add(b, 'big');
      b.start();
      if (next === 'the person wants it again') add(b, 'big');
      await shows(b, next === 'it goes on' ? { small: 'small' } : TREE);
      await shows(a, TREE);
      add(b, 'big');
      await converged([a, b], TREE);
    });
  }
}

test('a link that the file system refuses is absent, and no problem', async () => {
  b.gate.refuse = (step) =>
    step.kind === 'make_symlink' ? { kind: 'failed', code: 'unsupported_by_disk', detail: 'no links here' } : null;
  symlinkSync('small', a.path('link'));
  await eventually(
    () => b.client?.status().counts.notHere.link_unsupported === 1 && b.client.status().inSync,
    () => b.client?.status(),
  );
  assert.deepEqual(b.client?.status().problems, []);
  // Others may do with it what they like, and this device deletes nothing of it.
  rmSync(a.path('link'));
  symlinkSync('big', a.path('link'));
  await eventually(
    () => a.client?.status().inSync === true && b.client?.status().inSync === true,
    () => [a.client?.status(), b.client?.status()],
  );
  assert.equal(a.tree()['link'], '-> big');
  assert.equal(existsSync(b.path('link')), false);
  rmSync(a.path('link'));
  await converged([a, b], TREE);
  await nothingAbsent(b);
});

test('another history of the server, in the middle of it: what only this device has left is kept', async () => {
  b.gate.killAt = (point) => point.startsWith('before remove');
  remove(b, 'big');
  await eventually(
    () => b.killed,
    () => b.tree(),
  );
  delete b.gate.killAt;
  await b.stop();
  // The server knows another content by now, as from an older backup, and the device another chain than the server's.
  writeFileSync(a.path('big/one'), 'an older one');
  await shows(a, { ...TREE, 'big/one': 'an older one' });
  const state = sqliteOpener.open(b.statePath, { durability: 'full' });
  const cursor = JSON.parse(state.prepare(`SELECT value FROM meta WHERE key = 'cursor'`).get()?.['value'] as string);
  const changed = JSON.stringify({ ...cursor, chain: 'ab'.repeat(32) });
  state.prepare(`UPDATE meta SET value = ? WHERE key = 'cursor'`).run(changed);
  state.close();
  b.start();
  await eventually(
    () => Object.values(a.tree()).includes('one') && Object.values(a.tree()).includes('an older one'),
    () => a.tree(),
  );
  await eventually(
    () => b.client?.status().inSync === true && !existsSync(b.path('big/two')),
    () => [b.tree(), b.client?.status()],
  );
});
