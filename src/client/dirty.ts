/** Entries of which some tree changed since they were last planned. Kept in the state: a crash forgets none. */
import type { EntryKind } from '#core/entry.ts';
import type { EntryId } from '#core/ids.ts';
import type { SqlStatement } from '#world/sql.ts';
import type { State } from './state.ts';

const FIRST_RANK = -1;

export class Dirty {
  readonly #state: State;
  readonly #add: SqlStatement;
  readonly #keep: SqlStatement;
  readonly #take: SqlStatement;
  readonly #drop: SqlStatement;
  readonly #defer: SqlStatement;
  readonly #wake: SqlStatement;
  readonly #wakeAll: SqlStatement;
  readonly #count: SqlStatement;
  readonly #has: SqlStatement;
  readonly #isReady: SqlStatement;

  constructor(state: State) {
    const { sql } = state;
    this.#state = state;
    this.#add = sql.prepare(
      'INSERT INTO dirty (entry, rank) VALUES (?, ?) ON CONFLICT (entry) DO UPDATE SET deferred = 0, touched = touched + 1, rank = min(rank, excluded.rank)',
    );
    this.#keep = sql.prepare('INSERT INTO dirty (entry, rank) VALUES (?, 1) ON CONFLICT (entry) DO NOTHING');
    this.#take = sql.prepare('SELECT entry, touched, rank FROM dirty WHERE deferred = 0 ORDER BY rank, n LIMIT ?');
    this.#drop = sql.prepare('DELETE FROM dirty WHERE entry = ? AND touched = ?');
    this.#defer = sql.prepare(
      'INSERT INTO dirty (entry, rank, deferred) VALUES (?, 1, 1) ON CONFLICT (entry) DO UPDATE SET deferred = 1',
    );
    this.#wake = sql.prepare('UPDATE dirty SET deferred = 0 WHERE entry = ?');
    this.#wakeAll = sql.prepare('UPDATE dirty SET deferred = 0 WHERE deferred <> 0');
    this.#count = sql.prepare('SELECT count(*) AS n, coalesce(sum(deferred), 0) AS deferred FROM dirty');
    this.#isReady = sql.prepare('SELECT 1 FROM dirty WHERE entry = ? AND deferred = 0');
    this.#has = sql.prepare('SELECT 1 FROM dirty WHERE deferred = 0 LIMIT 1');
  }

  /** Also ends a deferral: something new is known about it. Folders are planned before what may lie in them. */
  add(entry: EntryId, kind: EntryKind): void {
    this.#add.run(entry, kind === 'folder' ? 0 : 1);
  }

  /** A plan looked at it for the sake of another, and left it unsettled. A deferral of it holds on. */
  keep(entry: EntryId): void {
    this.#keep.run(entry);
  }

  /** What has to be settled before anything else is planned. */
  addFirst(entry: EntryId): void {
    this.#add.run(entry, FIRST_RANK);
  }

  /** With a mark for each, to `drop` it by. */
  take(limit: number): Map<EntryId, number> {
    const rows = this.#take.all(limit);
    const isFirst = rows[0]?.['rank'] === FIRST_RANK;
    const taken = isFirst ? rows.filter((row) => row['rank'] === FIRST_RANK) : rows;
    return new Map(taken.map((row) => [row['entry'] as EntryId, row['touched'] as number]));
  }

  /** Unless it became dirty again since it was taken. */
  drop(entry: EntryId, mark: number): void {
    this.#drop.run(entry, mark);
  }

  /** Keeps it from being taken until `wake`, or until something new is known about it. On a full disk it may be taken all the same. */
  defer(entry: EntryId): void {
    this.#state.ifRoom(() => this.#defer.run(entry));
  }

  /** False where the disk is full: it must be tried again. */
  wake(entry: EntryId): boolean {
    return this.#state.ifRoom(() => this.#wake.run(entry));
  }

  /** At start: deferrals live in memory. */
  wakeAll(): void {
    this.#wakeAll.run();
  }

  /** Dirty, and not deferred. */
  isReady(entry: EntryId): boolean {
    return this.#isReady.get(entry) !== undefined;
  }

  get ready(): boolean {
    return this.#has.get() !== undefined;
  }

  count(): { readonly all: number; readonly deferred: number } {
    const row = this.#count.get();
    return { all: Number(row?.['n'] ?? 0), deferred: Number(row?.['deferred'] ?? 0) };
  }
}
