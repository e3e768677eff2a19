/** What a power cut left of what people's programs had made, before the first scan may take it for anybody's work. */
import type { ContentId, EntryId } from '#core/ids.ts';
import type { ListedEntry, Stat } from '#world/folder.ts';
import { contentOf } from './content-on-disk.ts';
import type { Device } from './device.ts';
import { forgetLocal } from './gone.ts';
import type { LocalRow } from './rows.ts';
import { inodeText, isCoarse, isUnmoved, keepsBirths, mayBeTime, mtimeUsOf, parseStat } from './stat-text.ts';
import type { Trees } from './trees.ts';
import type { Unflushed } from './unflushed-files.ts';

const PATHS_PER_STEP = 500;

/** `either`: what is there may be what the power left of a file, and may be somebody's, or what it was. */
type Verdict = 'kept' | 'lost' | 'either';
type Found = { readonly one: Known; readonly there: ListedEntry | null };
type Judged = Found & { readonly verdict: Verdict };
type Known = { readonly entry: EntryId; readonly path: string; readonly rows: readonly Unflushed[] };

export async function compareUnflushed(device: Device): Promise<void> {
  const { folder } = device;
  const known = knownOf(device);
  const stats = known.flatMap(({ rows }) => rows.flatMap(({ stat }) => (stat === null ? [] : [parseStat(stat)])));
  const judged: Judged[] = [];
  const judge = async (one: Known, there: ListedEntry | null) => {
    judged.push({ one, there, verdict: there === null ? 'lost' : await verdictOn(device, one, there, stats) });
  };
  const absent: Found[] = [];
  for (let at = 0; at < known.length; at += PATHS_PER_STEP) {
    const some = known.slice(at, at + PATHS_PER_STEP);
    const seen = await folder.look(some.map(({ path }) => path));
    for (const [index, one] of some.entries()) {
      const there = seen[index] ?? null;
      if (there !== null && 'kind' in there) judged.push({ one, there: null, verdict: 'either' });
      else if (isItsFile(there, one.rows)) await judge(one, there);
      else {
        const moved = await whereItWasMoved(device, one);
        if (moved) await judge({ ...one, path: moved.path }, moved.found);
        else absent.push({ one, there });
      }
    }
  }
  const elsewhere = await findElsewhere(
    device,
    absent.map(({ one }) => one),
  );
  for (const { one, there } of absent) {
    const found = elsewhere.get(one.entry);
    await (found ? judge({ ...one, path: found.path }, found.there) : judge(one, there));
  }
  // Not before all are judged: what the trees know of one tells what became of another.
  for (const { one, there, verdict } of judged) {
    if (verdict === 'kept') continue;
    if (verdict === 'lost' && there !== null) {
      const [outcome] = await folder.apply([{ kind: 'remove', path: one.path, expect: there.stat }], device.keys());
      // Somebody has changed it since.
      if (outcome?.kind === 'stale') continue;
      fetchAgain(device, one, outcome?.kind === 'done' ? 'lost' : 'either');
    } else fetchAgain(device, one, verdict);
  }
}

function knownOf({ unflushed, trees }: Device): Known[] {
  const byEntry = new Map<EntryId, Unflushed[]>();
  for (const row of unflushed.rows()) {
    const rows = byEntry.get(row.entry);
    if (rows) rows.push(row);
    else byEntry.set(row.entry, [row]);
  }
  return [...byEntry].flatMap(([entry, rows]) => {
    const path = trees.localPath(entry);
    // What was sent and never arrived there is nobody's loss but the disk's.
    return path === null || !trees.synced(entry) ? [] : [{ entry, path, rows }];
  });
}

function isItsFile(found: ListedEntry | null, rows: readonly Unflushed[]): boolean {
  if (found === null) return false;
  return rows.some(({ stat }) => stat !== null && isSameFile(parseStat(stat), found.stat));
}

/**
 * A number alone proves nothing: what was deleted comes back with it where the power took both the deletion and what was made with its number. FAT and
 * exFAT, which keep no births, count anew when they are mounted, in the order of looking up: there it says nothing at all by now.
 */
function isSameFile(before: Stat, now: Stat): boolean {
  if (before.kind !== now.kind) return false;
  if (keepsBirths(before, now)) return inodeText(before) === inodeText(now) && before.birthNs === now.birthNs;
  return before.kind === 'folder' || before.mtimeNs === now.mtimeNs;
}

/** Nothing that was seen of it says that it was written to since, or is another. */
function isAsItWas(before: Stat, now: Stat): boolean {
  return isSameFile(before, now) && before.size === now.size && before.mtimeNs === now.mtimeNs;
}

