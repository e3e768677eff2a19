/** One device on a disk that cannot hold every name, one on an ordinary disk. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { after, before, describe, test, type TestContext } from 'node:test';
import { openState } from '#client/state.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { mountOther, type otherDisks } from '../other-disk.ts';
import { lacksRoot } from '../privilege.ts';
import { decomposing, decomposingWatcher, refusing } from './simulated-disk.ts';
import { eventually, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
const unmount: (() => void)[] = [];
before(async () => {
  world = await SyncWorld.start();
});
after(async () => {
  try {
    for (const device of devices) await device.stop();
  } finally {
    // Whatever went wrong: there are few loop devices.
    for (const one of unmount) one();
  }
  await world.end();
});

const devices: Device[] = [];
let count = 0;

/** `here`: on the disk that cannot hold all. Both run, and see nothing but what this test makes. */
async function pair(
  kind: keyof typeof otherDisks | null,
  prepare: (here: Device) => void = () => {},
): Promise<{ readonly here: Device; readonly there: Device }> {
  count++;
  for (const device of devices.splice(0)) await device.stop();
  const there = await world.device(`there${count}`);
  const here = await world.device(`here${count}`, (folder) => kind && unmount.push(mountOther(kind, folder)));
  prepare(here);
  devices.push(here, there);
  there.start();
  await settled([there]);
  for (const path of Object.keys(there.tree())) rmSync(there.path(path), { recursive: true, force: true });
  await settled([there]);
  here.start();
  await settled([here, there]);
  assert.deepEqual([here.tree(), there.tree()], [{}, {}]);
  return { here, there };
}

/** In sync, and so still after the other had the time to say something. */
async function settled(all: readonly Device[]): Promise<void> {
  await eventually(
    () => all.every((device) => device.client?.status().inSync),
    () => all.map((device) => [device.name, device.client?.status(), device.tree()]),
  );
}

async function becomes(
  here: Device,
  hereTree: Record<string, string>,
  there: Device,
  thereTree: Record<string, string>,
) {
  const shown = (tree: Record<string, string>) => JSON.stringify(Object.entries(tree).sort());
  await eventually(
    () =>
      shown(here.tree()) === shown(hereTree) &&
      shown(there.tree()) === shown(thereTree) &&
      [here, there].every((device) => device.client?.status().inSync),
    () => [here, there].map((device) => [device.name, device.client?.status(), device.tree()]),
  );
}

/** Ids by name, as the device knows the space, or has agreed on it. */
function ids(device: Device, tree: 'remote' | 'synced' = 'remote'): Record<string, string> {
  const state = openState(sqliteOpener, device.statePath, { readOnly: true });
  const rows = state.sql.prepare(`SELECT name, entry FROM ${tree} ORDER BY name`).all();
  state.close();
  return Object.fromEntries(rows.map((row) => [row['name'] as string, row['entry'] as string]));
}

function bytes(device: Device): number {
  return Object.values(device.gate.sentBytes).reduce((sum, one) => sum + one, 0);
}

async function restarted(device: Device): Promise<void> {
  await device.stop();
  device.start();
  await settled([device]);
}

