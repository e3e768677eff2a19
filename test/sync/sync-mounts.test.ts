/** Something is mounted in a synced folder, over what lies there: another file system, or a part of the same one, which tells the same device. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { lacksRoot } from '../privilege.ts';
import { entryAt } from './sync-state.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

const rest = (device: Device) =>
  eventually(
    () => device.client?.status().settled === true,
    () => device.client?.status(),
  );

for (const [what, mount] of Object.entries({
  'another disk': (at: string) => execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'holdfast-test', at]),
  'another folder of the same disk': (at: string) => {
    mkdirSync(`${at}-elsewhere`);
    renameSync(`${at}-elsewhere`, `${at}/../../elsewhere`);
    execFileSync('mount', ['--bind', `${at}/../../elsewhere`, at]);
  },
}))
  test(`${what} that is mounted over a folder hides what is in it: nothing of that is deleted, nothing foreign crosses, and nothing is made there`, async (context) => {
    if (lacksRoot(context, 'mounting')) return;
    const world = await SyncWorld.start();
    const [here, there] = [await world.device('here'), await world.device('there')];
    const inside = here.path('a mount');
    let mounted = false;
    const unmount = () => {
      if (mounted) execFileSync('umount', ['--lazy', inside]);
      mounted = false;
    };
    context.after(async () => {
      unmount();
      await world.end();
    });
    here.start();
    there.start();
    const tree = {
      'a mount': '/',
      'a mount/sub': '/',
      'a mount/sub/below': 'below',
      'a mount/file': 'file',
      outside: 'o',
    };
    for (const [path, text] of Object.entries(tree))
      if (text === '/') mkdirSync(here.path(path));
      else writeFileSync(here.path(path), text);
    await converged([here, there], tree);
    const entry = entryAt(there, 'a mount/sub/below');
    mount(inside);
    mounted = true;
    mkdirSync(`${inside}/sub`);
    for (const path of ['foreign', 'file', 'sub/foreign']) writeFileSync(`${inside}/${path}`, 'of another');
    const foreign = readdirSync(inside, { recursive: true }).sort();

    // While it runs, at the scan of a start, and at every look.
    for (const again of [false, true]) {
      if (again) {
        await here.stop();
        here.start();
      }
      writeFileSync(here.path('outside'), `o ${again}`);
      await eventually(
        () =>
          there.tree()['outside'] === `o ${again}` &&
          here.client?.status().problems.some(({ path }) => path === 'a mount') === true,
        () => here.client?.status(),
      );
      await rest(here);
      assert.deepEqual(there.tree(), { ...tree, outside: `o ${again}` });
    }

    // What others do in it waits.
    mkdirSync(there.path('a mount/empty'));
    mkdirSync(there.path('a mount/made'));
    writeFileSync(there.path('a mount/made/new'), 'new');
    writeFileSync(there.path('a mount/file'), 'file, edited');
    renameSync(there.path('outside'), there.path('a mount/outside'));
    await eventually(
      () => here.client?.status().problems.some(({ path }) => path.startsWith('a mount/')) === true,
      () => here.client?.status(),
    );
    writeFileSync(here.path('later'), 'later');
    await eventually(
      () => there.tree()['later'] === 'later',
      () => here.client?.status(),
    );
    assert.deepEqual(readdirSync(inside, { recursive: true }).sort(), foreign, 'nothing was made there');
    const theirs = there.tree();

    unmount();
    await here.stop();
    here.start();
    await converged([here, there], {
      ...theirs,
      'a mount/empty': '/',
      'a mount/made': '/',
      'a mount/made/new': 'new',
      'a mount/file': 'file, edited',
      'a mount/outside': 'o true',
    });
    assert.equal(entryAt(here, 'a mount/sub/below'), entry);
    assert.deepEqual(here.client?.status().problems, []);
  });
