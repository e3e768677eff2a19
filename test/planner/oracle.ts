/** What must be true of a quiet world whatever was done in it, told from the people's side alone. */
import assert from 'node:assert/strict';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import type { Snapshot } from './model-changes.ts';
import type { ModelWorld } from './model-world.ts';

/** No bytes are lost but those that somebody overwrote or deleted having them on his disk; and none are there that nobody wrote. */
export function mustKeepAll(world: ModelWorld): void {
  const there = new Set(world.contents().map((text) => text.split(' ')[1]!));
  const written = new Set<string>();
  const destroyed = new Set<string>();
  for (const client of world.clients) {
    for (const content of client.written) written.add(content);
    for (const content of client.destroyed) destroyed.add(content);
  }
  for (const content of written)
    assert.ok(there.has(content) || destroyed.has(content), `${content} is gone, and nobody did away with it`);
  for (const content of there) assert.ok(written.has(content), `${content} was written by nobody`);
}

/** A folder that one deleted, in which no other touched anything and above which none moved anything, is gone. */
export function foldersMustStayDeleted(world: ModelWorld, before: Snapshot, disks: readonly Snapshot[]): void {
  for (const [entry, row] of before.rows) {
    if (row.kind !== 'folder' || disks.every((disk) => disk.rows.has(entry))) continue;
    if (disks.every((disk) => !disk.rows.has(entry) || isUntouchedFolder(entry, before, disk)))
      assert.ok(!world.server.isLive(entry), `${row.name} is back`);
  }
}

function isUntouchedFolder(folder: EntryId, before: Snapshot, disk: Snapshot): boolean {
  const ids = new Set([...before.rows.keys(), ...disk.rows.keys()]);
  for (const id of ids)
    if (isUnder(id, folder, before) || isUnder(id, folder, disk)) if (!isSame(id, before, disk)) return false;
  for (let at = folder; at !== ROOT_ENTRY; at = before.rows.get(at)!.parent)
    if (!isSame(at, before, disk)) return false;
  return true;
}

function isUnder(entry: EntryId, folder: EntryId, { rows }: Snapshot): boolean {
  for (let at: EntryId | undefined = entry; at !== undefined && at !== ROOT_ENTRY; at = rows.get(at)?.parent)
    if (at === folder) return true;
  return false;
}

function isSame(entry: EntryId, before: Snapshot, disk: Snapshot): boolean {
  const was = before.rows.get(entry);
  const is = disk.rows.get(entry);
  return (
    was !== undefined &&
    is !== undefined &&
    was.parent === is.parent &&
    was.name === is.name &&
    was.bytes === is.bytes &&
    was.target === is.target &&
    was.exec === is.exec
  );
}

/**
 * Conflict copies come only of work at the same time. Each device but the one that the server heard first gives at most two to a place: what
 * it put there itself, and its version of what another moved there. `most`: of one change each it is one.
 */
export function mustMakeFewCopies(
  world: ModelWorld,
  disks: readonly Snapshot[],
  writers: number,
  most: 1 | 2 = 2,
): void {
  // A person may give something a copy's name.
  const given = new Set(disks.flatMap(({ rows }) => [...rows.values()].map(({ parent, name }) => `${parent}/${name}`)));
  const copies = new Map<string, number>();
  for (const { parent, name } of world.server.live()) {
    const of = /^(.*) \(conflicted copy, .*?\)(.*)$/.exec(name);
    if (!of || given.has(`${parent}/${name}`)) continue;
    const place = `${parent}/${of[1]}${of[2]}`;
    copies.set(place, (copies.get(place) ?? 0) + 1);
  }
  for (const [place, count] of copies)
    assert.ok(count <= most * Math.max(0, writers - 1), `${count} copies of ${place} by ${writers} devices at work`);
}
