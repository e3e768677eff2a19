/** A storage node's log as somebody reads it who trusts nothing else in its directory: for a rescue. */
import type { BlockId, NodeId } from '#core/ids.ts';

export type LogPlace = { readonly segment: number; readonly offset: number; readonly length: number };

/** In the order of the log. */
export type LogItem =
  /** Whole, and verified against its id. `bytes` are valid until the next item is asked for. */
  | ({
      readonly kind: 'block';
      readonly id: BlockId;
      readonly fence: number;
      readonly bytes: Uint8Array;
      readonly node: NodeId | null;
    } & LogPlace)
  | { readonly kind: 'tombstone' | 'fence'; readonly id: BlockId; readonly fence: number }
  /** A place, or a whole segment, that cannot be read. */
  | { readonly kind: 'damaged'; readonly segment: number; readonly offset: number; readonly detail: string };

export interface NodeLog {
  /** Bytes of all segments. */
  size(): Promise<number>;
  /** Reads everything. Never ends early: what cannot be read is an item. */
  scan(): AsyncIterable<LogItem>;
  /** The block's bytes, verified once more; null where they are not there any more. */
  read(id: BlockId, place: LogPlace): Promise<Uint8Array | null>;
}
