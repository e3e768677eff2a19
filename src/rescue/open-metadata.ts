/** Opens what a root leads to, and puts it into an index: the highest root of which everything is there. */
import { HoldfastError } from '#core/errors.ts';
import { ExportParser } from '#core/export-stream.ts';
import type { BlockId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { parseRootIndex, type RootIndex } from '#core/root-index.ts';
import type { RecoveryKit } from '#core/root-key.ts';
import type { RootRecord } from '#core/root-record.ts';
import { deriveSealKey, openBlock, type SealKey } from '#core/seal.ts';
import type { Primitives } from '#core/primitives.ts';
import { RowImport } from '#meta/exporting.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import { SCHEMA_VERSION } from '#meta/schema.ts';
import type { FoundBlocks } from './found-blocks.ts';
import type { RescueTools } from './salvage.ts';

export type OpenedMetadata = {
  readonly root: RootRecord;
  readonly index: RootIndex;
  readonly meta: MetaStore;
  /** Higher roots, and why they lead nowhere. */
  readonly passed: readonly { readonly root: RootRecord; readonly why: string }[];
};

/** Throws `integrity` where no root leads to anything. */
export async function openMetadata(
  tools: RescueTools,
  kit: RecoveryKit,
  roots: readonly RootRecord[],
  blocks: FoundBlocks,
): Promise<OpenedMetadata> {
  const passed: { root: RootRecord; why: string }[] = [];
  for (const root of roots) {
    let meta: MetaStore | null = null;
    try {
      const reader = new SealedReader(tools.primitives, kit, blocks);
      const index = await readIndex(reader, kit, root);
      reader.requireAll(index);
      meta = await tools.makeStore();
      await importStreams(reader, index, meta, tools.signal);
      return { root, index, meta, passed };
    } catch (error) {
      await meta?.close();
      if (!(error instanceof HoldfastError) || tools.signal.aborted) throw error;
      passed.push({ root, why: error.message });
    }
  }
  const newest = passed[0];
  throw new HoldfastError(
    'integrity',
    `none of ${passed.length} roots can be opened; the newest: ${newest?.why ?? 'there is none'}; add directories of other storage nodes`,
  );
}

async function readIndex(reader: SealedReader, kit: RecoveryKit, root: RootRecord): Promise<RootIndex> {
  if (root.generation !== kit.root.generation)
    throw new HoldfastError(
      'integrity',
      `it was made under the root key of generation ${root.generation}, the recovery kit is of generation ${kit.root.generation}`,
    );
  const index = parseRootIndex(await reader.read(root.index));
  if (!index || index.seq !== root.seq || index.incarnation !== root.incarnation)
    throw new HoldfastError('integrity', 'its index is not its own');
  if (index.schemaVersion !== SCHEMA_VERSION)
    throw new HoldfastError(
      'newer_version',
      `it was written by another version of Holdfast (tables of version ${index.schemaVersion}, this one knows ${SCHEMA_VERSION})`,
    );
  return index;
}

async function importStreams(reader: SealedReader, index: RootIndex, meta: MetaStore, signal: AbortSignal) {
  await meta.write(async (writer) => {
    for (const stream of index.streams) {
      const rows = new RowImport(writer);
      const parser = new ExportParser();
      for (const { id } of stream) {
        signal.throwIfAborted();
        for (const record of parser.push(await reader.read(id))) {
          if (record.kind === 'table') rows.define(record.table, record.name, record.columns);
          else if (record.kind === 'whole') await rows.empty(record.table);
          else await rows.add(record.table, record.values);
        }
      }
      parser.end();
      await rows.end();
    }
  });
}

class SealedReader {
  readonly #primitives: Primitives;
  readonly #sealKey: SealKey;
  readonly #blocks: FoundBlocks;

  constructor(primitives: Primitives, kit: RecoveryKit, blocks: FoundBlocks) {
    this.#primitives = primitives;
    this.#sealKey = deriveSealKey(primitives, kit.root.key, 'metadata');
    this.#blocks = blocks;
  }

  /** Before anything is read: a root that lacks a block is passed over at once. */
  requireAll(index: RootIndex): void {
    for (const { id } of index.streams.flat()) if (!this.#blocks.has(id)) throw missing(id);
  }

  async read(id: BlockId): Promise<Uint8Array> {
    const bytes = await this.#blocks.read(id);
    if (!bytes) throw missing(id);
    const plain = openBlock(this.#primitives, this.#sealKey, bytes, limits.blockDataBytesMax);
    if (!plain) throw new HoldfastError('integrity', 'the recovery kit does not open its metadata');
    return plain;
  }
}

function missing(id: BlockId): HoldfastError {
  return new HoldfastError('integrity', `a block of its metadata (${id.slice(0, 16)}) is in none of the directories`);
}
