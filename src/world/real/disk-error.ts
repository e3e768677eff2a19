/** The operating system's error numbers as Holdfast's own errors. */
import { HoldfastError, type ErrorCode } from '#core/errors.ts';

const CODES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOENT: ['not_found', 'it does not exist'],
  ENOTDIR: ['not_found', 'a part of its path is not a directory'],
  EEXIST: ['conflict', 'it exists already'],
  ENOSPC: ['no_space', 'the disk is full'],
  EDQUOT: ['no_space', 'the disk quota is used up'],
  EFBIG: ['no_space', 'the file system holds no larger file'],
  EACCES: ['not_permitted_by_disk', 'the operating system refused access'],
  EPERM: ['not_permitted_by_disk', 'the operating system refused access'],
  EROFS: ['not_permitted_by_disk', 'the file system is read-only'],
  EMFILE: ['busy', 'too many files are open'],
  ENFILE: ['busy', 'too many files are open'],
  ENOMEM: ['busy', 'there is no memory for it'],
};

/** `what`: the path as the caller named it, relative to a directory of Holdfast's own. */
export function translateDiskError(error: unknown, what: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string' || !('syscall' in error))
    return error;
  const [code, why] = CODES[error.code] ?? ['disk_failed', `the disk answered ${error.code}`];
  return new HoldfastError(code, `${what}: ${why}`, { cause: error });
}
