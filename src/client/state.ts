/** What a device keeps of one link: three trees, what is dirty, and what must be settled after a crash. One SQLite file. */
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { SqlDatabase, SqlOpener, SqlStatement } from '#world/sql.ts';

const FORMAT = 3;

const SCHEMA = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE remote (
  entry TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
  revision INTEGER NOT NULL, placed INTEGER NOT NULL, seq INTEGER NOT NULL,
  content TEXT, manifest TEXT, size INTEGER NOT NULL, target TEXT, mtime_us INTEGER NOT NULL, exec INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX remote_place ON remote (parent, name);
CREATE TABLE listing (
  entry TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
  revision INTEGER NOT NULL, placed INTEGER NOT NULL, seq INTEGER NOT NULL,
  content TEXT, manifest TEXT, size INTEGER NOT NULL, target TEXT, mtime_us INTEGER NOT NULL, exec INTEGER NOT NULL,
  epoch TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE local (
  entry TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT NOT NULL, alias TEXT, spot TEXT NOT NULL, awaits TEXT, kind TEXT NOT NULL,
  content TEXT, target TEXT, exec INTEGER NOT NULL, slot TEXT, stat TEXT NOT NULL, inode TEXT NOT NULL, racy INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX local_place ON local (parent, spot);
CREATE INDEX local_awaits ON local (parent, awaits) WHERE awaits IS NOT NULL;
CREATE INDEX local_inode ON local (inode);
CREATE TABLE synced (
  entry TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
  content TEXT, manifest TEXT, size INTEGER NOT NULL, target TEXT, exec INTEGER NOT NULL,
  revision INTEGER NOT NULL, placed INTEGER NOT NULL, presence TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX synced_parent ON synced (parent);
CREATE INDEX synced_impossible ON synced (entry) WHERE presence = 'name_impossible';
CREATE TABLE selection (entry TEXT PRIMARY KEY, self INTEGER NOT NULL, below INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE choosing (n INTEGER PRIMARY KEY, entry TEXT NOT NULL, wanted INTEGER NOT NULL);
CREATE TABLE rules (folder TEXT PRIMARY KEY, stat TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE dirty (n INTEGER PRIMARY KEY, entry TEXT NOT NULL UNIQUE, rank INTEGER NOT NULL, deferred INTEGER NOT NULL DEFAULT 0, touched INTEGER NOT NULL DEFAULT 0);
CREATE INDEX dirty_order ON dirty (deferred, rank, n);
CREATE TABLE uploads (subject TEXT PRIMARY KEY, upload TEXT NOT NULL, target TEXT NOT NULL, stat TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE staging (entry TEXT PRIMARY KEY, stage TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE placing (path TEXT PRIMARY KEY, entry TEXT NOT NULL, content TEXT NOT NULL, mtime_us INTEGER NOT NULL, name TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE parking (slot TEXT PRIMARY KEY, entry TEXT NOT NULL, path TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE unflushed (n INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL, content TEXT, mtime_us INTEGER NOT NULL, stat TEXT, target TEXT);
CREATE INDEX unflushed_entry ON unflushed (entry);
CREATE TABLE merges (
  copy TEXT PRIMARY KEY, entry TEXT NOT NULL, base TEXT NOT NULL, made INTEGER NOT NULL,
  theirs INTEGER, merged TEXT, placed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE held (entry TEXT PRIMARY KEY, hold TEXT NOT NULL, kind TEXT NOT NULL, content TEXT) WITHOUT ROWID;
CREATE INDEX held_by_hold ON held (hold);
CREATE TABLE problems (subject TEXT PRIMARY KEY, path TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL) WITHOUT ROWID;
`;

export type MetaKey =
  | 'format'
  | 'space'
  | 'root_id'
  | 'root_mark'
  | 'names'
  | 'install_id'
  | 'tick'
  | 'reconcile'
  | 'cursor'
  /** `met-head.ts` */
  | 'met'
  | 'listing'
  | 'complete'
  | 'pending_op'
  | 'status'
  | 'running'
  /** Of the machine, when the state was last worked on. */
  | 'boot';

export class State {
  readonly sql: SqlDatabase;
  readonly #getMeta: SqlStatement;
  readonly #setMeta: SqlStatement;
  readonly #dropMeta: SqlStatement;
  /** What was read or written. Nobody else writes there while this is open for writing. */
  readonly #known = new Map<MetaKey, string | null>();
  readonly #readOnly: boolean;

  constructor(sql: SqlDatabase, readOnly: boolean) {
    this.#readOnly = readOnly;
    this.sql = sql;
    this.#getMeta = sql.prepare('SELECT value FROM meta WHERE key = ?');
    this.#setMeta = sql.prepare('INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value');
    this.#dropMeta = sql.prepare('DELETE FROM meta WHERE key = ?');
  }

  meta(key: MetaKey): string | null {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const value = this.#getMeta.get(key)?.['value'];
    const text = typeof value === 'string' ? value : null;
    if (!this.#readOnly) this.#known.set(key, text);
    return text;
  }

  setMeta(key: MetaKey, value: string | null): void {
    this.#known.delete(key);
    if (value === null) this.#dropMeta.run(key);
    else this.#setMeta.run(key, value);
    this.#known.set(key, value);
  }

  transaction<T>(work: () => T): T {
    try {
      return this.sql.transaction(work);
    } catch (error) {
      this.#known.clear();
      throw error;
    }
  }

  /**
   * A transaction that survives power loss, with all before it. Needed only where the disk must not get ahead of what is
   * written here: what the others would lose is observed again.
   */
  durably<T>(work: () => T): T {
    this.sql.exec('PRAGMA synchronous=FULL');
    try {
      return this.transaction(work);
    } finally {
      this.sql.exec('PRAGMA synchronous=NORMAL');
    }
  }

  /**
   * For what only outlives a restart by being written, and is known here anyway. False where the disk has no room for it: no reason to
   * end, and whatever must not go on without being written fails by itself.
   */
  ifRoom(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (hasCode(error, 'no_space', 'disk_failed')) return false;
      throw error;
    }
  }

  close(): void {
    this.sql.close();
  }
}

/**
 * Opens or makes a state file. Not exclusively, so that another process can read the status and write down a choice
 * (`selection.ts`); that one client alone works on it is the caller's to see to. Throws `newer_version` for a file of a later Holdfast, untouched, and
 * `integrity` for a damaged one: without it the folder is linked anew, but that is for a person to say.
 */
export function openState(opener: SqlOpener, path: string, options: { readonly readOnly?: boolean } = {}): State {
  try {
    return open(opener, path, options.readOnly ?? false);
  } catch (error) {
    if (!hasCode(error, 'integrity')) throw error;
    const detail = `what this device knows of the linked folder is damaged (${path}); nothing was changed: move the file away, and the folder is united with the space anew, which deletes nothing`;
    throw new HoldfastError('integrity', detail, { cause: error });
  }
}

function open(opener: SqlOpener, path: string, readOnly: boolean): State {
  const sql = opener.open(path, { durability: 'normal', readOnly });
  try {
    const made = sql
      .prepare(`SELECT count(*) AS tables FROM sqlite_schema WHERE type = 'table' AND name = 'meta'`)
      .get();
    if (made?.['tables'] === 0 && !readOnly) {
      sql.transaction(() => {
        sql.exec(SCHEMA);
        sql.prepare('INSERT INTO meta VALUES (?, ?)').run('format', String(FORMAT));
      });
    }
    const state = new State(sql, readOnly);
    const format = Number(state.meta('format'));
    if (format > FORMAT)
      throw new HoldfastError('newer_version', 'the state of this link was written by a newer version of Holdfast');
    if (format < FORMAT && !readOnly)
      state.transaction(() => {
        if (format < 2) sql.exec('ALTER TABLE unflushed ADD COLUMN stat TEXT');
        sql.exec('ALTER TABLE unflushed ADD COLUMN target TEXT');
        state.setMeta('format', String(FORMAT));
      });
    return state;
  } catch (error) {
    sql.close();
    throw error;
  }
}
