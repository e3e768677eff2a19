/**
 * Compares what was seen on the disk with the local tree. Decides nothing that needs time: what is gone, and what may have
 * come from elsewhere, is handed to `judgement.ts`.
 */
import { escapeForPeople } from '#core/escape.ts';
import type { EntryId } from '#core/ids.ts';
import type { ListedEntry, Stat } from '#world/folder.ts';
import type { Device } from './device.ts';
import { freshId } from './device.ts';
import { isSpelling, nameFound } from '#core/name-profile.ts';
import { nameHere } from '#core/plan.ts';
import { dirtyStaying } from './gone.ts';
import { isSameThing } from './identity.ts';
import type { LocalRow } from './rows.ts';
import { inodeText, isRacy, parseStat, RACY_MS_MAX, statText } from './stat-text.ts';
import type { Called } from './trees.ts';

/** `name`: as the disk spells it. */
export type Place = { readonly directory: string; readonly parent: EntryId; readonly name: string };

/** What a comparison asks of its caller. */
export type Findings = {
  /** Something new at a place where the local tree has something else, or that may be a known thing from another place. */
  readonly uncertain: { readonly place: Place; readonly seen: ListedEntry; readonly candidates: readonly LocalRow[] }[];
  readonly vanished: LocalRow[];
  /** Seen where it should be: whoever thought it gone was wrong. */
  readonly present: EntryId[];
  /** Whose stat is what it was, and would be even if they had just been written to: to be looked at when that cannot be any more. */
  readonly unsure: Place[];
  /** Folders to list: new ones, and those that are another directory than before. */
  readonly folders: string[];
  /** Changed files that have other names too, by their inodes: what was written through one name stands under each of them. */
  readonly linked: Map<string, Stat>;
};

export function newFindings(): Findings {
  return { uncertain: [], vanished: [], present: [], unsure: [], folders: [], linked: new Map() };
}

export function pathOf(place: { readonly directory: string; readonly name: string }): string {
  return place.directory === '' ? place.name : `${place.directory}/${place.name}`;
}

/** The problem of a thing that cannot be synced. */
export function kindSubject(directory: string, name: string): string {
  return `kind:${directory}/:${name}`;
}

const NONE: ReadonlySet<string> = new Set();

/** What was told of things in a folder that is not there any more, or elsewhere. */
export function clearProblemsBelow({ problems }: Device, path: string): void {
  problems.clearBelow(`kind:${path}/`, NONE);
  problems.clearBelow(`name:${path}/`, NONE);
}

/** Of folders the number counts what is in them. */
function hasOtherNames(stat: Stat): boolean {
  return stat.kind === 'file' && stat.links > 1;
}

export class Sightings {
  readonly #device: Device;
  /** Device number of the root: what lies on another is another file system mounted into the folder. */
  rootDev = 0n;

  constructor(device: Device) {
    this.#device = device;
  }

  /** `known`: the local tree's row of that place. Call inside a transaction. */
  compare(place: Place, known: LocalRow | null, seen: ListedEntry, findings: Findings): void {
    if (!this.#isPossible(place, seen)) {
      if (known) findings.present.push(known.entry);
      return;
    }
    if (known?.kind === seen.stat.kind) this.#compareSame(place, known, seen, findings);
    else this.#appeared(place, known, seen, findings);
  }

  /** A thing that the local tree did not have, under a fresh id. */
  add(place: Place, seen: ListedEntry, findings: Findings): void {
    const { trees, dirty, random } = this.#device;
    const { stat } = seen;
    if (stat.kind === 'other') return;
    const entry = freshId<EntryId>(random);
    const row = {
      entry,
      parent: place.parent,
      ...this.#called(place.name),
      kind: stat.kind,
      contentId: null,
      target: stat.kind === 'symlink' ? seen.target : null,
      exec: trees.isExec(stat, false),
    };
    trees.putLocal(row, stat, false);
    dirty.add(entry, stat.kind);
    if (stat.kind === 'folder') findings.folders.push(pathOf(place));
    if (hasOtherNames(stat)) findings.linked.set(inodeText(stat), stat);
  }

  /** The same entry with a new stat: its bytes are unknown until they are read. */
  refresh(known: LocalRow, seen: ListedEntry, findings: Findings): void {
    this.#putChanged(known, seen);
    if (hasOtherNames(seen.stat)) findings.linked.set(inodeText(seen.stat), seen.stat);
  }

