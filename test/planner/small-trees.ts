/** Small trees, and everything that a person could do next in one of them. */
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import type { Made, ModelClient } from './model-client.ts';
import { ModelWorld } from './model-world.ts';

/** `a/` is a folder, `a@` a symlink, `a*` a file with its exec bit, `a` a file. */
export const SMALL_TREES: readonly (readonly string[])[] = [
  [],
  ['a'],
  ['a/'],
  ['a@'],
  ['a', 'b'],
  ['a/', 'b'],
  ['a/', 'b/'],
  ['a*', 'b@'],
  ['a/', 'a/b'],
  ['a/', 'a/b/'],
  ['a/', 'a/b', 'a/c'],
  ['a/', 'a/b', 'b@'],
  ['a/', 'b/', 'a/c'],
  ['a/', 'a/b/', 'a/b/c'],
  ['a', 'b', 'c'],
  ['a/', 'a/b/', 'a/b/c', 'c'],
  ['a/', 'b/', 'a/c', 'b/a'],
  ['a/', 'b/', 'a/b/', 'a/b/c'],
];
const NAMES = ['a', 'b', 'c'];
const DEPTH_MAX = 3;

/** An entry that was there before, or the one that the same person made as the number-th. */
type Ref = EntryId | number;
type Where = { readonly parent: Ref; readonly name: string };

/** `act` gives false where it is not possible (any more). `made`: what its person made before, and now. */
export type Change = { readonly what: string; readonly act: (client: ModelClient, made: EntryId[]) => boolean };

export function titleOf(tree: readonly string[]): string {
  return tree.length === 0 ? 'an empty tree' : tree.join(' ');
}

/** Some devices that all have that tree. */
export function grown(tree: readonly string[], clients: number, world = new ModelWorld(clients)): ModelWorld {
  for (const path of tree) {
    const steps = path.replace(/[/@*]$/, '').split('/');
    const name = steps.pop()!;
    world.first.make(world.first.at(steps.join('/')), name, madeOf(path));
  }
  world.converge();
  return world;
}

function madeOf(path: string): Made {
  if (path.endsWith('/')) return { kind: 'folder' };
  if (path.endsWith('@')) return { kind: 'symlink', target: `old ${path}` };
  return { kind: 'file', content: `old-${path}`, exec: path.endsWith('*') };
}

/** Everything that one person could do next. `mark` tells what is written by whom apart, or not. */
export function changesOf(client: ModelClient, made: readonly EntryId[], mark: string): Change[] {
  const { trees } = client;
  const ref = (entry: EntryId): Ref => (made.includes(entry) ? made.indexOf(entry) : entry);
  const rows = [...trees.localRows.values()].sort((left, right) => (left.entry < right.entry ? -1 : 1));
  const folders = [ROOT_ENTRY, ...rows.filter(({ kind }) => kind === 'folder').map(({ entry }) => entry)].filter(
    (folder) => depthOf(client, folder) < DEPTH_MAX,
  );
  const free = folders.flatMap((parent) =>
    NAMES.filter((name) => trees.localAt(parent, name) === null).map((name) => ({ parent: ref(parent), name })),
  );
  const changes: Change[] = [];
  const add = (what: string, act: Change['act']) => changes.push({ what, act });
  for (const where of free) {
    const place = `${pathTo(client, made, where.parent)}${where.name}`;
    for (const what of [file(mark), folder, link(mark)]) add(`make ${what.kind} ${place}`, make(where, what));
  }
  for (const row of rows) {
    const { name, kind } = row;
    const entry = ref(row.entry);
    const here = { parent: ref(row.parent), name };
    const path = `${pathTo(client, made, here.parent)}${name}`;
    add(`remove ${path}`, remove(entry));
    if (kind === 'file') {
      add(`edit ${path}`, edit(entry, mark));
      add(`exec ${path}`, exec(entry));
    }
    if (kind === 'symlink') add(`aim ${path}`, aim(entry, mark));
    for (const what of [file(mark), folder])
      add(`replace ${path} by a ${what.kind}`, both(remove(entry), make(here, what)));
    const other = name === name.toUpperCase() ? name.toLowerCase() : name.toUpperCase();
    if (trees.localAt(row.parent, other) === null)
      add(`rename ${path} to ${other}`, move(entry, { ...here, name: other }));
    for (const where of free)
      if (!isWithin(client, idOf(where.parent, made)!, row.entry))
        add(`move ${path} to ${pathTo(client, made, where.parent)}${where.name}`, move(entry, where));
    for (const second of rows)
      if (
        second.entry > row.entry &&
        !isWithin(client, second.entry, row.entry) &&
        !isWithin(client, row.entry, second.entry)
      )
        add(
          `swap ${path} and ${pathTo(client, made, ref(second.parent))}${second.name}`,
          swap(entry, ref(second.entry)),
        );
  }
  return changes;
}

