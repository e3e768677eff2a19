/** SQLite's result codes (https://www.sqlite.org/rescode.html) as Holdfast's own errors. */
import { Defect } from '#core/assert.ts';
import { HoldfastError, type ErrorCode } from '#core/errors.ts';

const PRIMARY: Readonly<Record<number, readonly [ErrorCode, string]>> = {
  3: ['not_permitted_by_disk', 'the operating system refused access to the database'],
  5: ['data_in_use', 'the database is in use by another process'],
  6: ['data_in_use', 'the database is in use'],
  8: ['not_permitted_by_disk', 'the database cannot be written to'],
  10: ['disk_failed', 'the disk under the database reported an error'],
  11: ['integrity', 'the database file is damaged'],
  13: ['no_space', 'the disk under the database is full'],
  14: ['not_permitted_by_disk', 'the database file cannot be opened'],
  23: ['not_permitted_by_disk', 'the operating system refused access to the database'],
  26: ['integrity', 'the file is not a database'],
};

/** SQLITE_IOERR_SHMSIZE: the index of the write-ahead log could not grow, which is how a full disk shows itself there. */
const SHARED_MEMORY_SIZE = 4874;

/**
 * What the disk did is a `HoldfastError`. Everything else SQLite complains about (a statement that is wrong, a constraint that
 * does not hold) is a `Defect`: where a constraint may well not hold, the statement says so with ON CONFLICT.
 */
export function translateSqlError(error: unknown): unknown {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return error;
  if (error.errcode === SHARED_MEMORY_SIZE)
    return new HoldfastError('no_space', 'the disk under the database is full', { cause: error });
  const known = PRIMARY[error.errcode & 0xff];
  if (known) return new HoldfastError(known[0], known[1], { cause: error });
  return new Defect(`SQLite: ${error.message}`, { cause: error });
}