for (const kind of ['exfat', 'ntfs'] as const) {
  // One of them shows no capital letter.
  const shown = (name: string) => (kind === 'ntfs' ? name.toLowerCase() : name);
  const lacks = (context: TestContext) => lacksRoot(context, `mounting a disk of ${kind}`);

  describe(kind, () => {
    test('two names that differ in letter case live side by side, one of them under an alias', async (context) => {
      if (lacks(context)) return;
      const { here, there } = await pair(kind);
      writeFileSync(there.path('Plan.txt'), 'first');
      await becomes(here, { [shown('Plan.txt')]: 'first' }, there, { 'Plan.txt': 'first' });
      writeFileSync(there.path('PLAN.txt'), 'second');
      const both = { 'Plan.txt': 'first', 'PLAN.txt': 'second' };
      const alias = shown('PLAN (case clash).txt');
      await becomes(here, { [shown('Plan.txt')]: 'first', [alias]: 'second' }, there, both);

      // The alias stands for the entry, and a start changes nothing.
      const before = ids(there);
      writeFileSync(here.path(alias), 'second, edited');
      await becomes(here, { [shown('Plan.txt')]: 'first', [alias]: 'second, edited' }, there, {
        ...both,
        'PLAN.txt': 'second, edited',
      });
      const sent = bytes(here);
      await restarted(here);
      await becomes(here, { [shown('Plan.txt')]: 'first', [alias]: 'second, edited' }, there, {
        ...both,
        'PLAN.txt': 'second, edited',
      });
      assert.equal(bytes(here), sent);
      assert.deepEqual(ids(there), before);

      // Its own name is free.
      unlinkSync(there.path('Plan.txt'));
      await becomes(here, { [shown('PLAN.txt')]: 'second, edited' }, there, { 'PLAN.txt': 'second, edited' });
      assert.equal(ids(there)['PLAN.txt'], before['PLAN.txt']);
      assert.equal(bytes(here), sent, 'no bytes for a name');
    });

    test('whoever renames an alias renames the entry, and whoever deletes it deletes that alone', async (context) => {
      if (lacks(context)) return;
      const { here, there } = await pair(kind);
      mkdirSync(there.path('Box'));
      writeFileSync(there.path('Box/in'), 'one');
      await becomes(here, { [shown('Box')]: '/', [shown('Box/in')]: 'one' }, there, { Box: '/', 'Box/in': 'one' });
      mkdirSync(there.path('BOX'));
      writeFileSync(there.path('BOX/in'), 'two');
      const [box, alias] = [shown('Box'), shown('BOX (case clash)')];
      const twins = { Box: '/', 'Box/in': 'one', BOX: '/', 'BOX/in': 'two' };
      await becomes(here, { [box]: '/', [`${box}/in`]: 'one', [alias]: '/', [`${alias}/in`]: 'two' }, there, twins);
      const before = ids(there);
      renameSync(here.path(alias), here.path('crate'));
      await becomes(here, { [box]: '/', [`${box}/in`]: 'one', crate: '/', 'crate/in': 'two' }, there, {
        Box: '/',
        'Box/in': 'one',
        crate: '/',
        'crate/in': 'two',
      });
      assert.equal(ids(there)['crate'], before['BOX']);
      rmSync(here.path('crate'), { recursive: true });
      await becomes(here, { [box]: '/', [`${box}/in`]: 'one' }, there, { Box: '/', 'Box/in': 'one' });
    });

    test('a change of letter case is a rename, on either side: nothing is deleted, and no byte moves', async (context) => {
      if (lacks(context)) return;
      const { here, there } = await pair(kind);
      writeFileSync(there.path('note.txt'), 'text');
      mkdirSync(there.path('dir'));
      writeFileSync(there.path('dir/in'), 'deep');
      await becomes(here, { 'note.txt': 'text', dir: '/', 'dir/in': 'deep' }, there, {
        'note.txt': 'text',
        dir: '/',
        'dir/in': 'deep',
      });
      const before = ids(there);
      const sent = bytes(here) + bytes(there);
      renameSync(there.path('note.txt'), there.path('Note.txt'));
      renameSync(there.path('dir'), there.path('DIR'));
      const capital = { 'Note.txt': 'text', DIR: '/', 'DIR/in': 'deep' };
      const capitalHere = Object.fromEntries(Object.entries(capital).map(([path, text]) => [shown(path), text]));
      await becomes(here, capitalHere, there, capital);
      await eventually(
        () => ids(here)['Note.txt'] === before['note.txt'] && ids(here)['DIR'] === before['dir'],
        () => ids(here),
      );
      await restarted(here);
      await becomes(here, capitalHere, there, capital);
      if (kind === 'exfat') {
        renameSync(here.path('Note.txt'), here.path('NOTE.txt'));
        renameSync(here.path('DIR'), here.path('Dir'));
        const again = { 'NOTE.txt': 'text', Dir: '/', 'Dir/in': 'deep' };
        await becomes(here, again, there, again);
        assert.equal(ids(there)['NOTE.txt'], before['note.txt']);
        assert.equal(ids(there)['Dir'], before['dir']);
      }
      assert.equal(bytes(here) + bytes(there), sent);
    });

    test('what cannot be called so here is absent, is not deleted, and comes when it can', async (context) => {
      if (lacks(context)) return;
      const { here, there } = await pair(kind);
      writeFileSync(there.path('a:b'), 'colon');
      mkdirSync(there.path('why?'));
      writeFileSync(there.path('why?/fine'), 'below');
      writeFileSync(there.path('kept'), 'kept');
      const all = { 'a:b': 'colon', 'why?': '/', 'why?/fine': 'below', kept: 'kept' };
      await becomes(here, { kept: 'kept' }, there, all);
      const told = () => here.client?.status().problems.map(({ path, code }) => `${code} ${path}`);
      assert.deepEqual(told()?.sort(), ['invalid_name a:b', 'invalid_name why?']);
      await restarted(here);
      await becomes(here, { kept: 'kept' }, there, all);

      // What is here stays, under the name that it has here, and a new name from here is the entry's.
      renameSync(there.path('kept'), there.path('kept?'));
      await becomes(here, { kept: 'kept' }, there, {
        'a:b': 'colon',
        'why?': '/',
        'why?/fine': 'below',
        'kept?': 'kept',
      });
      await eventually(
        () => ids(here, 'synced')['kept?'] !== undefined,
        () => ids(here, 'synced'),
      );
      renameSync(here.path('kept'), here.path('free'));
      await becomes(here, { free: 'kept' }, there, { 'a:b': 'colon', 'why?': '/', 'why?/fine': 'below', free: 'kept' });

      renameSync(there.path('a:b'), there.path('ab'));
      renameSync(there.path('why?'), there.path('because'));
      const possible = { ab: 'colon', because: '/', 'because/fine': 'below', free: 'kept' };
      await becomes(here, possible, there, possible);
      assert.deepEqual(told(), []);
      assert.equal(readFileSync(here.path('because/fine'), 'utf8'), 'below');
      assert.ok(existsSync(there.path('ab')));
    });
  });
}

