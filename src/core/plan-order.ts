/** Order among the actions of one side: what must be done first, what must be done as one. */
import { assert, Defect, must } from './assert.ts';
import type { EntryId } from './ids.ts';

/** `placed`: the other is where it is to be. `gone`: it has left the place that it had, be it only for a parking place. */
export type Need = { readonly on: EntryId; readonly what: 'placed' | 'gone' };

/** What one entry asks of one side. Without an action it waits, and so does whatever needs it. Needs of entries without a node are met. */
export type PlanNode<Action> = {
  readonly entry: EntryId;
  readonly action: Action | null;
  readonly needs: readonly Need[];
  /** What it needs must be done before this plan, or in one group with it: done alone it would destroy what the other was to save. */
  readonly isBound?: boolean;
};
export type PlanNodes<Action> = ReadonlyMap<EntryId, PlanNode<Action>>;

export type Ordered<Step> = {
  readonly steps: readonly Step[];
  /** Entries whose action waits for that of another. */
  readonly waiting: readonly EntryId[];
};

/** Groups for the server: single actions, but for circles of places, which change at once. */
export function orderGroups<Action>(nodes: PlanNodes<Action>): Ordered<readonly Action[]> {
  return order(nodes, (circle) => [must(parentsFirst(circle), 'what goes round waits').map(actionOf)]);
}

/**
 * Steps for a disk, one at a time: a circle is opened by parking.
 * `mayPark`: the entry is moved, not made or removed. `isInside(inner, outer)`: where they lie now; nothing is reached inside what is parked.
 */
export function orderSteps<Action>(
  nodes: PlanNodes<Action>,
  mayPark: (entry: EntryId) => boolean,
  isInside: (inner: EntryId, outer: EntryId) => boolean,
  park: (entry: EntryId) => Action,
): Ordered<Action> {
  return order(nodes, (circle) =>
    openCircle(circle, { mayPark, isInside }).map((step) => (step.parks ? park(step.entry) : actionOf(step.node))),
  );
}

function order<Action, Step>(
  nodes: PlanNodes<Action>,
  together: (circle: readonly PlanNode<Action>[]) => readonly Step[],
): Ordered<Step> {
  const steps: Step[] = [];
  const waiting: EntryId[] = [];
  const blocked = new Set<EntryId>();
  for (const component of components(nodes)) {
    const members = component.map((entry) => must(nodes.get(entry), 'a component is made of nodes'));
    const group = new Set(component);
    const isMissed = (node: PlanNode<Action>, { on }: Need) =>
      blocked.has(on) || (node.isBound === true && nodes.has(on) && !group.has(on));
    const waits = members.some((node) => node.action === null || node.needs.some((need) => isMissed(node, need)));
    // Folders that are to lie in each other: the other rows of a group that another committed are yet to come.
    const goesRound = parentsFirst(members) === null;
    if (!waits && !goesRound) steps.push(...together(members));
    else {
      for (const node of members) {
        blocked.add(node.entry);
        if (node.action !== null) waiting.push(node.entry);
      }
    }
  }
  return { steps, waiting };
}

function actionOf<Action>(node: PlanNode<Action>): Action {
  assert(node.action !== null, 'only nodes with an action are ordered');
  return node.action;
}

/** Within a group names are judged at its end, so that only parents have to come before children. Null where those form a circle. */
function parentsFirst<Action>(circle: readonly PlanNode<Action>[]): readonly PlanNode<Action>[] | null {
  const members = new Map(circle.map((node) => [node.entry, node]));
  const needs = (node: PlanNode<Action>) => node.needs.filter((need) => need.what === 'placed').map((need) => need.on);
  const sorted = sortByNeeds([...members.keys()], (entry) => needs(must(members.get(entry), 'a member')));
  return sorted?.map((entry) => must(members.get(entry), 'a member')) ?? null;
}

type Disk = {
  readonly mayPark: (entry: EntryId) => boolean;
  readonly isInside: (inner: EntryId, outer: EntryId) => boolean;
};
type CircleStep<Action> =
  | { readonly parks: true; readonly entry: EntryId }
  | { readonly parks: false; readonly node: PlanNode<Action> };

