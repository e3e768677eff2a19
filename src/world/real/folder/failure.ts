/** What the operating system answered about a path in a synced folder, as Holdfast says it. */
import { HoldfastError, type ErrorCode } from '#core/errors.ts';
import type { Failure } from '../../folder.ts';

const CODES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOSPC: ['no_space', 'the disk is full'],
  EDQUOT: ['no_space', 'the disk quota is used up'],
  EFBIG: ['no_space', 'the file system holds no file as large as this'],
  EACCES: ['not_permitted_by_disk', 'the operating system refused access'],
  EPERM: ['not_permitted_by_disk', 'the operating system refused access'],
  EBUSY: ['not_permitted_by_disk', 'another program is using it'],
  ETXTBSY: ['not_permitted_by_disk', 'another program is using it'],
  EXDEV: ['not_permitted_by_disk', 'it lies on another file system than the folder'],
  EROFS: ['disk_failed', 'the file system is read-only'],
  ENAMETOOLONG: ['invalid_name', 'the name is too long for this file system'],
  EILSEQ: ['invalid_name', 'this file system cannot hold the name'],
  EINVAL: ['invalid_name', 'this file system cannot hold the name'],
  EMFILE: ['busy', 'too many files are open'],
  ENFILE: ['busy', 'too many files are open'],
};

/** The symbolic error number of a system call's failure; null for every other kind of error. */
export function errnoOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

export function hasErrno(error: unknown, ...codes: readonly string[]): boolean {
  const code = errnoOf(error);
  return code !== null && codes.includes(code);
}

/** `what`: the path below the root, or words. Throws on what no disk and no input can have caused: that is a defect. */
export function failureOf(error: unknown, what: string): Failure {
  if (error instanceof HoldfastError) return { kind: 'failed', code: error.code, detail: error.message };
  const errno = errnoOf(error);
  if (errno === null) throw error;
  const [code, why] = CODES[errno] ?? ['disk_failed', `the disk answered ${errno}`];
  return { kind: 'failed', code, detail: `${shown(what)}: ${why}` };
}

export function holdfastErrorOf(error: unknown, what: string): HoldfastError {
  const failure = failureOf(error, what);
  return new HoldfastError(failure.code, failure.detail, { cause: error });
}

/** A path as a person may read it on a terminal: nothing in it moves the cursor or pretends to be another line. */
export function shown(path: string): string {
  if (path === '') return 'the folder';
  return JSON.stringify(path).replace(/[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