const COMPOSED = 'caf\u00e9';
const DECOMPOSED = 'cafe\u0301';

function decomposes(device: Device): void {
  device.asFolder = decomposing;
  device.asWatcher = decomposingWatcher;
}

test('a disk that shows another form of a name than it was given renames nothing and deletes nothing', async () => {
  const { here, there } = await pair(null, decomposes);
  writeFileSync(there.path(COMPOSED), 'text');
  mkdirSync(there.path(`${COMPOSED}.d`));
  writeFileSync(there.path(`${COMPOSED}.d/${COMPOSED}`), 'deep');
  const composed = { [COMPOSED]: 'text', [`${COMPOSED}.d`]: '/', [`${COMPOSED}.d/${COMPOSED}`]: 'deep' };
  const decomposed = { [DECOMPOSED]: 'text', [`${DECOMPOSED}.d`]: '/', [`${DECOMPOSED}.d/${DECOMPOSED}`]: 'deep' };
  await becomes(here, decomposed, there, composed);
  const before = ids(there);
  const commits = () => here.gate.calls.filter((verb) => verb === 'commit').length;
  const committed = commits();
  await restarted(here);
  await becomes(here, decomposed, there, composed);
  assert.equal(commits(), committed, 'nothing to say');

  // An edit here is an edit, and what is new here has the form that all others give it.
  writeFileSync(here.path(`${DECOMPOSED}.d/${DECOMPOSED}`), 'deeper');
  writeFileSync(here.path(`${DECOMPOSED}.d/e\u0301`), 'new');
  await becomes(
    here,
    { ...decomposed, [`${DECOMPOSED}.d/${DECOMPOSED}`]: 'deeper', [`${DECOMPOSED}.d/e\u0301`]: 'new' },
    there,
    {
      ...composed,
      [`${COMPOSED}.d/${COMPOSED}`]: 'deeper',
      [`${COMPOSED}.d/\u00e9`]: 'new',
    },
  );
  assert.equal(ids(there)[`${COMPOSED}.d`], before[`${COMPOSED}.d`]);
  renameSync(there.path(COMPOSED), there.path(DECOMPOSED));
  await eventually(
    () => ids(here, 'synced')[DECOMPOSED] !== undefined && here.client?.status().inSync === true,
    () => here.client?.status(),
  );
  assert.equal(readFileSync(here.path(DECOMPOSED), 'utf8'), 'text');
});

