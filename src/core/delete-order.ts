/**
 * The order by which a server has a storage node delete blocks (normative: docs/on-disk.md, "The delete order"). The cluster's identity signs
 * it, for one node; numbers only rise, so that no order is carried out when its time is past.
 */
import { assert } from './assert.ts';
import type { Bytes } from './bytes.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { HoldfastError } from './errors.ts';
import { idBytes, type BlockId, type ClusterId, type NodeId } from './ids.ts';
import type { Primitives } from './primitives.ts';
import { SIGNATURE_BYTES, signAs, verifyAs } from './signed.ts';

export type DeleteOrder = {
  readonly cluster: ClusterId;
  readonly node: NodeId;
  readonly incarnation: number;
  readonly number: number;
  /** Spares a block that was put under this fence or a higher one. */
  readonly fence: number;
  readonly blocks: readonly BlockId[];
};

export const ORDER_BLOCKS_MAX = 1000;
const MAGIC_AND_VERSION = 0x48464f01;
const LABEL = 'holdfast/1 order';

export function signDeleteOrder(p: Primitives, identitySeed: Bytes, order: DeleteOrder): Uint8Array {
  assert(order.blocks.length <= ORDER_BLOCKS_MAX, 'an order is short');
  const writer = new ByteWriter();
  writer.u32(MAGIC_AND_VERSION).id(order.cluster).id(order.node);
  writer.u32(order.incarnation).u64(order.number).u64(order.fence).u32(order.blocks.length);
  for (const block of order.blocks) writer.bytes(idBytes(block));
  const unsigned = writer.finish();
  return writer.bytes(signAs(p, identitySeed, LABEL, unsigned)).finish();
}

/** Null unless the identity with that public key signed these bytes as an order. For whom and when is for the caller to ask. */
export function verifyDeleteOrder(p: Primitives, bytes: Bytes, publicKey: Bytes): DeleteOrder | null {
  const order = parse(bytes);
  const end = bytes.length - SIGNATURE_BYTES;
  return order && verifyAs(p, publicKey, LABEL, bytes.subarray(0, end), bytes.subarray(end)) ? order : null;
}

/** True where `candidate` may be carried out after `last`: a higher (incarnation, number). */
export function isLaterOrder(
  candidate: Pick<DeleteOrder, 'incarnation' | 'number'>,
  last: Pick<DeleteOrder, 'incarnation' | 'number'>,
): boolean {
  if (candidate.incarnation !== last.incarnation) return candidate.incarnation > last.incarnation;
  return candidate.number > last.number;
}

function parse(bytes: Bytes): DeleteOrder | null {
  try {
    const reader = new ByteReader(bytes, 'a delete order');
    if (reader.u32() !== MAGIC_AND_VERSION) return null;
    const cluster = reader.id<ClusterId>(16);
    const node = reader.id<NodeId>(16);
    const [incarnation, number, fence, count] = [reader.u32(), reader.u64(), reader.u64(), reader.u32()];
    if (count > ORDER_BLOCKS_MAX) return null;
    const blocks: BlockId[] = [];
    while (blocks.length < count) blocks.push(reader.id<BlockId>(32));
    reader.bytes(SIGNATURE_BYTES);
    reader.end();
    return { cluster, node, incarnation, number, fence, blocks };
  } catch (error) {
    if (error instanceof HoldfastError) return null;
    throw error;
  }
}