/** A move that this device carried out may be on the disk, and in the state no more: that is told what it has done later than the disk. */
async function whereItWasMoved(
  { trees, folder }: Device,
  { entry, path: before, rows }: Known,
): Promise<{ readonly path: string; readonly found: ListedEntry } | null> {
  const remote = trees.remote(entry);
  const path = remote && trees.pathIn(remote.parent, remote.name);
  if (!path || path === before) return null;
  const [found] = await folder.look([path]);
  if (!found || 'kind' in found || !isItsFile(found, rows)) return null;
  const there = trees.localAt(remote.parent, remote.name);
  return there && isAsItWas(parseStat(there.stat), found.stat) ? null : { path, found };
}

/**
 * A person may have moved the very file, and nobody had seen that yet: the next scan would know it again by its inode and its time, and believe
 * its bytes. Looks through the whole folder, as that scan does, and only where something is not in its place. A file that is another entry's
 * as well is not taken from it. Where numbers tell nothing, the scan does not know it again either.
 */
async function findElsewhere({ folder, trees, signal }: Device, absent: readonly Known[]) {
  const wanted = new Map<string, Known>();
  for (const one of absent)
    for (const { stat } of one.rows) {
      const known = stat === null ? null : parseStat(stat);
      const inode = known && keepsBirths(known) ? inodeText(known) : null;
      if (inode !== null && trees.localByInode(inode).every((row) => row.entry === one.entry)) wanted.set(inode, one);
    }
  const found = new Map<EntryId, { readonly path: string; readonly there: ListedEntry }>();
  const open = wanted.size > 0 ? [''] : [];
  while (open.length > 0 && !signal.aborted) {
    const some = open.splice(0, PATHS_PER_STEP);
    const listings = await folder.list(some);
    for (const [index, listing] of listings.entries()) {
      if (listing.kind !== 'found') continue;
      for (const there of listing.entries) {
        const above = some[index] ?? '';
        const path = above === '' ? there.name : `${above}/${there.name}`;
        if (there.stat.kind === 'folder') open.push(path);
        else {
          const one = wanted.get(inodeText(there.stat));
          if (one && isItsFile(there, one.rows)) found.set(one.entry, { path, there });
        }
      }
    }
  }
  return found;
}

/**
 * By its time the file is one that was sent, and by its bytes not what both sides agreed on: torn, where it is the very file that had them here or
 * elsewhere, or what was there before. Any other time is somebody's edit, and another file of the same time somebody's move. Where its tick was not over
 * when it was last seen, an edit may have left it the same time.
 */
async function verdictOn(device: Device, one: Known, there: ListedEntry, stats: readonly Stat[]): Promise<Verdict> {
  const { trees } = device;
  const { entry, path, rows } = one;
  const { stat } = there;
  if (stat.kind === 'symlink') return isOlderLink(device, one, there) ? 'lost' : 'kept';
  const agreed = trees.synced(entry)?.contentId ?? null;
  if (stat.kind !== 'file' || agreed === null || !rows.some(({ content }) => content === agreed)) return 'kept';
  const ofItsTime = rows.filter(({ mtimeUs }) => mayBeTime(stat, mtimeUs));
  if (ofItsTime.length === 0) return 'kept';
  const content = await contentOf(device, path, stat);
  if (content === agreed || content === 'changed') return 'kept';
  // Nobody looks at it once more: by the time that it can be read it would be believed.
  if (content === 'unreadable') return 'either';
  // As it was when it was last read: somebody's edit that has yet to go up.
  const local = trees.local(entry);
  if (local?.contentId === content) return 'kept';
  // What came after was sent, and its answer not heard or not kept: the newest there is.
  const agreedAt = rows.findLastIndex((row) => row.content === agreed);
  if (rows.slice(agreedAt + 1).some((row) => row.content === content)) return 'kept';
  if (ofItsTime.some((row) => row.content === content)) {
    // An earlier comparison left it as that, and it was not read since.
    if (local?.contentId === null && isAsItWas(parseStat(local.stat), stat)) return local.racy ? 'either' : 'kept';
    // Of two files that changed places, by whichever of them was sent.
    if (!keepsBirths(stat)) return [agreed, content].some((one) => trees.isAnothers(entry, one)) ? 'either' : 'lost';
    return (await isRenamedBack(device, entry, rows, agreed, stat)) ? 'kept' : 'lost';
  }
  if (isWholeOther(device, entry, stat, content)) return 'kept';
  // Another's very file may have come back to where it was before the two changed places.
  const others = stats.filter((was) => mtimeUsOf(was) === mtimeUsOf(stat));
  const asItWas = local ? [parseStat(local.stat), ...others] : others;
  // A power cut may keep what was appended and lose its time; it makes no file longer by itself.
  const mayBeIt = (was: Stat) => !keepsBirths(was, stat) || inodeText(was) === inodeText(stat);
  if (!asItWas.some((was) => mayBeIt(was) && stat.size <= was.size)) return 'kept';
  // Of the same tick it may be any other file, put here by a person or by the power.
  if (!keepsBirths(stat) && isCoarse(stat)) return stat.size > 0 ? 'either' : 'lost';
  // What tears files empties or shortens them, mostly: of another size it is no edit that the tick hid.
  const seen = local && parseStat(local.stat);
  const isUnsure = seen && local.racy && isAsItWas(seen, stat) && isCoarse(seen);
  return isUnsure ? 'either' : 'lost';
}

