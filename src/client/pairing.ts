/**
 * Moves that the disk tells of by their bytes alone: what is new and unsent takes the id of what is gone and undeleted yet, where
 * `core/move-pairs.ts` finds them to be one. Before a plan: so a move stays a move, and no byte of it is sent.
 */
import type { EntryId, ManifestId } from '#core/ids.ts';
import { pairMoves, type Thing, type Things } from '#core/move-pairs.ts';
import type { UpAction } from '#core/plan.ts';
import type { Device } from './device.ts';
import type { LargeUploads } from './large-uploads.ts';
import type { Observer } from './observer.ts';
import type { PlanReads } from './plan-reads.ts';
import { fileSize } from './reader.ts';
import { localOf, syncedOf, type LocalRow } from './rows.ts';
import { parseStat } from './stat-text.ts';
import { changeId } from './tree-actions.ts';

/** Of either side. Beyond it nothing pairs: what everything is compared with must fit into memory. */
const THINGS_MAX = 100_000;
/** What is missing is judged soon; what may be the same waits for that, so long and no longer. */
const WAITS_MS_MAX = 2000;
const LOOKS_AGAIN_MS = 100;
/** Where more is missing it is no matter of single files, and nothing waits for the rest. */
const MISSING_MAX = 1000;
const SIZES_LOOKED_AT_MAX = 10_000;

const GONE = `
SELECT s.* FROM dirty d JOIN synced s ON s.entry = d.entry JOIN remote r ON r.entry = d.entry AND r.kind = s.kind
LEFT JOIN local l ON l.entry = d.entry WHERE l.entry IS NULL AND s.presence = 'here' LIMIT ?`;
const FOUND = `
SELECT l.* FROM dirty d JOIN local l ON l.entry = d.entry LEFT JOIN synced s ON s.entry = d.entry
LEFT JOIN remote r ON r.entry = d.entry WHERE s.entry IS NULL AND r.entry IS NULL AND l.slot IS NULL`;

export class Pairing {
  readonly #device: Device;
  readonly #observer: Observer;
  readonly #reads: PlanReads;
  readonly #uploads: LargeUploads;
  /** At start too: a crash may have come between. */
  #due = true;
  /** Sizes of the files in what is missing. */
  readonly #missing = new Map<EntryId, ReadonlySet<number>>();

  constructor(device: Device, observer: Observer, reads: PlanReads, uploads: LargeUploads) {
    this.#device = device;
    this.#observer = observer;
    this.#reads = reads;
    this.#uploads = uploads;
  }

  /** True where ids changed. Rejects with outages. */
  async step(): Promise<boolean> {
    if (this.#observer.takeDropped()) this.#due = true;
    if (!this.#due) return false;
    const paired = await this.#pair();
    this.#due = false;
    return paired;
  }

  async #pair(): Promise<boolean> {
    const { state, trees, unflushed } = this.#device;
    const gone = this.#gone();
    if (gone.size === 0) return false;
    const found = this.#found(gone);
    if (found === null || found.size === 0) return false;
    await this.#read(gone, found);
    const pairs = pairMoves(this.#goneThings(gone), this.#foundThings(found));
    state.transaction(() => {
      for (const { entry, found: other } of pairs) {
        if (trees.local(other)?.kind === 'file') this.#uploads.giveUp(other);
        changeId(this.#device, other, entry);
        this.#keepExec(entry);
        // Another file than the one that had these bytes, and no older than its person's last save.
        unflushed.note(entry);
      }
    });
    return pairs.length > 0;
  }

  /** A disk that keeps no execute bit gave the new file none: it is what the old one was. */
  #keepExec(entry: EntryId): void {
    const { trees } = this.#device;
    const row = trees.local(entry);
    const exec = trees.synced(entry)?.exec;
    if (!trees.names.lacksExec || !row || exec === undefined) return;
    trees.putLocal({ ...row, exec }, parseStat(row.stat), row.racy);
  }

  /** Files, folders and symlinks that both sides had, and that are deleted here and nowhere else yet. */
  #gone(): Map<EntryId, Thing> {
    const rows = this.#device.state.sql.prepare(GONE).all(THINGS_MAX + 1);
    if (rows.length > THINGS_MAX) return new Map();
    return new Map(rows.map((row) => [row['entry'] as EntryId, syncedOf(row)]));
  }

  /** New things that may be one of them. Null where there are too many. */
  #found(gone: ReadonlyMap<EntryId, Thing>): Map<EntryId, LocalRow> | null {
    const { state, trees } = this.#device;
    const kinds = new Set<string>();
    const sizes = new Set<number>();
    for (const { kind, size } of gone.values()) {
      kinds.add(kind);
      if (kind === 'file') sizes.add(size);
    }
    const found = new Map<EntryId, LocalRow>();
    for (const values of state.sql.prepare(FOUND).iterate()) {
      const row = localOf(values);
      if (row.kind === 'file' ? !sizes.has(fileSize(row)) : !kinds.has(row.kind)) continue;
      // Another device has put something there: the two of them meet first.
      const there = trees.remoteAt(row.parent, row.name);
      if (there && !gone.has(there.entry)) continue;
      found.set(row.entry, row);
      if (found.size > THINGS_MAX) return null;
    }
    return found;
  }

