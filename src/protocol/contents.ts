/** Verbs that bring bytes to a device. Every block is named through a manifest of its space: no other block can be asked for. */
import { z } from 'zod';
import { limits } from '#core/limits.ts';
import { manifestId, partIndex, sizeBytes, spaceId } from './fields.ts';
import { verb } from './wire.ts';

/**
 * Manifests, and with them all blocks of those files that fit into `budgetBytes` together (in the order asked; one
 * file always fits where its blocks are below `limits.batchBytesMax`). `blocks: null`: not sent now, ask with `blocks`.
 */
export const contents = verb(
  'contents',
  'device',
  z.strictObject({
    space: spaceId,
    manifests: z.array(manifestId).min(1).max(1000),
    budgetBytes: z.number().int().min(0).max(limits.batchBytesMax),
  }),
  z.strictObject({
    items: z.array(
      z.discriminatedUnion('kind', [
        z.strictObject({
          kind: z.literal('found'),
          manifest: partIndex,
          blocks: z.array(partIndex).nullable(),
          storedBytes: sizeBytes,
        }),
        z.strictObject({ kind: z.literal('unknown') }),
        z.strictObject({
          kind: z.literal('unavailable'),
          manifest: partIndex,
          code: z.enum(['storage_unavailable', 'block_missing', 'block_corrupt']),
          detail: z.string(),
        }),
      ]),
    ),
  }),
);

/** Blocks of one manifest by their positions. Parts: the found ones, in the order asked. Stops early at `limits.batchBytesMax`: fewer results than asked. */
export const blocks = verb(
  'blocks',
  'device',
  z.strictObject({
    space: spaceId,
    manifest: manifestId,
    indexes: z.array(z.number().int().min(0).max(limits.manifestChunksMax)).min(1).max(limits.batchBlocksMax),
  }),
  z.strictObject({ results: z.array(z.enum(['found', 'block_missing', 'block_corrupt', 'storage_unavailable'])) }),
);
