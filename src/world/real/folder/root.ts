/** Which folder this is: `.holdfast/root-id`, so that an unmounted disk is never taken for an emptied folder. */
import { utf8 } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { FileSystem } from '../../file-system.ts';
import type { RootState } from '../../folder.ts';
import { failureOf, hasErrno } from './failure.ts';
import { closing, readFully, syncDirectory, writeFully } from './file.ts';
import { Grip } from './grip.ts';
import { OWN } from './path.ts';

const ROOT_ID = 'root-id';
const ROOT_ID_BYTES_MAX = 256;

/** Null where there is no such file, or nothing in it. */
export function readRootId(grip: Grip): string | null {
  const { fs } = grip;
  const own = grip.ownIfThere('');
  if (own === null) return null;
  try {
    return closing(fs, fs.open(own.at(ROOT_ID), 'read'), (fd) => {
      if (fs.fstat(fd).kind !== 'file') return null;
      const bytes = Buffer.alloc(ROOT_ID_BYTES_MAX);
      const text = bytes.toString('latin1', 0, readFully(fs, fd, bytes, ROOT_ID_BYTES_MAX, 0)).trim();
      return text === '' ? null : text;
    });
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ELOOP')) return null;
    throw error;
  }
}

export function rootStateOf(fs: FileSystem, rootPath: string): RootState {
  try {
    const grip = Grip.open(fs, rootPath);
    try {
      const names = fs.readdir(grip.root.at(''));
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
export function claimRoot(fs: FileSystem, rootPath: string, rootId: string): RootState {
  try {
    for (const path of fs.mkdirAll(rootPath)) syncDirectory(fs, path);
    const grip = Grip.open(fs, rootPath);
    try {
      writeRootId(grip, rootId);
    } finally {
      grip.close();
    }
  } catch (error) {
    return failureOf(error, '');
  }
  return rootStateOf(fs, rootPath);
}

function writeRootId(grip: Grip, rootId: string): void {
  const { fs } = grip;
  const own = grip.own('');
  const fresh = own.at(`${ROOT_ID}.new`);
  try {
    fs.unlink(fresh);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
  closing(fs, fs.open(fresh, 'create', 0o600), (fd) => {
    writeFully(fs, fd, utf8(`${rootId}\n`), 0);
    fs.fsync(fd);
  });
  fs.rename(fresh, own.at(ROOT_ID));
  syncDirectory(fs, own.at(''));
  syncDirectory(fs, grip.root.at(''));
}

/** Throws `folder_missing` where the root is not the one that was last seen or claimed: nothing may be concluded from what is there. */
export function checkRootId(grip: Grip, expected: string | null): void {
  if (expected === null || readRootId(grip) === expected) return;
  throw new HoldfastError('folder_missing', 'another disk lies where the folder was, or its mark is gone');
}
