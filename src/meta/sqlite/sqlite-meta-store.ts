import { Kysely } from 'kysely';
import type { SqlOpener } from '#world/sql.ts';
import { openSchema } from '../create-schema.ts';
import type { MetaReader, MetaStore, MetaWriter } from '../meta-store.ts';
import type { MetaSchema } from '../schema.ts';
import { sqliteDialect } from './sqlite-dialect.ts';

/**
 * Pages of 4 KiB before the log is written back. A first sync touches the same leaves of the same trees commit after commit: written back
 * less often, each of them is written once for many.
 */
const WAL_PAGES = 4000;

export interface SqliteMetaStore extends MetaStore {
  /** All of it as it is at one moment, in a new file of its own; not yet durable. Readers and writers wait meanwhile. */
  copyTo(path: string): Promise<void>;
}

/** Opens or creates the store in one file. Throws `data_in_use`, `newer_version`, and what the sql door throws. */
export async function openSqliteMetaStore(opener: SqlOpener, path: string): Promise<SqliteMetaStore> {
  // An acknowledged commit must survive a power cut: WAL with synchronous=NORMAL loses some.
  const database = opener.open(path, { durability: 'full', exclusive: true });
  database.exec(`pragma wal_autocheckpoint=${WAL_PAGES}`);
  const db = new Kysely<MetaSchema>({ dialect: sqliteDialect(database) });
  const reader: MetaReader = { db, dialect: { bytesType: 'blob', clustered: 'without rowid', locksRows: false } };
  const writer: MetaWriter = { ...reader, writes: true };
  // One connection, one user at a time: a reader between a writer's queries would see what may never be committed.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work);
    last = turn.catch(() => {});
    return turn;
  };
  const store: SqliteMetaStore = {
    read: (work) => inTurn(() => work(reader)),
    write: (work) =>
      inTurn(async () => {
        database.exec('begin immediate');
        try {
          const result = await work(writer);
          database.exec('commit');
          return result;
        } catch (error) {
          rollback();
          throw error;
        }
      }),
    copyTo: (path) => inTurn(async () => void database.prepare('vacuum into ?').run(path)),
    close: () => inTurn(async () => database.close()),
  };
  const rollback = () => {
    try {
      database.exec('rollback');
    } catch {
      // SQLite has rolled back by itself (a full disk, say): there is no transaction left to end.
    }
  };
  try {
    await openSchema(store);
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}
