/** Failures of simulated system calls, in the shape that node:fs gives them. */

/** As Linux numbers them. */
const NUMBERS = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EMFILE: 24,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  ENAMETOOLONG: 36,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENOTSUP: 95,
} as const;

export type ErrorNumber = keyof typeof NUMBERS;

export class SystemError extends Error {
  readonly code: ErrorNumber;
  readonly errno: number;
  readonly syscall: string;

  constructor(code: ErrorNumber, syscall: string) {
    super(`${code}: ${syscall}`);
    this.code = code;
    this.errno = -NUMBERS[code];
    this.syscall = syscall;
  }
}
