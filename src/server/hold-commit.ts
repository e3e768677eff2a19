/**
 * What of a commit waits for a person, and the rows that say so. Judged under the space's lock, from what the index says that the commit would do
 * and what its device did of late; the device's own word on its whole batch can only make it more.
 */
import type { Decision, TreeOperation } from '#core/commit.ts';
import { addWeights, judgeHold, NO_WEIGHT, populationToCount, type HoldReason, type Weight } from '#core/holds.ts';
import { toHex } from '#core/bytes.ts';
import type { DeviceId, EntryId, OpId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import {
  addHeld,
  addTally,
  dropHeld,
  heldAmong,
  heldOperations,
  holdsInSpace,
  putHold,
  sumTally,
  type HeldOperation,
  type StoredHold,
} from '#meta/holds.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import type { StoredSpace } from '#meta/spaces.ts';
import { countPopulation } from '#meta/weights.ts';
import type { Answer } from '#protocol/sync.ts';
import type { ServerContext } from './server-context.ts';
import type { Weighed } from './weigh.ts';

export type CommitInHand = {
  readonly space: StoredSpace;
  readonly device: DeviceId;
  readonly op: OpId;
  readonly declared: { readonly deletes: number; readonly updates: number };
  readonly operations: readonly TreeOperation[];
  readonly weighed: Weighed;
  /** By position, where an update's bytes are. */
  readonly pools: ReadonlyMap<number, string>;
};

export type Verdict = {
  /** By position. */
  readonly answers: ReadonlyMap<number, Answer>;
  readonly hold: StoredHold | null;
  readonly weights: ReadonlyMap<number, Weight>;
  /** The device's open holds in the space: what it does otherwise by now is no longer asked for there. */
  readonly open: readonly StoredHold[];
};

/** `wouldApply`: what the commit would do if nobody were asked. */
export async function judgeCommit(
  context: ServerContext,
  writer: MetaWriter,
  commit: CommitInHand,
  wouldApply: () => Decision<Answer>,
): Promise<Verdict> {
  const { space, device, declared, operations } = commit;
  const nowMs = context.clock.nowMs();
  const open = await holdsInSpace(writer, space.space, { device, state: 'open' });
  const weights = withoutFailedMoves(commit.weighed, wouldApply);
  const total = [...weights.values()].reduce(addWeights, NO_WEIGHT);
  const nothing = { answers: new Map<number, Answer>(), hold: null, weights, open };
  if (total.old === 0 && total.hardened === 0) return nothing;
  const active = open.filter(({ lastMs }) => lastMs >= nowMs - limits.holdWindowMs);
  const one = {
    commit: total,
    updates: operations.filter(({ kind }) => kind === 'update').length,
    creates: operations.filter((operation) => operation.kind === 'create' && operation.state.kind !== 'folder').length,
    declared,
    applied: await sumTally(writer, { space: space.space, device }, { sinceMs: nowMs - limits.holdWindowMs }),
    open: new Set(active.flatMap(({ reasons }) => [...reasons])),
  };
  const count = populationToCount(one);
  const reasons = judgeHold(one, count === 0 ? 0 : await countPopulation(writer, space.space, count));
  // What is asked about already is not done by another operation meanwhile.
  const asked = await heldAmong(
    writer,
    open.map(({ hold }) => hold),
    [...weights.keys()].flatMap((position) => operations[position]?.entry ?? []),
  );
  const positions = [...weights].filter(([position, weight]) => {
    const entry = operations[position]?.entry;
    return isHeld(weight, reasons) || (entry !== undefined && asked.has(entry) && isCounted(weight));
  });
  if (positions.length === 0) return nothing;
  const hold = joinOrOpen(context, commit, active.at(-1) ?? open.at(-1) ?? null, reasons, nowMs);
  const answer: Answer = { kind: 'held', hold: hold.hold };
  return { answers: new Map(positions.map(([position]) => [position, answer])), hold, weights, open };
}

function isHeld({ old, hardened }: Weight, reasons: ReadonlySet<HoldReason>): boolean {
  return (old > 0 && (reasons.has('emptied') || reasons.has('deletes'))) || (hardened > 0 && reasons.has('encrypts'));
}

function isCounted({ old, hardened }: Weight): boolean {
  return old > 0 || hardened > 0;
}

/** Of what was to be moved out before a folder is deleted, what stays in it goes with it. */
function withoutFailedMoves({ weights, moved }: Weighed, wouldApply: () => Decision<Answer>) {
  if (moved.length === 0) return weights;
  const { answers } = wouldApply();
  const whole = new Map(weights);
  for (const { position, by, weight } of moved)
    if (answers[by]?.kind !== 'applied') whole.set(position, addWeights(whole.get(position) ?? NO_WEIGHT, weight));
  return whole;
}

function joinOrOpen(
  { random }: ServerContext,
  { space, device }: CommitInHand,
  joined: StoredHold | null,
  reasons: ReadonlySet<HoldReason>,
  nowMs: number,
): StoredHold {
  // What is only asked about again does not make the hold younger.
  if (joined && reasons.size === 0) return joined;
  if (joined) return { ...joined, lastMs: nowMs, reasons: new Set([...joined.reasons, ...reasons]) };
  return {
    hold: toHex(random.bytes(8)),
    space: space.space,
    device,
    reasons,
    state: 'open',
    madeMs: nowMs,
    lastMs: nowMs,
    doneSeq: null,
    decidedMs: null,
  };
}

/** Holds that are left with nothing end. */
async function takeOut(
  writer: MetaWriter,
  holds: readonly StoredHold[],
  entries: readonly EntryId[],
  { doneSeq, nowMs }: { readonly doneSeq: number; readonly nowMs: number },
): Promise<void> {
  if (holds.length === 0 || entries.length === 0) return;
  await dropHeld(
    writer,
    holds.map(({ hold }) => hold),
    entries,
  );
  for (const hold of holds)
    if ((await heldOperations(writer, hold.hold, 1)).length === 0)
      await putHold(writer, { ...hold, state: 'withdrawn', doneSeq, decidedMs: nowMs });
}

/** Writes down what was held, what was done that counts, and what is therefore no longer held. */
export async function recordVerdict(
  context: ServerContext,
  writer: MetaWriter,
  commit: CommitInHand,
  { hold, weights, open }: Verdict,
  answers: readonly Answer[],
): Promise<void> {
  const { space, device, op, operations, pools } = commit;
  const held: HeldOperation[] = [];
  const otherwise: EntryId[] = [];
  let done = NO_WEIGHT;
  for (const [position, operation] of operations.entries()) {
    const weight = weights.get(position) ?? NO_WEIGHT;
    if (answers[position]?.kind === 'applied') {
      done = addWeights(done, weight);
      otherwise.push(operation.entry);
    } else if (answers[position]?.kind === 'held') {
      const pool = pools.get(position) ?? null;
      held.push({ operation, pool, files: weight.files, hardened: weight.hardened });
    }
  }
  const nowMs = context.clock.nowMs();
  const others = open.filter((one) => one.hold !== hold?.hold);
  const entries = [...otherwise, ...held.map(({ operation }) => operation.entry)];
  await takeOut(writer, others, entries, { doneSeq: space.headSeq, nowMs });
  if (hold && held.length > 0) {
    await putHold(writer, hold);
    await dropHeld(writer, [hold.hold], otherwise);
    await addHeld(writer, hold.hold, held);
    if (!open.some((one) => one.hold === hold.hold))
      context.log.warn('changes of a device are held until a person decides', { hold: hold.hold, device });
  } else if (hold) await takeOut(writer, open, entries, { doneSeq: space.headSeq, nowMs });
  if (isCounted(done))
    await addTally(writer, { space: space.space, device }, op, done, {
      atMs: nowMs,
      sinceMs: nowMs - limits.holdWindowMs,
    });
}
