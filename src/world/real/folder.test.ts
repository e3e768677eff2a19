import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Defect } from '#core/assert.ts';
import { hasCode } from '#core/errors.ts';
import { folderContract, type FolderUnderTest, type OtherProgram } from '../folder.contract.ts';
import type { Folder } from '../folder.ts';
import { realFileSystem } from './file-system.ts';
import { inlineFolder, type Turns } from './folder/inline.ts';
import { openFolderWork } from './folder/open-work.ts';
import { openFolder } from './folder.ts';
import { nodePrimitives } from './primitives.ts';

const withoutHolds = { ...realFileSystem, traits: { ...realFileSystem.traits, holds: false } };
const atOnce: Turns = {
  step: async (_name, effect) => effect(),
  sleep: (ms) => new Promise((done) => setTimeout(done, ms)),
};

folderContract('on the real disk, behind a worker', () => onRealDisk(openFolder));
folderContract('on the real disk, where directories have no descriptors', () =>
  onRealDisk((path) => inlineFolder(openFolderWork(path, withoutHolds), atOnce)),
);

test('a defect ends the worker: what is under way and what comes later is rejected, and nothing hangs', async () => {
  const under = onRealDisk(openFolder);
  const folder = under.open();
  const noKeys = { identityKey: new Uint8Array(1), current: { version: 1, key: new Uint8Array(1) }, versions: [] };
  await assert.rejects(folder.seal([], noKeys), Defect);
  await assert.rejects(folder.root(), Defect);
  await folder.close();
  under.cleanUp();
});

test('a closed folder says so', async () => {
  const under = onRealDisk(openFolder);
  const folder = under.open();
  await folder.close();
  await assert.rejects(folder.list(['']), (error) => hasCode(error, 'stopping'));
  await folder.close();
  under.cleanUp();
});

function onRealDisk(open: (rootPath: string) => Folder): FolderUnderTest {
  const base = mkdtempSync(join(tmpdir(), 'holdfast-folder-'));
  mkdirSync(join(base, 'root'));
  return {
    other: programIn(base),
    primitives: nodePrimitives,
    open: () => open(join(base, 'root')),
    cleanUp: () => rmSync(base, { recursive: true, force: true }),
  };
}

function programIn(base: string): OtherProgram {
  const readOrNull = (path: string): Buffer | null => {
    try {
      return readFileSync(join(base, path));
    } catch {
      return null;
    }
  };
  return {
    write: (path, bytes) => writeFileSync(join(base, path), bytes),
    read: (path) => readOrNull(path)?.toString('utf8') ?? null,
    readBytes: (path) => {
      const bytes = readOrNull(path);
      return bytes === null ? null : new Uint8Array(bytes);
    },
    makeFolder: (path) => mkdirSync(join(base, path)),
    makeSymlink: (target, path) => symlinkSync(target, join(base, path)),
    rename: (from, to) => renameSync(join(base, from), join(base, to)),
    remove: (path) => rmSync(join(base, path), { recursive: true }),
    names: (path) => {
      try {
        return readdirSync(join(base, path)).sort();
      } catch {
        return [];
      }
    },
  };
}
