import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { sqliteOpener } from '#world/real/sql.ts';
import type { SqlOpener } from '#world/sql.ts';
import { insertCluster } from '../clusters.ts';
import { countOwedByPool, owedRows, walkPresence } from '../copies.ts';
import { childrenOf, countFiles, entriesAt, heightOf } from '../entries.ts';
import { filesNamedLike, weighBelow } from '../weights.ts';
import { metaStoreContract } from '../meta-store.contract.ts';
import { openSqliteMetaStore } from './sqlite-meta-store.ts';

function place() {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-meta-'));
  const file = path.join(directory, 'meta.db');
  return { file, remove: async () => rmSync(directory, { recursive: true, force: true }) };
}

metaStoreContract('sqlite', async () => {
  const { file, remove } = place();
  const reopen = () => openSqliteMetaStore(sqliteOpener, file);
  return { store: await reopen(), reopen, remove };
});

test('a store that a newer version wrote is refused and left as it is', async () => {
  const { file, remove } = place();
  const store = await openSqliteMetaStore(sqliteOpener, file);
  await store.write((writer) =>
    insertCluster(writer, {
      cluster: '00'.repeat(16) as never,
      identityPublicKey: new Uint8Array(32),
      incarnation: 1,
      keyList: new Uint8Array(),
      kitConfirmed: false,
      createdMs: 0,
    }),
  );
  await store.close();
  const database = new DatabaseSync(file);
  database.exec('update cluster set schema_version = 99; pragma wal_checkpoint(truncate)');
  database.close();
  const before = readFileSync(file);
  await assert.rejects(openSqliteMetaStore(sqliteOpener, file), { code: 'newer_version' });
  assert.ok(readFileSync(file).equals(before));
  await remove();
});

test('one store is opened by one process at a time', async () => {
  const { file, remove } = place();
  const store = await openSqliteMetaStore(sqliteOpener, file);
  await assert.rejects(openSqliteMetaStore(sqliteOpener, file), { code: 'data_in_use' });
  await store.close();
  await remove();
});

test('lookups by key, by place and by seq use an index, however large the space', async () => {
  const { file, remove } = place();
  await (await openSqliteMetaStore(sqliteOpener, file)).close();
  const database = new DatabaseSync(file);
  const plan = (sql: string) =>
    database
      .prepare(`explain query plan ${sql}`)
      .all()
      .map((row) => String(row['detail']))
      .join('\n');
  for (const sql of [
    `with wanted(parent, slot) as (values (x'00', x'00')) select entry.* from wanted cross join entry where entry.space = x'00' and entry.parent = wanted.parent and entry.slot = wanted.slot`,
    `select entry from entry where space = x'00' and seq > 5`,
    `select * from entry where space = x'00' and parent = x'00'`,
    `select * from entry where space = x'00' and entry in (x'00', x'01')`,
    `select count(*) from presence where owed > 0`,
  ])
    assert.match(
      plan(sql),
      /SEARCH entry USING (INDEX|PRIMARY KEY|COVERING INDEX)|USING (COVERING )?INDEX presence_owed/,
      sql,
    );
  database.close();
  await remove();
});

/** Writes down every statement that is prepared. */
function recordingOpener(asked: string[]): SqlOpener {
  return {
    open: (at, options) => {
      const database = sqliteOpener.open(at, options);
      return {
        exec: (sql) => database.exec(sql),
        transaction: (work) => database.transaction(work),
        close: () => database.close(),
        prepare: (sql) => {
          asked.push(sql);
          return database.prepare(sql);
        },
      };
    },
  };
}

test('rows of copies are walked by their key, and owed ones found by their index in the order in which they are repaired', async () => {
  const { file, remove } = place();
  const asked: string[] = [];
  const store = await openSqliteMetaStore(recordingOpener(asked), file);
  asked.length = 0;
  const at = { space: '0b'.repeat(16), block: '0c'.repeat(32), pool: 'a', length: 1, holders: [1], owed: 1 } as never;
  await store.read(async (reader) => {
    await walkPresence(reader, at, 10);
    await owedRows(reader, [{ pool: 'a', nodes: 3 }], null, 10);
    await owedRows(reader, [{ pool: 'a', nodes: 3 }], at, 10);
    await countOwedByPool(reader);
  });
  await store.close();
  const database = new DatabaseSync(file);
  const plans = asked
    .filter((sql) => sql.includes('presence'))
    .map((sql) => {
      const values = Array.from(sql.matchAll(/\?/g), () => null);
      const plan = database.prepare(`explain query plan ${sql}`).all(...values);
      return plan.map((row) => String(row['detail'])).join('; ');
    });
  database.close();
  await remove();
  assert.equal(plans.length, 4);
  const [walk, first, next, counted] = plans as [string, string, string, string];
  assert.match(walk, /^SEARCH presence USING PRIMARY KEY \(\(space,block,pool\)>\(\?,\?,\?\)\)$/);
  for (const plan of [first, next]) assert.match(plan, /^(SCAN|SEARCH) presence USING INDEX presence_owed/);
  for (const plan of [first, next]) assert.doesNotMatch(plan, /TEMP B-TREE/);
  assert.match(counted, /presence_owed/);
});

test('what lies in a folder is found by its parent, not by reading the space', async () => {
  const { file, remove } = place();
  const asked: string[] = [];
  const store = await openSqliteMetaStore(recordingOpener(asked), file);
  asked.length = 0;
  const id = '0b'.repeat(16) as never;
  await store.read(async (reader) => {
    await heightOf(reader, id, id, 300);
    await childrenOf(reader, id, [id]);
    await entriesAt(reader, id, [{ parent: id, name: 'a' }]);
    await countFiles(reader, id);
    await weighBelow(reader, id, { entry: id, name: 'a' }, 0);
    await filesNamedLike(reader, id, [{ parent: id, stem: 'a' }], 0);
  });
  await store.close();
  const byParent = asked.filter((sql) => sql.includes('parent'));
  assert.equal(byParent.length, 7);
  const database = new DatabaseSync(file);
  for (const sql of byParent) {
    const values = Array.from(sql.matchAll(/\?/g), () => null);
    const plan = database.prepare(`explain query plan ${sql}`).all(...values);
    const searches = plan.map((row) => String(row['detail'])).filter((step) => /^SEARCH (entry|child)/.test(step));
    assert.ok(searches.length > 0, sql);
    for (const step of searches) assert.match(step, /space=\? AND parent=\?/, sql);
  }
  database.close();
  await remove();
});
