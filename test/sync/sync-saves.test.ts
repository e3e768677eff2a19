/** How programs save: whatever becomes of the inode, the entry keeps its id, every save is a revision of it, and nothing else appears in the journal. */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { spaces } from '#protocol/account.ts';
import { ask } from '#protocol/call.ts';
import { why } from '#protocol/why.ts';
import { entryAt } from './sync-state.ts';
import { converged, SyncWorld, type Device } from './sync-world.ts';

const never = new AbortController().signal;
let world: SyncWorld;
let a: Device;
let b: Device;
before(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
});
after(() => world.end());
beforeEach(async () => {
  for (const device of [a, b]) if (!device.client) device.start();
  for (const name of Object.keys(a.tree())) rmSync(a.path(name), { recursive: true, force: true });
  await converged([a, b], {});
});

/** What the space tells of the life of what lies there. */
async function life(path: string): Promise<string[]> {
  const { response } = await ask(b.peer(), spaces, {}, never);
  const space = response.spaces[0]!.space;
  const { events } = (await ask(b.peer(), why, { space, path }, never)).response;
  return events.map(({ kind, size }) => `${kind} ${size}`);
}

/** Each puts `text` at `path`, and may take its time as the program does. */
const ways: Readonly<Record<string, (path: string, text: string) => void | Promise<void>>> = {
  'into the file': (path, text) => writeFileSync(path, text),
  'cut to nothing, then written': async (path, text) => {
    truncateSync(path);
    await delay(40);
    writeFileSync(path, text);
  },
  'a new file, renamed over it': (path, text) => {
    writeFileSync(`${path}.tmp`, text);
    renameSync(`${path}.tmp`, path);
  },
  'renamed away, a new file, the old one deleted (vim)': async (path, text) => {
    renameSync(path, `${path}~`);
    await delay(60);
    writeFileSync(path, text);
    await delay(60);
    unlinkSync(`${path}~`);
  },
  'deleted, then a new file in its place': async (path, text) => {
    unlinkSync(path);
    await delay(60);
    writeFileSync(path, text);
  },
  'a lock beside it, a new file, the old one away and the new one in (Office)': async (path, text) => {
    writeFileSync(`${path}.~lock`, 'mine');
    writeFileSync(`${path}.A1B2.tmp`, text);
    await delay(30);
    renameSync(path, `${path}.C3D4.tmp`);
    renameSync(`${path}.A1B2.tmp`, path);
    await delay(30);
    unlinkSync(`${path}.C3D4.tmp`);
    unlinkSync(`${path}.~lock`);
  },
  'a backup by a second name, a new file over it': (path, text) => {
    linkSync(path, `${path}.bak`);
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
    unlinkSync(`${path}.bak`);
  },
  'a backup by copying, then into the file': (path, text) => {
    copyFileSync(path, `${path}.bak`);
    writeFileSync(path, text);
    unlinkSync(`${path}.bak`);
  },
};

let count = 0;
for (const [way, save] of Object.entries(ways))
  for (const running of [true, false])
    test(`${way}, ${running ? 'while it runs' : 'while it does not'}`, async () => {
      // Another each time: what was just busy is waited for.
      const doc = `dir/doc ${count++}`;
      mkdirSync(a.path('dir'));
      writeFileSync(a.path(doc), 'v0');
      await converged([a, b], { dir: '/', [doc]: 'v0' });
      const entry = entryAt(b, doc);
      if (!running) await a.stop();
      for (let version = 1; version <= 3; version++) {
        const text = `v${version}${'+'.repeat(version)}`;
        await save(a.path(doc), text);
        if (!running && version < 3) continue;
        if (!running) a.start();
        await converged([a, b], { dir: '/', [doc]: text });
      }
      assert.equal(entryAt(b, doc), entry);
      const sizes = running ? [3, 4, 5] : [5];
      const told = (await life(doc)).filter((event) => event !== 'changed 0');
      assert.deepEqual(told, ['created 2', ...sizes.map((size) => `changed ${size}`)]);
    });

test('a save of the same size that puts the old time back, over and in place, while it runs and while it does not', async () => {
  writeFileSync(a.path('doc'), 'v0');
  await converged([a, b], { doc: 'v0' });
  const { atime, mtime } = statSync(a.path('doc'));
  for (let version = 1; version <= 4; version++) {
    if (version === 3) await a.stop();
    const path = version % 2 ? a.path('doc') : `${a.folder}.tmp`;
    writeFileSync(path, `v${version}`);
    utimesSync(path, atime, mtime);
    if (version % 2 === 0) renameSync(path, a.path('doc'));
    if (version === 3) continue;
    if (!a.client) a.start();
    await converged([a, b], { doc: `v${version}` });
  }
});

test('a touch is no change: nothing is sent, and no journal row is made', async () => {
  writeFileSync(a.path('doc'), 'text');
  await converged([a, b], { doc: 'text' });
  const before = [await life('doc'), a.gate.sentBytes['commit']];
  utimesSync(a.path('doc'), 1, 1);
  await delay(1500);
  await converged([a, b], { doc: 'text' });
  await a.stop();
  a.start();
  await converged([a, b], { doc: 'text' });
  assert.deepEqual([await life('doc'), a.gate.sentBytes['commit']], before);
});
