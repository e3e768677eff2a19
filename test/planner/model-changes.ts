/** What people do to a small tree, and what must have become of it. */
import assert from 'node:assert/strict';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import { nameHere, type LocalEntry } from '#core/plan.ts';
import type { Made, ModelClient } from './model-client.ts';
import type { ModelWorld } from './model-world.ts';

/** A number from 0 to `count` - 1. */
export type Draw = (count: number) => number;
export const NAMES = ['a', 'b', 'c.txt'];
const CONTENTS = ['one', 'two'];
const DEPTH_MAX = 3;

export type Snapshot = {
  readonly rows: ReadonlyMap<EntryId, LocalEntry & { readonly bytes: string | null }>;
  readonly picture: ReadonlyMap<string, string>;
};

export function snapshot(client: ModelClient): Snapshot {
  const rows = [...client.trees.localRows.values()].map(
    (row) => [row.entry, { ...row, bytes: client.bytes.get(row.entry) ?? null }] as const,
  );
  return { rows: new Map(rows), picture: client.picture() };
}

/** Half of the contents are equal to others on purpose, the other half can be told apart. */
export type Writer = () => string;

let everWritten = 0;

export function writerOf(draw: Draw, next: () => number = counter()): Writer {
  return () => (draw(2) === 0 ? CONTENTS[draw(CONTENTS.length)]! : `text${next()}`);
}

function counter(): () => number {
  let count = 0;
  return () => ++count;
}

/** One change that a person could make now; none where chance points at nothing possible. */
export function change(
  client: ModelClient,
  draw: Draw,
  names: readonly string[] = NAMES,
  write: Writer = writerOf(draw, () => ++everWritten),
): void {
  const { trees } = client;
  const all = [...trees.localRows.values()]
    .filter((row) => client.isSeen(row))
    .sort((left, right) => (left.entry < right.entry ? -1 : 1));
  const folders = [ROOT_ENTRY, ...all.filter(({ kind }) => kind === 'folder').map(({ entry }) => entry)];
  const parent = folders[draw(folders.length)]!;
  const name = names[draw(names.length)]!;
  const isFree = trees.localAt(parent, name) === null && depthOf(client, parent) < DEPTH_MAX;
  const one = all[draw(Math.max(1, all.length))];
  const content = write();
  const isRead = draw(3) !== 0;
  switch (draw(12)) {
    case 0:
      if (isFree) client.make(parent, name, { kind: 'file', content }, isRead);
      return;
    case 1:
      if (isFree) client.make(parent, name, { kind: 'folder' });
      return;
    case 2:
      if (isFree) client.make(parent, name, { kind: 'symlink', target: content });
      return;
    case 3:
      if (one?.kind === 'file') client.edit(one.entry, content, isRead);
      if (one?.kind === 'symlink') client.change(one.entry, { target: content });
      return;
    case 4:
      if (one?.kind === 'file') client.change(one.entry, { exec: !one.exec });
      return;
    case 5:
      if (one) client.remove(one.entry);
      return;
    case 6:
      if (one?.kind === 'file') client.touch(one.entry);
      return;
    case 7:
      if (one) swap(client, one, all[draw(all.length)]!);
      return;
    case 8:
      if (one) renameCase(client, one);
      return;
    case 9:
      if (one) replace(client, one, { kind: 'file', content }, isRead);
      return;
    case 10:
      if (one) replace(client, one, { kind: 'folder' }, true);
      return;
    default:
      if (one && isFree && !isInside(client, parent, one.entry)) client.move(one.entry, parent, name);
  }
}

function renameCase(client: ModelClient, row: LocalEntry): void {
  const name = nameHere(row);
  const other = name === name.toUpperCase() ? name.toLowerCase() : name.toUpperCase();
  const there = client.trees.localAt(row.parent, other);
  if (there === null || there.entry === row.entry) client.move(row.entry, row.parent, other);
}

/** Deleted and made anew under the same name, as the same kind of thing or another. */
function replace(client: ModelClient, row: LocalEntry, made: Made, isRead: boolean): void {
  client.remove(row.entry);
  client.make(row.parent, nameHere(row), made, isRead);
}

function swap(client: ModelClient, one: LocalEntry, other: LocalEntry): void {
  if (one.entry === other.entry || isInside(client, one.entry, other.entry) || isInside(client, other.entry, one.entry))
    return;
  client.move(one.entry, ROOT_ENTRY, 'between');
  client.move(other.entry, one.parent, nameHere(one));
  client.move(one.entry, other.parent, nameHere(other));
}

function isInside(client: ModelClient, inner: EntryId, outer: EntryId): boolean {
  for (let at = inner; at !== ROOT_ENTRY; at = client.trees.local(at)!.parent) if (at === outer) return true;
  return false;
}

function depthOf(client: ModelClient, folder: EntryId): number {
  let depth = 0;
  for (let at = folder; at !== ROOT_ENTRY; at = client.trees.local(at)!.parent) depth++;
  return depth;
}

/** Contents that this device wrote since `before`: no other can have seen them, so nobody can have meant to delete them. */
export function keptHere(client: ModelClient, before: Snapshot): string[] {
  const kept: string[] = [];
  // The same bytes as before, made anew, are no news to anybody: another's edit of them is made with knowledge of them.
  const known = new Set([...before.rows.values()].map(({ bytes }) => bytes));
  for (const row of client.trees.localRows.values()) {
    const bytes = client.bytes.get(row.entry);
    if (bytes !== undefined && !known.has(bytes)) kept.push(bytes);
  }
  return kept;
}

export function mustSurvive(
  world: ModelWorld,
  before: Snapshot,
  disks: readonly Snapshot[],
  written: readonly string[],
): void {
  const there = new Set(world.contents().map((text) => text.split(' ')[1]));
  for (const content of written) assert.ok(there.has(content), `${content} was written and is gone`);
  for (const [entry, row] of before.rows) {
    if (row.kind !== 'file' || !disks.every((disk) => disk.rows.get(entry)?.bytes === row.bytes)) continue;
    assert.ok(world.server.isLive(entry), `${row.name} was on every disk and is gone`);
    assert.equal(world.server.entries.get(entry)?.content?.contentId, row.bytes);
  }
}

/** A file that one deleted, and that no other touched or moved a folder above of, is gone. */
export function mustStayDeleted(world: ModelWorld, before: Snapshot, disks: readonly Snapshot[]): void {
  for (const [entry, row] of before.rows) {
    if (row.kind !== 'file' || disks.every((disk) => disk.rows.has(entry))) continue;
    if (disks.every((disk) => !disk.rows.has(entry) || isUntouched(entry, before, disk)))
      assert.ok(!world.server.isLive(entry), `${row.name} is back`);
  }
}

function isUntouched(entry: EntryId, before: Snapshot, disk: Snapshot): boolean {
  const was = before.rows.get(entry)!;
  const is = disk.rows.get(entry)!;
  if (was.bytes !== is.bytes || was.exec !== is.exec) return false;
  for (let at = entry; at !== ROOT_ENTRY; at = before.rows.get(at)!.parent) {
    const then = before.rows.get(at)!;
    const now = disk.rows.get(at);
    if (now?.parent !== then.parent || now.name !== then.name) return false;
  }
  return true;
}
