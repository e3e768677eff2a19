/** Keeps two processes out of one directory. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { DirectoryLock } from '../directory-lock.ts';
import { translateSqlError } from './sql-error.ts';
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

/**
 * True while a process, this one or another, holds the directory. Says nothing about the next moment. Only looks: a read that is
 * turned away as busy, so that nobody who starts at that moment finds the directory taken by who asked.
 */
export function isLocked(directory: string): boolean {
  const file = path.join(directory, LOCK_FILE);
  if (!existsSync(file)) return false;
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(file, { readOnly: true, timeout: 0 });
    database.prepare('SELECT count(*) FROM sqlite_schema').get();
    return false;
  } catch (error) {
    // Any other refusal is that of a file which nobody has open: what a killed process left needs a writer to be put right.
    return hasCode(translateSqlError(error), 'data_in_use');
  } finally {
    database?.close();
  }
}
