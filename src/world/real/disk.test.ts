import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { hasCode } from '#core/errors.ts';
import { diskContract } from '../disk.contract.ts';
import { realDisk } from './disk.ts';

const top = mkdtempSync(path.join(tmpdir(), 'holdfast-disk-'));
after(() => rmSync(top, { recursive: true, force: true }));
const newRoot = () => mkdtempSync(path.join(top, 'disk-'));

diskContract('real disk', async () => realDisk(newRoot()));

test('a root that does not exist is made with what is above it', async () => {
  const root = path.join(newRoot(), 'a', 'b');
  const disk = realDisk(root);
  assert.deepEqual(await disk.list(''), []);
  await disk.makeDirectory('');
  await disk.replace('x', new Uint8Array([1]));
  assert.ok(statSync(path.join(root, 'x')).size === 1);
});

test('files and directories are their owner’s alone', { skip: process.platform === 'win32' }, async () => {
  const root = newRoot();
  const disk = realDisk(root);
  await disk.makeDirectory('d');
  await disk.replace('d/state', new Uint8Array([1]));
  await (await disk.create('d/log')).close();
  assert.equal(statSync(path.join(root, 'd')).mode & 0o777, 0o700);
  for (const name of ['d/state', 'd/log']) assert.equal(statSync(path.join(root, name)).mode & 0o777, 0o600);
});

test('a replacement that a crash left half done is no obstacle', async () => {
  const root = newRoot();
  const disk = realDisk(root);
  writeFileSync(path.join(root, 'state.tmp'), 'half of something longer');
  await disk.replace('state', new Uint8Array([1]));
  assert.deepEqual(await disk.read('state'), new Uint8Array([1]));
  assert.deepEqual(await disk.list(''), ['state']);
});

test('a file opened to be read cannot be written', async () => {
  const disk = realDisk(newRoot());
  await (await disk.create('a')).close();
  const file = await disk.open('a', 'read');
  await assert.rejects(file.append([new Uint8Array([1])]), (error) => hasCode(error, 'disk_failed'));
  await file.close();
});
