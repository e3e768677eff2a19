/** The execute bit, where one device lies on a disk that has none: it shows all files as executable, or none. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { mountOther } from '../other-disk.ts';
import { lacksRoot } from '../privilege.ts';
import { entryAt, sent } from './sync-state.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

const isExec = (device: Device, name: string) => (statSync(device.path(name)).mode & 0o100) !== 0;
const commits = (device: Device) => device.gate.calls.filter((verb) => verb === 'commit').length;

for (const [kind, shows] of [
  ['exfat', 'none'],
  ['exfatExec', 'all'],
  ['ntfs', 'none'],
] as const)
  test(`a disk of ${kind} that shows ${shows} as executable changes nobody’s execute bit`, async (context) => {
    if (lacksRoot(context, `mounting a disk of ${kind}`)) return;
    const world = await SyncWorld.start();
    let unmount = () => {};
    context.after(async () => {
      // Before the world goes with all its files; lazily, for the device still runs.
      unmount();
      await world.end();
    });
    const there = await world.device('there');
    const here = await world.device('here', (folder) => {
      unmount = mountOther(kind, folder);
    });
    there.start();
    const tree: Record<string, string> = { tool: '#!/bin/sh\n', text: 'text', gone: 'gone', sub: '/' };
    await eventually(
      () => there.client?.status().inSync === true,
      () => there.client?.status(),
    );
    for (const name of ['tool', 'text', 'gone']) writeFileSync(there.path(name), tree[name] as string);
    mkdirSync(there.path('sub'));
    chmodSync(there.path('tool'), 0o755);
    await eventually(
      () => entryAt(there, 'tool') !== null && there.client?.status().inSync === true,
      () => there.client?.status(),
    );
    here.start();
    await converged([here, there], tree);
    assert.equal(isExec(here, 'text'), shows === 'all', 'the disk is one of those');
    assert.equal(commits(here), 0, 'what the disk shows is nobody’s doing');

    await sent(here, () => writeFileSync(here.path('tool'), '#!/bin/sh\necho\n'));
    await sent(here, () => writeFileSync(here.path('text'), 'text, edited'));
    await sent(here, () => writeFileSync(here.path('made'), 'made here'));
    const entry = entryAt(here, 'tool');
    await sent(here, () => renameSync(here.path('tool'), here.path('sub/script')));
    const edited = {
      'sub/script': '#!/bin/sh\necho\n',
      text: 'text, edited',
      made: 'made here',
      gone: 'gone',
      sub: '/',
    };
    await converged([here, there], edited);
    assert.equal(entryAt(there, 'sub/script'), entry);
    assert.deepEqual(
      ['sub/script', 'text', 'made'].map((name) => isExec(there, name)),
      [true, false, false],
    );

    // What others change comes here, too, though the disk cannot show it.
    await sent(there, () => chmodSync(there.path('text'), 0o755));
    await sent(there, () => chmodSync(there.path('sub/script'), 0o644));
    await converged([here, there], edited);
    const before = commits(here);
    await here.stop();
    here.start();
    await converged([here, there], edited);
    assert.equal(commits(here), before, 'a start has nothing to say');
    await sent(here, () => writeFileSync(here.path('text'), 'text, edited again'));
    await converged([here, there], { ...edited, text: 'text, edited again' });
    assert.deepEqual(
      ['sub/script', 'text'].map((name) => isExec(there, name)),
      [false, true],
    );
    for (const device of [here, there]) await device.stop();
  });
