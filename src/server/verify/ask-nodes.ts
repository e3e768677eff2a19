/** Asks storage nodes about copies, each node in batches, and tells what could not be asked from what is not there. */
import { HoldfastError } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { transferMsMax } from '../node-book.ts';
import type { ServerContext } from '../server-context.ts';

export type Copy = { readonly id: BlockId; readonly storedLength: number; readonly node: number };
export type CopyState =
  | { readonly kind: 'there'; readonly bytes: Uint8Array | null }
  | { readonly kind: 'missing' | 'corrupt' | 'unasked' };

/** `bytes` where `full`: whatever the node sent, not judged. */
export async function askCopies(
  context: ServerContext,
  copies: readonly Copy[],
  full: boolean,
  signal: AbortSignal,
): Promise<ReadonlyMap<Copy, CopyState>> {
  const states = new Map<Copy, CopyState>();
  const byNode = new Map<number, Copy[]>();
  for (const copy of copies) byNode.set(copy.node, [...(byNode.get(copy.node) ?? []), copy]);
  await Promise.all(
    [...byNode].map(async ([number, wanted]) => {
      for (const batch of batchesOf(wanted, full)) {
        const found = await askNode(context, number, batch, full, signal);
        batch.forEach((copy, index) => states.set(copy, found[index] ?? { kind: 'unasked' }));
      }
    }),
  );
  return states;
}

async function askNode(
  { nodes }: ServerContext,
  number: number,
  batch: readonly Copy[],
  full: boolean,
  signal: AbortSignal,
): Promise<readonly CopyState[]> {
  const known = nodes.byNumber(number);
  // A node that was removed has nothing that counts.
  if (!known) return batch.map(() => ({ kind: 'missing' }));
  const ids = batch.map(({ id }) => id);
  const bytes = full ? batch.reduce((sum, { storedLength }) => sum + storedLength, 0) : 0;
  try {
    return await nodes.call(
      known,
      signal,
      async ({ store }, limited): Promise<readonly CopyState[]> => {
        if (!full)
          return (await store.has(ids, limited)).map((held) =>
            held ? { kind: 'there', bytes: null } : { kind: 'missing' },
          );
        return (await store.get(ids, limited)).map((result) => {
          if (result.kind === 'found') return { kind: 'there', bytes: result.bytes };
          return { kind: result.kind === 'missing' ? 'missing' : 'corrupt' };
        });
      },
      transferMsMax(bytes),
    );
  } catch (error) {
    if (signal.aborted || !(error instanceof HoldfastError)) throw error;
    return batch.map(() => ({ kind: 'unasked' }));
  }
}

function batchesOf(copies: readonly Copy[], full: boolean): readonly (readonly Copy[])[] {
  const batches: Copy[][] = [];
  let bytes = 0;
  for (const copy of copies) {
    const last = batches.at(-1);
    const fits = !full || bytes + copy.storedLength <= limits.batchBytesMax;
    if (last && fits && last.length < limits.commitOperationsMax) {
      last.push(copy);
      bytes += copy.storedLength;
    } else {
      batches.push([copy]);
      bytes = copy.storedLength;
    }
  }
  return batches;
}
