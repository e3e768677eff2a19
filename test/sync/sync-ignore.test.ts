import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { sqliteOpener } from '#world/real/sql.ts';
import { entryAt, headSeq, sent } from './sync-state.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
let a: Device;
let b: Device;

beforeEach(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
  for (const device of [a, b]) device.start();
  await converged([a, b], {});
});
afterEach(() => world.end());

function rows(device: Device, sql: string): readonly Record<string, unknown>[] {
  const state = sqliteOpener.open(device.statePath, { durability: 'normal', readOnly: true });
  try {
    return state.prepare(sql).all();
  } finally {
    state.close();
  }
}
/** Names in the space, as `a` has heard of them. */
const entries = () => rows(a, 'SELECT name FROM remote ORDER BY name').map((row) => row['name']);
const known = (device: Device) => rows(device, 'SELECT name FROM local ORDER BY name').map((row) => row['name']);

async function inSync(...devices: readonly Device[]): Promise<void> {
  await eventually(
    () => devices.every((device) => device.client?.status().inSync),
    () => devices.map((device) => device.client?.status()),
  );
}

async function rulesKnown(device: Device, text: string): Promise<void> {
  await eventually(
    () => rows(device, 'SELECT text FROM rules').some((row) => row['text'] === text),
    () => rows(device, 'SELECT * FROM rules'),
  );
  await inSync(device);
}

test('rules that are gone before anybody knows of their file hold no longer', async () => {
  await a.stop();
  a.asFolder = (folder) => ({
    ...folder,
    seal: async (files, keys) => {
      const outcomes = await folder.seal(files, keys);
      for (const { path } of files) if (path.endsWith('.holdfastignore')) rmSync(a.path(path), { force: true });
      return outcomes;
    },
  });
  a.start();
  // They are read ahead where something made with them is looked at while they still wait: by the clock, in one of some rounds.
  for (let round = 0; round < 8; round++) {
    mkdirSync(a.path(`${round}`));
    await converged([a, b]);
    writeFileSync(a.path(`${round}/before`), 'before');
    await delay(5 + round);
    writeFileSync(a.path(`${round}/.holdfastignore`), 'later\n');
    await inSync(a);
    writeFileSync(a.path(`${round}/later`), 'later');
    await eventually(
      () => b.tree()[`${round}/later`] === 'later',
      () => [b.tree(), rows(a, 'SELECT * FROM rules'), rows(a, 'SELECT parent, name FROM local')],
    );
  }
  await converged([a, b]);
});

test('rules that the disk does not give are tried again, and their problem does not outlive them', async () => {
  let fails = true;
  await a.stop();
  a.asFolder = (folder) => ({
    ...folder,
    seal: async (files, keys) =>
      (await folder.seal(files, keys)).map((outcome, at) =>
        fails && files[at]?.path.endsWith('.holdfastignore')
          ? ({ kind: 'failed', code: 'disk_failed', detail: 'EIO' } as const)
          : outcome,
      ),
  });
  a.start();
  const problems = () => a.client?.status().problems.map(({ path }) => path);
  const told = (path: string) =>
    eventually(
      () => problems()?.includes(path) === true,
      () => problems(),
    );
  mkdirSync(a.path('sub'));
  writeFileSync(a.path('sub/.holdfastignore'), '*.log\n');
  await told('sub/.holdfastignore');
  rmSync(a.path('sub/.holdfastignore'));
  await inSync(a);
  writeFileSync(a.path('.holdfastignore'), '*.tmp\n');
  await told('.holdfastignore');
  fails = false;
  await rulesKnown(a, '*.tmp\n');
  assert.deepEqual(problems(), []);
});

