/** Verbs about changes that wait for a person's yes. */
import { z } from 'zod';
import { count, deviceId, holdId, label, spaceId, timeMs } from './fields.ts';
import { verb } from './wire.ts';

const hold = z.strictObject({
  hold: holdId,
  space: spaceId,
  /** Whose changes they are. */
  device: z.strictObject({ device: deviceId, name: label }),
  /** `emptied`: the space would hold next to nothing; `deletes`: much of it would go; `encrypts`: readable files become noise. */
  reasons: z.array(z.enum(['emptied', 'deletes', 'encrypts'])),
  madeMs: timeMs,
  operations: count,
  /** Files and links that would go, at any depth. */
  files: count,
  /** Files that would become noise. */
  rewrites: count,
  /** Where the first of the operations are, with `/` between names. */
  paths: z.array(z.string()),
});
export type HoldRow = z.infer<typeof hold>;

/** What waits for a decision in the account's spaces, the oldest first. */
export const holdsList = verb('holds-list', 'device', z.strictObject({}), z.strictObject({ holds: z.array(hold) }));

/**
 * Approve: every operation is judged as if its device had committed it now, and applied where it can be: what anybody changed since
 * survives. Reject: nothing is applied, and the device restores what it has otherwise. The same decision again: the same answer; the other one: `conflict`.
 * `applied`: how many operations were, or were so already.
 */
export const holdsDecide = verb(
  'holds-decide',
  'owner',
  z.strictObject({ hold: holdId, decision: z.enum(['approve', 'reject']) }),
  z.strictObject({ decision: z.enum(['approved', 'rejected']), applied: count, lapsed: count }),
);

/** This device begins anew with the space, and asks no longer for anything that was held of it. */
export const holdsWithdraw = verb('holds-withdraw', 'device', z.strictObject({ space: spaceId }), z.strictObject({}));
