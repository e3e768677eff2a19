/**
 * Databases of one simulated machine: real ones in memory, which lose what a power cut loses. What was committed under `full` stays. What
 * was committed under `normal` is kept open in nested savepoints until something durable follows or the log is written back, so that a cut
 * can take any tail of it. A killed process loses nothing but the transaction it was in.
 */
import { assert } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import type { SqlDatabase, SqlOpener, SqlRow, SqlStatement, SqlValue } from '../sql.ts';
import type { SimProcess } from './scheduler.ts';
import type { SimRandom } from './sim-random.ts';

/** A real database in memory, and what its library can do beyond the door. */
export type MemoryDatabase = {
  readonly database: SqlDatabase;
  /** The whole of it as bytes. Not inside a transaction. */
  image(): Uint8Array;
  load(image: Uint8Array): void;
};

/** Transactions after which the write-ahead log is written back. */
const LOG_TRANSACTIONS = 60;

export class SimSqlDisk {
  readonly #make: () => MemoryDatabase;
  readonly #files = new Map<string, SqlFile>();

  constructor(make: () => MemoryDatabase) {
    this.#make = make;
  }

  /** For one process: what it leaves open when it ends is rolled back. */
  opener(actor: SimProcess): SqlOpener {
    return {
      open: (path, { durability, exclusive = false }) => {
        let file = this.#files.get(path);
        if (!file) {
          file = new SqlFile(this.#make());
          this.#files.set(path, file);
        }
        return file.open(actor, durability, exclusive);
      },
    };
  }

  /** The machine's power went: tails of what was not yet durable are gone. All its processes have ended before. */
  powerCut(random: SimRandom): void {
    for (const file of this.#files.values()) file.powerCut(random);
  }

  /** A copy of the file, as somebody makes who copies it away while nothing uses it. */
  copy(path: string): Uint8Array {
    const file = this.#files.get(path);
    assert(file !== undefined, 'a database that is copied exists');
    return file.image();
  }

  /** That copy lies at the path now; null: nothing does. */
  put(path: string, image: Uint8Array | null): void {
    this.#files.delete(path);
    if (image === null) return;
    const made = this.#make();
    made.load(image);
    this.#files.set(path, new SqlFile(made));
  }

  end(): void {
    for (const file of this.#files.values()) file.end();
    this.#files.clear();
  }
}

class SqlFile {
  readonly #memory: MemoryDatabase;
  #holder: SimDatabase | null = null;
  /** Savepoints that hold transactions which a power cut may still take, oldest first. */
  #open = 0;
  /** Transactions that were ever committed, by whichever process. */
  commits = 0;

  constructor(memory: MemoryDatabase) {
    this.#memory = memory;
  }

  open(actor: SimProcess, durability: 'full' | 'normal', exclusive: boolean): SqlDatabase {
    if (exclusive && this.#holder?.isOpen) throw new HoldfastError('data_in_use', 'another process has it open');
    const database = new SimDatabase(this, this.#memory.database, durability);
    if (exclusive) this.#holder = database;
    actor.onEnd(() => database.kill());
    return database;
  }

  begin(durability: 'full' | 'normal'): void {
    if (durability === 'full' && this.#open === 0) this.#memory.database.exec('BEGIN IMMEDIATE');
    else this.#memory.database.exec(`SAVEPOINT tail${this.#open}`);
  }

  commit(durability: 'full' | 'normal'): void {
    this.commits++;
    if (durability === 'full' && this.#open === 0) return this.#memory.database.exec('COMMIT');
    this.#open++;
    if (durability === 'full' || this.#open >= LOG_TRANSACTIONS) this.writeBack();
  }

  rollback(durability: 'full' | 'normal'): void {
    if (durability === 'full' && this.#open === 0) return this.#memory.database.exec('ROLLBACK');
    this.#memory.database.exec(`ROLLBACK TO tail${this.#open}; RELEASE tail${this.#open}`);
  }

  writeBack(): void {
    if (this.#open === 0) return;
    this.#memory.database.exec('RELEASE tail0');
    this.#open = 0;
  }

  powerCut(random: SimRandom): void {
    const kept = random.below(this.#open + 1);
    if (kept < this.#open) this.#memory.database.exec(`ROLLBACK TO tail${kept}; RELEASE tail${kept}`);
    this.#open = kept;
    this.writeBack();
  }

  image(): Uint8Array {
    this.writeBack();
    return this.#memory.image();
  }

  end(): void {
    this.#memory.database.close();
  }
}

class SimDatabase implements SqlDatabase {
  readonly #file: SqlFile;
  readonly #database: SqlDatabase;
  #durability: 'full' | 'normal';
  #inTransaction: 'full' | 'normal' | null = null;
  #ownCommits = 0;
  isOpen = true;

  constructor(file: SqlFile, database: SqlDatabase, durability: 'full' | 'normal') {
    this.#file = file;
    this.#database = database;
    this.#durability = durability;
  }

  exec(sql: string): void {
    const word = sql.trim().toLowerCase();
    if (word === 'begin immediate') return this.#begin();
    if (word === 'commit') return this.#commit();
    if (word === 'rollback') return this.#rollback();
    if (word === 'pragma synchronous=full') this.#durability = 'full';
    else if (word === 'pragma synchronous=normal') this.#durability = 'normal';
    else if (!word.startsWith('pragma')) this.#alone(() => this.#database.exec(sql));
  }

  prepare(sql: string): SqlStatement {
    const statement = this.#database.prepare(sql);
    if (sql === 'PRAGMA data_version') return new VersionStatement(statement, () => this.#dataVersion);
    if (statement.returnsRows && !/^\s*(insert|update|delete|replace)/i.test(sql)) return statement;
    return new WritingStatement(statement, (work) => this.#alone(work));
  }

  transaction<T>(work: () => T): T {
    this.#begin();
    let result: T;
    try {
      result = work();
    } catch (error) {
      this.#rollback();
      throw error;
    }
    this.#commit();
    return result;
  }

  close(): void {
    this.isOpen = false;
  }

  kill(): void {
    if (this.isOpen && this.#inTransaction !== null) this.#rollback();
    this.isOpen = false;
  }

  /** A statement outside of a transaction is one by itself. */
  #alone<T>(work: () => T): T {
    return this.#inTransaction === null ? this.transaction(work) : work();
  }

  #begin(): void {
    assert(this.#inTransaction === null, 'transactions are not nested');
    this.#inTransaction = this.#durability;
    this.#file.begin(this.#durability);
  }

  #commit(): void {
    const durability = this.#inTransaction;
    assert(durability !== null, 'a transaction is under way');
    this.#file.commit(durability);
    this.#ownCommits++;
    this.#inTransaction = null;
  }

  /** Another number after another connection has committed; all share the real one's. */
  get #dataVersion(): number {
    return 1 + this.#file.commits - this.#ownCommits;
  }

  #rollback(): void {
    const durability = this.#inTransaction;
    assert(durability !== null, 'a transaction is under way');
    this.#inTransaction = null;
    this.#file.rollback(durability);
  }
}

class WritingStatement implements SqlStatement {
  readonly #statement: SqlStatement;
  readonly #alone: <T>(work: () => T) => T;

  constructor(statement: SqlStatement, alone: <T>(work: () => T) => T) {
    this.#statement = statement;
    this.#alone = alone;
  }

  get returnsRows(): boolean {
    return this.#statement.returnsRows;
  }

  run(...values: readonly SqlValue[]): { readonly changes: number } {
    return this.#alone(() => this.#statement.run(...values));
  }

  get(...values: readonly SqlValue[]): SqlRow | undefined {
    return this.#alone(() => this.#statement.get(...values));
  }

  all(...values: readonly SqlValue[]): SqlRow[] {
    return this.#alone(() => this.#statement.all(...values));
  }

  iterate(...values: readonly SqlValue[]): Iterable<SqlRow> {
    return this.#statement.iterate(...values);
  }
}

/** `PRAGMA data_version`. */
class VersionStatement implements SqlStatement {
  readonly returnsRows = true;
  readonly #statement: SqlStatement;
  readonly #version: () => number;

  constructor(statement: SqlStatement, version: () => number) {
    this.#statement = statement;
    this.#version = version;
  }

  run(): { readonly changes: number } {
    return this.#statement.run();
  }

  get(): SqlRow {
    return { data_version: this.#version() };
  }

  all(): SqlRow[] {
    return [this.get()];
  }

  iterate(): Iterable<SqlRow> {
    return this.all();
  }
}
