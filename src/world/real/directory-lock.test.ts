import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { hasCode } from '#core/errors.ts';
import { isLocked, lockDirectory } from './directory-lock.ts';

const module = new URL('./directory-lock.ts', import.meta.url).href;
const inUse = (error: unknown) => hasCode(error, 'data_in_use');

test('a directory has one holder, until it is released', (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-lock-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const lock = lockDirectory(directory);
  assert.throws(() => lockDirectory(directory), inUse);
  lock.release();
  lockDirectory(directory).release();
});

test('another thread of the same process is refused as well', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-lock-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const lock = lockDirectory(directory);
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.module).then(({ lockDirectory }) => {
      try { lockDirectory(workerData.directory); parentPort.postMessage('held'); }
      catch (error) { parentPort.postMessage(error.code); }
    });`;
  const worker = new Worker(source, { eval: true, workerData: { module, directory } });
  assert.deepEqual(await once(worker, 'message'), ['data_in_use']);
  await worker.terminate();
  lock.release();
});

test('a killed holder holds nothing', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-lock-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const source = `
    const { lockDirectory } = await import(${JSON.stringify(module)});
    const lock = lockDirectory(${JSON.stringify(directory)});
    process.stdout.write('held');
    setInterval(() => lock, 1000);`;
  const holder = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  assert.throws(() => lockDirectory(directory), inUse);
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  lockDirectory(directory).release();
});

test('looking whether a directory is held says so, and never keeps anybody out', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-look-'));
  after(() => rmSync(directory, { recursive: true }));
  assert.equal(isLocked(directory), false);
  const lock = lockDirectory(directory);
  assert.equal(isLocked(directory), true);
  lock.release();
  assert.equal(isLocked(directory), false);
  lockDirectory(directory).release();
});