test('what is ignored from the start never goes up, is not listed and not watched', async () => {
  await a.stop();
  const listed: string[] = [];
  a.gate.onList = (paths) => void listed.push(...paths);
  writeFileSync(a.path('.holdfastignore'), 'node_modules\n*.tmp\n');
  mkdirSync(a.path('node_modules/deep/er'), { recursive: true });
  mkdirSync(a.path('sub/node_modules'), { recursive: true });
  for (const path of ['node_modules/deep/er/x', 'sub/node_modules/y', 'sub/a.tmp', 'sub/kept', 'b.tmp'])
    writeFileSync(a.path(path), path);
  a.start();
  await eventually(
    () => existsSync(b.path('sub/kept')),
    () => b.tree(),
  );
  await inSync(a, b);
  assert.deepEqual(Object.keys(b.tree()), ['.holdfastignore', 'sub', 'sub/kept']);
  assert.deepEqual(known(a), ['.holdfastignore', 'kept', 'sub']);
  // Something happens in it: nobody hears of it.
  for (let count = 0; count < 100; count++) writeFileSync(a.path(`node_modules/deep/f${count}`), 'x');
  writeFileSync(a.path('sub/other'), 'x');
  await eventually(
    () => existsSync(b.path('sub/other')),
    () => b.tree(),
  );
  await inSync(a);
  delete a.gate.onList;
  assert.deepEqual([...new Set(listed)].sort(), ['', 'sub']);
});

test('a synced file that comes to be ignored stays where it is, everywhere, and is not synced', async () => {
  writeFileSync(a.path('log'), 'one');
  mkdirSync(a.path('out'));
  writeFileSync(a.path('out/x'), 'x');
  await converged([a, b]);
  writeFileSync(a.path('.holdfastignore'), 'log\nout/\n');
  await rulesKnown(a, 'log\nout/\n');
  await rulesKnown(b, 'log\nout/\n');
  const both = { '.holdfastignore': 'log\nout/\n', log: 'one', out: '/', 'out/x': 'x' };
  await converged([a, b], both);
  writeFileSync(a.path('log'), 'two');
  unlinkSync(a.path('out/x'));
  rmSync(b.path('log'));
  writeFileSync(a.path('seen'), '');
  await eventually(
    () => existsSync(b.path('seen')),
    () => b.tree(),
  );
  await inSync(a, b);
  assert.deepEqual(entries(), ['.holdfastignore', 'log', 'out', 'seen', 'x']);
  assert.deepEqual(a.tree(), { '.holdfastignore': 'log\nout/\n', log: 'two', out: '/', seen: '' });
  assert.deepEqual(b.tree(), { '.holdfastignore': 'log\nout/\n', out: '/', 'out/x': 'x', seen: '' });
  assert.deepEqual(a.client?.status().counts.notHere, { ignored: 2 });
});

test('what is moved into a folder that comes to be ignored before the move is recognised', async () => {
  writeFileSync(a.path('x'), 'x');
  mkdirSync(a.path('out'));
  mkdirSync(a.path('sub'));
  await converged([a, b]);
  renameSync(a.path('x'), a.path('out/x'));
  renameSync(a.path('sub'), a.path('out/sub'));
  // It has been seen at its new place, and is still waited for at its old one.
  await delay(100);
  writeFileSync(a.path('.holdfastignore'), 'out\n');
  await rulesKnown(a, 'out\n');
  await eventually(
    () => !existsSync(b.path('x')),
    () => b.tree(),
  );
  await inSync(a, b);
  assert.deepEqual(a.tree(), { '.holdfastignore': 'out\n', out: '/', 'out/sub': '/', 'out/x': 'x' });
  assert.deepEqual(known(a), ['.holdfastignore']);
});

test('what is ignored keeps its place; what should come there is absent until it is looked at anew', async () => {
  writeFileSync(a.path('.holdfastignore'), 'x/\n');
  for (const device of [a, b]) await rulesKnown(device, 'x/\n');
  mkdirSync(a.path('x'));
  writeFileSync(a.path('x/mine'), 'mine');
  writeFileSync(b.path('x'), 'a file');
  await eventually(
    () => a.client?.status().inSync === true && a.client.status().counts.notHere.name_impossible === 1,
    () => a.client?.status(),
  );
  const before = { '.holdfastignore': 'x/\n', x: '/', 'x/mine': 'mine' };
  assert.deepEqual(a.tree(), before);
  await a.stop();
  a.start();
  await eventually(
    () => a.client?.status().inSync === true && a.client.status().counts.notHere.name_impossible === 1,
    () => a.client?.status(),
  );
  assert.deepEqual(a.tree(), before);
  unlinkSync(a.path('.holdfastignore'));
  await eventually(
    () => Object.values(a.tree()).includes('a file') && Object.values(b.tree()).includes('mine'),
    () => [a.tree(), b.tree()],
  );
  await converged([a, b]);
});

