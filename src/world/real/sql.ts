/** SQLite databases by node:sqlite. */
import { closeSync, existsSync, fsyncSync, openSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { assert } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import { translateSqlError } from './sql-error.ts';
import type { SqlDatabase, SqlOpener, SqlRow, SqlStatement, SqlValue } from '../sql.ts';

const BUSY_TIMEOUT_MS = 5000;
const LOOK_MS_MAX = 100;
/** Query builders make a text per list length: what was not used for longest is forgotten, its holders keep it alive. */
const STATEMENTS_MAX = 512;
const WAL_BYTES_KEPT = 64 * 1024 * 1024;

type OpenOptions = Parameters<SqlOpener['open']>[1];

/** `:memory:` opens a database that lives as long as it is open. */
export const sqliteOpener: SqlOpener = {
  open(file, options) {
    if (file !== ':memory:' && !options.readOnly) createPrivately(file);
    const database = translated(() => openDatabase(file, options));
    return new SqliteDatabase(database);
  },
};

/** An open database of the library's own as the door's. */
export function sqliteDatabase(database: DatabaseSync): SqlDatabase {
  return new SqliteDatabase(database);
}

function openDatabase(file: string, options: OpenOptions): DatabaseSync {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(file, { readOnly: options.readOnly ?? false, timeout: BUSY_TIMEOUT_MS });
  } catch (error) {
    throw missingOr(file, error);
  }
  try {
    configure(database, file, options);
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

function configure(database: DatabaseSync, file: string, options: OpenOptions): void {
  if (options.exclusive) {
    // Whoever holds it holds it for good, but who only looks whether it is held is in the way for a moment.
    database.exec(`PRAGMA busy_timeout=${LOOK_MS_MAX}`);
    // Before the first access in WAL mode, so that the lock is the file's own, which the kernel takes from a killed process.
    database.exec('PRAGMA locking_mode=EXCLUSIVE');
  }
  database.exec('PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY');
  if (options.readOnly) {
    database.prepare('SELECT count(*) FROM sqlite_schema').get();
    return;
  }
  const mode = database.prepare('PRAGMA journal_mode=WAL').get()?.['journal_mode'];
  if (mode !== 'wal' && file !== ':memory:')
    throw new HoldfastError('disk_failed', 'the file system cannot hold a database with a write-ahead log');
  // The fullfsync pair has a meaning on macOS alone, where a plain fsync does not reach the platter.
  database.exec(
    options.durability === 'full'
      ? 'PRAGMA synchronous=FULL; PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON'
      : 'PRAGMA synchronous=NORMAL',
  );
  database.exec(`PRAGMA journal_size_limit=${WAL_BYTES_KEPT}`);
  if (options.exclusive) {
    database.exec('BEGIN EXCLUSIVE; COMMIT');
    database.exec(`PRAGMA busy_timeout=${BUSY_TIMEOUT_MS}`);
  }
}

/** Databases hold what is nobody else's business; SQLite gives its companion files the same mode. The new name is durable. */
function createPrivately(file: string): void {
  if (existsSync(file)) return;
  try {
    closeSync(openSync(file, 'a', 0o600));
    if (process.platform === 'win32') return;
    const directory = openSync(path.dirname(file), 'r');
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  } catch (error) {
    throw missingOr(file, error);
  }
}

function missingOr(file: string, error: unknown): unknown {
  const code = (error as { readonly code?: unknown }).code;
  if (!existsSync(path.dirname(file)))
    return new HoldfastError('not_found', 'the directory of the database does not exist', { cause: error });
  if (code === 'ERR_SQLITE_ERROR' && !existsSync(file))
    return new HoldfastError('not_found', 'the database does not exist', { cause: error });
  return translateSqlError(error);
}

class SqliteDatabase implements SqlDatabase {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, SqliteStatement>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  exec(sql: string): void {
    translated(() => this.#database.exec(sql));
  }

  prepare(sql: string): SqlStatement {
    const kept = this.#statements.get(sql);
    const statement = kept ?? new SqliteStatement(translated(() => this.#database.prepare(sql)));
    if (kept) this.#statements.delete(sql);
    this.#statements.set(sql, statement);
    if (this.#statements.size > STATEMENTS_MAX) {
      const oldest = this.#statements.keys().next().value;
      if (oldest !== undefined) this.#statements.delete(oldest);
    }
    return statement;
  }

  transaction<T>(work: () => T): T {
    assert(!this.#database.isTransaction, 'transactions are not nested');
    this.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      assert(!isPromise(result), 'a transaction ends before anything is awaited');
      this.exec('COMMIT');
      return result;
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  /** Some errors (a full disk) have rolled back already; whatever the rollback itself says, the first error is the one to know. */
  #rollBack(): void {
    if (!this.#database.isTransaction) return;
    try {
      this.#database.exec('ROLLBACK');
    } catch {
      // The next BEGIN will say so.
    }
  }

  close(): void {
    this.#statements.clear();
    if (this.#database.isOpen) translated(() => this.#database.close());
  }
}

class SqliteStatement implements SqlStatement {
  readonly #statement: StatementSync;
  readonly returnsRows: boolean;

  constructor(statement: StatementSync) {
    this.#statement = statement;
    this.returnsRows = statement.columns().length > 0;
  }

  run(...values: readonly SqlValue[]): { readonly changes: number } {
    return translated(() => ({ changes: Number(this.#statement.run(...bound(values)).changes) }));
  }

  get(...values: readonly SqlValue[]): SqlRow | undefined {
    return translated(() => this.#statement.get(...bound(values)));
  }

  all(...values: readonly SqlValue[]): SqlRow[] {
    return translated(() => this.#statement.all(...bound(values)));
  }

  *iterate(...values: readonly SqlValue[]): Iterable<SqlRow> {
    const rows = translated(() => this.#statement.iterate(...bound(values)));
    try {
      for (;;) {
        const next = translated(() => rows.next());
        if (next.done) return;
        yield next.value;
      }
    } finally {
      // Ends the read that an abandoned iteration would hold open.
      rows.return?.();
    }
  }
}

/** The library's type asks for views of an ArrayBuffer; it copies any view. */
function bound(values: readonly SqlValue[]): SQLInputValue[] {
  return values as SQLInputValue[];
}

function isPromise(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value;
}

function translated<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw translateSqlError(error);
  }
}
