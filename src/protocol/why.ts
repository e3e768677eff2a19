/** The story of one entry. */
import { z } from 'zod';
import {
  count,
  deviceId,
  entryId,
  holdId,
  label,
  name,
  nodeId,
  placedPool,
  poolName,
  seq,
  sizeBytes,
  spaceId,
  timeMs,
} from './fields.ts';
import { ruleRow } from './cluster.ts';
import { verb } from './wire.ts';

const by = z.strictObject({ device: deviceId, name: label });
const storyEvent = z.strictObject({
  kind: z.enum(['created', 'known', 'changed', 'renamed', 'moved', 'deleted', 'restored']),
  seq,
  atMs: timeMs,
  device: by,
  size: sizeBytes.nullable(),
  /** Path from then on, by the folders' present names. */
  path: z.string(),
  /** The one before, where it is another. */
  from: z.string().nullable(),
  /** False: the bytes that it had from then on are kept no more, or what was deleted does not come back. */
  kept: z.boolean(),
});
export type StoryRow = z.infer<typeof storyEvent>;

/** As the node itself said, or as its answers showed. */
export const COPY_FAULTS = ['missing', 'corrupt', 'wrong_proof', 'wrong_bytes', 'not_there'] as const;
export type CopyFault = (typeof COPY_FAULTS)[number];

/** Where a file's bytes are, and why. */
const placed = z.strictObject({
  size: sizeBytes,
  pool: placedPool,
  /** Where the rules want it; by that rule, or by none. */
  poolWanted: placedPool,
  rule: ruleRow.nullable(),
  /** When it was last moved from another pool. */
  moved: z.strictObject({ from: placedPool, atMs: timeMs }).nullable(),
  blocks: count,
  storedBytes: sizeBytes,
  /** Of the least copied block; and how many the pool asks for. */
  copies: count,
  copiesWanted: count,
  /** Who holds how many of its blocks, those of a former pool included. */
  nodes: z.array(z.strictObject({ node: nodeId, name: label, pool: poolName, blocks: count })),
  /** Copies of its blocks that were found bad: of each block the last one. `atMs`: of the latest of so many. */
  faults: z.array(z.strictObject({ node: label, why: z.enum(COPY_FAULTS), blocks: count, atMs: timeMs })),
  /** Copies that were made anew, of each block the last time; from one of these nodes. */
  repairs: z.array(z.strictObject({ from: z.array(label), to: z.array(label), blocks: count, atMs: timeMs })),
});

/**
 * By the path that an entry has, had when it was deleted, or once had. `path` in the answer is where it is now, or was last. `deleted`: by
 * whom, and with which folder where that was deleted with all in it; `purged`: it does not come back. `conflictOf`, `conflicts`: names. `not_found` names the nearest.
 */
export const why = verb(
  'why',
  'device',
  z.strictObject({ space: spaceId, path: z.string().min(1).max(65_536) }),
  z.strictObject({
    entry: entryId,
    kind: z.enum(['file', 'folder', 'symlink', 'mount']),
    path: z.string(),
    deleted: z
      .strictObject({ atMs: timeMs.nullable(), device: by, with: z.string().nullable(), purged: z.boolean() })
      .nullable(),
    /** Files that are not empty and not purged. */
    placed: placed.nullable(),
    events: z.array(storyEvent),
    /** There are older ones. */
    more: z.boolean(),
    conflictOf: z.strictObject({ of: name, device: z.string(), date: z.string() }).nullable(),
    conflicts: z.array(name),
    /** Changes of it that wait for a person. */
    held: z.array(holdId),
  }),
);
export type Story = z.infer<typeof why.response>;