test('what is no longer ignored is united: edits become conflict copies, nothing is deleted', async () => {
  writeFileSync(a.path('log'), 'one');
  writeFileSync(a.path('same'), 'same');
  await converged([a, b]);
  writeFileSync(a.path('.holdfastignore'), 'log\nsame\nnew\n');
  await rulesKnown(a, 'log\nsame\nnew\n');
  await rulesKnown(b, 'log\nsame\nnew\n');
  writeFileSync(a.path('log'), 'edited');
  writeFileSync(a.path('new'), 'new');
  unlinkSync(b.path('log'));
  unlinkSync(a.path('same'));
  unlinkSync(a.path('.holdfastignore'));
  await eventually(
    () => Object.keys(b.tree()).length === 4,
    () => [a.tree(), b.tree()],
  );
  await converged([a, b]);
  const tree = a.tree();
  const copy = Object.keys(tree).find((name) => name.includes('conflicted copy'));
  assert.ok(copy);
  assert.deepEqual(tree, { [copy]: 'edited', log: 'one', new: 'new', same: 'same' });
});

test('rules that another device changes hold here as well, in both directions', async () => {
  writeFileSync(a.path('x.o'), 'x');
  writeFileSync(a.path('keep.o'), 'k');
  await converged([a, b]);
  writeFileSync(b.path('.holdfastignore'), '*.o\n');
  await rulesKnown(a, '*.o\n');
  assert.deepEqual(known(a), ['.holdfastignore']);
  writeFileSync(a.path('x.o'), 'changed');
  writeFileSync(b.path('.holdfastignore'), '*.o\n!keep.o\n');
  await rulesKnown(a, '*.o\n!keep.o\n');
  await eventually(
    () => known(a).includes('keep.o'),
    () => known(a),
  );
  writeFileSync(a.path('keep.o'), 'k2');
  await eventually(
    () => readFileSync(b.path('keep.o'), 'utf8') === 'k2',
    () => b.tree(),
  );
  await inSync(a, b);
  assert.equal(readFileSync(b.path('x.o'), 'utf8'), 'x');
  assert.deepEqual(entries(), ['.holdfastignore', 'keep.o', 'x.o']);
});

test('a folder that another device deletes stays for what is ignored in it, on this disk alone', async () => {
  writeFileSync(a.path('.holdfastignore'), '*.o\n');
  mkdirSync(a.path('d/e'), { recursive: true });
  for (const path of ['d/a', 'd/e/b']) writeFileSync(a.path(path), path);
  await eventually(
    () => existsSync(b.path('d/e/b')),
    () => b.tree(),
  );
  writeFileSync(b.path('d/e/mine.o'), 'mine');
  await inSync(a, b);
  rmSync(a.path('d'), { recursive: true });
  await eventually(
    () => !existsSync(b.path('d/a')),
    () => b.tree(),
  );
  await inSync(a, b);
  assert.deepEqual(b.tree(), { '.holdfastignore': '*.o\n', d: '/', 'd/e': '/', 'd/e/mine.o': 'mine' });
  assert.deepEqual(entries(), ['.holdfastignore']);
  // After a restart it is still nobody's business.
  await b.stop();
  b.start();
  await inSync(b);
  assert.deepEqual(entries(), ['.holdfastignore']);
  // A new file takes the folders up again; what is ignored in them stays here.
  writeFileSync(b.path('d/e/new'), 'new');
  await eventually(
    () => existsSync(a.path('d/e/new')),
    () => [a.tree(), b.client?.status()],
  );
  assert.equal(existsSync(a.path('d/e/mine.o')), false);
  // Without the ignored file it goes like any other.
  rmSync(a.path('d'), { recursive: true });
  await eventually(
    () => !existsSync(b.path('d/e/new')),
    () => b.tree(),
  );
  await inSync(b);
  unlinkSync(b.path('d/e/mine.o'));
  await eventually(
    () => !existsSync(b.path('d')),
    () => b.tree(),
  );
  await inSync(b);
});

