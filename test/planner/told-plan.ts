/** A plan in words, and cases that are told by the plan which a device makes of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import { EXACT_NAMES, type NameProfile } from '#core/name-profile.ts';
import type { DownAction, SyncedEntry, UpAction } from '#core/plan.ts';
import type { Act } from './acts.ts';
import type { ModelClient } from './model-client.ts';
import { ModelWorld } from './model-world.ts';

export type ToldCase = {
  readonly what: string;
  /** What the second device's disk makes of names. */
  readonly names?: NameProfile;
  /** On the first device, each in the space before the next. */
  readonly before?: readonly Act[];
  /** On the first, and in the space before what is done on the second. */
  readonly theirs?: readonly Act[];
  /** On the second, which has not heard of theirs yet. */
  readonly ours?: readonly Act[];
  /** On the second when it has heard of them. */
  readonly hearing?: readonly Act[];
  /** What it then plans, things by their paths in the space, or on the disk where they are on this disk alone. */
  readonly plan: readonly string[];
  /** What is in the space when nobody has anything to do any more; not told where something on the disk differs for good. */
  readonly after?: readonly string[];
};

export function tellCases(cases: readonly ToldCase[]): void {
  for (const told of cases) {
    test(told.what, () => {
      const { world, planned } = playCase(told);
      assert.deepEqual(planned, told.plan);
      if (!told.after) return;
      world.converge();
      assert.deepEqual(world.paths().map(shortened), told.after);
      const refusals = world.clients.flatMap((client) => client.refusals);
      assert.deepEqual(refusals, [], 'every action is possible when its turn comes');
    });
  }
}

export function playCase({
  names = EXACT_NAMES,
  before = [],
  theirs = [],
  ours = [],
  hearing = [],
}: Omit<ToldCase, 'what' | 'plan'>) {
  const world = new ModelWorld([EXACT_NAMES, names]);
  const { first, second } = world;
  for (const act of before) {
    act(first);
    world.converge();
  }
  for (const act of theirs) act(first);
  for (const act of ours) act(second);
  for (let steps = 0; steps < 5; steps++) first.step();
  second.pull();
  for (const act of hearing) act(second);
  // What a test says of the trees themselves marks nothing.
  if (hearing.length > 0) second.dirtyAll();
  return { world, planned: toldPlan(second) };
}

export function toldPlan(client: ModelClient, dirty?: readonly EntryId[]): string[] {
  const { trees } = client;
  const pathOf = (entry: EntryId): string => {
    if (entry === ROOT_ENTRY) return '';
    const row = trees.remote(entry) ?? trees.local(entry) ?? trees.synced(entry);
    return row ? `${pathOf(row.parent)}/${row.name}` : '?';
  };
  const place = (parent: EntryId, name: string) => `${pathOf(parent)}/${name}`;
  const told = (action: UpAction | DownAction): string => {
    const words = [action.kind.replace('_', ' '), pathOf(action.entry)];
    if ('parent' in action) words.push('at', place(action.parent, action.name));
    if ('alias' in action && action.alias !== null) words.push('called', action.alias);
    return words.join(' ');
  };
  const { reads, tree, conflicts, up, down, waiting } = client.makePlan(dirty);
  return [
    ...reads.map(({ kind, entry }) => `${kind} ${pathOf(entry)}`),
    ...tree.map((action) => {
      const more =
        action.kind === 'absent' ? ` as ${action.why}` : action.kind === 'adopt' ? ' for what was found' : '';
      return `${action.kind} ${pathOf(action.entry)}${more}`;
    }),
    ...conflicts.map(
      ({ kind, entry, parent, copyName }) => `${kind} ${pathOf(entry)}, copy at ${place(parent, copyName)}`,
    ),
    ...up.map((group) => group.map(told).join(' with ')),
    ...down.map(told),
    ...waiting.map((entry) => `wait ${pathOf(entry)}`).sort(),
  ].map(shortened);
}

function shortened(text: string): string {
  return text.replaceAll(/conflicted copy, (device\d), 2030-01-02/g, 'copy of $1');
}

// ---- What a crash, or a decision about a device, leaves behind ----

export const step: Act = (client) => client.step();

/** Taken out of its place by a plan that was not carried out to its end. */
export const park =
  (path: string): Act =>
  (client) =>
    client.trees.localRows.put({ ...client.trees.local(client.at(path))!, parked: true });

/** Gone from the disk's tree alone, without what is in it. */
export const drop =
  (path: string): Act =>
  (client) =>
    client.trees.localRows.drop(client.at(path));

export const deselect =
  (path: string): Act =>
  (client) =>
    client.deselect(client.at(path));

export const note =
  (path: string, presence: SyncedEntry['presence']): Act =>
  (client) =>
    client.trees.syncedRows.put({ ...client.trees.synced(client.at(path))!, presence });

export const forgetBase =
  (path: string): Act =>
  (client) =>
    client.trees.syncedRows.drop(client.at(path));
