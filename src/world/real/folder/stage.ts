/**
 * A large file on its way in: `.holdfast/tmp/staged-<id>`, sparse, written block by block in any order. What a crash left of
 * it is believed only as far as its bytes hash to what the manifest says.
 */
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  statfsSync,
  unlinkSync,
} from 'node:fs';
import { equalBytes, type Bytes } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { idBytes, type ChunkHash } from '#core/ids.ts';
import { limits, MIB } from '#core/limits.ts';
import { openChunk, openManifest, type Manifest, type ManifestChunk } from '#core/manifest.ts';
import { hasErrno } from './failure.ts';
import { createFile, openToRead, openToWrite, readFully, writeFully } from './file.ts';
import { spotIn, type Grip, type Spot } from './grip.ts';
import { stagedName } from './own-names.ts';
import type { Made, Opener } from './place.ts';
import { statOfFile } from './stat.ts';

/** What is left free on the disk whatever arrives: the smaller of the two. */
const RESERVE_BYTES = 256 * MIB;
const RESERVE_SHARE = 0.01;
/** Between two of these others get their turn. */
const SLICE_BYTES = 32 * MIB;
/** What st_blocks counts in. */
const SECTOR_BYTES = 512;

export class Stage {
  readonly manifest: Manifest;
  readonly #opener: Opener;
  readonly #name: string;
  readonly #offsets: Float64Array;
  readonly #have: Uint8Array;
  /** Positions of each distinct chunk. */
  readonly #positions = new Map<ChunkHash, number[]>();
  /** True while what is not in `#have` reads as zeros: then zeros need not be written. */
  #isHollow = false;

  constructor(opener: Opener, id: string, manifest: Manifest) {
    this.manifest = manifest;
    this.#opener = opener;
    this.#name = stagedName(id);
    this.#offsets = new Float64Array(manifest.chunks.length);
    this.#have = new Uint8Array(manifest.chunks.length);
    let offset = 0;
    for (const [index, chunk] of manifest.chunks.entries()) {
      this.#offsets[index] = offset;
      offset += chunk.plainLength;
      const positions = this.#positions.get(chunk.chunkHash);
      if (positions === undefined) this.#positions.set(chunk.chunkHash, [index]);
      else positions.push(index);
    }
  }

  /** Makes the file or takes it up again; yields between slices of work. */
  *begin(grip: Grip, old: { readonly path: string; readonly manifest: Uint8Array } | null): Generator<void, void> {
    const spot = this.#spot(grip);
    const isNew = !this.#exists(spot);
    const oldFd = old === null ? null : openOld(grip, old.path);
    try {
      if (isNew) this.#create(spot, oldFd);
      const fd = openToWrite(spot.at);
      try {
        this.#reserve(fd, spot, isNew);
        yield* this.#verifyPresent(fd);
        if (oldFd !== null && old !== null) yield* this.#copyFrom(oldFd, old.manifest, fd);
      } finally {
        closeSync(fd);
      }
    } finally {
      if (oldFd !== null) closeSync(oldFd);
    }
  }

