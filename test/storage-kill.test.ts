/** A writer is killed again and again at any moment. What it acknowledged is kept outside of it, and must be there every time. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { BlockId } from '../src/core/ids.ts';
import { openDiskBlockStore } from '../src/blocks/disk/disk-block-store.ts';
import { storeOptions } from './storage-place.ts';

const KILLS = 20;
const writer = fileURLToPath(new URL('./storage-writer.ts', import.meta.url));
const { signal } = new AbortController();

/** Answers with what the writer acknowledged before it was killed, `afterAcks` acknowledgements and a moment after its start. */
async function runAndKill(directory: string, afterAcks: number): Promise<BlockId[]> {
  const child = spawn(process.execPath, [writer, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  let lines = 0;
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
    lines += piece.split('\n').length - 1;
    // Not at the acknowledgement itself, but at any moment of what follows.
    if (lines >= afterAcks) setTimeout(() => child.kill('SIGKILL'), randomInt(0, 8));
  });
  await once(child, 'close');
  assert.equal(child.signalCode, 'SIGKILL', 'the writer ends by being killed, not by itself');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole.split(/\s/).filter((id) => id !== '') as BlockId[];
}

async function expectHeld(directory: string, ids: readonly BlockId[]): Promise<void> {
  const store = await openDiskBlockStore(storeOptions(directory));
  const got = await store.get(ids, signal);
  const lost = ids.filter((_, index) => got[index]?.kind !== 'found');
  assert.deepEqual(lost, [], `${lost.length} acknowledged blocks of ${ids.length} are lost`);
  assert.equal((await store.status()).quarantined, 0);
  await store.close();
}

test('no acknowledged block is lost to kill -9', { timeout: 300_000 }, async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-kill-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const ledger: BlockId[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const acknowledged = await runAndKill(directory, randomInt(1, 60));
    assert.ok(acknowledged.length > 0);
    ledger.push(...acknowledged);
    // Every other time the next writer itself finds what the killed one left.
    if (kill % 2 === 0) await expectHeld(directory, acknowledged);
  }
  await expectHeld(directory, ledger);
  for (const suffix of ['', '-wal', '-shm']) rmSync(path.join(directory, `index.db${suffix}`), { force: true });
  await expectHeld(directory, ledger);
  t.diagnostic(`${KILLS} kills, ${ledger.length} acknowledged blocks`);
});
