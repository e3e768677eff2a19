import type { BlockId } from '#core/ids.ts';

export type Block = { readonly id: BlockId; readonly bytes: Uint8Array };
/** `hash_mismatch`: the bytes are not the block that the id names; nothing was kept. */
export type PutResult = 'stored' | 'held' | 'hash_mismatch' | 'no_space' | 'disk_failed';
export type GetResult =
  | { readonly kind: 'found'; readonly bytes: Uint8Array }
  /** `forged`: who holds the block sent other bytes in its name, instead of saying that it is damaged. */
  | { readonly kind: 'corrupt'; readonly forged?: true }
  | { readonly kind: 'missing' | 'disk_failed' };

/**
 * Holds blocks under the hash of their bytes. Answers are per item, in the order asked. A rejection means that the
 * whole store could not be asked: the outcome is unknown for every item.
 */
export interface BlockStore {
  /**
   * Idempotent. Resolves when each block that is `stored` or `held` is durable: it survives power loss. `fence` rises
   * with collections: a later delete order with a lower fence spares the block.
   */
  put(blocks: readonly Block[], fence: number, signal: AbortSignal): Promise<readonly PutResult[]>;
  /** Bytes are verified against the id before they are handed out. */
  get(ids: readonly BlockId[], signal: AbortSignal): Promise<readonly GetResult[]>;
  has(ids: readonly BlockId[], signal: AbortSignal): Promise<readonly boolean[]>;
}