  #putChanged(known: LocalRow, seen: ListedEntry): void {
    const { trees, dirty } = this.#device;
    trees.putLocal(
      {
        ...known,
        contentId: null,
        target: known.kind === 'symlink' ? seen.target : null,
        exec: trees.isExec(seen.stat, known.exec),
      },
      seen.stat,
      false,
    );
    dirty.add(known.entry, known.kind);
  }

  /** The same thing at another place. Its bytes are known still where only the move itself changed its stat. */
  move(known: LocalRow, place: Place, seen: ListedEntry): void {
    const { trees, dirty } = this.#device;
    const before = parseStat(known.stat);
    const unchanged =
      before.size === seen.stat.size && before.mtimeNs === seen.stat.mtimeNs && this.#leadsTheSame(known, seen);
    const called = this.#calledNow(known, place.name);
    trees.moveLocal(known.entry, place.parent, called);
    dirtyStaying(this.#device, known.parent);
    const moved = { ...known, ...called, parent: place.parent };
    if (known.kind === 'folder' || unchanged)
      trees.putLocal({ ...moved, exec: trees.isExec(seen.stat, known.exec) }, seen.stat, known.racy);
    else this.#putChanged(moved, seen);
    dirty.add(known.entry, known.kind);
  }

  /**
   * What was called otherwise, in a way that this disk does not tell from the present one, is at this place: gives it its new spelling, and
   * where that is a person's doing its new name. Null where it is another kind of thing, or another known one that may have come here.
   */
  respelled(place: Place, seen: ListedEntry, row: LocalRow): LocalRow | null {
    const { trees, dirty } = this.#device;
    if (row.kind !== seen.stat.kind) return null;
    if (row.inode !== inodeText(seen.stat) && this.#candidates(place, seen.stat).length > 0) return null;
    const called = this.#calledNow(row, place.name);
    trees.moveLocal(row.entry, row.parent, called);
    if (called.name !== row.name) dirty.add(row.entry, row.kind);
    return { ...row, ...called };
  }

  #called(listed: string): Called {
    const name = nameFound(this.#device.trees.names, listed);
    return { name, alias: name === listed ? null : listed };
  }

  /** The disk's own way to spell it, or a move that left the name alone, is no new name. */
  #calledNow(known: LocalRow, listed: string): Called {
    if (!isSpelling(this.#device.trees.names, nameHere(known), listed)) return this.#called(listed);
    return { name: known.name, alias: known.name === listed ? null : listed };
  }

  #compareSame(place: Place, known: LocalRow, seen: ListedEntry, findings: Findings): void {
    const { stat } = seen;
    if (statText(stat) === known.stat && this.#leadsTheSame(known, seen)) {
      findings.present.push(known.entry);
      if (known.inode !== inodeText(stat)) this.#device.trees.setLocalStat(known.entry, stat);
      if (!known.racy) return;
      const nowMs = this.#device.clock.nowMs();
      if (!isRacy(stat, nowMs)) this.refresh(known, seen, findings);
      // Of a time that is yet to come nobody knows when it will have been.
      else if (Number(stat.ctimeNs / 1_000_000n) - nowMs < RACY_MS_MAX) findings.unsure.push(place);
      return;
    }
    if (known.kind === 'folder') {
      // Another directory stands here: the one that was here may stand elsewhere now, and this one may be a known one.
      findings.uncertain.push({ place, seen, candidates: this.#candidates(place, stat) });
      findings.vanished.push(known);
      return;
    }
    // Whatever became of the inode: programs save by putting a new file under the old name.
    findings.present.push(known.entry);
    this.refresh(known, seen, findings);
  }

  /**
   * A link that was made anew within the tick may have been given the number of the one before it, and so all of its stat. Windows shows other
   * slashes in a target than it was given; there the stat has to do.
   */
  #leadsTheSame(known: LocalRow, { target }: ListedEntry): boolean {
    return target === known.target || this.#device.trees.names.refuses === 'windows';
  }

  #appeared(place: Place, occupant: LocalRow | null, seen: ListedEntry, findings: Findings): void {
    const candidates = this.#candidates(place, seen.stat);
    if (occupant) findings.vanished.push(occupant);
    if (occupant || candidates.length > 0) findings.uncertain.push({ place, seen, candidates });
    else this.add(place, seen, findings);
  }

  #candidates(place: Place, stat: Stat): LocalRow[] {
    const rows = this.#device.trees.localByInode(inodeText(stat));
    return rows.filter(
      (row) =>
        row.kind === stat.kind &&
        !row.parked &&
        !(row.parent === place.parent && nameHere(row) === place.name) &&
        isSameThing(row, stat) !== false,
    );
  }

  /** Neither a file, a folder nor a link, or on another file system. */
  isForeign(seen: ListedEntry): boolean {
    return seen.stat.kind === 'other' || seen.stat.dev !== this.rootDev;
  }

  /** Things that cannot be synced are told to people, and never touched. */
  #isPossible(place: Place, seen: ListedEntry): boolean {
    const { problems } = this.#device;
    const subject = kindSubject(place.directory, place.name);
    const path = escapeForPeople(pathOf(place));
    if (seen.stat.kind === 'other') {
      problems.set(subject, {
        path,
        code: 'invalid_field',
        message: 'this is neither a file, a folder nor a symbolic link; it stays on this device alone',
      });
      return false;
    }
    if (seen.stat.dev !== this.rootDev) {
      problems.set(subject, {
        path,
        code: 'invalid_field',
        message: 'another file system is mounted here; it is not synced',
      });
      return false;
    }
    problems.clear(subject);
    return true;
  }
}
