/** What people and devices see of holds. */
import { CommitTree } from '#core/commit-tree.ts';
import { devicesOf } from '#meta/accounts.ts';
import { entriesWithAncestors } from '#meta/entries.ts';
import { findHolds, heldOperations, heldTotals, holdsInSpace, type StoredHold } from '#meta/holds.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { spacesOf, type StoredSpace } from '#meta/spaces.ts';
import type { HoldRow } from '#protocol/holds.ts';
import type { pull } from '#protocol/sync.ts';
import type { z } from 'zod';
import { pathOf } from './files.ts';
import type { DeviceIdentity } from './identity.ts';

const PATHS_TOLD_MAX = 20;

type Told = z.infer<typeof pull.response>['decided'];

/** What became of the holds that a device waits for. One that nobody knows any more will never be applied. */
export async function decidedHolds(
  reader: MetaReader,
  identity: DeviceIdentity,
  holds: readonly string[],
  spaces: readonly StoredSpace[],
): Promise<Told> {
  if (holds.length === 0) return [];
  const found = new Map((await findHolds(reader, holds)).map((hold) => [hold.hold, hold]));
  return holds.flatMap((id): Told => {
    const hold = found.get(id);
    const space = spaces.find((one) => one.space === hold?.space);
    if (!hold || hold.device !== identity.device || !space) return [{ hold: id, decision: 'withdrawn', seq: 0 }];
    if (hold.state === 'open' || hold.doneSeq === null) return [];
    // A journal that was begun anew may be shorter.
    return [{ hold: id, decision: hold.state, seq: Math.min(hold.doneSeq, space.headSeq) }];
  });
}

export async function listHolds(reader: MetaReader, identity: DeviceIdentity): Promise<{ holds: HoldRow[] }> {
  const names = new Map((await devicesOf(reader, identity.account)).map(({ device, name }) => [device, name]));
  const holds: HoldRow[] = [];
  for (const { space } of await spacesOf(reader, identity.account)) {
    for (const stored of await holdsInSpace(reader, space, { state: 'open' })) {
      const { operations, files, hardened } = await heldTotals(reader, stored.hold);
      holds.push({
        hold: stored.hold,
        space,
        device: { device: stored.device, name: names.get(stored.device) ?? 'another device' },
        reasons: [...stored.reasons],
        madeMs: stored.madeMs,
        operations,
        files,
        rewrites: hardened,
        paths: await pathsOf(reader, stored),
      });
    }
  }
  return { holds: holds.sort((left, right) => left.madeMs - right.madeMs) };
}

async function pathsOf(reader: MetaReader, { hold, space }: StoredHold): Promise<string[]> {
  const entries = (await heldOperations(reader, hold, PATHS_TOLD_MAX)).map(({ operation }) => operation.entry);
  const tree = new CommitTree(await entriesWithAncestors(reader, space, entries), new Map());
  return entries.flatMap((id) => {
    const entry = tree.find(id);
    return entry && tree.place(id).live ? pathOf(tree, entry.parent, entry.name) : [];
  });
}
