import { sql, type CreateTableBuilder } from 'kysely';
import { HoldfastError } from '#core/errors.ts';
import type { MetaReader, MetaStore, MetaWriter } from './meta-store.ts';
import { SCHEMA_VERSION, type MetaSchema } from './schema.ts';

type Kind = 'bytes' | 'bytes?' | 'number' | 'number?' | 'text' | 'text?' | 'real';
type Table = {
  readonly columns: Readonly<Record<string, Kind>>;
  readonly key: readonly string[];
  readonly unique?: readonly (readonly string[])[];
  readonly indexes?: Readonly<Record<string, readonly string[]>>;
};

export const tables: Readonly<Record<keyof MetaSchema, Table>> = {
  cluster: {
    columns: {
      one: 'number',
      schema_version: 'number',
      cluster: 'bytes',
      identity_public_key: 'bytes',
      incarnation: 'number',
      key_list: 'bytes',
      kit_confirmed: 'number',
      created_ms: 'number',
    },
    key: ['one'],
  },
  secret: {
    columns: { purpose: 'text', object: 'bytes', version: 'number', wrapped: 'bytes' },
    key: ['purpose', 'object', 'version'],
  },
  account: { columns: { account: 'bytes', name: 'text' }, key: ['account'] },
  device: {
    columns: {
      device: 'bytes',
      account: 'bytes',
      name: 'text',
      linked_ms: 'number',
      last_seen_ms: 'number?',
      revoked_ms: 'number?',
    },
    key: ['device'],
  },
  install: {
    columns: { install: 'bytes', device: 'bytes', tick: 'number', session: 'bytes' },
    key: ['install'],
  },
  token: { columns: { token: 'text', device: 'bytes', hash: 'bytes' }, key: ['token'] },
  invite: {
    columns: {
      invite: 'text',
      kind: 'text',
      account: 'bytes',
      secret_hash: 'bytes',
      expires_ms: 'number',
      wrong_count: 'number',
      redeemer: 'bytes?',
      made: 'bytes?',
      pool: 'text?',
    },
    key: ['invite'],
  },
  space: {
    columns: {
      space: 'bytes',
      account: 'bytes',
      name: 'text',
      epoch: 'bytes',
      head_seq: 'number',
      head_chain: 'bytes',
      horizon_seq: 'number',
      key_version: 'number',
    },
    key: ['space'],
  },
  journal: { columns: { space: 'bytes', seq: 'number', row: 'bytes', chain: 'bytes' }, key: ['space', 'seq'] },
  journal_mark: {
    columns: { space: 'bytes', mark: 'number', seq: 'number', at_ms: 'number' },
    key: ['space', 'mark'],
  },
  entry: {
    columns: {
      space: 'bytes',
      entry: 'bytes',
      parent: 'bytes',
      name: 'bytes',
      slot: 'bytes',
      kind: 'text',
      revision: 'number',
      placed: 'number',
      seq: 'number',
      content: 'bytes?',
      manifest: 'bytes?',
      size: 'number?',
      target: 'text?',
      mtime_us: 'number',
      exec: 'number',
      trashed_from: 'bytes?',
      revised_by: 'bytes',
      placed_by: 'bytes',
      pool: 'text?',
      pool_wanted: 'text?',
      made_ms: 'number',
      revised_ms: 'number',
      pooled_from: 'text?',
      pooled_ms: 'number?',
    },
    key: ['space', 'entry'],
    unique: [['space', 'parent', 'slot']],
    indexes: { entry_by_seq: ['space', 'seq'] },
  },
  misplaced: { columns: { space: 'bytes', entry: 'bytes' }, key: ['space', 'entry'] },
  content: {
    columns: {
      space: 'bytes',
      manifest: 'bytes',
      content: 'bytes',
      size: 'number',
      bytes: 'bytes',
      condemned_mark: 'number?',
      condemned_ms: 'number?',
    },
    key: ['space', 'manifest'],
  },
  presence: {
    columns: {
      space: 'bytes',
      block: 'bytes',
      pool: 'text',
      length: 'number',
      holders: 'bytes',
      owed: 'number',
      condemned_mark: 'number?',
      condemned_ms: 'number?',
      fault: 'text?',
      fault_node: 'number?',
      fault_ms: 'number?',
      repaired_ms: 'number?',
      repaired_from: 'bytes?',
      repaired_to: 'bytes?',
    },
    key: ['space', 'block', 'pool'],
  },
  garbage: {
    columns: { node: 'number', block: 'bytes', state: 'text', fence: 'number', since_ms: 'number' },
    key: ['node', 'block'],
    indexes: {
      garbage_by_block: ['block'],
      garbage_by_node: ['node', 'state', 'since_ms'],
      garbage_by_state: ['state', 'since_ms'],
    },
  },
  collection: {
    columns: { one: 'number', mark: 'number', marked_ms: 'number', fence: 'number', forgotten_fence: 'number' },
    key: ['one'],
  },
  upload: {
    columns: {
      upload: 'bytes',
      space: 'bytes',
      device: 'bytes',
      entry: 'bytes',
      parent: 'bytes',
      name: 'bytes',
      size: 'number',
      pool: 'text',
      key_version: 'number',
      lease_ms: 'number',
    },
    key: ['upload'],
    indexes: { upload_by_entry: ['space', 'entry'] },
  },
  upload_block: {
    columns: {
      upload: 'bytes',
      block: 'bytes',
      pool: 'text',
      length: 'number',
      holders: 'bytes',
      owed: 'number',
    },
    key: ['upload', 'block'],
    indexes: { upload_block_by_block: ['block'] },
  },
  op_result: {
    columns: { device: 'bytes', op: 'bytes', space: 'bytes', body_hash: 'bytes?', answer: 'text?', at_ms: 'number' },
    key: ['device', 'op'],
    indexes: { op_result_by_age: ['at_ms'] },
  },
  hold: {
    columns: {
      hold: 'text',
      space: 'bytes',
      device: 'bytes',
      reasons: 'text',
      state: 'text',
      made_ms: 'number',
      last_ms: 'number',
      done_seq: 'number?',
      decided_ms: 'number?',
    },
    key: ['hold'],
    indexes: { hold_by_device: ['space', 'device', 'state'] },
  },
  hold_operation: {
    columns: {
      hold: 'text',
      position: 'number',
      entry: 'bytes',
      operation: 'text',
      pool: 'text?',
      files: 'number',
      hardened: 'number',
    },
    key: ['hold', 'position'],
    unique: [['hold', 'entry']],
  },
  tally: {
    columns: { space: 'bytes', device: 'bytes', op: 'bytes', at_ms: 'number', old: 'number', hardened: 'number' },
    key: ['space', 'device', 'op'],
  },
  pool: { columns: { pool: 'text', copies: 'number' }, key: ['pool'] },
  merged_extension: { columns: { space: 'bytes', extension: 'text' }, key: ['space', 'extension'] },
  rule: { columns: { rule: 'text', position: 'number', criteria: 'text', pool: 'text' }, key: ['rule'] },
  placing: { columns: { one: 'number', pending: 'number', placed_ms: 'number' }, key: ['one'] },
  placing_folder: { columns: { space: 'bytes', folder: 'bytes', after: 'bytes' }, key: ['space', 'folder'] },
  purged: { columns: { space: 'bytes', chunk: 'number', bits: 'bytes' }, key: ['space', 'chunk'] },
  purging_folder: { columns: { space: 'bytes', folder: 'bytes', after: 'bytes' }, key: ['space', 'folder'] },
  node: {
    columns: {
      node: 'bytes',
      number: 'number',
      name: 'text',
      pool: 'text',
      pin: 'bytes',
      addresses: 'text',
      domain: 'text',
      weight: 'real',
      last_seen_ms: 'number?',
      standing: 'text',
      boot: 'number',
      run: 'text',
    },
    key: ['node'],
    unique: [['number']],
  },
  node_lie: {
    columns: { number: 'number', block: 'bytes', what: 'text', at_ms: 'number' },
    key: ['number', 'block'],
  },
  layout: {
    columns: { pool: 'text', number: 'number', nodes: 'bytes', placement: 'bytes' },
    key: ['pool', 'number'],
  },
  job: {
    columns: {
      kind: 'text',
      subject: 'text',
      mark: 'text',
      place: 'text?',
      done: 'number',
      total: 'number?',
      skipped: 'number',
      again: 'number',
    },
    key: ['kind', 'subject'],
  },
  root: {
    columns: {
      seq: 'number',
      made_ms: 'number',
      snapshot_ms: 'number',
      index_block: 'bytes',
      listing: 'bytes?',
      whole_hash: 'bytes',
      pools: 'text',
      nodes: 'number',
    },
    key: ['seq'],
  },
  root_block: {
    columns: {
      block: 'bytes',
      pool: 'text',
      length: 'number',
      holders: 'bytes',
      owed: 'number',
      first_seq: 'number',
      last_seq: 'number',
    },
    key: ['block', 'pool'],
  },
};

