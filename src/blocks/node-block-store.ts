/** What a storage node asks of the store on its own disk, beyond holding blocks. */
import type { BlockId } from '#core/ids.ts';
import type { BlockStore } from './block-store.ts';

export type BlockStoreStatus = {
  /** `read_only`: too little space is left; gets work, and puts again as soon as there is space. `failed`: the disk reported too many errors. */
  readonly state: 'ok' | 'read_only' | 'failed';
  readonly blocks: number;
  /** Of the blocks alone, without what stores them. */
  readonly storedBytes: number;
  /** That mean nothing any more, and that compaction frees in time. */
  readonly deadBytes: number;
  readonly freeBytes: number;
  /** Places that were found damaged and are not made good yet. */
  readonly quarantined: number;
};

/** `spared`: it was put under that fence or a higher one. `missing`: it is not held. */
export type DeleteResult = 'deleted' | 'spared' | 'missing';

export interface NodeBlockStore extends BlockStore {
  /**
   * Lets go of blocks, each named once, that were put under a lower fence. Durable when it resolves, each with the order's number; rejects with `no_space` or
   * `disk_failed`, and then any of them may still be held.
   */
  delete(
    ids: readonly BlockId[],
    order: { readonly number: number; readonly fence: number },
  ): Promise<readonly DeleteResult[]>;
  /** Bytes of each block, without reading it; null where `has` would say no. In the order asked. */
  lengths(ids: readonly BlockId[]): Promise<readonly (number | null)[]>;
  /**
   * Gives the disk back some of what deleted blocks took, a few megabytes' work at a time, between other writes. `idle`: there is nothing worth it, or
   * nothing that can be done now. A crash at any moment loses nothing.
   */
  compact(): Promise<'busy' | 'idle'>;
  status(): Promise<BlockStoreStatus>;
  /** What was begun ends first. */
  close(): Promise<void>;
}
