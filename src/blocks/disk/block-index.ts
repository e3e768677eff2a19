/**
 * Where each block lies, so that nobody has to read the log to know. Everything here can be made again from the log: what is lost
 * costs time, never a block. Calls are synchronous and short.
 */
import { idBytes, type BlockId, type NodeId } from '#core/ids.ts';
import type { SqlDatabase, SqlOpener } from '#world/sql.ts';
import { RECORD_HEADER_BYTES, recordBytes, type LogRecord } from './segment-format.ts';

const INDEX_VERSION = 2;

/** `open`: may have records that the index does not know. `finished`: never read again at a start. */
export type SegmentState = 'open' | 'finished';

export type BlockPlace = {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  readonly fence: number;
  /** Found damaged at its place: neither served nor counted as held. */
  readonly corrupt: boolean;
};

export type IndexedRecord = LogRecord & { readonly segment: number; readonly offset: number };

export type Damage = {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  readonly id: BlockId | null;
  readonly why: 'checksum' | 'hash' | 'header' | 'misplaced' | 'segment_missing';
};

const OPEN = 0;
const FINISHED = 1;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
  CREATE TABLE IF NOT EXISTS segment (
    number INTEGER PRIMARY KEY, indexed_upto INTEGER NOT NULL, state INTEGER NOT NULL, dead INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS block (
    id BLOB PRIMARY KEY, segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    fence INTEGER NOT NULL, corrupt INTEGER NOT NULL
  ) WITHOUT ROWID, STRICT;
  CREATE TABLE IF NOT EXISTS quarantine (
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL, id BLOB, why TEXT NOT NULL,
    PRIMARY KEY (segment, offset)
  ) WITHOUT ROWID, STRICT;
  CREATE INDEX IF NOT EXISTS quarantine_id ON quarantine (id) WHERE id IS NOT NULL;
`;

export class BlockIndex {
  readonly #sql: SqlDatabase;
  #blocks = 0;
  #storedBytes = 0;

  constructor(sql: SqlDatabase) {
    this.#sql = sql;
    const total = sql.prepare('SELECT count(*) AS blocks, total(length) AS bytes FROM block WHERE NOT corrupt').get();
    this.#blocks = Number(total?.['blocks']);
    this.#storedBytes = Number(total?.['bytes']);
  }

  /** Null where the file is of another node or another version: it has to be made anew. Throws `integrity` where it is damaged. */
  static open(opener: SqlOpener, path: string, node: NodeId): BlockIndex | null {
    const sql = opener.open(path, { durability: 'normal', exclusive: true });
    try {
      sql.exec('CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT');
      const about = `${INDEX_VERSION} ${node}`;
      const insert = sql.prepare("INSERT INTO about VALUES ('made', ?) ON CONFLICT DO NOTHING");
      insert.run(about);
      if (sql.prepare("SELECT value FROM about WHERE name = 'made'").get()?.['value'] !== about) {
        sql.close();
        return null;
      }
      sql.exec(SCHEMA);
      return new BlockIndex(sql);
    } catch (error) {
      sql.close();
      throw error;
    }
  }

  /** 32 bits of SQLite's generator, which the system's own randomness seeds: fit to be a salt, not a key. */
  newSalt(): number {
    const bytes = this.#sql.prepare('SELECT randomblob(4) AS salt').get()?.['salt'] as Uint8Array;
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  }

  get blocks(): number {
    return this.#blocks;
  }

  get storedBytes(): number {
    return this.#storedBytes;
  }

  find(id: BlockId): BlockPlace | null {
    const row = this.#sql
      .prepare('SELECT segment, offset, length, fence, corrupt FROM block WHERE id = ?')
      .get(idBytes(id));
    if (!row) return null;
    return {
      segment: Number(row['segment']),
      offset: Number(row['offset']),
      length: Number(row['length']),
      fence: Number(row['fence']),
      corrupt: row['corrupt'] === 1,
    };
  }

  /**
   * Takes records in the order of the log, and notes up to where each segment is known; all of it or nothing. `finished`: segments
   * of which every record was taken, now or before.
   */
  apply(records: readonly IndexedRecord[], finished: readonly number[] = []): void {
    const before = [this.#blocks, this.#storedBytes] as const;
    try {
      this.#sql.transaction(() => {
        // Before its records, since one of them may make another one dead.
        for (const segment of ends(records).keys()) this.#note(segment, 0, 'open');
        for (const record of records) this.#applyOne(record);
        for (const [segment, upto] of ends(records)) this.#note(segment, upto, 'open');
        for (const segment of finished) this.#note(segment, 0, 'finished');
      });
    } catch (error) {
      [this.#blocks, this.#storedBytes] = before;
      throw error;
    }
  }

  #note(segment: number, upto: number, state: SegmentState): void {
    this.#sql
      .prepare(
        `INSERT INTO segment VALUES (?, ?, ?, 0) ON CONFLICT(number) DO UPDATE
         SET indexed_upto = max(indexed_upto, excluded.indexed_upto), state = max(state, excluded.state)`,
      )
      .run(segment, upto, state === 'finished' ? FINISHED : OPEN);
  }

  /** The bytes of a record that means nothing any more. */
  #noteDead({ segment, length }: Pick<BlockPlace, 'segment' | 'length'>): void {
    this.#sql.prepare('UPDATE segment SET dead = dead + ? WHERE number = ?').run(recordBytes(length), segment);
  }

  #applyOne(record: IndexedRecord): void {
    switch (record.kind) {
      case 'block':
        return this.#applyBlock(record);
      case 'fence':
        this.#sql.prepare('UPDATE block SET fence = max(fence, ?) WHERE id = ?').run(record.fence, idBytes(record.id));
        return;
      case 'tombstone':
        return this.#applyTombstone(record);
      case 'root':
      case 'footer':
        return;
    }
  }

  #applyBlock(record: IndexedRecord): void {
    const known = this.find(record.id);
    const id = idBytes(record.id);
    this.#sql
      .prepare(
        `INSERT INTO block VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT(id) DO UPDATE SET segment = excluded.segment,
         offset = excluded.offset, length = excluded.length, fence = max(fence, excluded.fence), corrupt = 0`,
      )
      .run(id, record.segment, record.offset, record.payloadLength, record.fence);
    if (known) this.#noteDead(known);
    if (known) this.#sql.prepare('DELETE FROM quarantine WHERE id = ?').run(id);
    if (known && !known.corrupt) this.#uncount(known.length);
    this.#blocks += 1;
    this.#storedBytes += record.payloadLength;
  }

  #applyTombstone(record: IndexedRecord): void {
    const known = this.find(record.id);
    if (!known || known.fence >= record.fence) return;
    const id = idBytes(record.id);
    this.#noteDead(known);
    this.#sql.prepare('DELETE FROM block WHERE id = ?').run(id);
    this.#sql.prepare('DELETE FROM quarantine WHERE id = ?').run(id);
    if (!known.corrupt) this.#uncount(known.length);
  }

  #uncount(length: number): void {
    this.#blocks -= 1;
    this.#storedBytes -= length;
  }

  /**
   * Notes damage, and takes the blocks that lie there out of service: each is then a damaged place of its own, made good when
   * the block is put again. Answers how many blocks that took; -1 where all of it was known, or what lay there lies elsewhere.
   */
  quarantine(damage: Damage): number {
    const before = [this.#blocks, this.#storedBytes] as const;
    try {
      return this.#sql.transaction(() => {
        const hit = this.#blocksAt(damage);
        for (const { id, offset, length } of hit) {
          this.#sql.prepare('UPDATE block SET corrupt = 1 WHERE id = ?').run(id);
          this.#uncount(length);
          this.#insertQuarantine({ ...damage, offset, length }, id);
        }
        if (hit.length > 0) return hit.length;
        if (damage.id !== null && this.find(damage.id)?.corrupt === false) return -1;
        if (damage.id !== null) this.#insertCorrupt(damage, damage.id);
        return this.#insertQuarantine(damage, damage.id && idBytes(damage.id)) ? 0 : -1;
      });
    } catch (error) {
      [this.#blocks, this.#storedBytes] = before;
      throw error;
    }
  }

  /** Where the id is known there is one candidate; else every block that reaches into the range, which means reading the whole table. */
  #blocksAt({ segment, offset, length, id }: Damage): { id: Uint8Array; offset: number; length: number }[] {
    const columns = 'SELECT id, offset, length FROM block WHERE NOT corrupt AND segment = ?';
    const rows =
      id === null
        ? this.#sql
            .prepare(`${columns} AND offset + length + ${RECORD_HEADER_BYTES} > ? AND offset < ?`)
            .all(segment, offset, offset + length)
        : this.#sql.prepare(`${columns} AND offset = ? AND id = ?`).all(segment, offset, idBytes(id));
    return rows.map((row) => ({
      id: row['id'] as Uint8Array,
      offset: Number(row['offset']),
      length: Number(row['length']),
    }));
  }

  #insertQuarantine({ segment, offset, length, why }: Damage, id: Uint8Array | null): boolean {
    return (
      this.#sql
        .prepare('INSERT INTO quarantine VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING')
        .run(segment, offset, length, id, why).changes > 0
    );
  }

  /** A damaged block of which the index knows nothing else is answered for as corrupt, not as missing. */
  #insertCorrupt({ segment, offset, length }: Damage, id: BlockId): void {
    this.#sql
      .prepare('INSERT INTO block VALUES (?, ?, ?, ?, 0, 1) ON CONFLICT DO NOTHING')
      .run(idBytes(id), segment, offset, length);
  }

  /** Damaged places; not those whose block was put again since. */
  quarantined(): number {
    return Number(this.#sql.prepare('SELECT count(*) AS n FROM quarantine').get()?.['n']);
  }

  deadBytes(): number {
    return Number(this.#sql.prepare('SELECT coalesce(sum(dead), 0) AS n FROM segment').get()?.['n']);
  }

  /** The finished segment with the largest part of dead bytes, where that is `share` at least; none in which there is damage, and none of `not`. */
  mostlyDead(share: number, not: ReadonlySet<number>): number | null {
    const rows = this.#sql
      .prepare(
        `SELECT number FROM segment WHERE state = ${FINISHED} AND dead > 0 AND dead >= ? * indexed_upto
         AND NOT EXISTS (SELECT 1 FROM quarantine WHERE quarantine.segment = segment.number)
         ORDER BY CAST(dead AS REAL) / max(indexed_upto, 1) DESC, number`,
      )
      .all(share);
    return rows.map((row) => Number(row['number'])).find((number) => !not.has(number)) ?? null;
  }

  /** It is no longer part of the log: what it held lies elsewhere. */
  forgetSegment(segment: number): void {
    this.#sql.prepare('DELETE FROM segment WHERE number = ?').run(segment);
  }

  segments(): ReadonlyMap<number, { readonly indexedUpto: number; readonly state: SegmentState }> {
    const rows = this.#sql.prepare('SELECT number, indexed_upto, state FROM segment').all();
    return new Map(
      rows.map((row) => [
        Number(row['number']),
        { indexedUpto: Number(row['indexed_upto']), state: row['state'] === FINISHED ? 'finished' : 'open' },
      ]),
    );
  }

  close(): void {
    this.#sql.close();
  }
}

/** Where the records that a segment has of these end. */
function ends(records: readonly IndexedRecord[]): ReadonlyMap<number, number> {
  return new Map(records.map(({ segment, offset, payloadLength }) => [segment, offset + recordBytes(payloadLength)]));
}
