import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { Defect } from '#core/assert.ts';
import { hasCode } from '#core/errors.ts';
import { sqliteOpener } from './sql.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-sql-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const full = { durability: 'full' } as const;
let made = 0;
const newPath = () => path.join(directory, `${made++}.db`);

test('rows come back as they went in', () => {
  const database = sqliteOpener.open(newPath(), full);
  database.exec('CREATE TABLE t (a INTEGER, b TEXT, c BLOB, d REAL)');
  const insert = database.prepare('INSERT INTO t VALUES (?, ?, ?, ?)');
  assert.deepEqual(insert.run(2 ** 52, 'é\u0000x', new Uint8Array([0, 255]), 0.5), { changes: 1 });
  insert.run(null, '', new Uint8Array(0), null);
  const rows = database.prepare('SELECT * FROM t').all();
  assert.deepEqual(
    rows.map((row) => ({ ...row })),
    [
      { a: 2 ** 52, b: 'é\u0000x', c: new Uint8Array([0, 255]), d: 0.5 },
      { a: null, b: '', c: new Uint8Array(0), d: null },
    ],
  );
  assert.equal(database.prepare('SELECT * FROM t WHERE b = ?').get('none'), undefined);
  assert.equal([...database.prepare('SELECT * FROM t').iterate()].length, 2);
  database.close();
  database.close();
});

test('a statement is prepared once per text and says whether it returns rows', () => {
  const database = sqliteOpener.open(':memory:', full);
  assert.equal(database.prepare('SELECT 1'), database.prepare('SELECT 1'));
  assert.equal(database.prepare('SELECT 1').returnsRows, true);
  database.exec('CREATE TABLE t (a)');
  assert.equal(database.prepare('INSERT INTO t VALUES (1)').returnsRows, false);
  assert.equal(database.prepare('INSERT INTO t VALUES (1) RETURNING a').returnsRows, true);
});

test('statements by the thousand are forgotten, and still work where they are held', () => {
  const database = sqliteOpener.open(':memory:', full);
  const held = database.prepare('SELECT 0 AS n');
  for (let n = 1; n <= 2000; n++) assert.equal(database.prepare(`SELECT ${n} AS n`).get()?.['n'], n);
  assert.equal(held.get()?.['n'], 0);
});

test('an abandoned iteration holds nothing open', () => {
  const database = sqliteOpener.open(newPath(), full);
  database.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)');
  for (const row of database.prepare('SELECT a FROM t').iterate()) {
    assert.equal(row['a'], 1);
    break;
  }
  database.transaction(() => database.exec('DROP TABLE t'));
  database.close();
});

test('a transaction that throws leaves nothing, and the next one works', () => {
  const database = sqliteOpener.open(newPath(), full);
  database.exec('CREATE TABLE t (a INTEGER)');
  assert.throws(
    () =>
      database.transaction(() => {
        database.exec('INSERT INTO t VALUES (1)');
        throw new Error('given up');
      }),
    /given up/,
  );
  assert.throws(() => database.transaction(() => database.transaction(() => 1)), Defect);
  assert.throws(() => database.transaction(() => Promise.resolve(1)), Defect);
  assert.equal(
    database.transaction(() => database.prepare('SELECT count(*) AS n FROM t').get()?.['n']),
    0,
  );
  database.close();
});

test('wrong statements and broken constraints are defects; foreign keys are kept', () => {
  const database = sqliteOpener.open(':memory:', full);
  database.exec('CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a INTEGER REFERENCES a(id))');
  assert.throws(() => database.prepare('SELEC'), Defect);
  assert.throws(() => database.prepare('INSERT INTO b VALUES (?)').run(7), Defect);
  assert.equal(database.prepare('INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING').run().changes, 1);
  assert.equal(database.prepare('INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING').run().changes, 0);
});

test('durability is what was asked for', () => {
  for (const [durability, level] of [
    ['full', 2],
    ['normal', 1],
  ] as const) {
    const database = sqliteOpener.open(newPath(), { durability });
    assert.equal(database.prepare('PRAGMA synchronous').get()?.['synchronous'], level);
    assert.equal(database.prepare('PRAGMA journal_mode').get()?.['journal_mode'], 'wal');
    database.close();
  }
});

test('a new database is readable by its owner alone', { skip: process.platform === 'win32' }, () => {
  const file = newPath();
  sqliteOpener.open(file, full).close();
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('what is no database, and what is missing, is refused by name', () => {
  const file = newPath();
  writeFileSync(file, 'this is a text, and long enough to be taken for a page of something else'.repeat(100));
  assert.throws(
    () => sqliteOpener.open(file, full),
    (error) => hasCode(error, 'integrity'),
  );
  assert.throws(
    () => sqliteOpener.open(newPath(), { ...full, readOnly: true }),
    (error) => hasCode(error, 'not_found'),
  );
  assert.throws(
    () => sqliteOpener.open(path.join(directory, 'no', 'such'), full),
    (error) => hasCode(error, 'not_found'),
  );
});

test('a read-only database refuses writes', () => {
  const file = newPath();
  const writer = sqliteOpener.open(file, full);
  writer.exec('CREATE TABLE t (a)');
  const reader = sqliteOpener.open(file, { ...full, readOnly: true });
  assert.throws(
    () => reader.exec('INSERT INTO t VALUES (1)'),
    (error) => hasCode(error, 'not_permitted_by_disk'),
  );
  reader.close();
  writer.close();
});

test('an exclusive database is refused to others, here and in another process, until its holder is killed', async () => {
  const file = newPath();
  const source = `
    const { sqliteOpener } = await import(${JSON.stringify(new URL('./sql.ts', import.meta.url).href)});
    const database = sqliteOpener.open(${JSON.stringify(file)}, { durability: 'normal', exclusive: true });
    database.exec('CREATE TABLE t (a)');
    process.stdout.write('held');
    setInterval(() => database.prepare('SELECT * FROM t').all(), 1000);
  `;
  const holder = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  const exclusive = { durability: 'normal', exclusive: true } as const;
  assert.throws(
    () => sqliteOpener.open(file, exclusive),
    (error) => hasCode(error, 'data_in_use'),
  );
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const database = sqliteOpener.open(file, exclusive);
  assert.throws(
    () => sqliteOpener.open(file, exclusive),
    (error) => hasCode(error, 'data_in_use'),
  );
  assert.deepEqual(database.prepare('SELECT * FROM t').all(), []);
  database.close();
  sqliteOpener.open(file, exclusive).close();
});