/** It leads to where this one led before both sides agreed on another target, and was made no later: who makes it anew by hand makes it later. */
function isOlderLink({ trees }: Device, { entry, rows }: Known, { stat, target }: ListedEntry): boolean {
  const agreed = trees.synced(entry)?.target ?? null;
  const agreedAt = rows.findLastIndex((row) => row.target === agreed);
  const made = rows[agreedAt]?.stat ?? null;
  if (target === null || agreed === null || target === agreed || made === null) return false;
  const leadsThere = (row: Unflushed): boolean => row.target === target;
  if (rows.slice(agreedAt + 1).some(leadsThere)) return false;
  const before = rows.slice(0, agreedAt).filter(leadsThere);
  if (before.length === 0 || othersOf(trees, entry, stat).length > 0) return false;
  const isKnown = before.some((row) => row.stat !== null && isUnmoved(parseStat(row.stat), stat));
  return isKnown || stat.mtimeNs < parseStat(made).mtimeNs;
}

/** Whose very file it is by the local tree, other than this one's. */
function othersOf(trees: Trees, entry: EntryId, found: Stat): readonly LocalRow[] {
  return trees
    .localByInode(inodeText(found))
    .filter((row) => row.entry !== entry && isUnmoved(parseStat(row.stat), found));
}

/**
 * The power took a renaming back, of two files that changed places, say, or a part of it: by the local tree the very file that had the agreed bytes
 * stands at another's place, or the one that is here does, and is not there. That one is in nobody's place now, and may be nowhere else.
 */
async function isRenamedBack(
  device: Device,
  entry: EntryId,
  rows: readonly Unflushed[],
  agreed: ContentId,
  now: Stat,
): Promise<boolean> {
  const { trees } = device;
  for (const other of othersOf(trees, entry, now)) if (!(await standsInItsPlace(device, other))) return true;
  return rows
    .flatMap(({ content, stat }) => (content === agreed && stat !== null ? [parseStat(stat)] : []))
    .some((file) => othersOf(trees, entry, file).some((row) => cameByRenaming(file, parseStat(row.stat))));
}

/** The number of names says little after a cut: some disks forget to take away from it. */
async function standsInItsPlace({ folder, trees }: Device, row: LocalRow): Promise<boolean> {
  const path = trees.localPath(row.entry);
  const [found] = path === null ? [] : await folder.look([path]);
  return found !== undefined && found !== null && 'stat' in found && inodeText(found.stat) === row.inode;
}

/**
 * A file with several names stands at each of them. It came by a renaming where it has no more of them than when it was last seen at the other place, and was
 * changed since in what a renaming changes: clocks may have been set back.
 */
function cameByRenaming(file: Stat, elsewhere: Stat): boolean {
  return file.links === 1 || (file.links <= elsewhere.links && file.ctimeNs !== elsewhere.ctimeNs);
}

/**
 * By the local tree another's very file, with the bytes that both sides agreed on: a person put it here, and it may stand nowhere else. The scan sees a move.
 * Where numbers tell nothing its bytes do.
 */
function isWholeOther({ trees }: Device, entry: EntryId, found: Stat, content: ContentId): boolean {
  if (found.links !== 1) return false;
  if (!keepsBirths(found)) return trees.isAnothers(entry, content);
  return othersOf(trees, entry, found).some((row) => trees.synced(row.entry)?.contentId === content);
}

/** Without a base it is not a deletion, but something that is not here yet; with all that was below it. What is still there is united with what comes. */
function fetchAgain(device: Device, { entry, path }: Known, verdict: Verdict): void {
  const { state, trees, log } = device;
  state.transaction(() => {
    const row = trees.local(entry);
    for (const gone of row ? forgetLocal(device, row) : []) trees.dropSynced(gone.entry);
  });
  if (verdict === 'lost')
    log.warn('something had not reached the disk when the power went; it is fetched again', { path });
  else
    log.warn('a file may have been torn as the power went; it is fetched again, and what is there is kept', { path });
}
