/** What could not be done, per thing it concerns; kept until it could, and shown to people. */
import type { ErrorCode } from '#core/errors.ts';
import type { State } from './state.ts';

export type Problem = { readonly path: string; readonly code: ErrorCode; readonly message: string };

export class Problems {
  readonly #state: State;
  /** The table's mirror: there are few, and most questions are whether one is there. */
  readonly #known = new Map<string, Problem>();

  constructor(state: State) {
    this.#state = state;
    for (const row of state.sql.prepare('SELECT * FROM problems').all()) {
      this.#known.set(row['subject'] as string, {
        path: row['path'] as string,
        code: row['code'] as ErrorCode,
        message: row['message'] as string,
      });
    }
  }

  /** `subject`: an entry id, or another name that stays the same while the problem lasts. */
  set(subject: string, problem: Problem): void {
    const known = this.#known.get(subject);
    if (known?.code === problem.code && known.message === problem.message && known.path === problem.path) return;
    this.#known.set(subject, problem);
    this.#state.ifRoom(() => {
      this.#state.sql
        .prepare('INSERT OR REPLACE INTO problems VALUES (?, ?, ?, ?)')
        .run(subject, problem.path, problem.code, problem.message);
    });
  }

  clear(subject: string): void {
    if (!this.#known.delete(subject)) return;
    this.#state.ifRoom(() => this.#state.sql.prepare('DELETE FROM problems WHERE subject = ?').run(subject));
  }

  /** Those of a kind of subject, `keep` spared: what a new look at a directory no longer found. */
  clearBelow(prefix: string, keep: ReadonlySet<string>): void {
    if (this.#known.size === 0) return;
    for (const subject of Array.from(this.#known.keys()))
      if (subject.startsWith(prefix) && !keep.has(subject)) this.clear(subject);
  }

  get(subject: string): Problem | null {
    return this.#known.get(subject) ?? null;
  }

  all(): Problem[] {
    return [...this.#known.values()];
  }

  get count(): number {
    return this.#known.size;
  }
}
