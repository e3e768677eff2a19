/** Reading and writing all that was asked for, whatever a single call does. */
import type { Bytes } from '#core/bytes.ts';
import type { FileSystem } from '../../file-system.ts';
import { hasErrno } from './failure.ts';

/** Reads `length` bytes from `position` into the start of `into`; fewer only at the end of the file. */
export function readFully(fs: FileSystem, fd: number, into: Uint8Array, length: number, position: number): number {
  let done = 0;
  while (done < length) {
    const count = fs.read(fd, into, done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

export function writeFully(fs: FileSystem, fd: number, bytes: Bytes, position: number): void {
  let done = 0;
  while (done < bytes.length) done += fs.write(fd, bytes, done, bytes.length - done, position + done);
}

/** Makes the names in it durable. Windows cannot open directories, and needs no such call; some file systems have nothing to sync in one. */
export function syncDirectory(fs: FileSystem, path: string): void {
  if (!fs.traits.syncsDirectories) return;
  try {
    closing(fs, fs.open(path, 'list'), (fd) => fs.fsync(fd));
  } catch (error) {
    if (!hasErrno(error, 'EINVAL', 'ENOTSUP')) throw error;
  }
}

/** Runs `work` and closes the file, whatever happens. */
export function closing<T>(fs: FileSystem, fd: number, work: (fd: number) => T): T {
  try {
    return work(fd);
  } finally {
    fs.close(fd);
  }
}
