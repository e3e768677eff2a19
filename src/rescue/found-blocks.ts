/** Which blocks lie where in the given directories: found by reading every log, kept in a database of the rescue's own. */
import { must } from '#core/assert.ts';
import { id16Of, idBytes, type BlockId, type NodeId } from '#core/ids.ts';
import { ROOT_RECORD_BYTES } from '#core/root-record.ts';
import { SEAL_OVERHEAD_BYTES } from '#core/seal.ts';
import type { LogItem } from '#blocks/node-log.ts';
import type { SqlDatabase } from '#world/sql.ts';
import type { NodeDirectory, RescueTools } from './salvage.ts';

export type Damage = { readonly directory: string; readonly segment: number; readonly detail: string };

const ITEMS_PER_TRANSACTION = 1000;
const METADATA_KIND = 3;

export class FoundBlocks {
  readonly #directories: readonly NodeDirectory[];
  readonly #database: SqlDatabase;
  readonly #signal: AbortSignal;
  readonly #nodes = new Set<NodeId>();
  readonly damage: Damage[] = [];
  /** Blocks that may be a root record, by their kind and length. */
  readonly rootCandidates: BlockId[] = [];

  /** Reads all bytes of all logs once. */
  static async scan(tools: RescueTools, directories: readonly NodeDirectory[]): Promise<FoundBlocks> {
    const database = tools.sql.open(tools.placesPath, { durability: 'normal' });
    const found = new FoundBlocks(tools, directories, database);
    try {
      for (const [number, directory] of directories.entries()) await found.#scan(tools, number, directory);
    } catch (error) {
      database.close();
      throw error;
    }
    return found;
  }

  private constructor(tools: RescueTools, directories: readonly NodeDirectory[], database: SqlDatabase) {
    this.#directories = directories;
    this.#database = database;
    this.#signal = tools.signal;
    for (const { node } of directories) if (node !== null) this.#nodes.add(node);
    database.exec(`
      create table place (id blob, directory integer, segment integer, offset integer, length integer,
        fence integer, held integer, node blob, primary key (id, directory, segment, offset)) without rowid`);
  }

  async #scan(tools: RescueTools, number: number, directory: NodeDirectory): Promise<void> {
    let waiting: Exclude<LogItem, { kind: 'damaged' }>[] = [];
    let read = 0;
    const flush = () => {
      this.#database.transaction(() => {
        for (const item of waiting) this.#note(number, item);
      });
      waiting = [];
      tools.onProgress(read);
      read = 0;
    };
    for await (const item of directory.log.scan()) {
      this.#signal.throwIfAborted();
      if (item.kind === 'damaged') {
        const { segment, offset, detail } = item;
        this.damage.push({ directory: directory.path, segment, detail: `at ${offset}: ${detail}` });
        continue;
      }
      if (item.kind === 'block') {
        read += item.length;
        if (item.node !== null) this.#nodes.add(item.node);
        if (isRootLike(item.bytes)) this.rootCandidates.push(item.id);
      }
      waiting.push(item.kind === 'block' ? { ...item, bytes: NO_BYTES } : item);
      if (waiting.length >= ITEMS_PER_TRANSACTION) flush();
    }
    flush();
  }

  #note(directory: number, item: Exclude<LogItem, { kind: 'damaged' }>): void {
    const id = idBytes(item.id);
    const { fence } = item;
    if (item.kind === 'block')
      this.#database
        .prepare('insert or replace into place values (?, ?, ?, ?, ?, ?, 1, ?)')
        .run(id, directory, item.segment, item.offset, item.length, fence, item.node && idBytes(item.node));
    else if (item.kind === 'fence')
      this.#database
        .prepare('update place set fence = max(fence, ?) where id = ? and directory = ?')
        .run(fence, id, directory);
    else
      this.#database
        .prepare('update place set held = 0 where id = ? and directory = ? and fence < ?')
        .run(id, directory, fence);
  }

  has(id: BlockId): boolean {
    return this.#database.prepare('select 1 from place where id = ? limit 1').get(idBytes(id)) !== undefined;
  }

  /** Nodes that hold the block by their own log: not those in which it only lies until its segment is compacted. */
  holders(id: BlockId): readonly NodeId[] {
    const rows = this.#database
      .prepare('select distinct node from place where id = ? and held = 1 and node is not null')
      .all(idBytes(id));
    return rows.map((row) => id16Of<NodeId>(row['node'] as Uint8Array));
  }

  /** Whose directories were given. */
  nodes(): ReadonlySet<NodeId> {
    return this.#nodes;
  }

  /** Any copy that verifies, deleted ones as well: what was deleted and is there is not lost. Null where there is none. */
  async read(id: BlockId): Promise<Uint8Array | null> {
    const places = this.#database
      .prepare('select directory, segment, offset, length from place where id = ? order by held desc, directory')
      .all(idBytes(id));
    for (const place of places) {
      this.#signal.throwIfAborted();
      const directory = must(this.#directories[Number(place['directory'])], 'a place names a directory that was given');
      const bytes = await directory.log.read(id, {
        segment: Number(place['segment']),
        offset: Number(place['offset']),
        length: Number(place['length']),
      });
      if (bytes) return bytes;
    }
    return null;
  }

  close(): void {
    this.#database.close();
  }
}

const NO_BYTES = new Uint8Array(0);

function isRootLike(bytes: Uint8Array): boolean {
  // Signatures and hashes do not compress: the block of a root has this length, padding apart.
  const length = ROOT_RECORD_BYTES + SEAL_OVERHEAD_BYTES;
  return bytes.length >= length && bytes.length <= 2 * length && bytes[4] === METADATA_KIND;
}
