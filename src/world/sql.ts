/**
 * An embedded SQL database in one file (SQLite, WAL). Synchronous: callers keep statements short. Errors of the disk
 * are `no_space`, `disk_failed` or `data_in_use`; a broken file is `integrity`.
 */
export type SqlValue = null | number | bigint | string | Uint8Array;
export type SqlRow = Readonly<Record<string, SqlValue>>;

export interface SqlStatement {
  run(...values: readonly SqlValue[]): { readonly changes: number };
  get(...values: readonly SqlValue[]): SqlRow | undefined;
  all(...values: readonly SqlValue[]): SqlRow[];
  iterate(...values: readonly SqlValue[]): Iterable<SqlRow>;
  /** True where it returns rows. */
  readonly returnsRows: boolean;
}

export interface SqlDatabase {
  exec(sql: string): void;
  /** Prepared once per text and kept. */
  prepare(sql: string): SqlStatement;
  /** BEGIN IMMEDIATE … COMMIT; rolls back where `work` throws. Not nested. */
  transaction<T>(work: () => T): T;
  close(): void;
}

export interface SqlOpener {
  /**
   * `durability`: `full` = a committed transaction survives power loss (synchronous=FULL); `normal` = it may be lost, the file is never
   * torn. `exclusive`: refuses with `data_in_use` while another process has it open. Creates the file where it is missing.
   */
  open(
    path: string,
    options: { readonly durability: 'full' | 'normal'; readonly exclusive?: boolean; readonly readOnly?: boolean },
  ): SqlDatabase;
}
