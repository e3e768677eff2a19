import type { Kysely } from 'kysely';
import type { MetaSchema } from './schema.ts';

/** What differs between databases, as data. */
export type MetaDialect = {
  readonly bytesType: 'blob' | 'bytea';
  /** Follows a table's definition where its rows are to lie in the order of their key. */
  readonly clustered: 'without rowid' | '';
  /** `for update`: true where writers run side by side. */
  readonly locksRows: boolean;
};

/** A handle on one consistent state. Only the queries of this room look inside. */
export type MetaReader = { readonly db: Kysely<MetaSchema>; readonly dialect: MetaDialect };
/** The only handle that writing queries take. */
export type MetaWriter = MetaReader & { readonly writes: true };

/**
 * The index of everything. `work` sees one consistent state, may run again, and must do nothing but query and compute: what
 * reaches beyond the store waits until the call resolves.
 */
export interface MetaStore {
  read<T>(work: (reader: MetaReader) => Promise<T>): Promise<T>;
  /** Commits when `work` resolves: then, and only then, all of it is durable. Rolls back when it rejects. Writers run one after another. */
  write<T>(work: (writer: MetaWriter) => Promise<T>): Promise<T>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}