  /** Their bytes have to be read before they go up in any case. */
  async #read(gone: ReadonlyMap<EntryId, Thing>, found: ReadonlyMap<EntryId, LocalRow>): Promise<void> {
    const { trees } = this.#device;
    const unread = [...found.values()].filter(({ kind, contentId }) => kind === 'file' && contentId === null);
    if (unread.length === 0) return;
    const bySize = new Map<number, ManifestId>();
    for (const { entry, kind, size } of gone.values()) {
      const manifestId = kind === 'file' ? trees.remote(entry)?.content?.manifestId : undefined;
      if (manifestId) bySize.set(size, manifestId);
    }
    const likes = new Map<EntryId, ManifestId>();
    for (const row of unread) {
      const like = bySize.get(fileSize(row));
      if (like) likes.set(row.entry, like);
    }
    const orders = unread.map(({ entry }) => ({ kind: 'read' as const, entry }));
    await this.#reads.carryOut(orders, new Set(), likes);
  }

  #goneThings(gone: ReadonlyMap<EntryId, Thing>): Things {
    const { trees } = this.#device;
    return {
      all: gone.values(),
      children: (folder) => {
        const children: Thing[] = [];
        for (const entry of trees.syncedChildren(folder)) {
          const child = gone.get(entry);
          if (child) children.push(child);
          // What was moved out of it, and what is not on this disk, is not a part of what went.
          else if (!trees.local(entry) && trees.synced(entry)?.presence === 'here') return null;
        }
        return children;
      },
    };
  }

  #foundThings(found: ReadonlyMap<EntryId, LocalRow>): Things {
    const { trees } = this.#device;
    // As they are now that they were read.
    const now = (entry: EntryId): Thing | null => {
      const row = found.has(entry) ? trees.local(entry) : null;
      return row && { ...row, size: row.kind === 'file' ? fileSize(row) : 0 };
    };
    return {
      all: [...found.keys()].map(now).filter((thing) => thing !== null),
      children: (folder) => {
        const children = trees.localChildren(folder).map(now);
        return children.includes(null) ? null : (children as Thing[]);
      },
    };
  }

  /**
   * The groups that go up now. What is new and may be what is missing waits until that is judged, with all that is to lie in it: once it
   * is on the server it is a thing of its own.
   */
  notSuspect(groups: readonly (readonly UpAction[])[], again: Set<EntryId>): (readonly UpAction[])[] {
    const sizes = this.#missingSizes();
    if (sizes.size === 0) return [...groups];
    const { trees, deferrals } = this.#device;
    const held = new Set<EntryId>();
    const isHeld = (action: UpAction): boolean => {
      if (action.kind !== 'up_create') return action.kind === 'up_move' && held.has(action.parent);
      if (held.has(action.parent)) return true;
      const row = trees.local(action.entry);
      if (row?.kind === 'file') return sizes.has(fileSize(row));
      return row?.kind === 'folder' && this.#holdsOne(row.entry, sizes);
    };
    return groups.filter((group) => {
      if (!group.some(isHeld)) return true;
      for (const { entry } of group) {
        held.add(entry);
        again.add(entry);
        deferrals.postpone(entry, LOOKS_AGAIN_MS);
      }
      return false;
    });
  }

  /** Or nothing yet: it may not have been listed. */
  #holdsOne(folder: EntryId, sizes: ReadonlySet<number>): boolean {
    let looked = 0;
    if (this.#device.trees.localChildren(folder).length === 0) return true;
    for (const row of this.#device.trees.localSubtree(folder)) {
      if (row.kind === 'file' && sizes.has(fileSize(row))) return true;
      if (++looked > SIZES_LOOKED_AT_MAX) return false;
    }
    return false;
  }

  #missingSizes(): ReadonlySet<number> {
    const missing = new Set<EntryId>();
    for (const entry of this.#observer.missing(WAITS_MS_MAX)) {
      missing.add(entry);
      if (missing.size >= MISSING_MAX) break;
    }
    for (const entry of this.#missing.keys()) if (!missing.has(entry)) this.#missing.delete(entry);
    const sizes = new Set<number>();
    for (const entry of missing) {
      const known = this.#missing.get(entry) ?? this.#sizesIn(entry);
      this.#missing.set(entry, known);
      for (const size of known) sizes.add(size);
    }
    return sizes;
  }

  #sizesIn(entry: EntryId): ReadonlySet<number> {
    const { trees } = this.#device;
    const sizes = new Set<number>();
    const note = (row: LocalRow | null) => {
      // An empty file pairs with nothing by itself, and what the server never had pairs not at all.
      if (row?.kind === 'file' && fileSize(row) > 0 && trees.synced(row.entry)) sizes.add(fileSize(row));
    };
    const row = trees.local(entry);
    note(row);
    let looked = 0;
    for (const below of row?.kind === 'folder' ? trees.localSubtree(entry) : []) {
      note(below);
      if (++looked > SIZES_LOOKED_AT_MAX) break;
    }
    return sizes;
  }
}
