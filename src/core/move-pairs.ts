/**
 * Moves that only their bytes tell of: something is gone from one place, and something equal is new at another (a copy and a delete, a move
 * by way of another file system, a tool that writes everything anew). Pure.
 *
 * A file pairs where exactly one gone and exactly one new file hold the same bytes, and any at all. A folder pairs where everything in it is
 * equal, names and bytes, and then all that lies in it pairs by its name. Whatever is ambiguous stays what it is: a delete and a new thing.
 */
import type { EntryKind } from './entry.ts';
import type { ContentId, EntryId } from './ids.ts';

export type Thing = {
  readonly entry: EntryId;
  readonly name: string;
  readonly kind: EntryKind;
  /** Files: null where the bytes are not known. */
  readonly contentId: ContentId | null;
  readonly size: number;
  readonly target: string | null;
};

/** One side: what is gone, or what is new. */
export type Things = {
  readonly all: Iterable<Thing>;
  /** All that lies in a folder; null where some of it belongs to neither what is gone nor what is new. */
  children(folder: EntryId): readonly Thing[] | null;
};

/** What was found at the new place as `found` is the entry `entry`. A folder comes before what lies in it. */
export type MovePair = { readonly entry: EntryId; readonly found: EntryId };

/** Two things have one `id` where they are equal but for their own names. `count`: things in it. `bytes`: in all. */
type Shape = { readonly id: number; readonly count: number; readonly bytes: number };
type Shaped = { readonly thing: Thing; readonly shape: Shape };
type Group = { readonly shape: Shape; readonly gone: Thing[]; readonly found: Thing[] };

export function pairMoves(gone: Things, found: Things): MovePair[] {
  const shapes = new Shapes();
  const goneShapes = shapes.of(gone);
  const foundShapes = shapes.of(found);
  const groups = new Map<number, Group>();
  const groupOf = (shape: Shape): Group => {
    const group = groups.get(shape.id) ?? { shape, gone: [], found: [] };
    groups.set(shape.id, group);
    return group;
  };
  for (const { thing, shape } of goneShapes) groupOf(shape).gone.push(thing);
  for (const { thing, shape } of foundShapes) groupOf(shape).found.push(thing);
  // The largest first: what a whole tree explains is ambiguous no more. None holds another of its own size, so that no order matters.
  const ordered = [...groups.values()].sort((left, right) => right.shape.count - left.shape.count);
  const pairs: MovePair[] = [];
  const paired = new Set<EntryId>();
  for (const group of ordered) {
    const [from, ...others] = group.gone.filter(({ entry }) => !paired.has(entry));
    const [to, ...more] = group.found.filter(({ entry }) => !paired.has(entry));
    if (!from || !to || others.length > 0 || more.length > 0) continue;
    if (group.shape.bytes === 0 || from.kind === 'symlink') continue;
    for (const pair of pairTrees(from, to, gone, found)) {
      pairs.push(pair);
      paired.add(pair.entry).add(pair.found);
    }
  }
  return pairs;
}

/** Equal trees, name by name. */
function* pairTrees(from: Thing, to: Thing, gone: Things, found: Things): Iterable<MovePair> {
  yield { entry: from.entry, found: to.entry };
  if (from.kind !== 'folder') return;
  const byName = new Map(found.children(to.entry)?.map((child) => [child.name, child]));
  for (const child of gone.children(from.entry) ?? []) {
    const other = byName.get(child.name);
    if (other) yield* pairTrees(child, other, gone, found);
  }
}

/** Numbers for what is equal: each text is that of one level, so that a deep tree costs no more than a flat one. */
class Shapes {
  readonly #ids = new Map<string, number>();

  of(things: Things): Shaped[] {
    const known = new Map<EntryId, Shape | null>();
    const shaped: Shaped[] = [];
    for (const thing of things.all) {
      const shape = this.#shape(thing, things, known);
      if (shape) shaped.push({ thing, shape });
    }
    return shaped;
  }

  /** Null where it is not wholly known. */
  #shape(thing: Thing, things: Things, known: Map<EntryId, Shape | null>): Shape | null {
    const before = known.get(thing.entry);
    if (before !== undefined) return before;
    const shape = this.#judge(thing, things, known);
    known.set(thing.entry, shape);
    return shape;
  }

  #judge(thing: Thing, things: Things, known: Map<EntryId, Shape | null>): Shape | null {
    switch (thing.kind) {
      case 'file':
        if (thing.contentId === null) return null;
        return { id: this.#idOf(`file ${thing.contentId}`), count: 1, bytes: thing.size };
      case 'symlink':
        return { id: this.#idOf(`symlink ${thing.target}`), count: 1, bytes: 0 };
      case 'mount':
        return null;
      case 'folder':
        return this.#folder(things.children(thing.entry), things, known);
    }
  }

  #folder(children: readonly Thing[] | null, things: Things, known: Map<EntryId, Shape | null>): Shape | null {
    if (children === null) return null;
    const lines: string[] = [];
    let count = 1;
    let bytes = 0;
    for (const child of children) {
      const shape = this.#shape(child, things, known);
      if (shape === null) return null;
      lines.push(`${shape.id} ${child.name}`);
      count += shape.count;
      bytes += shape.bytes;
    }
    // A slash is in no name.
    return { id: this.#idOf(`folder ${lines.sort().join('/')}`), count, bytes };
  }

  #idOf(text: string): number {
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    this.#ids.set(text, this.#ids.size);
    return this.#ids.size - 1;
  }
}
