/**
 * Files and folders that both sides agree on, and that people's programs made: nobody has made them durable, so that a power cut may still take or
 * tear them. What is lost like that was not deleted or edited by anybody, and is fetched again. Kept in the state with the agreement itself;
 * forgotten once the disk was told to keep them.
 */
import type { EntryId } from '#core/ids.ts';
import { isOutage } from './line.ts';
import { failureOfOne } from './device.ts';
import type { Clock } from '#world/clock.ts';
import type { Folder } from '#world/folder.ts';
import type { SqlStatement } from '#world/sql.ts';
import type { State } from './state.ts';
import type { Trees } from './trees.ts';

/** So long a file that goes on being written to is left alone: telling the disk each time would cost more than it saves. */
const REST_MS = 5000;
const FAILED_REST_MS = 60_000;

export class UnflushedFiles {
  readonly #state: State;
  readonly #trees: Trees;
  readonly #folder: Folder;
  readonly #clock: Clock;
  readonly #note: SqlStatement;
  readonly #all: SqlStatement;
  readonly #forget: SqlStatement;
  #dueMs: number | null;

  constructor(state: State, trees: Trees, folder: Folder, clock: Clock) {
    this.#state = state;
    this.#trees = trees;
    this.#folder = folder;
    this.#clock = clock;
    // A new number each time, so that what is noted during a flush outlives it.
    this.#note = state.sql.prepare('INSERT OR REPLACE INTO unflushed (entry) VALUES (?)');
    this.#all = state.sql.prepare('SELECT n, entry FROM unflushed');
    this.#forget = state.sql.prepare('DELETE FROM unflushed WHERE n = ?');
    this.#dueMs = this.entries().length > 0 ? clock.monotonicMs() + REST_MS : null;
  }

  /** Call in the transaction that agrees on it. */
  note(entry: EntryId): void {
    this.#note.run(entry);
    this.#dueMs ??= this.#clock.monotonicMs() + REST_MS;
  }

  entries(): EntryId[] {
    return this.#all.all().map((row) => row['entry'] as EntryId);
  }

  nextDueMs(): number {
    return this.#dueMs ?? Number.POSITIVE_INFINITY;
  }

  /** Makes durable what is due. A disk that fails at it has said nothing: the files stay noted. */
  async flushDue(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#dueMs === null || nowMs < this.#dueMs) return;
    this.#dueMs = null;
    const rows = this.#all.all();
    const paths = rows.map((row) => this.#trees.localPath(row['entry'] as EntryId)).filter((path) => path !== null);
    try {
      await this.#folder.flush(paths);
    } catch (error) {
      if (!failureOfOne(error) || isOutage(error)) throw error;
      this.#dueMs = nowMs + FAILED_REST_MS;
      return;
    }
    this.#state.transaction(() => {
      for (const row of rows) this.#forget.run(row['n'] as number);
    });
  }
}
