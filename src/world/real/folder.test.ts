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
import { folderContract, type OtherProgram } from '../folder.contract.ts';
import { openFolder } from './folder.ts';
import { nodePrimitives } from './primitives.ts';

folderContract('on the real disk, behind a worker', () => {
  const base = mkdtempSync(join(tmpdir(), 'holdfast-folder-'));
  mkdirSync(join(base, 'root'));
  return {
    other: programIn(base),
    primitives: nodePrimitives,
    open: () => openFolder(join(base, 'root')),
    cleanUp: () => rmSync(base, { recursive: true, force: true }),
  };
});

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
