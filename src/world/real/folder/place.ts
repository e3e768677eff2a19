/** Putting a verified file at its path: made aside, checked against its manifest, then linked or renamed in one step. */
import type { ContentId } from '#core/ids.ts';
import type { Keyring } from '#core/keyring.ts';
import { contentIdOf, openChunk, openManifest, type Manifest } from '#core/manifest.ts';
import type { Primitives } from '#core/primitives.ts';
import { HoldfastError } from '#core/errors.ts';
import type { FileSystem } from '../../file-system.ts';
import type { Stat, StepOutcome } from '../../folder.ts';
import { hasErrno } from './failure.ts';
import { readFully, writeFully } from './file.ts';
import type { Spot } from './grip.ts';
import { linkedTo, movedWhereNothingIs } from './move.ts';
import { isUnchanged } from './stat.ts';
import type { Taking } from './take.ts';
import type { Unflushed } from './unflushed.ts';

const COPY_BYTES = 256 * 1024;

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

/** At the free place `spot`. Throws `integrity` where a block is not what the manifest says. Nothing is left behind then. */
export function makeFile(
  fs: FileSystem,
  spot: Spot,
  opener: Opener,
  manifest: Manifest,
  blocks: readonly Uint8Array[],
  exec: boolean,
): Made {
  if (blocks.length !== manifest.chunks.length) {
    throw new HoldfastError('integrity', 'the manifest names another number of blocks than there are');
  }
  const made = { spot, fd: fs.open(spot.at, 'create', exec ? 0o777 : 0o666), keep: false };
  try {
    let position = 0;
    for (const [index, chunk] of manifest.chunks.entries()) {
      const plain = openChunk(opener.primitives, opener.keyring, chunk, blocks[index] as Uint8Array);
      if (plain === null) throw new HoldfastError('integrity', `block ${index} is not what the manifest says`);
      writeFully(fs, made.fd, plain, position);
      position += plain.length;
    }
    return made;
  } catch (error) {
    dropMade(fs, made);
    throw error;
  }
}

export function dropMade(fs: FileSystem, made: Made): void {
  fs.close(made.fd);
  if (!made.keep) fs.unlink(made.spot.at);
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
  const { fs } = taking;
  const held = step.expect === null ? null : holdOpen(fs, to);
  let placed = false;
  try {
    if (held !== null) keepMode(fs, made.fd, held, step.exec);
    else if (made.keep && !step.exec) keepMode(fs, made.fd, made.fd, false);
    fs.futimes(made.fd, step.mtimeUs);
    const before = fs.fstat(made.fd);
    placed = step.expect === null ? putWhereNothingIs(fs, made, to) : putOver(fs, made, to, step.expect);
    if (!placed) return { kind: 'stale' };
    unflushed.directory(to.directory);
    const after = fs.fstat(made.fd);
    const recovered =
      held === null || step.expect === null ? null : recover({ taking, unflushed }, held, step.expect, to.name);
    // What others wrote into it since must show as a change of what was placed.
    const stat = { ...after, size: before.size, mtimeNs: before.mtimeNs };
    return recovered === null ? { kind: 'done', stat } : { kind: 'done', stat, recovered };
  } finally {
    if (held !== null) fs.close(held);
    if (placed) unflushed.file(path, made.fd);
    else dropMade(fs, made);
  }
}

function putWhereNothingIs(fs: FileSystem, made: Made, to: Spot): boolean {
  const linked = linkedTo(fs, made.spot, to);
  if (linked === 'no_links') return movedWhereNothingIs(fs, made.spot, to);
  if (linked) fs.unlink(made.spot.at);
  return linked;
}

function putOver(fs: FileSystem, made: Made, to: Spot, expect: Stat): boolean {
  const now = fs.lstat(to.at);
  if (now === null || now.kind !== 'file' || !isUnchanged(expect, now)) return false;
  try {
    fs.rename(made.spot.at, to.at);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EISDIR', 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** Keeps the inode that is about to lose its name. Null where that is not possible: the moment between look and rename stays unwatched. */
function holdOpen(fs: FileSystem, spot: Spot): number | null {
  try {
    return fs.open(spot.at, fs.traits.holds ? 'hold' : 'read');
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM')) return null;
    throw error;
  }
}

/** Bytes that were written to the replaced file after it was last looked at go to the trash. Answers with where they are. */
function recover({ taking, unflushed }: Placing, held: number, expect: Stat, name: string): string | null {
  const { fs } = taking;
  const now = fs.fstat(held);
  if (now.ino !== expect.ino || (now.size === expect.size && now.mtimeNs === expect.mtimeNs)) return null;
  const source = fs.traits.holds ? fs.reopen(held) : held;
  const trash = taking.trashSpot(name);
  const copy = fs.open(trash.at, 'create', 0o600);
  try {
    const buffer = new Uint8Array(COPY_BYTES);
    for (let position = 0; ; ) {
      const count = readFully(fs, source, buffer, buffer.length, position);
      if (count === 0) break;
      writeFully(fs, copy, buffer.subarray(0, count), position);
      position += count;
    }
  } finally {
    if (source !== held) fs.close(source);
  }
  const path = `${trash.directory.path}/${trash.name}`;
  unflushed.file(path, copy);
  unflushed.directory(trash.directory);
  return path;
}

/** The new file takes over who may read and write the old one; who may read may execute. */
function keepMode(fs: FileSystem, fd: number, replaced: number, exec: boolean): void {
  const old = fs.modeOf(replaced);
  const mode = exec ? old | ((old & 0o444) >> 2) : old & ~0o111;
  if (fs.modeOf(fd) !== mode) fs.fchmod(fd, mode);
}
