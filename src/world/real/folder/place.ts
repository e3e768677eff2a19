/** Putting a verified file at its path: made aside, checked against its manifest, then linked or renamed in one step. */
import { closeSync, constants, fchmodSync, fstatSync, futimesSync, openSync, renameSync, unlinkSync } from 'node:fs';
import type { ContentId } from '#core/ids.ts';
import type { Keyring } from '#core/keyring.ts';
import { contentIdOf, openChunk, openManifest, type Manifest } from '#core/manifest.ts';
import type { Primitives } from '#core/primitives.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Stat, StepOutcome } from '../../folder.ts';
import { hasErrno } from './failure.ts';
import { createFile, openToRead, readFully, writeFully } from './file.ts';
import { spotIn, type Grip, type Spot } from './grip.ts';
import { linkedTo, movedOverPlaceholder } from './move.ts';
import { madeName } from './own-names.ts';
import { isUnchanged, statAt, statOf } from './stat.ts';
import type { Taking } from './take.ts';
import type { Unflushed } from './unflushed.ts';

/** Linux: see `folder-grip.ts`. */
const O_PATH = 0x20_0000;
const COPY_BYTES = 256 * 1024;
/** A time in seconds is a double: with this it comes back as the same microsecond. */
const HALF_STEP_US = 0.3;

export type Opener = { readonly primitives: Primitives; readonly keyring: Keyring };

/** A finished file in `.holdfast/tmp`, open. `keep`: it outlives an attempt to place it that comes to nothing. */
export type Made = { readonly spot: Spot; readonly fd: number; readonly keep: boolean };

/** Throws `integrity` unless the manifest opens and is that of the content. */
export function openExpectedManifest(opener: Opener, bytes: Uint8Array, contentId: ContentId): Manifest {
  const manifest = openManifest(opener.primitives, opener.keyring, bytes);
  if (manifest === null) throw new HoldfastError('integrity', 'the manifest of the file does not open');
  if (contentIdOf(opener.primitives, opener.keyring, manifest) === contentId) return manifest;
  throw new HoldfastError('integrity', 'the manifest is not that of the content');
}

/** Throws `integrity` where a block is not what the manifest says. Nothing is left behind then. */
export function makeFile(
  grip: Grip,
  opener: Opener,
  manifest: Manifest,
  blocks: readonly Uint8Array[],
  exec: boolean,
): Made {
  if (blocks.length !== manifest.chunks.length) {
    throw new HoldfastError('integrity', 'the manifest names another number of blocks than there are');
  }
  const spot = spotIn(grip.own('tmp'), madeName());
  const made = { spot, fd: createFile(spot.at, exec ? 0o777 : 0o666), keep: false };
  try {
    let position = 0;
    for (const [index, chunk] of manifest.chunks.entries()) {
      const plain = openChunk(opener.primitives, opener.keyring, chunk, blocks[index] as Uint8Array);
      if (plain === null) throw new HoldfastError('integrity', `block ${index} is not what the manifest says`);
      writeFully(made.fd, plain, position);
      position += plain.length;
    }
    return made;
  } catch (error) {
    dropMade(made);
    throw error;
  }
}

export function dropMade(made: Made): void {
  closeSync(made.fd);
  if (!made.keep) unlinkSync(made.spot.at);
}

export type Placing = {
  readonly taking: Taking;
  readonly unflushed: Unflushed;
};

/** Puts it at `to`, where `expect` must still be. Takes over `made`, whatever the outcome. */
export function placeMade(
  { taking, unflushed }: Placing,
  made: Made,
  to: Spot,
  path: string,
  step: { readonly expect: Stat | null; readonly mtimeUs: number; readonly exec: boolean },
): StepOutcome {
  const held = step.expect === null ? null : holdOpen(to);
  let placed = false;
  try {
    if (held !== null) keepMode(made.fd, held, step.exec);
    else if (made.keep && !step.exec) keepMode(made.fd, made.fd, false);
    setTime(made.fd, step.mtimeUs);
    const before = statOf(fstatSync(made.fd, { bigint: true }));
    placed = step.expect === null ? putWhereNothingIs(made, to) : putOver(made, to, step.expect);
    if (!placed) return { kind: 'stale' };
    unflushed.directory(to.directory);
    const after = statOf(fstatSync(made.fd, { bigint: true }));
    const recovered =
      held === null || step.expect === null ? null : recover({ taking, unflushed }, held, step.expect, to.name);
    // What others wrote into it since must show as a change of what was placed.
    const stat = { ...after, size: before.size, mtimeNs: before.mtimeNs };
    return recovered === null ? { kind: 'done', stat } : { kind: 'done', stat, recovered };
  } finally {
    if (held !== null) closeSync(held);
    if (placed) unflushed.file(path, made.fd);
    else dropMade(made);
  }
}

function putWhereNothingIs(made: Made, to: Spot): boolean {
  const linked = linkedTo(made.spot, to);
  if (linked === 'no_links') return movedOverPlaceholder(made.spot, to);
  if (linked) unlinkSync(made.spot.at);
  return linked;
}

function putOver(made: Made, to: Spot, expect: Stat): boolean {
  const now = statAt(to.at);
  if (now === null || now.kind !== 'file' || !isUnchanged(expect, now)) return false;
  try {
    renameSync(made.spot.at, to.at);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EISDIR', 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** Keeps the inode that is about to lose its name. Null where that is not possible: the moment between look and rename stays unwatched. */
function holdOpen(spot: Spot): number | null {
  try {
    if (process.platform === 'linux') return openSync(spot.at, O_PATH | constants.O_NOFOLLOW);
    return openToRead(spot.at);
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM')) return null;
    throw error;
  }
}

/** Bytes that were written to the replaced file after it was last looked at go to the trash. Answers with where they are. */
function recover({ taking, unflushed }: Placing, held: number, expect: Stat, name: string): string | null {
  const now = statOf(fstatSync(held, { bigint: true }));
  if (now.ino !== expect.ino || (now.size === expect.size && now.mtimeNs === expect.mtimeNs)) return null;
  const source = process.platform === 'linux' ? openSync(`/proc/self/fd/${held}`, constants.O_RDONLY) : held;
  const trash = taking.trashSpot(name);
  const copy = createFile(trash.at, 0o600);
  try {
    const buffer = new Uint8Array(COPY_BYTES);
    for (let position = 0; ; ) {
      const count = readFully(source, buffer, buffer.length, position);
      if (count === 0) break;
      writeFully(copy, buffer.subarray(0, count), position);
      position += count;
    }
  } finally {
    if (source !== held) closeSync(source);
  }
  const path = `${trash.directory.path}/${trash.name}`;
  unflushed.file(path, copy);
  unflushed.directory(trash.directory);
  return path;
}

/** The new file takes over who may read and write the old one; who may read may execute. */
function keepMode(fd: number, replaced: number, exec: boolean): void {
  const old = fstatSync(replaced).mode & 0o777;
  const mode = exec ? old | ((old & 0o444) >> 2) : old & ~0o111;
  if ((fstatSync(fd).mode & 0o777) !== mode) fchmodSync(fd, mode);
}

function setTime(fd: number, mtimeUs: number): void {
  // Node takes numbers below 0 for the present, but not dates.
  const time = mtimeUs < 0 ? new Date(Math.floor(mtimeUs / 1000)) : (mtimeUs + HALF_STEP_US) / 1e6;
  futimesSync(fd, new Date(), time);
}
