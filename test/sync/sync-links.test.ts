/** Links that changed and kept their stat, and others that a disk shows otherwise than they were made. */
import { symlinkSync, unlinkSync } from 'node:fs';
import { after, before, beforeEach, test } from 'node:test';
import { reusing, windowsLinks } from './simulated-disk.ts';
import { converged, SyncWorld, type Device } from './sync-world.ts';

let world: SyncWorld;
let a: Device;
let b: Device;

before(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
  a.asFolder = reusing;
  a.start();
  b.start();
});
after(() => world.end());

beforeEach(async () => {
  if (!a.client) a.start();
  for (const name of Object.keys(a.tree())) unlinkSync(a.path(name));
  await converged([a, b], {});
});

test('a link that was made anew in the tick of the one before it, with its number, leads where it leads now', async () => {
  symlinkSync('p', a.path('l'));
  await converged([a, b], { l: '-> p' });
  unlinkSync(a.path('l'));
  symlinkSync('a', a.path('l'));
  await converged([a, b], { l: '-> a' });
});

test('so does one that a scan takes for the one before it under another name', async () => {
  symlinkSync('p', a.path('l'));
  await converged([a, b], { l: '-> p' });
  await a.stop();
  unlinkSync(a.path('l'));
  symlinkSync('a', a.path('m'));
  a.start();
  await converged([a, b], { m: '-> a' });
});

test('a disk that writes targets in its own way has changed no link', async () => {
  const c = await world.device('carl');
  c.asFolder = windowsLinks;
  c.start();
  symlinkSync('there/it/is', a.path('l'));
  await converged([a, b, c], { l: '-> there/it/is' });
  await c.stop();
  c.start();
  await converged([a, b, c], { l: '-> there/it/is' });
  symlinkSync('another', c.path('m'));
  await converged([a, b, c], { l: '-> there/it/is', m: '-> another' });
});
