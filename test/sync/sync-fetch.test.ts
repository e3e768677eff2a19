import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fetchFiles } from '#client/fetch.ts';
import { askSpaceKeys } from '#client/space-keys.ts';
import { ask } from '#protocol/call.ts';
import { files } from '#protocol/cluster.ts';
import { openFolder } from '#world/real/folder.ts';
import { converged, SyncWorld, treeOf, type Device } from './sync-world.ts';

const never = () => new AbortController().signal;
let world: SyncWorld;
let a: Device;
const large = randomBytes(9 * 1024 * 1024);

before(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  mkdirSync(a.path('dir'));
  writeFileSync(a.path('dir/small.txt'), 'small');
  writeFileSync(a.path('empty.mp3'), '');
  writeFileSync(a.path('large.bin'), large);
  for (let index = 0; index < 40; index++) writeFileSync(a.path(`dir/f${index}`), randomBytes(300_000));
  a.start();
  await converged([a]);
});
after(() => world.end());

async function fetchAll(target: string) {
  const peer = a.peer();
  const asker = { ask: (...args: [never, never, AbortSignal]) => ask(peer, ...args) } as never;
  const { space, keys } = await askSpaceKeys(asker, null, never());
  const { response } = await ask(peer, files, { space, after: null, limit: 1000 }, never());
  const folder = openFolder(target);
  let bytes = 0;
  const outcomes = await fetchFiles(peer, {
    space,
    keys,
    folder,
    files: response.files.map((row) => ({ path: row.path, row })),
    onProgress: (more) => {
      bytes += more;
    },
    signal: never(),
  });
  await folder.close();
  return { outcomes, bytes, rows: response.files };
}

test('fetched files are those that were synced, of every size', async () => {
  const target = join(world.directory, 'fetched');
  mkdirSync(join(target, 'dir'), { recursive: true });
  const { outcomes, bytes, rows } = await fetchAll(target);
  assert.ok(outcomes.every(({ kind }) => kind === 'fetched'));
  assert.equal(outcomes.length, 43);
  const size = rows.reduce((sum, row) => sum + row.size, 0);
  assert.ok(Math.abs(bytes - size) <= 100, `${bytes} of ${size}`);
  assert.ok(readFileSync(join(target, 'large.bin')).equals(large));
  assert.deepEqual(treeOf(target), a.tree());
});

test('what lies there already is replaced, and one file that cannot be had stops no other', async () => {
  const target = join(world.directory, 'again');
  mkdirSync(join(target, 'dir'), { recursive: true });
  writeFileSync(join(target, 'dir/small.txt'), 'older');
  world.down.add('txt');
  const { outcomes } = await fetchAll(target);
  world.down.delete('txt');
  const failed = outcomes.filter(({ kind }) => kind === 'failed');
  assert.deepEqual(
    failed.map((one) => one.kind === 'failed' && [one.path, one.code]),
    [['dir/small.txt', 'storage_unavailable']],
  );
  assert.equal(readFileSync(join(target, 'dir/small.txt'), 'utf8'), 'older');
  const { outcomes: second } = await fetchAllWhenUp(target);
  assert.ok(second.every(({ kind }) => kind === 'fetched'));
  assert.equal(readFileSync(join(target, 'dir/small.txt'), 'utf8'), 'small');
});

async function fetchAllWhenUp(target: string) {
  await world.server.greetNodes();
  for (;;) {
    const fetched = await fetchAll(target);
    if (fetched.outcomes.every(({ kind }) => kind === 'fetched')) return fetched;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
