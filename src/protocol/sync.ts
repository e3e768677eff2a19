/** Verbs of the sync engine, device to server: journal, listing, commits. */
import { z } from 'zod';
import { limits } from '#core/limits.ts';
import {
  contentId,
  count,
  cursor,
  blockId,
  entryId,
  installId,
  holdId,
  name,
  opId,
  partIndex,
  placedPool,
  seq,
  sessionId,
  sizeBytes,
  spaceId,
  timeUs,
  uploadId,
} from './fields.ts';
import { verb } from './wire.ts';

/** Why a journal no longer continues from a cursor. Both lead to a listing; only the first also makes it a union that deletes nothing. */
const resetReason = z.enum(['epoch_changed', 'cursor_expired']);

/**
 * Holds until one of the spaces has rows above its cursor, one of `holds` is decided, or `waitMs` is over. The only notification there is.
 * Parts: for each answer of kind `rows`, in order, its rows (each u32 length | canonical row bytes).
 */
export const pull = verb(
  'pull',
  'device',
  z.strictObject({
    cursors: z
      .array(
        z.strictObject({
          space: spaceId,
          cursor,
          /** The head that an answer to a commit told of, above the cursor: where the journal has another one there, it is another journal. */
          met: cursor.nullable(),
        }),
      )
      .min(1)
      .max(100),
    waitMs: z.number().int().min(0).max(limits.pullWaitMsMax),
    rowsMax: z.number().int().min(1).max(limits.pullRowsMax),
    /** Holds that this device waits for: those of its operations that were answered `held`. */
    holds: z.array(holdId).max(100).optional(),
  }),
  z.strictObject({
    spaces: z.array(
      z.discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('rows'), space: spaceId, part: partIndex, count, more: z.boolean() }),
        z.strictObject({ kind: z.literal('reset'), space: spaceId, reason: resetReason, head: cursor }),
      ]),
    ),
    /** Those of `holds` that wait no more. The rows of what was approved lie at or below `seq`: the device acts once it has them. */
    decided: z.array(z.strictObject({ hold: holdId, decision: z.enum(['approved', 'rejected', 'withdrawn']), seq })),
  }),
);

/**
 * A page of a space's live entries in order of entry id, as rows (part 0, framed as in `pull`; each row's `seq` is the
 * entry's last). The device notes `head` of its first page, reads all pages, then pulls from that head: rows that it
 * has seen already are recognised by their seq. A page may show an entry before its parent. `trashed`: entries in the trash as well, and what
 * lies below them: so that who holds them can tell what was deleted from what the server knows nothing of.
 */
export const list = verb(
  'list',
  'device',
  z.strictObject({
    space: spaceId,
    after: entryId.nullable(),
    trashed: z.boolean(),
    limit: z.number().int().min(1).max(limits.listEntriesMax),
  }),
  z.strictObject({ head: cursor, done: z.boolean(), count }),
);

const fileContent = z.strictObject({ contentId, size: sizeBytes, /** The manifest's bytes. */ manifest: partIndex });
const fileState = z.strictObject({ kind: z.literal('file'), content: fileContent, mtimeUs: timeUs, exec: z.boolean() });

export const operation = z.discriminatedUnion('kind', [
  /** Applied again with the same id and state: `applied`. */
  z.strictObject({
    kind: z.literal('create'),
    entry: entryId,
    parent: entryId,
    name,
    state: z.discriminatedUnion('kind', [
      fileState,
      z.strictObject({ kind: z.literal('folder') }),
      z.strictObject({ kind: z.literal('symlink'), target: z.string().min(1).max(limits.symlinkTargetBytesMax) }),
    ]),
  }),
  /** `base`: the revision that it was made from. `content: null` keeps the content (an exec bit changed). */
  z.strictObject({
    kind: z.literal('update'),
    entry: entryId,
    base: seq,
    content: fileContent.nullable(),
    target: z.string().min(1).max(limits.symlinkTargetBytesMax).nullable(),
    mtimeUs: timeUs,
    exec: z.boolean(),
  }),
  /** `base`: the entry's `placed` that the device knew. */
  z.strictObject({ kind: z.literal('move'), entry: entryId, base: seq, parent: entryId, name }),
  /** `basis`: the seq through which the device had this subtree on its disk. What others changed after it survives. */
  z.strictObject({ kind: z.literal('delete'), entry: entryId, basis: seq }),
]);
export type Operation = z.infer<typeof operation>;