/** Parks as few as it takes, whatever lies inside another before that other. */
function openCircle<Action>(circle: readonly PlanNode<Action>[], disk: Disk): readonly CircleStep<Action>[] {
  if (circle.length === 1) return circle.map((node) => ({ parks: false, node }));
  const members = new Map(circle.map((node) => [node.entry, node]));
  const candidates = [...members.keys()].filter((entry) => disk.mayPark(entry) && isAwaited(entry, circle));
  const parked = new Set<EntryId>();
  for (const candidate of candidates) {
    for (const entry of members.keys()) {
      if (entry === candidate || (disk.mayPark(entry) && disk.isInside(entry, candidate))) parked.add(entry);
    }
    const sorted = sortByNeeds(stepKeys(members, parked), (key) => stepNeeds(key, members, parked, disk));
    if (sorted) return sorted.map((key) => circleStep(key, members));
  }
  throw new Defect('every circle of places runs through something that can be parked');
}

function isAwaited<Action>(entry: EntryId, circle: readonly PlanNode<Action>[]): boolean {
  return circle.some((node) => node.needs.some((need) => need.on === entry && need.what === 'gone'));
}

const PARK = 'park ';

function stepKeys<Action>(members: ReadonlyMap<EntryId, PlanNode<Action>>, parked: ReadonlySet<EntryId>): string[] {
  return [...[...parked].map((entry) => PARK + entry), ...members.keys()];
}

function stepNeeds<Action>(
  key: string,
  members: ReadonlyMap<EntryId, PlanNode<Action>>,
  parked: ReadonlySet<EntryId>,
  disk: Disk,
): string[] {
  const leaves = (entry: EntryId) => (parked.has(entry) ? PARK + entry : entry);
  if (key.startsWith(PARK)) {
    const outer = key.slice(PARK.length) as EntryId;
    return [...members.keys()].filter((inner) => disk.isInside(inner, outer)).map(leaves);
  }
  const node = must(members.get(key as EntryId), 'a member');
  const needs = node.needs.map((need) => (need.what === 'gone' ? leaves(need.on) : need.on));
  return parked.has(node.entry) ? [PARK + node.entry, ...needs] : needs;
}

function circleStep<Action>(key: string, members: ReadonlyMap<EntryId, PlanNode<Action>>): CircleStep<Action> {
  if (key.startsWith(PARK)) return { parks: true, entry: key.slice(PARK.length) as EntryId };
  return { parks: false, node: must(members.get(key as EntryId), 'a member') };
}

/** Null where the needs run in a circle. Needs of what is not among the keys are met. */
function sortByNeeds<Key extends string>(keys: readonly Key[], needsOf: (key: Key) => readonly string[]): Key[] | null {
  const open = new Map<string, Key>(keys.map((key) => [key, key]));
  const sorted: Key[] = [];
  for (let before = -1; before < sorted.length; ) {
    before = sorted.length;
    for (const key of keys) {
      if (!open.has(key) || needsOf(key).some((need) => open.has(need))) continue;
      open.delete(key);
      sorted.push(key);
    }
  }
  return open.size === 0 ? sorted : null;
}

type Visit = { readonly entry: EntryId; readonly needs: readonly Need[]; next: number };

/** Strongly connected components, what is needed first (Tarjan 1972), without recursion: a chain of renames may be long. */
export function components<Action>(nodes: PlanNodes<Action>): readonly (readonly EntryId[])[] {
  const index = new Map<EntryId, number>();
  const low = new Map<EntryId, number>();
  const path: EntryId[] = [];
  const onPath = new Set<EntryId>();
  const found: EntryId[][] = [];
  const lower = (entry: EntryId, value: number) => low.set(entry, Math.min(low.get(entry) ?? value, value));
  for (const root of nodes.keys()) {
    const visits: Visit[] = [];
    const enter = (entry: EntryId) => {
      index.set(entry, index.size);
      lower(entry, index.size - 1);
      path.push(entry);
      onPath.add(entry);
      visits.push({ entry, needs: must(nodes.get(entry), 'only nodes are entered').needs, next: 0 });
    };
    if (!index.has(root)) enter(root);
    for (let visit = visits.at(-1); visit !== undefined; visit = visits.at(-1)) {
      const need = visit.needs[visit.next++];
      if (need === undefined) {
        visits.pop();
        const reach = must(low.get(visit.entry), 'a visited node has a number');
        const above = visits.at(-1);
        if (above) lower(above.entry, reach);
        if (reach === index.get(visit.entry)) found.push(cutPath(path, onPath, visit.entry));
      } else if (nodes.has(need.on)) {
        const seen = index.get(need.on);
        if (seen === undefined) enter(need.on);
        else if (onPath.has(need.on)) lower(visit.entry, seen);
      }
    }
  }
  return found;
}

function cutPath(path: EntryId[], onPath: Set<EntryId>, root: EntryId): EntryId[] {
  const component = path.splice(path.lastIndexOf(root));
  for (const entry of component) onPath.delete(entry);
  return component;
}
