/** Verbs about the whole of it: is everything there and what it should be, and is the recovery kit in a person's hands. */
import { z } from 'zod';
import { count, hash, placedPool, sizeBytes } from './fields.ts';
import { verb } from './wire.ts';

/** `proof`: what only somebody can compute who has the recovery kit. Throws `forbidden` for another one. */
export const kitConfirm = verb('kit-confirm', 'owner', z.strictObject({ proof: hash }), z.strictObject({}));

const finding = z.strictObject({
  /** What it is about: a file's bytes, the tree, a space's journal, or the metadata in the pools. */
  about: z.enum(['file', 'tree', 'journal', 'metadata']),
  space: z.string(),
  /** With `/` between names; empty where it is about more than one entry. */
  path: z.string(),
  code: z.enum(['block_missing', 'block_corrupt', 'integrity', 'storage_unavailable']),
  /** For a person. */
  message: z.string(),
  /** True where nothing of it is lost: other copies are good. */
  whole: z.boolean(),
});
export type Finding = z.infer<typeof finding>;

const tally = z.strictObject({ pool: placedPool, blocks: count, copies: count, bytes: sizeBytes });
export type VerifyTally = z.infer<typeof tally>;

/**
 * One bounded step of a verification, which changes nothing. `at`: what the step before answered, null to begin; `null` in the answer:
 * that was the last. What changes meanwhile is judged as it is when a step comes to it. `full`: every copy is read.
 */
export const verifyStep = verb(
  'verify-step',
  'owner',
  z.strictObject({ full: z.boolean(), at: z.string().max(1024).nullable() }),
  z.strictObject({
    at: z.string().nullable(),
    /** For whoever waits: what the step was about. */
    doing: z.string(),
    findings: z.array(finding),
    checked: z.strictObject({
      files: count,
      entries: count,
      journalRows: count,
      metadataBlocks: count,
      /** Blocks that entries name, the copies that were checked and their bytes. */
      pools: z.array(tally),
    }),
  }),
);
export type VerifyChecked = z.infer<typeof verifyStep.response>['checked'];