test('a folder that stayed for what its rules ignored, and is restored without them, ignores nothing any more', async () => {
  for (const restart of [false, true]) {
    mkdirSync(a.path('work'));
    writeFileSync(a.path('work/.holdfastignore'), '*.log\n');
    await converged([a, b]);
    await rulesKnown(b, '*.log\n');
    writeFileSync(b.path('work/own.log'), 'own');
    await inSync(b);
    await b.stop();
    unlinkSync(a.path('work/.holdfastignore'));
    await eventually(
      () => entries().length === 1,
      () => entries(),
    );
    rmSync(a.path('work'), { recursive: true });
    await eventually(
      () => entries().length === 0,
      () => entries(),
    );
    b.start();
    await eventually(
      () => !existsSync(b.path('work/.holdfastignore')),
      () => b.tree(),
    );
    await inSync(a, b);
    assert.deepEqual(b.tree(), { work: '/', 'work/own.log': 'own' });
    if (restart) await b.stop();
    await a.bringBack('work');
    if (restart) b.start();
    await converged([a, b], { work: '/', 'work/own.log': 'own' });
    assert.deepEqual(rows(b, 'SELECT * FROM rules'), []);
    rmSync(a.path('work'), { recursive: true });
    await converged([a, b], {});
  }
});

test('what another, who did not know the rules yet, moves into the ignored leaves who has them', async () => {
  mkdirSync(a.path('build'));
  mkdirSync(a.path('src'));
  for (const path of ['build/out', 'src/f', 'g']) writeFileSync(a.path(path), path);
  await converged([a, b]);
  await b.stop();
  writeFileSync(b.path('.holdfastignore'), 'build\n');
  renameSync(a.path('src'), a.path('build/src'));
  renameSync(a.path('g'), a.path('build/g'));
  const inBuild = `SELECT r.name FROM remote r JOIN remote f ON f.entry = r.parent WHERE f.name = 'build'`;
  await eventually(
    () => rows(a, inBuild).length === 3,
    () => rows(a, inBuild),
  );
  await inSync(a);
  b.start();
  await rulesKnown(a, 'build\n');
  await inSync(a, b);
  const rest = { '.holdfastignore': 'build\n', build: '/', 'build/out': 'build/out' };
  assert.deepEqual(b.tree(), rest);
  assert.deepEqual(a.tree(), { ...rest, 'build/g': 'g', 'build/src': '/', 'build/src/f': 'src/f' });
});

test('renames across the border: into the ignored is a delete, out of it a new file', async () => {
  writeFileSync(a.path('.holdfastignore'), '*.bak\n');
  writeFileSync(a.path('notes'), 'notes');
  writeFileSync(a.path('old.bak'), 'old');
  await eventually(
    () => existsSync(b.path('notes')),
    () => b.tree(),
  );
  renameSync(a.path('notes'), a.path('notes.bak'));
  renameSync(a.path('old.bak'), a.path('old'));
  await eventually(
    () => existsSync(b.path('old')) && !existsSync(b.path('notes')),
    () => b.tree(),
  );
  await inSync(a, b);
  assert.equal(readFileSync(a.path('notes.bak'), 'utf8'), 'notes');
  // An editor's way of saving is no delete.
  renameSync(a.path('old'), a.path('old.bak'));
  writeFileSync(a.path('old'), 'newer');
  await eventually(
    () => readFileSync(b.path('old'), 'utf8') === 'newer',
    () => b.tree(),
  );
  await inSync(a, b);
  assert.deepEqual(Object.keys(b.tree()), ['.holdfastignore', 'old']);
});

test('a new device gets the rules first, and nothing that they ignore', async () => {
  mkdirSync(a.path('p/out'), { recursive: true });
  for (const path of ['p/out/x', 'p/src']) writeFileSync(a.path(path), path);
  await converged([a, b]);
  writeFileSync(a.path('p/.holdfastignore'), '/out\n');
  await rulesKnown(a, '/out\n');
  await rulesKnown(b, '/out\n');
  const c = await world.device('carl');
  c.start();
  await eventually(
    () => c.client?.status().inSync === true,
    () => c.client?.status(),
  );
  assert.deepEqual(Object.keys(c.tree()), ['p', 'p/.holdfastignore', 'p/src']);
  assert.deepEqual(c.client?.status().counts.notHere, { ignored: 1 });
});

test('the rules of a folder move with it, and a rule never hides the rules', async () => {
  mkdirSync(a.path('p'));
  writeFileSync(a.path('p/.holdfastignore'), '*\n!kept\n');
  for (const name of ['kept', 'not']) writeFileSync(a.path(`p/${name}`), name);
  await eventually(
    () => existsSync(b.path('p/kept')),
    () => b.tree(),
  );
  renameSync(a.path('p'), a.path('q'));
  writeFileSync(a.path('q/neither'), 'x');
  await eventually(
    () => existsSync(b.path('q/kept')),
    () => b.tree(),
  );
  await inSync(a, b);
  assert.deepEqual(Object.keys(b.tree()), ['q', 'q/.holdfastignore', 'q/kept']);
});

