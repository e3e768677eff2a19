/** Moves the bytes of files whose name now belongs to another pool, in bounded steps: what is half done is found again by its rows. */
import type { Block } from '#blocks/block-store.ts';
import type { EntryId, SpaceId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import type { ManifestBlock } from '#core/manifest.ts';
import { findPresence, type Presence } from '#meta/contents.ts';
import { misplacedFiles, settlePool, type PooledEntry } from '#meta/entries.ts';
import { allSpaces, lockSpace } from '#meta/spaces.ts';
import { readBlocks } from './block-reader.ts';
import { writeBlocks } from './block-writer.ts';
import { outlines } from './contents.ts';
import { recordPresence } from './presence-writer.ts';
import type { ServerContext } from './server-context.ts';

const FILES_PER_STEP = 64;

export class Mover {
  readonly #context: ServerContext;
  /** Files that could not be moved are not tried again before all others had their turn. */
  #after: { readonly space: SpaceId; readonly entry: EntryId } | null = null;

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /** A few files, or one batch of a large one's blocks. `idle`: there is nothing to do, or nothing that can be done now. */
  async step(): Promise<'busy' | 'idle'> {
    const next = await this.#nextFiles();
    if (!next) return 'idle';
    const { space, files } = next;
    for (const file of files) {
      const outcome = await this.#move(space, file);
      if (outcome === 'more') return 'busy';
      this.#after = { space, entry: file.entry };
    }
    return 'busy';
  }

  async #nextFiles() {
    return this.#context.meta.read(async (reader) => {
      const from = this.#after;
      for (const { space } of await allSpaces(reader)) {
        if (from && space < from.space) continue;
        const after = from?.space === space ? from.entry : null;
        const files = await misplacedFiles(reader, space, after, FILES_PER_STEP);
        if (files.length > 0) return { space, files };
      }
      this.#after = null;
      return null;
    });
  }

  /** `more`: a batch was moved, and this file has further blocks. */
  async #move(space: SpaceId, file: PooledEntry): Promise<'moved' | 'more' | 'failed'> {
    const { meta } = this.#context;
    const target = file.poolWanted;
    if (target === null || !file.content) return 'failed';
    const { manifestId } = file.content;
    const { all, missing } = await meta.read(async (reader) => {
      const blocks = (await outlines(reader, space, [manifestId])).get(manifestId)?.blocks ?? [];
      const ids = blocks.map(({ id }) => id);
      const present = new Set((await findPresence(reader, space, ids, target)).map(({ block }) => block));
      const absent = new Map(blocks.filter(({ id }) => !present.has(id)).map((block) => [block.id, block]));
      return { all: blocks, missing: [...absent.values()] };
    });
    if (missing.length > 0) {
      const batch = firstBatch(missing);
      if (!(await this.#copy(space, target, batch))) return 'failed';
      if (batch.length < missing.length) return 'more';
    }
    await meta.write(async (writer) => {
      // The entry must not change between the look at it and its new row.
      await lockSpace(writer, space);
      const ids = all.map(({ id }) => id);
      const present = new Set((await findPresence(writer, space, ids, target)).map(({ block }) => block));
      if (ids.every((id) => present.has(id))) await settlePool(writer, space, file, target);
    });
    return 'moved';
  }

  async #copy(space: SpaceId, pool: string, batch: readonly ManifestBlock[]): Promise<boolean> {
    const { meta, nodes, closing } = this.#context;
    const read = await readBlocks(this.#context, space, batch, closing);
    const blocks: Block[] = [];
    for (const [id, result] of read) if (result.kind === 'found') blocks.push({ id, bytes: result.bytes });
    if (blocks.length < read.size) return false;
    const written = await writeBlocks(nodes, pool, blocks, closing);
    const rows: Presence[] = [];
    for (const { id, bytes } of blocks) {
      const result = written.get(id);
      if (result?.kind !== 'stored') return false;
      rows.push({ block: id, pool, length: bytes.length, holders: result.holders, owed: result.owed });
    }
    await meta.write((writer) => recordPresence(this.#context, writer, space, rows));
    return true;
  }
}

function firstBatch(blocks: readonly ManifestBlock[]): readonly ManifestBlock[] {
  const batch: ManifestBlock[] = [];
  let bytes = 0;
  for (const block of blocks) {
    bytes += block.storedLength;
    if (batch.length > 0 && (bytes > limits.batchBytesMax || batch.length >= limits.batchBlocksMax)) break;
    batch.push(block);
  }
  return batch;
}
