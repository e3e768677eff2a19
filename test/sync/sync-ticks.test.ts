/** Within a tick of a disk's clock as many other bytes leave a file's stat as it was: what others did to it waits until a stat tells. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { must } from '#core/assert.ts';
import { spaces } from '#protocol/account.ts';
import { ask } from '#protocol/call.ts';
import { mergeSet } from '#protocol/merging.ts';
import type { FolderStep } from '#world/folder.ts';
import { STAMP_MS, stampingCoarsely } from './simulated-disk.ts';
import { sent } from './sync-state.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

const never = new AbortController().signal;
let world: SyncWorld;
let a: Device;
let b: Device;
/** Called before each step on the disk of b. */
let before: (step: FolderStep) => void;

beforeEach(async () => {
  world = await SyncWorld.start();
  a = await world.device('anna');
  b = await world.device('bert');
  before = () => {};
  b.asFolder = (folder) => {
    const coarse = stampingCoarsely(folder);
    const apply: typeof coarse.apply = (steps, keys) => {
      steps.forEach((step) => before(step));
      return coarse.apply(steps, keys);
    };
    return { ...coarse, apply };
  };
  a.start();
  b.start();
  await converged([a, b], {});
});
afterEach(() => world.end());

/** A file that came to b as a tick began. */
async function placedAsATickBegins(): Promise<void> {
  await delay(STAMP_MS - (Date.now() % STAMP_MS));
  writeFileSync(a.path('file'), 'by anna');
  await eventually(
    () => b.tree()['file'] === 'by anna',
    () => b.client?.status(),
  );
}

/** Somebody at b writes as many bytes just before the disk is told to do this. */
function writeJustBefore(isNow: (step: FolderStep) => boolean): () => boolean {
  let written = false;
  before = (step) => {
    if (written || !isNow(step)) return;
    written = true;
    writeFileSync(b.path('file'), 'by bert');
  };
  return () => written;
}

test('what is written to a file in the moment before a newer one takes its place, with as many bytes and in the same tick, is kept', async () => {
  await placedAsATickBegins();
  const written = writeJustBefore((step) => step.kind === 'place' && step.expect !== null);
  writeFileSync(a.path('file'), 'anna again');
  await eventually(written, () => b.client?.status());
  const copy = `file (conflicted copy, ${b.name}, ${new Date().toISOString().slice(0, 10)})`;
  await converged([a, b], { file: 'anna again', [copy]: 'by bert' });
});

test('what is written to a file in the moment before it is removed, with as many bytes and in the same tick, is kept', async () => {
  await placedAsATickBegins();
  const written = writeJustBefore((step) => step.kind === 'remove');
  rmSync(a.path('file'));
  await eventually(written, () => b.client?.status());
  await converged([a, b], { file: 'by bert' });
});

test('what is written to a text in the moment before a merge takes its place, with as many bytes and in the same tick, is kept', async () => {
  const { response } = await ask(a.peer(), spaces, {}, never);
  await ask(
    a.peer(),
    mergeSet,
    { space: must(response.spaces[0], 'the first space').space, extensions: ['txt'] },
    never,
  );
  const base = ['one', 'two', 'three', 'four', 'five', ''];
  const text = (first: string, last: string) => [first, ...base.slice(1, -2), last, ''].join('\n');
  writeFileSync(a.path('file.txt'), base.join('\n'));
  await converged([a, b]);
  await b.stop();
  writeFileSync(b.path('file.txt'), text('one', 'BERT'));
  await delay(STAMP_MS - (Date.now() % STAMP_MS));
  await sent(a, () => writeFileSync(a.path('file.txt'), text('ANNA', 'five')));
  // What came from anna lies there; the next step of this kind puts the merge over it.
  let places = 0;
  before = (step) => {
    if (step.kind !== 'place' || step.expect === null || ++places !== 2) return;
    writeFileSync(b.path('file.txt'), text('ANNE', 'five'));
  };
  b.start();
  await eventually(
    () => places > 1,
    () => [b.client?.status(), b.tree()],
  );
  await converged([a, b]);
  assert.ok(
    Object.values(a.tree()).some((one) => one.includes('ANNE')),
    JSON.stringify(a.tree()),
  );
  assert.ok(
    Object.values(a.tree()).some((one) => one.includes('BERT')),
    JSON.stringify(a.tree()),
  );
});

test('where the clock is set back by years, what others did waits for a tick, and not for years', async () => {
  await placedAsATickBegins();
  await b.stop();
  b.clock = { ...b.clock, nowMs: () => Date.now() - 10 * 365 * 86_400_000 };
  b.start();
  writeFileSync(a.path('file'), 'anna again');
  await converged([a, b], { file: 'anna again' });
});
