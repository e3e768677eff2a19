/** Random commits by some devices over few entries and names, so that they meet; and a space in memory, all of it loaded for every commit. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decideCommit, type CommitState, type Decision, type TreeOperation } from '#core/commit.ts';
import type { StoredEntry } from '#core/commit-tree.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type ContentId, type DeviceId, type EntryId, type ManifestId } from '#core/ids.ts';

export const entryOf = (index: number) => (index + 1).toString(16).padStart(32, '0') as EntryId;
export const deviceOf = (index: number) => `d${index}`.padStart(32, '0') as DeviceId;
const contentOf = (index: number) => ({
  contentId: `${index}`.padStart(64, 'c') as ContentId,
  manifestId: `${index}`.padStart(64, 'a') as ManifestId,
  size: index,
});
const NAMES = ['a', 'b', 'c'];

/** A space as the server stores it, all of it loaded for every commit. */
export class Space {
  readonly entries = new Map<EntryId, StoredEntry>();
  headSeq = 0;

  commit<Refusal extends { readonly kind: string } = never>(
    device: DeviceId,
    groups: readonly (readonly TreeOperation[])[],
    refusals: ReadonlyMap<number, Refusal> = new Map<number, Refusal>(),
  ): Decision<Refusal> {
    const state = this.load(device, groups.flat());
    const decision = decideCommit(state, groups, refusals);
    for (const [index, row] of decision.rows.entries()) assert.equal(row.entry.seq, this.headSeq + index + 1);
    this.headSeq += decision.rows.length;
    for (const entry of decision.changed) this.entries.set(entry.entry, entry);
    return decision;
  }

  copy(): Space {
    const copy = new Space();
    for (const [entry, stored] of this.entries) copy.entries.set(entry, stored);
    copy.headSeq = this.headSeq;
    return copy;
  }

  load(device: DeviceId, operations: readonly TreeOperation[]): CommitState {
    const all = [...this.entries.values()];
    let basis = this.headSeq;
    for (const operation of operations) if (operation.kind === 'delete') basis = Math.min(basis, operation.basis);
    const changedAfter = all.filter(({ seq }) => seq > basis).map(({ entry }) => entry);
    const children = new Map<EntryId, EntryId[]>();
    for (const { entry, kind } of all)
      if (kind === 'folder')
        children.set(
          entry,
          all.filter(({ parent }) => parent === entry).map((child) => child.entry),
        );
    return {
      device,
      headSeq: this.headSeq,
      entries: all,
      children,
      changedAfter,
      heights: new Map(),
      purged: new Set(),
    };
  }

  /** No more than `CommitState` asks for. */
  loadLittle(device: DeviceId, operations: readonly TreeOperation[]): CommitState {
    const all = this.load(device, operations);
    const wanted = new Set<EntryId>(all.changedAfter);
    const heights = new Map<EntryId, number>();
    const children = new Map<EntryId, readonly EntryId[]>();
    const want = (entry: EntryId) => [entry, ...this.wayUp(entry)].forEach((one) => wanted.add(one));
    for (const operation of operations) {
      want(operation.entry);
      if ('parent' in operation) {
        want(operation.parent);
        for (const { entry, parent, name } of this.entries.values())
          if (parent === operation.parent && name === operation.name) want(entry);
      }
      if (operation.kind === 'move') heights.set(operation.entry, this.#heightOf(operation.entry));
      if (operation.kind !== 'delete') continue;
      for (const changed of all.changedAfter) {
        const way = [changed, ...this.wayUp(changed)];
        for (const folder of way.slice(0, way.indexOf(operation.entry) + 1)) {
          if (this.entries.get(folder)?.kind !== 'folder') continue;
          const inIt = all.children.get(folder) ?? [];
          children.set(folder, inIt);
          for (const child of inIt) want(child);
        }
      }
    }
    for (const entry of wanted) want(entry);
    return {
      ...all,
      entries: Array.from(this.entries.values()).filter(({ entry }) => wanted.has(entry)),
      children,
      heights,
    };
  }

  #heightOf(folder: EntryId): number {
    const ways = [...this.entries.keys()].map((entry) => this.wayUp(entry).indexOf(folder) + 1);
    return Math.max(0, ...ways);
  }

  wayUp(entry: EntryId): EntryId[] {
    const way: EntryId[] = [];
    for (let at = this.entries.get(entry)?.parent; at !== undefined; at = this.entries.get(at)?.parent) {
      assert.ok(way.length <= this.entries.size, 'no cycle');
      way.push(at);
    }
    return way;
  }

