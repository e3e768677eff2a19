import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Hint, Watcher } from '../watcher.ts';
import { realWatcher } from './watcher.ts';

const DEADLINE_MS = 20_000;

describe('watcher', () => {
  let root: string;
  let watcher: Watcher;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'holdfast-watcher-'));
    watcher = realWatcher(root);
  });
  afterEach(() => {
    watcher.close();
    rmSync(root, { recursive: true, force: true });
  });

  const path = (below: string): string => join(root, below);
  /** Takes hints until one of them is as wanted. */
  const hinted = async (isWanted: (hint: Hint) => boolean): Promise<readonly Hint[]> => {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const all: Hint[] = [];
    while (!all.some(isWanted)) {
      await watcher.wait(signal);
      assert(!signal.aborted, `no such hint among ${JSON.stringify(all.slice(-20))}`);
      all.push(...watcher.take());
    }
    return all;
  };
  const about = (directory: string, name?: string) => (hint: Hint) =>
    hint.kind !== 'overflow' && hint.directory === directory && (hint.kind === 'directory' || hint.name === name);

  test('hints at what is made, changed and removed in a watched directory', async () => {
    assert.equal(watcher.watch(''), true);
    writeFileSync(path('file'), 'x');
    await hinted(about('', 'file'));
    writeFileSync(path('file'), 'y');
    await hinted(about('', 'file'));
    unlinkSync(path('file'));
    await hinted(about('', 'file'));
  });

  test('hints only at watched directories, and at none after unwatch', async () => {
    mkdirSync(path('sub/deeper'), { recursive: true });
    watcher.watch('');
    watcher.watch('sub');
    writeFileSync(path('sub/deeper/unseen'), 'x');
    writeFileSync(path('sub/seen'), 'x');
    const hints = await hinted(about('sub', 'seen'));
    assert(!hints.some(about('sub/deeper')));
    watcher.unwatch('sub');
    writeFileSync(path('sub/late'), 'x');
    writeFileSync(path('last'), 'x');
    assert(!(await hinted(about('', 'last'))).some(about('sub', 'late')));
  });

  test('never watches or mentions the own directory', async () => {
    mkdirSync(path('.holdfast'));
    watcher.watch('');
    watcher.watch('.holdfast');
    watcher.take();
    writeFileSync(path('.holdfast/root-id'), 'x');
    renameSync(path('.holdfast'), path('.moved'));
    renameSync(path('.moved'), path('.holdfast'));
    writeFileSync(path('last'), 'x');
    const hints = await hinted(about('', 'last'));
    assert(!JSON.stringify(hints).includes('.holdfast'), JSON.stringify(hints));
  });

  test('follows no symlink', async () => {
    mkdirSync(path('real'));
    symlinkSync('real', path('link'));
    assert.equal(watcher.watch('link'), true);
    assert.deepEqual(watcher.take(), [{ kind: 'directory', directory: 'link' }]);
    watcher.watch('');
    writeFileSync(path('real/file'), 'x');
    writeFileSync(path('last'), 'x');
    assert(!(await hinted(about('', 'last'))).some(about('link', 'file')));
  });

  test('a directory that is not there is hinted, not an error', () => {
    assert.equal(watcher.watch('missing'), true);
    assert.deepEqual(watcher.take(), [{ kind: 'directory', directory: 'missing' }]);
  });

  test('a removed directory is hinted, and can be watched again when it is back', async () => {
    mkdirSync(path('sub'));
    watcher.watch('sub');
    rmdirSync(path('sub'));
    await hinted(about('sub'));
    mkdirSync(path('sub'));
    watcher.watch('sub');
    writeFileSync(path('sub/file'), 'x');
    await hinted(about('sub', 'file'));
  });

  test('a renamed directory is hinted and no longer watched under its old path', async () => {
    mkdirSync(path('old/deeper'), { recursive: true });
    watcher.watch('old');
    watcher.watch('old/deeper');
    renameSync(path('old'), path('new'));
    await hinted(about('old'));
    watcher.watch('new');
    watcher.watch('new/deeper');
    writeFileSync(path('new/deeper/file'), 'x');
    writeFileSync(path('new/file'), 'x');
    const hints = [...(await hinted(about('new', 'file'))), ...watcher.take()];
    assert(!hints.some((hint) => hint.kind !== 'overflow' && hint.directory.startsWith('old')), JSON.stringify(hints));
  });

  test('many names in one directory become one hint', async () => {
    watcher.watch('');
    for (let i = 0; i < 500; i++) writeFileSync(path(`file ${i}`), '');
    const hints = await hinted((hint) => hint.kind === 'directory');
    assert(hints.length <= 66, `${hints.length}`);
  });

  test('a burst as long as the queue is an overflow, for every watcher of the thread', async () => {
    const other = realWatcher(root);
    mkdirSync(path('sub'));
    watcher.watch('sub');
    other.watch('');
    // Nothing is delivered before this loop ends, so the queue really runs over.
    writeFileSync(path('sub/here'), '');
    for (let i = 0; i < 4500; i++) {
      renameSync(path('sub/here'), path('sub/there'));
      renameSync(path('sub/there'), path('sub/here'));
    }
    await hinted((hint) => hint.kind === 'overflow');
    await other.wait(AbortSignal.timeout(DEADLINE_MS));
    assert(other.take().some((hint) => hint.kind === 'overflow'));
    other.close();
  });

  test('wait ends with the signal', async () => {
    const controller = new AbortController();
    const waiting = watcher.wait(controller.signal);
    controller.abort();
    await waiting;
    assert.deepEqual(watcher.take(), []);
  });

  test('who watches first and lists second misses none of 5,000 files in fresh nested directories', async () => {
    const known = new Set<string>();
    const list = (directory: string): void => {
      watcher.watch(directory);
      for (const entry of readdirSync(path(directory), { withFileTypes: true })) {
        const below = directory === '' ? entry.name : `${directory}/${entry.name}`;
        if (!entry.isDirectory()) known.add(below);
        else if (!seen.has(below)) {
          seen.add(below);
          list(below);
        }
      }
    };
    const seen = new Set<string>(['']);
    list('');
    const writing = new Worker(WRITER, { eval: true, workerData: { root } });
    const wrote = new Promise((done) => writing.once('exit', done));
    const signal = AbortSignal.timeout(DEADLINE_MS);
    while (known.size < 5000 && !signal.aborted) {
      await watcher.wait(signal);
      const directories = new Set(watcher.take().map((hint) => (hint.kind === 'overflow' ? '' : hint.directory)));
      for (const directory of directories) list(directory);
    }
    await wrote;
    assert.equal(known.size, 5000);
  });
});

const WRITER = `
const { workerData: { root } } = require('node:worker_threads');
const { mkdirSync, writeFileSync } = require('node:fs');
for (let d = 0; d < 100; d++) {
  const directory = root + '/a' + (d % 5) + '/b' + (d % 20) + '/c' + d;
  mkdirSync(directory, { recursive: true });
  for (let i = 0; i < 50; i++) writeFileSync(directory + '/' + i, '');
}
`;
