/** Blocks in memory, for tests and simulations: the same promises as a disk's, as long as the process lives. */
import { toHex } from '#core/bytes.ts';
import type { BlockId } from '#core/ids.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Block, GetResult, PutResult } from './block-store.ts';
import type { BlockStoreStatus, DeleteResult, NodeBlockStore } from './node-block-store.ts';

export class MemoryBlockStore implements NodeBlockStore {
  readonly #blocks = new Map<BlockId, Uint8Array>();
  readonly #fences = new Map<BlockId, number>();
  readonly #primitives: Pick<Primitives, 'sha256'>;
  readonly #capacityBytes: number;
  #storedBytes = 0;

  constructor(primitives: Pick<Primitives, 'sha256'>, capacityBytes: number = Number.MAX_SAFE_INTEGER) {
    this.#primitives = primitives;
    this.#capacityBytes = capacityBytes;
  }

  async put(blocks: readonly Block[], fence: number, signal: AbortSignal): Promise<readonly PutResult[]> {
    signal.throwIfAborted();
    return blocks.map((block) => {
      const result = this.#putOne(block);
      if (this.#blocks.has(block.id)) this.#fences.set(block.id, Math.max(fence, this.#fences.get(block.id) ?? 0));
      return result;
    });
  }

  async delete(ids: readonly BlockId[], { fence }: { readonly fence: number }): Promise<readonly DeleteResult[]> {
    return ids.map((id) => {
      const bytes = this.#blocks.get(id);
      if (!bytes) return 'missing';
      if ((this.#fences.get(id) ?? 0) >= fence) return 'spared';
      this.#blocks.delete(id);
      this.#fences.delete(id);
      this.#storedBytes -= bytes.length;
      return 'deleted';
    });
  }

  #putOne({ id, bytes }: Block): PutResult {
    if (toHex(this.#primitives.sha256(bytes)) !== id) return 'hash_mismatch';
    if (this.#blocks.has(id)) return 'held';
    if (this.#storedBytes + bytes.length > this.#capacityBytes) return 'no_space';
    this.#blocks.set(id, bytes.slice());
    this.#storedBytes += bytes.length;
    return 'stored';
  }

  async get(ids: readonly BlockId[], signal: AbortSignal): Promise<readonly GetResult[]> {
    signal.throwIfAborted();
    return ids.map((id) => {
      const bytes = this.#blocks.get(id);
      return bytes ? { kind: 'found', bytes: bytes.slice() } : { kind: 'missing' };
    });
  }

  async has(ids: readonly BlockId[], signal: AbortSignal): Promise<readonly boolean[]> {
    signal.throwIfAborted();
    return ids.map((id) => this.#blocks.has(id));
  }

  async lengths(ids: readonly BlockId[]): Promise<readonly (number | null)[]> {
    return ids.map((id) => this.#blocks.get(id)?.length ?? null);
  }

  async compact(): Promise<'idle'> {
    return 'idle';
  }

  async status(): Promise<BlockStoreStatus> {
    const freeBytes = this.#capacityBytes - this.#storedBytes;
    const { size } = this.#blocks;
    return { state: 'ok', blocks: size, storedBytes: this.#storedBytes, deadBytes: 0, freeBytes, quarantined: 0 };
  }

  async close(): Promise<void> {}
}