  /** The first position of each distinct chunk that is not there. */
  missing(): readonly number[] {
    const missing: number[] = [];
    for (const positions of this.#positions.values()) {
      const first = positions.find((index) => this.#have[index] === 0);
      if (first !== undefined) missing.push(first);
    }
    return missing.sort((left, right) => left - right);
  }

  /** Writes the block's chunk wherever the file has it. Throws `integrity`, with nothing of it written, where it is not what the manifest says. */
  write(fd: number, index: number, block: Bytes): void {
    const chunk = this.manifest.chunks[index];
    if (chunk === undefined) throw new HoldfastError('integrity', `the file has no block ${index}`);
    const plain = openChunk(this.#opener.primitives, this.#opener.keyring, chunk, block);
    if (plain === null) throw new HoldfastError('integrity', `block ${index} is not what the manifest says`);
    this.#put(fd, chunk.chunkHash, plain);
  }

  openToWrite(grip: Grip): number {
    return openToWrite(this.#spot(grip).at);
  }

  /** The finished file, for placing. Throws `block_missing` where it is not whole. */
  finished(grip: Grip): Made {
    const count = this.missing().length;
    if (count > 0) throw new HoldfastError('block_missing', `${count} blocks of the file have not arrived`);
    const spot = this.#spot(grip);
    return { spot, fd: openToWrite(spot.at), keep: true };
  }

  #spot(grip: Grip): Spot {
    return spotIn(grip.own('tmp'), this.#name);
  }

  #exists(spot: Spot): boolean {
    try {
      const fd = openToWrite(spot.at);
      closeSync(fd);
      return true;
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /** Where the file system can share blocks between files, the old file's are shared and patched: a small edit costs no second copy. */
  #create(spot: Spot, oldFd: number | null): void {
    if (oldFd !== null && process.platform === 'linux') {
      try {
        const mode = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE;
        copyFileSync(`/proc/self/fd/${oldFd}`, spot.at, mode);
        // The clone has the old file's mode, under which it may not be writable.
        return chmodSync(spot.at, 0o755);
      } catch (error) {
        if (hasErrno(error, 'ENOSPC', 'EDQUOT', 'EIO')) throw error;
        removeIfThere(spot.at);
      }
    }
    // The bits that the umask leaves are what the finished file starts from.
    closeSync(createFile(spot.at, 0o777));
  }

  #reserve(fd: number, spot: Spot, isNew: boolean): void {
    const { size } = this.manifest;
    const { size: present, blocks } = fstatSync(fd);
    const disk = statfsSync(spot.directory.at(''));
    const free = disk.bavail * disk.bsize;
    const reserve = Math.min(RESERVE_BYTES, disk.blocks * disk.bsize * RESERVE_SHARE);
    const needed = Math.max(0, size - blocks * SECTOR_BYTES);
    if (needed + reserve > free) {
      if (isNew) unlinkSync(spot.at);
      throw new HoldfastError('no_space', `the file needs ${needed} bytes more, and ${Math.floor(free)} are free`);
    }
    this.#isHollow = present === 0;
    if (present !== size) ftruncateSync(fd, size);
  }

  *#verifyPresent(fd: number): Generator<void, void> {
    if (this.#isHollow || fstatSync(fd).blocks === 0) return;
    const buffer = new Uint8Array(longestOf(this.manifest));
    let sliceBytes = 0;
    for (const [index, chunk] of this.manifest.chunks.entries()) {
      const bytes = buffer.subarray(0, chunk.plainLength);
      const count = readFully(fd, bytes, bytes.length, this.#offset(index));
      // A hole is not worth its hash, unless the chunk really is zeros; the block tells that soon enough.
      if (count === bytes.length && !isZero(bytes) && this.#matches(chunk, bytes)) this.#have[index] = 1;
      sliceBytes += bytes.length;
      if (sliceBytes < SLICE_BYTES) continue;
      sliceBytes = 0;
      yield;
    }
  }

  /** Chunks of the file's last version, wherever they were in it, as far as the local file still holds them. */
  *#copyFrom(oldFd: number, oldManifest: Uint8Array, fd: number): Generator<void, void> {
    const old = openManifest(this.#opener.primitives, this.#opener.keyring, oldManifest);
    if (old === null) return;
    const buffer = new Uint8Array(longestOf(old));
    let offset = 0;
    let sliceBytes = 0;
    for (const chunk of old.chunks) {
      const at = offset;
      offset += chunk.plainLength;
      const wanted = this.#positions.get(chunk.chunkHash);
      if (wanted === undefined || wanted.every((index) => this.#have[index] === 1)) continue;
      const bytes = buffer.subarray(0, chunk.plainLength);
      const count = readFully(oldFd, bytes, bytes.length, at);
      if (count === bytes.length && this.#matches(chunk, bytes)) this.#put(fd, chunk.chunkHash, bytes);
      sliceBytes += bytes.length;
      if (sliceBytes < SLICE_BYTES) continue;
      sliceBytes = 0;
      yield;
    }
  }

  #put(fd: number, chunkHash: ChunkHash, plain: Bytes): void {
    const skip = this.#isHollow && isZero(plain);
    for (const index of this.#positions.get(chunkHash) ?? []) {
      if (this.#have[index] === 1) continue;
      if (!skip) writeFully(fd, plain, this.#offset(index));
      this.#have[index] = 1;
    }
  }

  #matches(chunk: ManifestChunk, bytes: Bytes): boolean {
    return equalBytes(this.#opener.primitives.sha256(bytes), idBytes(chunk.chunkHash));
  }

  #offset(index: number): number {
    return this.#offsets[index] as number;
  }
}

function longestOf(manifest: Manifest): number {
  return manifest.chunks.reduce((longest, chunk) => Math.max(longest, chunk.plainLength), 0);
}

function openOld(grip: Grip, path: string): number | null {
  const spot = grip.spot(path);
  if (spot === null) return null;
  try {
    const fd = openToRead(spot.at);
    if (statOfFile(fd).kind === 'file') return fd;
    closeSync(fd);
    return null;
  } catch (error) {
    // Whatever keeps the old file from being read, its chunks can be fetched.
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM', 'ENXIO')) return null;
    throw error;
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
  }
}

let zeros = new Uint8Array(0);

function isZero(bytes: Bytes): boolean {
  if (bytes[0] !== 0) return false;
  if (zeros.length < bytes.length) zeros = new Uint8Array(Math.min(bytes.length, limits.blockDataBytesMax));
  return Buffer.compare(bytes, zeros.subarray(0, bytes.length)) === 0;
}
