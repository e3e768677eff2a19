/** What only a real disk has: special files, names that are no text, holes, modes, and other processes that write meanwhile. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { makeKeyring, type SealKeys } from '#core/keyring.ts';
import { openChunk, openManifest } from '#core/manifest.ts';
import { MIB } from '#core/limits.ts';
import type { FolderStep, ListedEntry, Sealed, Stat } from '../../folder.ts';
import { openFolderWork } from './open-work.ts';
import type { FolderWork } from './work.ts';
import { nodePrimitives } from '../primitives.ts';

const DEADLINE_MS = 120_000;
const RACY_MS = 50;
const posix = { skip: process.platform === 'win32' };
const linux = { skip: process.platform !== 'linux' };

const keys: SealKeys = {
  identityKey: new Uint8Array(32).fill(1),
  current: { version: 1, key: new Uint8Array(32).fill(2) },
  versions: [{ version: 1, key: new Uint8Array(32).fill(2) }],
};
const keyring = makeKeyring(nodePrimitives, keys);

describe('a folder on a real disk', () => {
  let root: string;
  let work: FolderWork;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'holdfast-disk-'));
    work = openFolderWork(root);
  });
  afterEach(() => {
    work.close();
    rmSync(root, { recursive: true, force: true });
  });

  const path = (name: string): string => join(root, name);
  const statOf = (name: string): Stat => {
    const [entry] = work.look([name]);
    assert(entry && !('kind' in entry), `nothing at ${name}`);
    return entry.stat;
  };
  const sealed = (name: string): Sealed => {
    const [outcome] = work.seal([{ path: name, expect: statOf(name) }], keys);
    assert(outcome?.kind === 'sealed', `it is ${outcome?.kind}`);
    return outcome;
  };
  const plain = (file: Sealed): Buffer => {
    const manifest = openManifest(nodePrimitives, keyring, file.manifest);
    assert(manifest);
    const blocks = new Map(file.blocks.map((block) => [block.id, block.bytes]));
    return Buffer.concat(
      manifest.chunks.map((chunk) => {
        const bytes = openChunk(nodePrimitives, keyring, chunk, blocks.get(chunk.blockId) as Uint8Array);
        assert(bytes);
        return bytes;
      }),
    );
  };
  const placing = (name: string, expect: Stat | null, file: Sealed, exec = false): FolderStep => ({
    kind: 'place',
    path: name,
    expect,
    manifest: file.manifest,
    contentId: file.content.contentId,
    bytes: file.blocks.map((block) => block.bytes),
    mtimeUs: 1_700_000_000_000_000,
    exec,
  });
  const place = (name: string, expect: Stat | null, file: Sealed, exec = false): Stat => {
    const [outcome] = work.apply([placing(name, expect, file, exec)], keys);
    assert(outcome?.kind === 'done' && outcome.stat !== null, `it is ${outcome?.kind}`);
    return outcome.stat;
  };
  const entriesOf = (directory: string): { entries: readonly ListedEntry[]; unnameable: readonly string[] } => {
    const [listed] = work.list([directory]);
    assert(listed?.kind === 'found', `it is ${listed?.kind}`);
    return listed;
  };

  test('a FIFO and a socket are shown as what is never synced, and block nothing', posix, async () => {
    execFileSync('mkfifo', [path('fifo')]);
    const server = createServer();
    await new Promise<void>((ready) => server.listen(path('socket'), ready));
    writeFileSync(path('file'), 'x');
    const expect = statOf('file');
    const file = sealed('file');
    for (const name of ['fifo', 'socket']) {
      assert.equal(statOf(name).kind, 'other');
      assert.deepEqual(work.seal([{ path: name, expect }], keys), [{ kind: 'missing' }]);
      assert.deepEqual(work.seal([{ path: name, expect: statOf(name) }], keys), [{ kind: 'missing' }]);
      for (const wrong of [null, expect, statOf(name)]) {
        assert.deepEqual(work.apply([placing(name, wrong, file)], keys), [{ kind: 'stale' }]);
      }
      const opening = work.openSealing({ path: name, expect: statOf(name) }, keys, null);
      assert.equal(opening.kind, 'missing');
    }
    await new Promise((closed) => server.close(closed));
  });

  test('names that are no UTF-8 are reported, escaped, beside those that are', linux, () => {
    writeFileSync(path('good \ufffd'), 'x');
    writeFileSync(Buffer.concat([Buffer.from(`${root}/bad `), Buffer.from([0xff, 0xfe])]), 'x');
    const listed = entriesOf('');
    assert.deepEqual(
      listed.entries.map((entry) => entry.name),
      ['good \ufffd'],
    );
    assert.deepEqual(listed.unnameable, ['bad \\xff\\xfe']);
  });

  test('a symlink whose target is no UTF-8 is shown, but not as a symlink', linux, () => {
    execFileSync('/bin/sh', ['-c', `ln -s "$(printf '\\377')" '${path('link')}'`]);
    const [entry] = entriesOf('').entries;
    assert.equal(entry?.stat.kind, 'other');
    assert.equal(entry?.target, null);
  });

  test('a file that another thread keeps rewriting is sealed whole or not at all', async () => {
    writeFileSync(path('file'), Buffer.alloc(2 * MIB, 0));
    const control = new Int32Array(new SharedArrayBuffer(8));
    const writer = new Worker(WRITER, { eval: true, workerData: { path: path('file'), control, length: 2 * MIB } });
    const ended = new Promise((done) => writer.once('exit', done));
    try {
      const until = Date.now() + DEADLINE_MS;
      let changed = 0;
      // Until the reader has met the writer often enough; the writer rests now and then, so that it can also win.
      for (let whole = 0; whole < 5 || changed < 5; ) {
        assert(Date.now() < until, `${whole} whole, ${changed} changed`);
        const startedMs = Date.now();
        const [outcome] = work.seal([{ path: 'file', expect: statOf('file') }], keys);
        if (outcome?.kind === 'changed') {
          changed += 1;
          continue;
        }
        assert(outcome?.kind === 'sealed', `it is ${outcome?.kind}`);
        const bytes = plain(outcome);
        // A write is stamped when it begins: one that a busy machine holds up half-way shows in no stat. Whoever reads so shortly after a stamp
        // does not rely on it (`isRacy` of the client).
        const agoMs = startedMs - Number(outcome.stat.ctimeNs / 1_000_000n);
        if (agoMs < RACY_MS) continue;
        assert.equal(Buffer.compare(bytes, Buffer.alloc(bytes.length, bytes[0])), 0, 'a mixture of two versions');
        whole += 1;
      }
    } finally {
      Atomics.store(control, 0, 1);
      await ended;
    }
  });

  test('zeros take no room', linux, () => {
    const fd = openSync(path('sparse'), 'w');
    ftruncateSync(fd, 4 * MIB);
    closeSync(fd);
    const file = sealed('sparse');
    const slices = work.stage('id', file.manifest, file.content.contentId, null, keys);
    for (let slice = slices.next(); !slice.done; slice = slices.next());
    const manifest = openManifest(nodePrimitives, keyring, file.manifest);
    assert(manifest);
    for (const block of file.blocks) {
      const index = manifest.chunks.findIndex((chunk) => chunk.blockId === block.id);
      assert.deepEqual(work.stageBlocks('id', [{ index, bytes: block.bytes }]), { kind: 'written' });
    }
    const step = { ...placing('copy', null, file), bytes: { staged: 'id' } } as FolderStep;
    assert.equal(work.apply([step], keys)[0]?.kind, 'done');
    assert.equal(statSync(path('copy')).size, 4 * MIB);
    assert.equal(statSync(path('copy')).blocks, 0);
    assert.equal(Buffer.compare(readFileSync(path('copy')), Buffer.alloc(4 * MIB)), 0);
  });

  test('a new file has the bits that the umask leaves; a replacement keeps those of the old one', posix, () => {
    const umask = process.umask();
    writeFileSync(path('file'), 'x');
    const file = sealed('file');
    const modeOf = (name: string): number => statSync(path(name)).mode & 0o7777;
    place('plain', null, file);
    place('program', null, file, true);
    assert.equal(modeOf('plain'), 0o666 & ~umask);
    assert.equal(modeOf('program'), 0o777 & ~umask);
    chmodSync(path('plain'), 0o640);
    const stat = place('plain', statOf('plain'), file);
    assert.equal(modeOf('plain'), 0o640);
    const exec = place('plain', stat, file, true);
    assert.equal(modeOf('plain'), 0o750);
    place('plain', exec, file);
    assert.equal(modeOf('plain'), 0o640);
  });

  test('same size and same mtime: the ctime still tells', posix, () => {
    writeFileSync(path('file'), 'one');
    utimesSync(path('file'), 1000, 1000);
    const expect = statOf('file');
    writeFileSync(path('file'), 'two');
    utimesSync(path('file'), 1000, 1000);
    assert.equal(statOf('file').mtimeNs, expect.mtimeNs);
    assert.deepEqual(work.seal([{ path: 'file', expect }], keys), [{ kind: 'changed' }]);
    assert.deepEqual(work.apply([{ kind: 'remove', path: 'file', expect }], keys), [{ kind: 'stale' }]);
    assert.equal(readFileSync(path('file'), 'utf8'), 'two');
  });

  test('trash goes when its day is long past by the dates of the disk, and no sooner', () => {
    work.claim('a'.repeat(32));
    const trash = path('.holdfast/trash');
    for (const day of ['2001-02-03', '2001-02-04', 'not a day']) {
      mkdirSync(join(trash, day), { recursive: true });
      writeFileSync(join(trash, day, 'file'), 'x');
    }
    utimesSync(join(trash, '2001-02-03'), 1e9, 1e9);
    work.sweep([], 30);
    // The second was put there just now, whatever its name says.
    assert.deepEqual(
      ['2001-02-03', '2001-02-04', 'not a day'].map(
        (day) => statSync(join(trash, day), { throwIfNoEntry: false }) !== undefined,
      ),
      [false, true, true],
    );
  });

  test('few changes and many are flushed, also where things moved on meanwhile', async () => {
    writeFileSync(path('file'), 'x');
    const file = sealed('file');
    place('one', null, file);
    await work.flush();
    const steps: FolderStep[] = [{ kind: 'make_folder', path: 'sub' }];
    for (let i = 0; i < 100; i++) steps.push(placing(`sub/${i}`, null, file));
    assert(work.apply(steps, keys).every((outcome) => outcome.kind === 'done'));
    rmSync(path('sub/7'));
    await work.flush();
    await work.flush();
  });

  test('what the system refuses is told in words of our own', posix, () => {
    const [tooLong] = work.look(['x'.repeat(300)]);
    assert(tooLong && 'kind' in tooLong);
    assert.equal(tooLong.code, 'invalid_name');
    assert(!tooLong.detail.includes(root) && !tooLong.detail.includes('ENAMETOOLONG'));
  });
});

const WRITER = `
const { workerData: { path, control, length } } = require('node:worker_threads');
const { openSync, writeSync } = require('node:fs');
const fd = openSync(path, 'r+');
const pause = new Int32Array(new SharedArrayBuffer(4));
for (let version = 1; Atomics.load(control, 0) === 0; version++) {
  const bytes = Buffer.alloc(65536, version);
  for (let at = 0; at < length; at += bytes.length) writeSync(fd, bytes, 0, bytes.length, at);
  Atomics.wait(pause, 0, 0, 150);
}
`;
