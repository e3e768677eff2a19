/** Puts blocks on the storage nodes of a pool: all wanted copies, in parallel, the next node of the layout where one does not answer. */
import type { Block, PutResult } from '#blocks/block-store.ts';
import { QUORUM_COPIES } from '#core/copies.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { transferMsMax, type KnownNode, type NodeBook } from './node-book.ts';
import type { NodeConnection } from './node-connection.ts';

export type WrittenBlock =
  /** Durable. `holders`: numbers of the nodes. `owed`: copies that the pool asks for and that are still to be made, as far as is known here. */
  | { readonly kind: 'stored'; readonly holders: readonly number[]; readonly owed: number }
  | { readonly kind: 'failed'; readonly why: WriteFailure };
/** `too_few`: some nodes took it, fewer than must have it before anybody is told that it is safe. */
export type WriteFailure = 'unavailable' | 'too_few' | 'no_space' | 'hash_mismatch';

export type BlockToPlace = {
  readonly block: Block;
  /** Nodes that may take it, best first; used up. */
  readonly open: KnownNode[];
  readonly copies: number;
};

type Progress = BlockToPlace & {
  readonly holders: number[];
  why: 'unavailable' | 'no_space' | 'hash_mismatch';
};

/** `fence`: as the index had it before (`currentFence`). What is stored counts only once `settleCopies` has let it pass. */
export async function writeBlocks(
  nodes: NodeBook,
  pool: string,
  blocks: readonly Block[],
  fence: number,
  signal: AbortSignal,
): Promise<ReadonlyMap<BlockId, WrittenBlock>> {
  const copies = nodes.copies(pool);
  const wanted = blocks.map((block) => ({ block, open: [...nodes.targets(pool, block.id)], copies }));
  const quorum = Math.min(copies, QUORUM_COPIES);
  return new Map(
    [...(await placeBlocks(nodes, wanted, { fence, signal }))].map(
      ([id, { holders, why }]): [BlockId, WrittenBlock] => [
        id,
        holders.length >= quorum
          ? { kind: 'stored', holders, owed: copies - holders.length }
          : { kind: 'failed', why: holders.length > 0 && why === 'unavailable' ? 'too_few' : why },
      ],
    ),
  );
}

type Put = { readonly fence: number; readonly signal: AbortSignal };

/** All copies in parallel, on the first nodes that take them. What `holders` names is durable there, as far as `settleCopies` lets it pass. */
export async function placeBlocks(
  nodes: NodeBook,
  wanted: readonly BlockToPlace[],
  put: Put,
): Promise<ReadonlyMap<BlockId, Pick<Progress, 'holders' | 'why'>>> {
  const all = wanted.map(({ block, open, copies }): Progress => {
    const up = open.filter((known) => !nodes.isDown(known));
    // One that was full a moment ago is asked last: bytes that it refuses have crossed the network.
    const inTurn = [
      ...up.filter((known) => nodes.takesBlocks(known)),
      ...up.filter((known) => !nodes.takesBlocks(known)),
    ];
    return { block, copies, open: inTurn, holders: [], why: 'unavailable' };
  });
  const lacks = (one: Progress) =>
    one.holders.length < one.copies && one.open.length > 0 && one.why !== 'hash_mismatch';
  for (let round = all.filter(lacks); round.length > 0; round = round.filter(lacks))
    await writeRound(nodes, round, put);
  return new Map(all.map((one) => [one.block.id, one]));
}

async function writeRound(nodes: NodeBook, round: readonly Progress[], put: Put) {
  const byNode = new Map<KnownNode, Progress[]>();
  for (const one of round)
    for (const known of one.open.splice(0, one.copies - one.holders.length)) {
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