  isLive(entry: EntryId): boolean {
    return this.wayUp(entry).at(-1) === ROOT_ENTRY;
  }

  checkWellFormed(): void {
    const taken = new Set<string>();
    for (const entry of this.entries.values()) {
      const end = this.wayUp(entry.entry).at(-1);
      assert.ok(end === ROOT_ENTRY || end === TRASH_ENTRY, 'no orphan');
      if (entry.parent !== ROOT_ENTRY && entry.parent !== TRASH_ENTRY)
        assert.equal(this.entries.get(entry.parent)?.kind, 'folder', 'only folders hold entries');
      if (entry.parent === TRASH_ENTRY) continue;
      const place = `${entry.parent}/${entry.name}`;
      assert.ok(!taken.has(place), 'names are unique');
      taken.add(place);
      assert.equal(entry.seq, Math.max(entry.revision, entry.placed));
    }
  }
}

const anyEntry = fc.oneof(
  { weight: 30, arbitrary: fc.nat(9).map(entryOf) },
  { weight: 1, arbitrary: fc.constantFrom(ROOT_ENTRY, TRASH_ENTRY) },
);
const anyParent = fc.oneof({ weight: 2, arbitrary: fc.constant(ROOT_ENTRY) }, { weight: 3, arbitrary: anyEntry });
const anyName = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom(...NAMES) },
  { weight: 1, arbitrary: fc.constantFrom('', '..', 'a/b') },
);
const anyTarget = fc.constantFrom('t', 'u');
/** Bases are chosen when the operation is sent: mostly what is true then, sometimes not. */
export type CommitCase = {
  readonly device: DeviceId;
  /** How far the basis of its deletes lies behind the head. */
  readonly lag: number;
  readonly groups: readonly (readonly Draft[])[];
};
export type Draft = { readonly operation: TreeOperation; readonly stale: boolean };
const draft: fc.Arbitrary<Draft> = fc.record({
  stale: fc.nat(4).map((roll) => roll === 0),
  operation: fc.oneof(
    fc.record({
      kind: fc.constant('create' as const),
      entry: anyEntry,
      parent: anyParent,
      name: anyName,
      state: fc.oneof(
        { weight: 3, arbitrary: fc.constant({ kind: 'folder' as const }) },
        {
          weight: 2,
          arbitrary: fc.record({
            kind: fc.constant('file' as const),
            content: fc.nat(2).map(contentOf),
            mtimeUs: fc.constant(1),
            exec: fc.constant(false),
          }),
        },
        { weight: 1, arbitrary: fc.record({ kind: fc.constant('symlink' as const), target: anyTarget }) },
      ),
    }),
    fc.record({
      kind: fc.constant('update' as const),
      entry: anyEntry,
      base: fc.constant(0),
      content: fc.oneof(
        { weight: 4, arbitrary: fc.nat(2).map(contentOf) },
        { weight: 1, arbitrary: fc.constant(null) },
      ),
      target: fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: anyTarget }),
      mtimeUs: fc.nat(2),
      exec: fc.boolean(),
    }),
    fc.record({
      kind: fc.constant('move' as const),
      entry: anyEntry,
      base: fc.constant(0),
      parent: anyParent,
      name: anyName,
    }),
    fc.record({ kind: fc.constant('delete' as const), entry: anyEntry, basis: fc.constant(0) }),
  ),
});
export const anyCommit: fc.Arbitrary<CommitCase> = fc.record({
  device: fc.nat(2).map(deviceOf),
  lag: fc.nat(6),
  groups: fc.array(fc.array(draft, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
});

export function sent(space: Space, { operation, stale }: Draft, lag: number): TreeOperation {
  const present = space.entries.get(operation.entry);
  const off = stale ? 1000 : 0;
  if (operation.kind === 'update') return { ...operation, base: (present?.revision ?? 0) + off };
  if (operation.kind === 'move') return { ...operation, base: (present?.placed ?? 0) + off };
  if (operation.kind === 'delete') return { ...operation, basis: Math.max(0, space.headSeq - lag) };
  return operation;
}

export const make = (entry: number, parent: EntryId, name: string): TreeOperation => ({
  kind: 'create',
  entry: entryOf(entry),
  parent,
  name,
  state: { kind: 'folder' },
});