/** Every pair of what two devices may do, each with what it writes; and again with equal writings, where both write something. */
export function* pairsOf(base: ModelWorld, isWorthIt: (first: number) => boolean = () => true): Iterable<Pair> {
  for (const marks of [
    ['ours', 'theirs'],
    ['same', 'same'],
  ] as const) {
    const theirs = sequences(base, 1, marks[1]);
    for (const [first, ours] of sequences(base, 1, marks[0]).entries()) {
      if (!isWorthIt(first)) continue;
      for (const other of theirs)
        if (marks[0] !== marks[1] || (isWriting(ours) && isWriting(other))) yield { deeds: [ours, other], marks };
    }
  }
}

export type Pair = {
  readonly deeds: readonly [readonly Change[], readonly Change[]];
  readonly marks: readonly [string, string];
};

function isWriting(deeds: readonly Change[]): boolean {
  return deeds.some(({ what }) => /^(make (file|symlink)|edit|aim|replace .* by a file)/.test(what));
}

export function wordsOf({ deeds, marks }: Pair): string {
  return deeds.map((done, index) => `${done.map(({ what }) => what).join(', ')} (${marks[index]})`).join(' | ');
}

/** All sequences of `length` changes, as they are possible one after the other. */
export function sequences(base: ModelWorld, length: number, mark: string): (readonly Change[])[] {
  let all: (readonly Change[])[] = [[]];
  for (let step = 0; step < length; step++) {
    all = all.flatMap((before) => {
      const { first } = base.copy();
      const made: EntryId[] = [];
      if (!before.every(({ act }) => act(first, made))) return [];
      return changesOf(first, made, step === 0 ? mark : `${mark}-again`).map((next) => [...before, next]);
    });
  }
  return all;
}

const file = (content: string): Made => ({ kind: 'file', content });
const folder: Made = { kind: 'folder' };
const link = (target: string): Made => ({ kind: 'symlink', target });

const idOf = (ref: Ref, made: readonly EntryId[]): EntryId | undefined => (typeof ref === 'number' ? made[ref] : ref);

function isThere(client: ModelClient, entry: EntryId | undefined): entry is EntryId {
  return entry === ROOT_ENTRY || (entry !== undefined && client.trees.local(entry) !== null);
}

function make({ parent, name }: Where, what: Made): Change['act'] {
  return (client, made) => {
    const above = idOf(parent, made);
    if (!isThere(client, above) || client.trees.localAt(above, name)) return false;
    made.push(client.make(above, name, what));
    return true;
  };
}

function remove(ref: Ref): Change['act'] {
  return (client, made) => {
    const entry = idOf(ref, made);
    if (!isThere(client, entry)) return false;
    client.remove(entry);
    return true;
  };
}

function edit(ref: Ref, content: string): Change['act'] {
  return (client, made) => {
    const entry = idOf(ref, made);
    if (!isThere(client, entry)) return false;
    client.edit(entry, content, false);
    return true;
  };
}

function exec(ref: Ref): Change['act'] {
  return (client, made) => {
    const entry = idOf(ref, made);
    if (!isThere(client, entry)) return false;
    client.change(entry, { exec: !client.trees.local(entry)!.exec });
    return true;
  };
}

function aim(ref: Ref, target: string): Change['act'] {
  return (client, made) => {
    const entry = idOf(ref, made);
    if (!isThere(client, entry)) return false;
    client.change(entry, { target });
    return true;
  };
}

function move(ref: Ref, { parent, name }: Where): Change['act'] {
  return (client, made) => {
    const entry = idOf(ref, made);
    const above = idOf(parent, made);
    if (!isThere(client, entry) || !isThere(client, above) || isWithin(client, above, entry)) return false;
    if (client.trees.localAt(above, name)) return false;
    client.move(entry, above, name);
    return true;
  };
}

function swap(one: Ref, other: Ref): Change['act'] {
  return (client, made) => {
    const [left, right] = [idOf(one, made), idOf(other, made)];
    if (!isThere(client, left) || !isThere(client, right)) return false;
    if (isWithin(client, left, right) || isWithin(client, right, left)) return false;
    const [from, to] = [client.trees.local(left)!, client.trees.local(right)!];
    client.move(left, ROOT_ENTRY, 'between');
    client.move(right, from.parent, from.name);
    client.move(left, to.parent, to.name);
    return true;
  };
}

function both(first: Change['act'], then: Change['act']): Change['act'] {
  return (client, made) => first(client, made) && then(client, made);
}

function isWithin(client: ModelClient, inner: EntryId, outer: EntryId): boolean {
  for (let at = inner; at !== ROOT_ENTRY; at = client.trees.local(at)!.parent) if (at === outer) return true;
  return false;
}

function depthOf(client: ModelClient, folder: EntryId): number {
  let depth = 0;
  for (let at = folder; at !== ROOT_ENTRY; at = client.trees.local(at)!.parent) depth++;
  return depth;
}

function pathTo(client: ModelClient, made: readonly EntryId[], ref: Ref): string {
  const entry = idOf(ref, made)!;
  if (entry === ROOT_ENTRY) return '';
  const { parent, name } = client.trees.local(entry)!;
  return `${pathTo(client, made, parent)}${name}/`;
}
