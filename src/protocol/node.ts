/** Verbs that the server calls on a storage node, over a connection in which both sides' keys are pinned. A node serves nobody else. */
import { z } from 'zod';
import { limits } from '#core/limits.ts';
import { blockId, clusterId, count, hash, nodeId, poolName, seq, sizeBytes } from './fields.ts';
import { verb } from './wire.ts';

/** Parts: the blocks' bytes. Answers when all that are `stored` or `held` are durable; others say why not. `fence`: the server's, raised by collection. */
export const nodePut = verb(
  'node-put',
  'server',
  z.strictObject({ fence: count, blocks: z.array(blockId).min(1).max(limits.commitOperationsMax) }),
  z.strictObject({ results: z.array(z.enum(['stored', 'held', 'hash_mismatch', 'no_space', 'disk_failed'])) }),
);

/** Parts: the found blocks in order. Stops early at `limits.batchBytesMax` of bytes (at least one is judged): fewer results than asked. */
export const nodeGet = verb(
  'node-get',
  'server',
  z.strictObject({ blocks: z.array(blockId).min(1).max(limits.commitOperationsMax) }),
  z.strictObject({ results: z.array(z.enum(['found', 'missing', 'corrupt', 'disk_failed'])) }),
);

export const nodeHas = verb(
  'node-has',
  'server',
  z.strictObject({ blocks: z.array(blockId).min(1).max(4096) }),
  z.strictObject({ held: z.array(z.boolean()) }),
);

/**
 * Part 0: a signed delete order ("HFO"). Answers when what is `deleted` is durably so. The node refuses one that is not later than the
 * last (`conflict`), unless it is that very one.
 */
export const nodeDelete = verb(
  'node-delete',
  'server',
  z.strictObject({}),
  z.strictObject({ results: z.array(z.enum(['deleted', 'spared', 'missing'])) }),
);

const challenge = z.strictObject({
  block: blockId,
  /** Of the range in the block's bytes, which lies wholly within them. */
  offset: sizeBytes,
  length: z.number().int().min(1).max(limits.challengeRangeBytesMax),
  /** 32 random bytes that were never used before: an answer that was kept is worth nothing. */
  key: hash,
});
export type Challenge = z.infer<typeof challenge>;

const challengeAnswer = z.discriminatedUnion('kind', [
  /** HMAC-SHA-256(key, the bytes of the range), of a block that was read and verified for this. */
  z.strictObject({ kind: z.literal('proof'), proof: hash }),
  z.strictObject({ kind: z.enum(['missing', 'corrupt', 'disk_failed']) }),
]);
export type ChallengeAnswer = z.infer<typeof challengeAnswer>;

/** The node shows that it has the bytes. Answers in the order asked. */
export const nodeChallenge = verb(
  'node-challenge',
  'server',
  z.strictObject({ challenges: z.array(challenge).min(1).max(limits.challengesMax) }),
  z.strictObject({ answers: z.array(challengeAnswer) }),
);

export const nodeStatus = verb(
  'node-status',
  'server',
  z.strictObject({}),
  z.strictObject({
    node: nodeId,
    cluster: clusterId,
    version: z.string().max(64),
    /** Raised at every start, and another name for every process: two processes with one identity show themselves. */
    boot: count,
    run: z.string().regex(/^[0-9a-f]{16}$/),
    pool: poolName,
    state: z.enum(['ok', 'read_only', 'failed']),
    blocks: count,
    storedBytes: sizeBytes,
    /** That mean nothing any more: compaction frees them. */
    deadBytes: sizeBytes,
    freeBytes: sizeBytes,
    quarantined: count,
  }),
);

/** Part 0: the signed key list ("HFK"). The node keeps the highest (incarnation, seq) and accepts the server's pins in it. */
export const nodeKeys = verb('node-keys', 'server', z.strictObject({}), z.strictObject({ incarnation: count, seq }));

/** Part 0: a signed root record ("HFR"). The node keeps it where its (incarnation, seq) is the highest; answers with the highest that it keeps. */
export const nodeRoot = verb('node-root', 'server', z.strictObject({}), z.strictObject({ incarnation: count, seq }));
