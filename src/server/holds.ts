/** The use-cases of changes that wait for a person: `holds-list`, `holds-decide`, `holds-withdraw`. */
import { decideCommit } from '#core/commit.ts';
import { HoldfastError } from '#core/errors.ts';
import type { EntryId } from '#core/ids.ts';
import {
  dropHeld,
  findHolds,
  forgetTally,
  heldOperations,
  holdsInSpace,
  putHold,
  unfinishedHolds,
  type HeldOperation,
  type StoredHold,
} from '#meta/holds.ts';
import { lockSpace, type StoredSpace } from '#meta/spaces.ts';
import { holdsDecide, holdsList, holdsWithdraw } from '#protocol/holds.ts';
import type { Answer } from '#protocol/sync.ts';
import type { z } from 'zod';
import { loadCommitState } from './commit-load.ts';
import { writeChanges } from './commits.ts';
import { listHolds } from './hold-view.ts';
import { allowed, checkStillLinked, deviceRoute, type DeviceIdentity } from './identity.ts';
import type { ServerContext } from './server-context.ts';

const OPERATIONS_PER_STEP = 500;

type Decide = z.infer<typeof holdsDecide.request>;
type Decided = z.infer<typeof holdsDecide.response>;

export function holdRoutes(context: ServerContext) {
  return [
    deviceRoute(holdsList, async (_request, { identity }) => ({
      response: await context.meta.read((reader) => listHolds(reader, identity)),
      parts: [],
    })),
    deviceRoute(holdsDecide, async (request, { identity }) => ({
      response: await decide(context, request, identity),
      parts: [],
    })),
    deviceRoute(holdsWithdraw, async ({ space: id }, { identity }) => {
      await context.meta.write(async (writer) => {
        const space = allowed(await lockSpace(writer, id), identity);
        await checkStillLinked(writer, identity);
        for (const hold of await holdsInSpace(writer, id, { device: identity.device, state: 'open' })) {
          await dropHeld(writer, [hold.hold], null);
          const decidedMs = context.clock.nowMs();
          await putHold(writer, { ...hold, state: 'withdrawn', doneSeq: space.headSeq, decidedMs });
        }
      });
      context.bell.ring(id);
      return { response: {}, parts: [] };
    }),
  ];
}

async function decide(context: ServerContext, request: Decide, identity: DeviceIdentity): Promise<Decided> {
  const state = request.decision === 'approve' ? 'approved' : 'rejected';
  const hold = await context.meta.write(async (writer) => {
    await checkStillLinked(writer, identity);
    const [known] = await findHolds(writer, [request.hold]);
    const space = known ? await lockSpace(writer, known.space) : null;
    // Read again under the lock: two people may decide at once.
    const [found] = await findHolds(writer, [request.hold]);
    if (!found || !space || !isOf(space, identity)) throw new HoldfastError('not_found', 'there is no such hold');
    if (found.state !== 'open') {
      if (found.state !== state)
        throw new HoldfastError('conflict', `this hold was ${found.state} already; nothing was changed`);
      return found;
    }
    await forgetTally(writer, found);
    const decided = { ...found, state, decidedMs: context.clock.nowMs() } as const;
    if (state === 'approved') {
      await putHold(writer, decided);
      return decided;
    }
    await dropHeld(writer, [found.hold], null);
    await putHold(writer, { ...decided, doneSeq: space.headSeq });
    return { ...decided, doneSeq: space.headSeq };
  });
  const carried = await carryOut(context, hold);
  context.bell.ring(hold.space);
  context.log.info('a hold was decided', { hold: hold.hold, decision: state });
  return { decision: state, ...carried };
}

function isOf(space: StoredSpace, identity: DeviceIdentity): boolean {
  return space.account.every((byte, index) => byte === identity.account[index]);
}

/** Everything that is left of an approved hold, in bounded transactions: a crash between two leaves the rest for `HoldKeeper`. */
async function carryOut(context: ServerContext, hold: StoredHold) {
  const sum = { applied: 0, lapsed: 0 };
  if (hold.doneSeq !== null || hold.state !== 'approved') return sum;
  for (;;) {
    const step = await applyStep(context, hold);
    sum.applied += step.applied;
    sum.lapsed += step.lapsed;
    if (step.done) return sum;
  }
}

/** As if the device had committed them now. What can no longer be done lapses: its device plans afresh from what there is. */
async function applyStep(context: ServerContext, { hold }: StoredHold) {
  const step = await context.meta.write(async (writer) => {
    const [known] = await findHolds(writer, [hold]);
    const space = known && (await lockSpace(writer, known.space));
    const [found] = await findHolds(writer, [hold]);
    if (!found || !space || found.doneSeq !== null) return { done: true, applied: 0, lapsed: 0, space: null };
    const held = await heldOperations(writer, hold, OPERATIONS_PER_STEP);
    if (held.length === 0) {
      await putHold(writer, { ...found, doneSeq: space.headSeq });
      return { done: true, applied: 0, lapsed: 0, space: space.space };
    }
    const operations = held.map(({ operation }) => operation);
    const state = await loadCommitState(writer, space, found.device, operations);
    const decision = decideCommit<Answer>(
      state,
      operations.map((operation) => [operation]),
      new Map(),
    );
    await writeChanges(context, writer, { space, state, decision, device: found.device, pools: poolsOf(held) });
    await dropHeld(
      writer,
      [hold],
      operations.map(({ entry }) => entry),
    );
    const applied = decision.answers.filter(({ kind }) => kind === 'applied').length;
    return { done: false, applied, lapsed: held.length - applied, space: space.space };
  });
  if (step.space !== null) context.bell.ring(step.space);
  return step;
}

function poolsOf(held: readonly HeldOperation[]): ReadonlyMap<EntryId, string> {
  return new Map(held.flatMap(({ operation, pool }) => (pool === null ? [] : [[operation.entry, pool] as const])));
}

/** Goes on with what a crash left half approved. */
export async function finishHolds(context: ServerContext): Promise<void> {
  for (const hold of await context.meta.read(unfinishedHolds)) await carryOut(context, hold);
}
