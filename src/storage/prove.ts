/** Proofs that blocks are held: made of the very bytes, read from the log and verified for each. */
import type { BlockStore } from '#blocks/block-store.ts';
import { fromHex, toHex } from '#core/bytes.ts';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Challenge, ChallengeAnswer } from '#protocol/node.ts';

/**
 * In the order asked, one block in memory at a time. A damaged block is `corrupt`, also where the damage is outside the range: so a node that
 * means well never answers with a wrong proof. Throws `invalid_field` where a range does not lie within its block.
 */
export async function proveHeld(
  store: Pick<BlockStore, 'get'>,
  primitives: Pick<Primitives, 'hmacSha256'>,
  challenges: readonly Challenge[],
  signal: AbortSignal,
): Promise<readonly ChallengeAnswer[]> {
  const answers: ChallengeAnswer[] = [];
  for (const { block, offset, length, key } of challenges) {
    const got = must((await store.get([block], signal))[0], 'one answer for one block');
    if (got.kind !== 'found') {
      answers.push({ kind: got.kind });
      continue;
    }
    if (offset + length > got.bytes.length)
      throw new HoldfastError('invalid_field', `challenges: the block ${block} has ${got.bytes.length} bytes`);
    const range = got.bytes.subarray(offset, offset + length);
    const bytes = primitives.hmacSha256(must(fromHex(key), 'the schema says so'), range);
    answers.push({ kind: 'proof', proof: toHex(bytes) });
  }
  return answers;
}