test('two forms of one name live side by side on a disk that has one form', async () => {
  const { here, there } = await pair(null, decomposes);
  writeFileSync(there.path(COMPOSED), 'first');
  await becomes(here, { [DECOMPOSED]: 'first' }, there, { [COMPOSED]: 'first' });
  writeFileSync(there.path(DECOMPOSED), 'second');
  const alias = `${DECOMPOSED} (case clash)`;
  await becomes(here, { [DECOMPOSED]: 'first', [alias]: 'second' }, there, {
    [COMPOSED]: 'first',
    [DECOMPOSED]: 'second',
  });
  unlinkSync(here.path(DECOMPOSED));
  await becomes(here, { [DECOMPOSED]: 'second' }, there, { [DECOMPOSED]: 'second' });
});

test('a first link finds what it has under another form', async () => {
  const { here, there } = await pair(null, decomposes);
  await here.stop();
  for (const [device, name] of [
    [there, `nfd ${DECOMPOSED}`],
    [there, `nfc ${COMPOSED}`],
  ] as const)
    writeFileSync(device.path(name), 'same');
  await settled([there]);
  for (const name of ['nfd', 'nfc']) writeFileSync(here.path(`${name} ${DECOMPOSED}`), 'same');
  here.start();
  const decomposed = { [`nfd ${DECOMPOSED}`]: 'same', [`nfc ${DECOMPOSED}`]: 'same' };
  await becomes(here, decomposed, there, { [`nfd ${DECOMPOSED}`]: 'same', [`nfc ${COMPOSED}`]: 'same' });
});

test('what the disk itself refuses is absent too, and keeps what is here under its name', async () => {
  const long = 'n'.repeat(200);
  const { here, there } = await pair(null, (device) => {
    device.asFolder = (folder) => refusing(folder, (name) => name.length > 143);
  });
  await here.stop();
  writeFileSync(there.path(long), 'long');
  mkdirSync(there.path(`${long}.d`));
  writeFileSync(there.path(`${long}.d/in`), 'below');
  writeFileSync(there.path('short'), 'short');
  await eventually(
    () => there.client?.status().counts.files === 3 && there.client.status().inSync,
    () => there.client?.status(),
  );
  // The folder and what lies in it are refused in one go.
  here.start();
  const all = { [long]: 'long', [`${long}.d`]: '/', [`${long}.d/in`]: 'below', short: 'short' };
  await becomes(here, { short: 'short' }, there, all);
  assert.deepEqual(
    here.client
      ?.status()
      .problems.map(({ path }) => path)
      .sort(),
    [long, `${long}.d`],
  );
  renameSync(there.path('short'), there.path(`${long} too`));
  await eventually(
    () => ids(here, 'synced')[`${long} too`] !== undefined && here.client?.status().inSync === true,
    () => here.client?.status(),
  );
  assert.deepEqual(here.tree(), { short: 'short' });
  await restarted(here);
  assert.deepEqual(here.tree(), { short: 'short' });
  renameSync(there.path(`${long}.d`), there.path('d'));
  renameSync(there.path(`${long} too`), there.path('shorter'));
  await becomes(here, { shorter: 'short', d: '/', 'd/in': 'below' }, there, {
    [long]: 'long',
    d: '/',
    'd/in': 'below',
    shorter: 'short',
  });

  // It is asked again at the next start.
  await here.stop();
  here.asFolder = (folder) => folder;
  here.start();
  const possible = { [long]: 'long', d: '/', 'd/in': 'below', shorter: 'short' };
  await becomes(here, possible, there, possible);
});

test('a folder that comes to lie on another kind of disk loses nothing that this disk cannot hold', async () => {
  const { here, there } = await pair(null);
  const both = { [COMPOSED]: 'one', [DECOMPOSED]: 'two' };
  writeFileSync(there.path(COMPOSED), 'one');
  writeFileSync(there.path(DECOMPOSED), 'two');
  await becomes(here, both, there, both);
  await here.stop();
  // Copied, as far as it goes.
  unlinkSync(here.path(COMPOSED));
  decomposes(here);
  here.start();
  await becomes(here, { [DECOMPOSED]: 'two', [`${DECOMPOSED} (case clash)`]: 'one' }, there, both);
});