/**
 * Makes the tables of an empty store; finds those of a used one. Throws `newer_version`, having changed nothing, where a later version
 * of Holdfast wrote it.
 */
export async function openSchema(store: MetaStore): Promise<void> {
  const version = await store.read(storedVersion);
  if (version === SCHEMA_VERSION) return;
  if (version !== null)
    throw new HoldfastError(
      'newer_version',
      version > SCHEMA_VERSION
        ? `the index was written by a newer version of Holdfast (format ${version}, this program knows ${SCHEMA_VERSION}); no changes were made`
        : `the index was written by a version of Holdfast before the first release (format ${version}), which this one (format ${SCHEMA_VERSION}) does not read; no changes were made`,
    );
  await store.write(createTables);
}

async function storedVersion(reader: MetaReader): Promise<number | null> {
  const found = await reader.db.introspection.getTables();
  if (!found.some((table) => table.name === 'cluster')) return null;
  const row = await reader.db.selectFrom('cluster').select('schema_version').executeTakeFirst();
  // The tables come in one transaction and this row in a later one: tables without it are this version's own.
  return row?.schema_version ?? SCHEMA_VERSION;
}

async function createTables(writer: MetaWriter): Promise<void> {
  const { db, dialect } = writer;
  for (const [name, table] of Object.entries(tables)) {
    let builder: CreateTableBuilder<string, string> = db.schema.createTable(name);
    for (const [column, kind] of Object.entries(table.columns))
      builder = builder.addColumn(column, sql.raw(typeOf(kind, dialect.bytesType)), (definition) =>
        kind.endsWith('?') ? definition : definition.notNull(),
      );
    builder = builder.addPrimaryKeyConstraint(`${name}_key`, [...table.key]);
    for (const [position, columns] of (table.unique ?? []).entries())
      builder = builder.addUniqueConstraint(`${name}_unique_${position}`, [...columns]);
    if (dialect.clustered) builder = builder.modifyEnd(sql.raw(dialect.clustered));
    await builder.execute();
    for (const [index, columns] of Object.entries(table.indexes ?? {}))
      await db.schema
        .createIndex(index)
        .on(name)
        .columns([...columns])
        .execute();
  }
  // Almost no block owes a copy: repair must find those that do without reading the others, and those of which there are fewest first.
  await sql`create index presence_owed on presence (length(holders), space, block, pool) where owed > 0`.execute(db);
}

function typeOf(kind: Kind, bytesType: MetaReader['dialect']['bytesType']): string {
  switch (kind) {
    case 'bytes':
    case 'bytes?':
      return bytesType;
    case 'number':
    case 'number?':
      return 'bigint';
    case 'real':
      return 'double precision';
    default:
      return 'text';
  }
}
