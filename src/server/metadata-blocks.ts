/** Cuts exported metadata into sealed blocks and puts them into every pool, but for those that a pool has already. */
import type { Block } from '#blocks/block-store.ts';
import { concat, type Bytes } from '#core/bytes.ts';
import { chunkBytesMax, cutPoint } from '#core/chunker.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import type { ListedBlock } from '#core/root-index.ts';
import { blockIdOf, sealData } from '#core/seal.ts';
import { findRootBlocks, putRootBlocks, type RootBlock } from '#meta/roots.ts';
import { writeBlocks } from './block-writer.ts';
import { currentFence } from './copies.ts';
import type { NodeConnection } from './node-connection.ts';
import type { ServerContext } from './server-context.ts';

const CHUNKER = 'cdc-512k';
/** A snapshot reads one part of so many. Prime to 24: snapshots each hour, or each day, come to all of them. */
const READ_SLOTS = 29;
const HOUR_MS = 3_600_000;

export class MetadataBlocks {
  readonly #context: ServerContext;
  readonly #seq: number;
  /** Pools that have everything so far. */
  readonly pools: Set<string>;
  readonly #checkKnown: boolean;
  #waiting: Block[] = [];
  #waitingBytes = 0;

  /** For the root of that number. `checkKnown`: the nodes are asked whether they still have what they had. */
  constructor(context: ServerContext, seq: number, pools: readonly string[], checkKnown: boolean) {
    this.#context = context;
    this.#seq = seq;
    this.pools = new Set(pools);
    this.#checkKnown = checkKnown;
  }

  /** Seals one chunk. It is durable after the next `flush`. */
  async add(plain: Bytes): Promise<ListedBlock> {
    const { primitives, cluster } = this.#context;
    const bytes = sealData(primitives, cluster.vault.metadataKey(), plain);
    const id = blockIdOf(primitives, bytes);
    if (this.#waitingBytes + bytes.length > limits.batchBytesMax || this.#waiting.length >= limits.batchBlocksMax)
      await this.flush();
    this.#waiting.push({ id, bytes });
    this.#waitingBytes += bytes.length;
    return { id, storedLength: bytes.length };
  }

  /** Throws `storage_unavailable` where no pool is left that has everything. */
  async flush(): Promise<void> {
    const blocks = [...new Map(this.#waiting.map((block) => [block.id, block])).values()];
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (blocks.length === 0) return;
    const rows = (await Promise.all([...this.pools].map((pool) => this.#putInto(pool, blocks)))).flat();
    if (this.pools.size === 0)
      throw new HoldfastError('storage_unavailable', 'no pool takes the metadata that a rescue would need');
    await this.#context.meta.write((writer) => putRootBlocks(writer, this.#seq, rows));
  }

  async #putInto(pool: string, blocks: readonly Block[]): Promise<readonly RootBlock[]> {
    const known = await this.#stillHeld(pool, blocks);
    const missing = blocks.filter(({ id }) => !known.has(id));
    const { meta, nodes, closing, log } = this.#context;
    const written = await writeBlocks(nodes, pool, missing, await meta.read(currentFence), closing);
    const rows = [...known.values()];
    for (const { id, bytes } of missing) {
      const result = written.get(id);
      if (result?.kind !== 'stored') {
        this.pools.delete(pool);
        log.warn('a pool does not take the metadata that a rescue would need', { pool, why: result?.why });
        return [];
      }
      rows.push({ block: id, pool, length: bytes.length, holders: result.holders, owed: result.owed });
    }
    return rows;
  }

  /** A node that cannot be asked is believed until it counts as lost. One that leaves counts for nothing: it takes its copies with it. */
  async #stillHeld(pool: string, blocks: readonly Block[]): Promise<Map<BlockId, RootBlock>> {
    const { meta, nodes, closing } = this.#context;
    const ids = blocks.map(({ id }) => id);
    const known = new Map(await meta.read((reader) => findRootBlocks(reader, pool, ids)));
    if (!this.#checkKnown) return known;
    const holders = new Set([...known.values()].flatMap((row) => row.holders));
    for (const number of holders) {
      const node = nodes.byNumber(number);
      const asked = [...known.values()].filter((row) => row.holders.includes(number)).map(({ block }) => block);
      let held: readonly boolean[] = asked.map(() => false);
      if (node?.stored.standing === 'in') {
        try {
          held = await nodes.call(node, closing, (connection, signal) => this.#ask(connection, asked, signal));
        } catch (error) {
          if (closing.aborted || !(error instanceof HoldfastError)) throw error;
          continue;
        }
      }
      asked.forEach((block, index) => held[index] !== true && known.delete(block));
    }
    return known;
  }

  /** Asked whether it has them; some of them are read, so that in time all are: what nobody reads, nobody finds damaged. */
  async #ask({ store }: NodeConnection, blocks: readonly BlockId[], signal: AbortSignal): Promise<readonly boolean[]> {
    const slot = Math.floor(this.#context.clock.nowMs() / HOUR_MS) % READ_SLOTS;
    const read = blocks.filter((block) => Number.parseInt(block.slice(0, 8), 16) % READ_SLOTS === slot);
    const has = await store.has(blocks, signal);
    const got = read.length === 0 ? [] : await store.get(read, signal);
    const bad = new Set(read.filter((_, index) => got[index]?.kind !== 'found'));
    return blocks.map((block, index) => has[index] === true && !bad.has(block));
  }
}

/** One stream of exported rows on its way into blocks. */
export class StreamCutter {
  readonly #blocks: MetadataBlocks;
  readonly #listed: ListedBlock[] = [];
  #pieces: Uint8Array[] = [];
  #bytes = 0;

  constructor(blocks: MetadataBlocks) {
    this.#blocks = blocks;
  }

  async write(piece: Uint8Array): Promise<void> {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes >= 2 * chunkBytesMax(CHUNKER)) await this.#cut(false);
  }

  /** All that was written; durable after the next `flush` of the blocks. */
  async end(): Promise<readonly ListedBlock[]> {
    await this.#cut(true);
    return this.#listed;
  }

  async #cut(final: boolean): Promise<void> {
    const buffer = concat(...this.#pieces);
    let start = 0;
    while (start < buffer.length && (final || buffer.length - start >= chunkBytesMax(CHUNKER))) {
      const length = cutPoint(CHUNKER, buffer, start, buffer.length, final);
      this.#listed.push(await this.#blocks.add(buffer.subarray(start, start + length)));
      start += length;
    }
    this.#pieces = start === buffer.length ? [] : [buffer.subarray(start)];
    this.#bytes = buffer.length - start;
  }
}
