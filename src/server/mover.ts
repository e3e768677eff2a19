/** Moves the bytes of files that the rules want in another pool, in bounded steps: what is half done is found again by its rows. */
import type { Block } from '#blocks/block-store.ts';
import { must } from '#core/assert.ts';
import type { BlockId, EntryId, SpaceId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import type { ManifestBlock } from '#core/manifest.ts';
import { sparePresence } from '#meta/collection.ts';
import { findPresence, type Presence } from '#meta/contents.ts';
import { misplacedFiles, settlePool, type PooledEntry } from '#meta/entries.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { allSpaces, lockSpace } from '#meta/spaces.ts';
import { readBlocks } from './block-reader.ts';
import { writeBlocks } from './block-writer.ts';
import { outlines } from './contents.ts';
import { currentFence, settleCopies } from './copies.ts';
import { recordPresence } from './presence-writer.ts';
import type { ServerContext } from './server-context.ts';

const FILES_PER_STEP = 64;

type Move = {
  readonly file: PooledEntry;
  readonly target: string;
  readonly ids: readonly BlockId[];
  readonly missing: readonly ManifestBlock[];
};

export class Mover {
  readonly #context: ServerContext;
  /** Files that could not be moved are not tried again before all others had their turn. */
  #after: { readonly space: SpaceId; readonly entry: EntryId } | null = null;

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /** A batch of blocks, of some files or of one that is larger. `idle`: there is nothing to do, or nothing that can be done now. */
  async step(): Promise<'busy' | 'idle'> {
    const next = await this.#context.meta.read(async (reader) => {
      const found = await this.#nextMoves(reader);
      return found && { ...found, fence: await currentFence(reader) };
    });
    if (!next) return 'idle';
    const { space, moves, fence } = next;
    const batches = batchesOf(moves);
    const copied = await Promise.all([...batches].map(([pool, batch]) => this.#copy(space, pool, batch, fence)));
    await this.#settle(space, moves, copied.flat(), fence);
    const reached = must(moves.at(-1), 'there is something to move');
    // A file larger than a batch has further blocks, and goes on; but not before others where its pool takes nothing.
    const isPart = (batches.get(reached.target)?.length ?? 0) < reached.missing.length;
    if (!isPart || copied.flat().length === 0) this.#after = { space, entry: reached.file.entry };
    return 'busy';
  }

  async #nextMoves(reader: MetaReader) {
    const from = this.#after;
    for (const { space } of await allSpaces(reader)) {
      if (from && space < from.space) continue;
      const after = from?.space === space ? from.entry : null;
      const files = await misplacedFiles(reader, space, after, FILES_PER_STEP);
      if (files.length > 0) return { space, moves: withinBatch(await this.#movesOf(reader, space, files)) };
    }
    this.#after = null;
    return null;
  }

  async #movesOf(reader: MetaReader, space: SpaceId, files: readonly PooledEntry[]): Promise<readonly Move[]> {
    const moves: Move[] = [];
    for (const file of files) {
      const target = must(file.poolWanted, 'only files are misplaced');
      const { manifestId } = must(file.content, 'a file has a content');
      // One by one, until there is enough: a manifest may be large.
      const blocks = (await outlines(reader, space, [manifestId])).get(manifestId)?.blocks ?? [];
      const ids = blocks.map(({ id }) => id);
      const present = new Set((await findPresence(reader, space, ids, target)).map(({ block }) => block));
      const missing = new Map(blocks.filter(({ id }) => !present.has(id)).map((block) => [block.id, block]));
      moves.push({ file, target, ids, missing: [...missing.values()] });
      if (exceeds(moves)) break;
    }
    return moves;
  }

  /** Rows of what the pool holds now; not of what could not be read or written. */
  async #copy(
    space: SpaceId,
    pool: string,
    batch: readonly ManifestBlock[],
    fence: number,
  ): Promise<readonly Presence[]> {
    const { nodes, closing } = this.#context;
    const read = await readBlocks(this.#context, space, batch, closing);
    const blocks: Block[] = [];
    for (const [id, result] of read) if (result.kind === 'found') blocks.push({ id, bytes: result.bytes });
    const written = await writeBlocks(nodes, pool, blocks, fence, closing);
    return blocks.flatMap(({ id, bytes }): Presence[] => {
      const result = written.get(id);
      if (result?.kind !== 'stored') return [];
      return [{ block: id, pool, length: bytes.length, holders: result.holders, owed: result.owed }];
    });
  }

  async #settle(space: SpaceId, moves: readonly Move[], copied: readonly Presence[], fence: number): Promise<void> {
    const nowMs = this.#context.clock.nowMs();
    await this.#context.meta.write(async (writer) => {
      // Entries must not change between the look at them and their new rows.
      await lockSpace(writer, space);
      const settled = await settleCopies(writer, copied, { fence, nowMs });
      await recordPresence(this.#context, writer, space, settled.rows);
      for (const { file, target, ids } of moves) {
        const present = new Set((await findPresence(writer, space, ids, target)).map(({ block }) => block));
        if (!ids.every((id) => present.has(id))) continue;
        await sparePresence(writer, space, ids, target);
        await settlePool(writer, space, file, target, nowMs);
      }
    });
  }
}

function exceeds(moves: readonly Move[]): boolean {
  const blocks = moves.flatMap(({ missing }) => missing);
  const bytes = blocks.reduce((sum, { storedLength }) => sum + storedLength, 0);
  return bytes > limits.batchBytesMax || blocks.length > limits.batchBlocksMax;
}

/** As many of the first as fit into one batch together, one at least. */
function withinBatch(moves: readonly Move[]): readonly Move[] {
  return moves.length > 1 && exceeds(moves) ? moves.slice(0, -1) : moves;
}

/** By pool. Only a single file can have more blocks than fit: the first of them. */
function batchesOf(moves: readonly Move[]): ReadonlyMap<string, readonly ManifestBlock[]> {
  const batches = new Map<string, Map<BlockId, ManifestBlock>>();
  let bytes = 0;
  let count = 0;
  for (const { target, missing } of moves) {
    const batch = batches.get(target) ?? new Map<BlockId, ManifestBlock>();
    batches.set(target, batch);
    for (const block of missing) {
      bytes += block.storedLength;
      if (count > 0 && (bytes > limits.batchBytesMax || count >= limits.batchBlocksMax)) break;
      batch.set(block.id, block);
      count++;
    }
  }
  return new Map([...batches].map(([pool, batch]) => [pool, [...batch.values()]]));
}
