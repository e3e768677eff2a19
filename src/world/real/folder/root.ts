/** Which folder this is: `.holdfast/root-id`, so that an unmounted disk is never taken for an emptied folder. */
import { closeSync, constants, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, unlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { utf8 } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { RootState } from '../../folder.ts';
import { failureOf, hasErrno } from './failure.ts';
import { closing, createFile, openToRead, readFully, writeFully } from './file.ts';
import { Grip } from './grip.ts';
import { OWN } from './path.ts';
import { statOfFile } from './stat.ts';

const ROOT_ID = 'root-id';
const ROOT_ID_BYTES_MAX = 256;

/** Null where there is no such file, or nothing in it. */
export function readRootId(grip: Grip): string | null {
  const own = grip.ownIfThere('');
  if (own === null) return null;
  try {
    return closing(openToRead(own.at(ROOT_ID)), (fd) => {
      if (statOfFile(fd).kind !== 'file') return null;
      const bytes = Buffer.alloc(ROOT_ID_BYTES_MAX);
      const text = bytes.toString('latin1', 0, readFully(fd, bytes, ROOT_ID_BYTES_MAX, 0)).trim();
      return text === '' ? null : text;
    });
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ELOOP')) return null;
    throw error;
  }
}

export function rootStateOf(rootPath: string): RootState {
  try {
    const grip = Grip.open(rootPath);
    try {
      const names = readdirSync(grip.root.at(''));
      const empty = names.every((name) => name === OWN);
      return { kind: 'found', rootId: readRootId(grip), stat: grip.root.stat(), empty };
    } finally {
      grip.close();
    }
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return { kind: 'missing' };
    return failureOf(error, '');
  }
}

/** Makes the root where it is missing, and gives it this id whatever id it had: the link that had it will stop and say so. */
export function claimRoot(rootPath: string, rootId: string): RootState {
  try {
    makeDurably(resolve(rootPath));
    const grip = Grip.open(rootPath);
    try {
      writeRootId(grip, rootId);
    } finally {
      grip.close();
    }
  } catch (error) {
    return failureOf(error, '');
  }
  return rootStateOf(rootPath);
}

function writeRootId(grip: Grip, rootId: string): void {
  const own = grip.own('');
  const fresh = own.at(`${ROOT_ID}.new`);
  try {
    unlinkSync(fresh);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
  closing(createFile(fresh, 0o600), (fd) => {
    writeFully(fd, utf8(`${rootId}\n`), 0);
    fsyncSync(fd);
  });
  renameSync(fresh, own.at(ROOT_ID));
  syncDirectory(own.at(''));
  syncDirectory(grip.root.at(''));
}

function makeDurably(rootPath: string): void {
  const first = mkdirSync(rootPath, { recursive: true });
  if (first === undefined) return;
  const above = dirname(first);
  for (let path = rootPath; ; path = dirname(path)) {
    syncDirectory(path);
    if (path === above) return;
  }
}

/** Windows cannot open directories, and needs no such call. */
export function syncDirectory(path: string): void {
  if (process.platform === 'win32') return;
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Throws `folder_missing` where the root is not the one that was last seen or claimed: nothing may be concluded from what is there. */
export function checkRootId(grip: Grip, expected: string | null): void {
  if (expected === null || readRootId(grip) === expected) return;
  throw new HoldfastError('folder_missing', 'another disk lies where the folder was, or its mark is gone');
}
