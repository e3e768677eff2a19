/** Puts blocks on the storage nodes of a pool: all wanted copies, in parallel, the next node of the layout where one does not answer. */
import type { Block, PutResult } from '#blocks/block-store.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { transferMsMax, type KnownNode, type NodeBook } from './node-book.ts';
import type { NodeConnection } from './node-connection.ts';

export type WrittenBlock =
  /** Durable. `holders`: numbers of the nodes. `owed`: copies that the pool asks for and that are still to be made. */
  | { readonly kind: 'stored'; readonly holders: readonly number[]; readonly owed: number }
  | { readonly kind: 'failed'; readonly why: 'unavailable' | 'no_space' | 'hash_mismatch' };

type Progress = {
  readonly block: Block;
  readonly open: KnownNode[];
  readonly holders: number[];
  why: 'unavailable' | 'no_space' | 'hash_mismatch';
};

/** Acknowledged are bytes that this many nodes hold, where the pool asks for as many. */
export const QUORUM_COPIES = 2;

/** `fence`: as the index had it before (`currentFence`). What is stored counts only once `settleCopies` has let it pass. */
export async function writeBlocks(
  nodes: NodeBook,
  pool: string,
  blocks: readonly Block[],
  fence: number,
  signal: AbortSignal,
): Promise<ReadonlyMap<BlockId, WrittenBlock>> {
  const copies = nodes.copies(pool);
  const all = blocks.map((block): Progress => {
    const open = nodes.targets(pool, block.id).filter((known) => !nodes.isDown(known));
    return { block, open, holders: [], why: 'unavailable' };
  });
  for (let round = all; round.length > 0; round = round.filter((one) => one.open.length > 0)) {
    round = round.filter((one) => one.holders.length < copies && one.open.length > 0 && one.why !== 'hash_mismatch');
    await writeRound(nodes, copies, round, { fence, signal });
  }
  const quorum = Math.min(copies, QUORUM_COPIES);
  return new Map(
    all.map(({ block, holders, why }): [BlockId, WrittenBlock] => [
      block.id,
      holders.length >= quorum ? { kind: 'stored', holders, owed: copies - holders.length } : { kind: 'failed', why },
    ]),
  );
}

type Put = { readonly fence: number; readonly signal: AbortSignal };

async function writeRound(nodes: NodeBook, copies: number, round: readonly Progress[], put: Put) {
  const byNode = new Map<KnownNode, Progress[]>();
  for (const one of round)
    for (const known of one.open.splice(0, copies - one.holders.length)) {
      const batch = byNode.get(known);
      if (batch) batch.push(one);
      else byNode.set(known, [one]);
    }
  const calls: Promise<void>[] = [];
  for (const [known, wanted] of byNode)
    for (const batch of batchesOf(wanted)) calls.push(writeBatch(nodes, known, batch, put));
  await Promise.all(calls);
}

async function writeBatch(nodes: NodeBook, known: KnownNode, batch: readonly Progress[], { fence, signal }: Put) {
  let results: readonly PutResult[];
  try {
    const blocks = batch.map((one) => one.block);
    const bytes = blocks.reduce((sum, block) => sum + block.bytes.length, 0);
    const put = ({ store }: NodeConnection, limited: AbortSignal) => store.put(blocks, fence, limited);
    results = await nodes.call(known, signal, put, transferMsMax(bytes));
  } catch (error) {
    // The outcome is unknown: as far as anyone may rely on it, nothing was stored.
    if (signal.aborted || !(error instanceof HoldfastError)) throw error;
    return;
  }
  batch.forEach((one, index) => {
    const result = results[index];
    if (result === 'stored' || result === 'held') one.holders.push(known.stored.number);
    else if (result === 'hash_mismatch' || result === 'no_space') one.why = result;
  });
}

function batchesOf(wanted: readonly Progress[]): Progress[][] {
  const batches: Progress[][] = [];
  let batchBytes = 0;
  for (const one of wanted) {
    const last = batches.at(-1);
    const bytes = one.block.bytes.length;
    if (last && last.length < limits.batchBlocksMax && batchBytes + bytes <= limits.batchBytesMax) {
      last.push(one);
      batchBytes += bytes;
    } else {
      batches.push([one]);
      batchBytes = bytes;
    }
  }
  return batches;
}
