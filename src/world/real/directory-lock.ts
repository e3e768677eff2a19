/** Keeps two processes out of one directory. */
import path from 'node:path';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { DirectoryLock } from '../directory-lock.ts';
import { sqliteOpener } from './sql.ts';

const LOCK_FILE = 'lock';

/**
 * Holds `directory` until released or until the process ends, however it ends: the lock is the kernel's, on a file that stays.
 * Rejects with `data_in_use` where it is held, by another process or by this one, and with `not_found` where there is no such directory.
 */
export function lockDirectory(directory: string): DirectoryLock {
  try {
    const held = sqliteOpener.open(path.join(directory, LOCK_FILE), { durability: 'normal', exclusive: true });
    return { release: () => held.close() };
  } catch (error) {
    if (hasCode(error, 'data_in_use'))
      throw new HoldfastError('data_in_use', `"${directory}" is in use by another process`, { cause: error });
    if (hasCode(error, 'not_found'))
      throw new HoldfastError('not_found', `"${directory}" does not exist`, { cause: error });
    throw error;
  }
}
