/** Asks storage nodes for proofs, all at once, each in messages of limited work. */
import { HoldfastError } from '#core/errors.ts';
import { limits, MIB } from '#core/limits.ts';
import type { PlacedPresence } from '#meta/copies.ts';
import type { Challenge, ChallengeAnswer } from '#protocol/node.ts';
import type { KnownNode } from './node-book.ts';
import type { ServerContext } from './server-context.ts';

/** What a node has to read for one message: a slow disk does that in time. */
const MESSAGE_BLOCK_BYTES_MAX = 8 * MIB;

export type ToProve = { readonly row: PlacedPresence; readonly challenge: Challenge };

/** Who does not answer in time has no answers: that is no lie, and its turn comes again. */
export async function askProofs<Item extends ToProve>(
  context: Pick<ServerContext, 'nodes' | 'closing'>,
  asked: ReadonlyMap<KnownNode, readonly Item[]>,
): Promise<ReadonlyMap<KnownNode, ReadonlyMap<Item, ChallengeAnswer>>> {
  const answers = [...asked].map(async ([known, items]) => [known, await askOne(context, known, items)] as const);
  return new Map(await Promise.all(answers));
}

async function askOne<Item extends ToProve>(
  { nodes, closing }: Pick<ServerContext, 'nodes' | 'closing'>,
  known: KnownNode,
  items: readonly Item[],
): Promise<ReadonlyMap<Item, ChallengeAnswer>> {
  const found = new Map<Item, ChallengeAnswer>();
  try {
    for (const batch of batches(items)) {
      const challenges = batch.map(({ challenge }) => challenge);
      const answers = await nodes.call(known, closing, (connection, signal) => connection.prove(challenges, signal));
      batch.forEach((item, index) => {
        const answer = answers[index];
        if (answer) found.set(item, answer);
      });
    }
  } catch (error) {
    if (closing.aborted || !(error instanceof HoldfastError)) throw error;
  }
  return found;
}

function* batches<Item extends ToProve>(items: readonly Item[]): Iterable<readonly Item[]> {
  let batch: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    if (
      batch.length > 0 &&
      (batch.length === limits.challengesMax || bytes + item.row.length > MESSAGE_BLOCK_BYTES_MAX)
    ) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += item.row.length;
  }
  if (batch.length > 0) yield batch;
}