test('rules that cannot be used leave those before in force', async () => {
  writeFileSync(a.path('.holdfastignore'), 'secret\n');
  writeFileSync(a.path('secret'), 's');
  await rulesKnown(a, 'secret\n');
  writeFileSync(a.path('.holdfastignore'), `${'x'.repeat(300 * 1024)}\n`);
  await eventually(
    () => a.client?.status().problems.some(({ path }) => path === '.holdfastignore') === true,
    () => a.client?.status(),
  );
  assert.equal(entries().includes('secret'), false);
  writeFileSync(a.path('.holdfastignore'), 'secret\nother\n');
  await rulesKnown(a, 'secret\nother\n');
  assert.deepEqual(a.client?.status().problems, []);
});

test('rules that are still being written hold for what is made right after them', async () => {
  // Each change of the rules makes the client wait longer before it looks at them; not so with the folder.
  for (let round = 0; round < 5; round++) {
    writeFileSync(a.path(`d${round}.txt`), '');
    const name = `made${round}`;
    mkdirSync(a.path(`p${round}`));
    await eventually(
      () => existsSync(b.path(`p${round}`)),
      () => b.tree(),
    );
    writeFileSync(a.path(`p${round}/.holdfastignore`), `${name}\n`);
    // A save of its own, not a part of the one before: what is tested is what happens between two.
    await new Promise((resolve) => setTimeout(resolve, 30));
    writeFileSync(a.path(`p${round}/.holdfastignore`), `${name}\n# again\n`);
    mkdirSync(a.path(`p${round}/${name}`));
    await rulesKnown(a, `${name}\n# again\n`);
    assert.equal(entries().includes(name), false);
  }
});

for (const verb of ['list', 'look'] as const)
  test(`two folders change places as the disk is asked to ${verb}: the rules of the one never hold in the other`, async () => {
    for (const folder of ['x', 'y']) mkdirSync(a.path(folder));
    writeFileSync(a.path('x/.holdfastignore'), '*.log\n');
    writeFileSync(a.path('y/a.log'), 'before');
    await rulesKnown(a, '*.log\n');
    await converged([a, b]);
    const entries = ['x', 'y', 'y/a.log'].map((path) => entryAt(a, path));
    await a.stop();
    // What was edited meanwhile comes to a file that is known, or to one that another has taken out of the tree.
    await sent(b, () => writeFileSync(b.path('y/a.log'), 'after'));
    const head = headSeq(b);
    const swapped = Promise.withResolvers<void>();
    let isToSwap = true;
    const swapAt = (path: string, paths: readonly string[]): void => {
      if (!isToSwap || !paths.includes(path)) return;
      isToSwap = false;
      renameSync(a.path('x'), a.path('t'));
      renameSync(a.path('y'), a.path('x'));
      renameSync(a.path('t'), a.path('y'));
      swapped.resolve();
    };
    const listed = Promise.withResolvers<void>();
    a.asFolder = (folder) => ({
      ...folder,
      list: async (directories) => {
        if (verb === 'list') swapAt('y', directories);
        else if (directories.includes('y')) listed.resolve();
        return await folder.list(directories);
      },
      look: async (paths) => {
        if (verb === 'look') swapAt('y/.holdfastignore', paths);
        return await folder.look(paths);
      },
    });
    a.gate.before = (asked) => (asked === 'pull' ? swapped.promise : undefined);
    a.start();
    if (verb === 'look') {
      await listed.promise;
      writeFileSync(a.path('y/.holdfastignore'), '');
      unlinkSync(a.path('y/.holdfastignore'));
    }
    await swapped.promise;
    await converged([a, b], { x: '/', 'x/a.log': 'after', y: '/', 'y/.holdfastignore': '*.log\n' });
    assert.deepEqual(
      ['y', 'x', 'x/a.log'].map((path) => entryAt(b, path)),
      entries,
    );
    assert.equal(headSeq(b), head + 2, 'a row for each of the two');
  });
