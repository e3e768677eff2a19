/** Opening, reading and writing files without following a symlink in their last component, and without waiting on a FIFO. */
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import type { Bytes } from '#core/bytes.ts';

/** Windows knows neither flag; it has no FIFOs in directories, and its symlinks need a privilege. */
const SAFELY = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

export function openToRead(path: string): number {
  return openSync(path, constants.O_RDONLY | SAFELY);
}

/** Fails with EEXIST where anything is at `path`, a dangling symlink included. The umask takes its bits from `mode`. */
export function createFile(path: string, mode: number): number {
  return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | SAFELY, mode);
}

export function openToWrite(path: string): number {
  return openSync(path, constants.O_RDWR | SAFELY);
}

/** Reads `length` bytes from `position` into the start of `into`; fewer only at the end of the file. */
export function readFully(fd: number, into: Uint8Array, length: number, position: number): number {
  let done = 0;
  while (done < length) {
    const count = readSync(fd, into, done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

export function writeFully(fd: number, bytes: Bytes, position: number): void {
  let done = 0;
  while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}

/** Runs `work` and closes the file, whatever happens. */
export function closing<T>(fd: number, work: (fd: number) => T): T {
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}
