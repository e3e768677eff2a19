/**
 * What is left of a device when its power goes. Of names and attributes the journal says what may be undone; of the bytes of a file that
 * were not synced anything may have reached the disk: nothing, all, the first of them, or some sectors and others not.
 */
import type { Device } from './device.ts';
import type { Inode, Unsynced } from './inode.ts';
import type { Change, NameChange } from './journal.ts';
import { PAGE_BYTES, type Pages } from './pages.ts';

/** Seeded. */
export type Chance = {
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number;
};

const SECTORS_BYTES = [512, 4096];

export function cutPower(device: Device, chance: Chance): void {
  const changes = device.journal.take();
  if (device.profile.journal === 'ordered') undoFrom(device, changes, keptOf(changes.length, chance));
  else keepSome(device, changes, chance);
  for (const inode of reachable(device.root)) {
    const { unsynced } = inode;
    if (unsynced !== null && !device.isWritten(unsynced)) tear(inode, unsynced, chance);
    inode.unsynced = null;
    inode.listeners = null;
  }
  device.unsynced.clear();
  device.recount();
}

/** Nothing and all are the cases that most often tell something. */
function keptOf(length: number, chance: Chance): number {
  const kind = chance.below(4);
  if (kind === 0) return 0;
  return kind === 1 ? length : chance.below(length + 1);
}

function undoFrom(device: Device, changes: readonly Change[], kept: number): void {
  for (let index = changes.length - 1; index >= kept; index--) undo(device, changes[index] as Change);
}

function keepSome(device: Device, changes: readonly Change[], chance: Chance): void {
  undoFrom(device, changes, 0);
  const share = 1 + chance.below(3);
  for (const change of changes) if (chance.below(4) < share) redo(device, change);
}

function undo(device: Device, change: Change): void {
  for (const { folder, name, before, after } of change.names.toReversed()) lead(device, folder, name, after, before);
  if (change.inode !== null && change.before !== null) change.inode.attributes = change.before;
}

/** Only where the names still lead to what they led to then: else it was a change of something that did not come to be. */
function redo(device: Device, change: Change): void {
  const [first, second] = change.names;
  if (first !== undefined && !isBefore(device, first)) return;
  // Another spelling of one name: there is only one thing to look at.
  const isRespelt = first !== undefined && second !== undefined && isSame(device, first, second);
  if (second !== undefined && !isRespelt && !isBefore(device, second)) return;
  for (const { folder, name, before, after } of change.names) lead(device, folder, name, before, after);
  if (change.inode !== null && change.after !== null) change.inode.attributes = change.after;
}

function isBefore(device: Device, { folder, name, before }: NameChange): boolean {
  return (device.find(folder, name)?.inode ?? null) === before;
}

function isSame(device: Device, left: NameChange, right: NameChange): boolean {
  return left.folder === right.folder && device.names.key(left.name) === device.names.key(right.name);
}

/** Nothing happens where the name leads elsewhere already. Links are counted when all is done. */
function lead(device: Device, folder: Inode, name: string, from: Inode | null, to: Inode | null): void {
  const entry = device.find(folder, name);
  if ((entry?.inode ?? null) !== from) return;
  if (entry !== undefined) device.unbind(entry);
  if (to !== null) device.bind(folder, name, to);
}

/** Without what cannot be reached any more, nor what a loop of folders would lead to again. */
function reachable(root: Inode): Set<Inode> {
  const found = new Set([root]);
  for (const inode of found) {
    for (const entry of inode.entries?.values() ?? []) found.add(entry.inode);
  }
  return found;
}

function tear({ pages, attributes }: Inode, unsynced: Unsynced, chance: Chance): void {
  if (pages === null) return;
  // New room or another size is written down in the inode, and with it whatever time the file had by then: without the time there is neither.
  const { nanoseconds } = attributes.mtime;
  const then = unsynced.before.get(nanoseconds);
  if (then && !isInPlace(pages, then.size, then.shortest)) return pages.restore(unsynced.version);
  if (nanoseconds === unsynced.mtime.nanoseconds && !isInPlace(pages, unsynced.version.size, unsynced.shortest))
    return pages.restore(unsynced.version);
  switch (chance.below(unsynced.lost ? 3 : 4)) {
    case 0:
      return pages.restore(unsynced.version);
    case 1:
      return mix(pages, unsynced, chance, cutAt(pages, unsynced, chance));
    case 2:
      return mix(pages, unsynced, chance, null);
    default:
  }
}

function isInPlace({ size }: Pages, sizeBefore: number, shortest: number): boolean {
  return size === sizeBefore && shortest >= size;
}

/** Where the new bytes end of which only the first were written. */
function cutAt(pages: Pages, { version, shortest }: Unsynced, chance: Chance): number {
  const from = Math.min(shortest, version.size, pages.size);
  return from + chance.below(pages.size - from + 1);
}

/**
 * Sector by sector the new bytes or those before; where the file was shorter meanwhile those before are zeros. With `cut` the new bytes are
 * those up to there, and the file may end there.
 */
function mix(pages: Pages, { version: old, shortest }: Unsynced, chance: Chance, cut: number | null): void {
  const wrote = pages.version();
  const sectorBytes = SECTORS_BYTES[chance.below(SECTORS_BYTES.length)] as number;
  const size = cut !== null && cut >= shortest && chance.below(2) === 0 ? cut : wrote.size;
  pages.restore(old);
  pages.truncate(Math.min(old.size, shortest), null);
  pages.truncate(size, null);
  for (const [index, page] of wrote.pages.entries()) {
    if (page === undefined || page === old.pages[index]) continue;
    const start = index * PAGE_BYTES;
    for (let at = start; at < Math.min(start + PAGE_BYTES, size); at += sectorBytes) {
      const end = Math.min(at + sectorBytes, size, cut ?? size);
      if (end <= at || (cut === null && chance.below(2) === 0)) continue;
      const bytes = new Uint8Array(end - at);
      bytes.set(page.bytes.subarray(at - start, end - start));
      pages.writeSome(bytes, at, null, () => true);
    }
  }
}
