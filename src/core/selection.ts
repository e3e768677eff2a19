/**
 * Which entries a person wants on this device. A choice stands at an entry, by its id, so that it outlives renames and moves: for the
 * entry itself, and for all below that have no choice of their own. Where nobody chose, everything is wanted.
 */
import { ROOT_ENTRY, type EntryId } from './ids.ts';

/** `self` without `below`: a folder that is here for the sake of something in it. */
export type Choice = { readonly self: boolean; readonly below: boolean };
export type Choices = ReadonlyMap<EntryId, Choice>;
/** What to write down: null takes a choice away. */
export type ChoiceChange = readonly [EntryId, Choice | null];

export function applyChoices(choices: Map<EntryId, Choice>, changes: readonly ChoiceChange[]): void {
  for (const [entry, choice] of changes) {
    if (choice) choices.set(entry, choice);
    else choices.delete(entry);
  }
}

/** The folder of an entry in the space's tree; null where it is not in it, or the root. */
export type ParentOf = (entry: EntryId) => EntryId | null;

export function isSelected(choices: Choices, entry: EntryId, parentOf: ParentOf): boolean {
  if (choices.size === 0) return true;
  const own = choices.get(entry);
  return own ? own.self : isSelectedBelow(choices, parentOf(entry) ?? ROOT_ENTRY, parentOf);
}

/** Whether what is new in this folder is wanted. */
function isSelectedBelow(choices: Choices, folder: EntryId, parentOf: ParentOf): boolean {
  for (const at of upwards(folder, parentOf)) {
    const choice = choices.get(at);
    if (choice) return choice.below;
  }
  return true;
}

/** Each folder once: between two rows of one group the tree of the space may go round. */
function* upwards(entry: EntryId | null, parentOf: ParentOf): Iterable<EntryId> {
  const passed = new Set<EntryId>();
  for (let at = entry; at !== null && !passed.has(at); at = parentOf(at)) {
    passed.add(at);
    yield at;
  }
}

/** The entry and all in it, with the folders that it lies in. Choices below it are made anew. */
export function select(choices: Choices, entry: EntryId, parentOf: ParentOf): ChoiceChange[] {
  const parent = parentOf(entry) ?? ROOT_ENTRY;
  const own = isSelectedBelow(choices, parent, parentOf) ? null : { self: true, below: true };
  return [...below(choices, entry, parentOf), [entry, own], ...above(choices, parent, parentOf)];
}

/** Neither the entry nor anything in it. */
export function deselect(choices: Choices, entry: EntryId, parentOf: ParentOf): ChoiceChange[] {
  return [...below(choices, entry, parentOf), [entry, { self: false, below: false }]];
}

/**
 * For what was made here where nothing is selected: that stays here, and what others have beside it, or in it, stays away. `below`: whether
 * all in it is wanted too.
 */
export function keep(choices: Choices, entry: EntryId, parentOf: ParentOf, below: boolean): ChoiceChange[] {
  if (isSelected(choices, entry, parentOf)) return [];
  return [[entry, { self: true, below }], ...above(choices, parentOf(entry) ?? ROOT_ENTRY, parentOf)];
}

function above(choices: Choices, folder: EntryId, parentOf: ParentOf): ChoiceChange[] {
  const changes: ChoiceChange[] = [];
  for (const at of upwards(folder, parentOf))
    if (at !== ROOT_ENTRY && !isSelected(choices, at, parentOf)) changes.push([at, { self: true, below: false }]);
  return changes;
}

function below(choices: Choices, folder: EntryId, parentOf: ParentOf): ChoiceChange[] {
  const folders = new Set([folder]);
  return [...choices.keys()].filter((entry) => liesIn(folders, entry, parentOf)).map((entry) => [entry, null]);
}

/** What was chosen to be here by itself in any of these folders: it is here again where one of them is, for whatever reason. */
export function chosenIn(folders: ReadonlySet<EntryId>, choices: Choices, parentOf: ParentOf): EntryId[] {
  if (folders.size === 0) return [];
  return [...choices].flatMap(([entry, { self }]) => (self && liesIn(folders, entry, parentOf) ? [entry] : []));
}

function liesIn(folders: ReadonlySet<EntryId>, entry: EntryId, parentOf: ParentOf): boolean {
  for (const at of upwards(parentOf(entry), parentOf)) if (folders.has(at)) return true;
  return false;
}
