import assert from 'node:assert/strict';
import {
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  chmodSync,
} from 'node:fs';
import { after, before, test } from 'node:test';
import { converged, SyncWorld, type Device } from './sync-world.ts';

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
after(() => world.end());

test('what is created on one device appears on the other', async () => {
  mkdirSync(a.path('papers/old'), { recursive: true });
  writeFileSync(a.path('papers/letter.txt'), 'dear reader');
  writeFileSync(a.path('papers/old/empty.bin'), '');
  symlinkSync('papers/letter.txt', a.path('link'));
  await converged([a, b], {
    link: '-> papers/letter.txt',
    papers: '/',
    'papers/letter.txt': 'dear reader',
    'papers/old': '/',
    'papers/old/empty.bin': '',
  });
});

test('edits go both ways', async () => {
  writeFileSync(b.path('papers/letter.txt'), 'dear writer');
  await converged([a, b]);
  assert.equal(readFileSync(a.path('papers/letter.txt'), 'utf8'), 'dear writer');
  writeFileSync(a.path('papers/letter.txt'), 'dear writer, again');
  await converged([a, b]);
  assert.equal(readFileSync(b.path('papers/letter.txt'), 'utf8'), 'dear writer, again');
});

test('an exec bit goes across', async () => {
  chmodSync(a.path('papers/letter.txt'), 0o755);
  await converged([a, b]);
  const { statSync } = await import('node:fs');
  await import('./sync-world.ts').then(({ eventually }) =>
    eventually(
      () => (statSync(b.path('papers/letter.txt')).mode & 0o100) !== 0,
      () => statSync(b.path('papers/letter.txt')).mode,
    ),
  );
});

test('a rename and a move are not a delete and a create', async () => {
  renameSync(a.path('papers/letter.txt'), a.path('papers/note.txt'));
  renameSync(a.path('papers'), a.path('documents'));
  await converged([a, b], {
    documents: '/',
    'documents/note.txt': 'dear writer, again',
    'documents/old': '/',
    'documents/old/empty.bin': '',
    link: '-> papers/letter.txt',
  });
});

test('deletes go across', async () => {
  rmSync(b.path('documents'), { recursive: true });
  unlinkSync(b.path('link'));
  await converged([a, b], {});
});