export const answer = z.discriminatedUnion('kind', [
  /** `seq` of the row it became (of the row it already was, where it is applied again). `survivors`: a delete that spared newer entries. */
  z.strictObject({ kind: z.literal('applied'), seq, survivors: count }),
  /** The state it was made from is no longer the current one; pull, then plan afresh. */
  z.strictObject({
    kind: z.literal('conflict'),
    why: z.enum(['changed', 'gone', 'exists', 'parent_gone', 'cycle', 'not_empty']),
  }),
  z.strictObject({ kind: z.literal('name_taken'), by: entryId }),
  /** Positions in the manifest's list of blocks. Absent blocks and blocks of other spaces look alike. */
  z.strictObject({ kind: z.literal('need_blocks'), blocks: z.array(blockId) }),
  z.strictObject({ kind: z.literal('pool_unavailable'), pool: placedPool, detail: z.string() }),
  /**
   * A person decides (see `holds-list`). The device shows the entry as held, neither sends the same again nor restores anything, and
   * asks about the hold with `pull`.
   */
  z.strictObject({ kind: z.literal('held'), hold: holdId }),
  z.strictObject({ kind: z.literal('forbidden'), detail: z.string() }),
  z.strictObject({
    kind: z.literal('invalid'),
    code: z.enum(['invalid_name', 'invalid_field', 'integrity', 'key_stale', 'too_large']),
    detail: z.string(),
  }),
  /** Another operation of its group could not be applied. */
  z.strictObject({ kind: z.literal('group_failed') }),
]);
export type Answer = z.infer<typeof answer>;

/**
 * Totals of the whole settled batch that this commit is a part of, so that a judgement falls before its first operation. `deletes` counts
 * files and links that go, at any depth, outside generated folders; the others count operations.
 */
const planTotals = z.strictObject({ plan: opId, creates: count, updates: count, moves: count, deletes: count });

/**
 * Says that the client which runs as `session` works on the state `install`. `tick` is a number in that state that the client raises, durably,
 * before it says so: at its start, and then before it acts, where the last time is a while ago. `reconcile`: the state is a copy of one that
 * another client works on, or was put back from an older time: what it says was agreed on may not be believed.
 */
export const attach = verb(
  'attach',
  'device',
  z.strictObject({ install: installId, tick: count, session: sessionId }),
  z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('attached') }),
    z.strictObject({ kind: z.literal('reconcile') }),
  ]),
);

/**
 * One request = one op id. Parts: first the manifests that operations name by index, then the bytes of `blocks` in order
 * (only where all is small: `limits.batchBytesMax`); larger files' blocks went ahead under their `uploads`, which
 * end with this commit where their operation is applied. A group applies wholly or not at all; groups and their
 * operations are judged in order; names are judged at a group's end. Sent again with the same op id and the same body: the
 * remembered answer. Answers are in the order of the operations, groups laid end to end.
 * `cursor`: what the operations were planned from; where the journal does not continue from there: `cursor_reset`. `install` and
 * `session`: as last attached; where another client was attached since: `superseded`.
 */
export const commit = verb(
  'commit',
  'device',
  z.strictObject({
    op: opId,
    space: spaceId,
    cursor,
    install: installId,
    /** Raised for this request, and kept before it is sent. */
    tick: count,
    session: sessionId,
    totals: planTotals,
    uploads: z.array(uploadId).max(limits.commitOperationsMax),
    groups: z.array(z.array(operation).min(1).max(limits.commitOperationsMax)).min(1).max(limits.commitOperationsMax),
    blocks: z.array(blockId).max(limits.commitOperationsMax),
  }),
  z.strictObject({ answers: z.array(answer), head: cursor }),
);

/**
 * What became of a commit whose answer was lost. `void`: it was never applied, and never will be: the same op id arriving later
 * is refused with `voided`.
 */
export const settle = verb(
  'settle',
  'device',
  z.strictObject({ space: spaceId, op: opId }),
  z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('answered'), answers: z.array(answer), head: cursor }),
    z.strictObject({ kind: z.literal('void') }),
  ]),
);

/**
 * Opens uploads of files that are too large for one commit, or opens them again (same upload id, same entry) after a restart: blocks
 * that were put under it before still count. Decides each file's pool by the rules, leases its blocks against collection for
 * 24 hours after the last call, and marks the entry `updating` by this device.
 */
export const prepare = verb(
  'prepare',
  'device',
  z.strictObject({
    space: spaceId,
    files: z
      .array(z.strictObject({ upload: uploadId, entry: entryId, parent: entryId, name, size: sizeBytes }))
      .min(1)
      .max(100),
  }),
  z.strictObject({
    files: z.array(
      z.discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('ready'), pool: placedPool }),
        z.strictObject({ kind: z.literal('pool_unavailable'), pool: placedPool, detail: z.string() }),
      ]),
    ),
  }),
);

/** Which of these blocks must be sent. "Have" only what this space references in the upload's pool or this upload brought. */
export const need = verb(
  'need',
  'device',
  z.strictObject({ space: spaceId, upload: uploadId, blocks: z.array(blockId).min(1).max(4096) }),
  z.strictObject({ missing: z.array(blockId) }),
);

/** Parts: the blocks' bytes in order. Answered when they are durable on their storage nodes. */
export const put = verb(
  'put',
  'device',
  z.strictObject({ space: spaceId, upload: uploadId, blocks: z.array(blockId).min(1).max(limits.batchBlocksMax) }),
  z.strictObject({}),
);

/** Gives an upload up: the entry is no longer `updating`. Unknown uploads are no error. */
export const abandon = verb(
  'abandon',
  'device',
  z.strictObject({ space: spaceId, uploads: z.array(uploadId).min(1).max(100) }),
  z.strictObject({}),
);
