/**
 * A large file on its way in: `.holdfast/tmp/staged-<id>`, sparse, written block by block in any order. What a crash left of
 * it is believed only as far as its bytes hash to what the manifest says.
 */
import { equalBytes, type Bytes } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { idBytes, type ChunkHash } from '#core/ids.ts';
import { limits, MIB } from '#core/limits.ts';
import { openChunk, openManifest, type Manifest, type ManifestChunk } from '#core/manifest.ts';
import { hasErrno } from './failure.ts';
import { readFully, writeFully } from './file.ts';
import { spotIn, type Grip, type Spot } from './grip.ts';
import { stagedName } from './own-names.ts';
import type { Made, Opener } from './place.ts';
import type { Slices } from './slices.ts';
import type { FileSystem } from '../../file-system.ts';

/** What is left free on the disk whatever arrives: the smaller of the two. */
const RESERVE_BYTES = 256 * MIB;
const RESERVE_SHARE = 0.01;
/** Between two of these others get their turn. */
const SLICE_BYTES = 32 * MIB;

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
  *begin(grip: Grip, old: { readonly path: string; readonly manifest: Uint8Array } | null): Slices<void> {
    const { fs } = grip;
    const spot = this.#spot(grip);
    const isNew = !exists(fs, spot);
    const oldFd = old === null ? null : openOld(grip, old.path);
    try {
      if (isNew) create(fs, spot, oldFd);
      const fd = fs.open(spot.at, 'write');
      try {
        this.#reserve(fs, fd, spot, isNew);
        yield* this.#verifyPresent(fs, fd);
        if (oldFd !== null && old !== null) yield* this.#copyFrom(fs, oldFd, old.manifest, fd);
      } finally {
        fs.close(fd);
      }
    } finally {
      if (oldFd !== null) fs.close(oldFd);
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
  write(fs: FileSystem, fd: number, index: number, block: Bytes): void {
    const chunk = this.manifest.chunks[index];
    if (chunk === undefined) throw new HoldfastError('integrity', `the file has no block ${index}`);
    const plain = openChunk(this.#opener.primitives, this.#opener.keyring, chunk, block);
    if (plain === null) throw new HoldfastError('integrity', `block ${index} is not what the manifest says`);
    this.#put(fs, fd, chunk.chunkHash, plain);
  }

  openToWrite(grip: Grip): number {
    return grip.fs.open(this.#spot(grip).at, 'write');
  }

  /** The finished file, for placing. Throws `block_missing` where it is not whole. */
  finished(grip: Grip): Made {
    const count = this.missing().length;
    if (count > 0) throw new HoldfastError('block_missing', `${count} blocks of the file have not arrived`);
    const spot = this.#spot(grip);
    return { spot, fd: grip.fs.open(spot.at, 'write'), keep: true };
  }

  #spot(grip: Grip): Spot {
    return spotIn(grip.own('tmp'), this.#name);
  }

  #reserve(fs: FileSystem, fd: number, spot: Spot, isNew: boolean): void {
    const { size } = this.manifest;
    const present = fs.fstat(fd).size;
    const { freeBytes, totalBytes } = fs.spaceOf(spot.directory.at(''));
    const reserve = Math.min(RESERVE_BYTES, totalBytes * RESERVE_SHARE);
    const needed = Math.max(0, size - fs.roomOf(fd));
    if (needed + reserve > freeBytes) {
      if (isNew) fs.unlink(spot.at);
      throw new HoldfastError('no_space', `the file needs ${needed} bytes more, and ${Math.floor(freeBytes)} are free`);
    }
    this.#isHollow = present === 0;
    if (present !== size) fs.ftruncate(fd, size);
  }

  *#verifyPresent(fs: FileSystem, fd: number): Slices<void> {
    if (this.#isHollow || fs.roomOf(fd) === 0) return;
    const buffer = new Uint8Array(longestOf(this.manifest));
    let sliceBytes = 0;
    for (const [index, chunk] of this.manifest.chunks.entries()) {
      const bytes = buffer.subarray(0, chunk.plainLength);
      const count = readFully(fs, fd, bytes, bytes.length, this.#offset(index));
      // A hole is not worth its hash, unless the chunk really is zeros; the block tells that soon enough.
      if (count === bytes.length && !isZero(bytes) && this.#matches(chunk, bytes)) this.#have[index] = 1;
      sliceBytes += bytes.length;
      if (sliceBytes < SLICE_BYTES) continue;
      sliceBytes = 0;
      yield;
    }
  }

  /** Chunks of the file's last version, wherever they were in it, as far as the local file still holds them. */
  *#copyFrom(fs: FileSystem, oldFd: number, oldManifest: Uint8Array, fd: number): Slices<void> {
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
      const count = readFully(fs, oldFd, bytes, bytes.length, at);
      if (count === bytes.length && this.#matches(chunk, bytes)) this.#put(fs, fd, chunk.chunkHash, bytes);
      sliceBytes += bytes.length;
      if (sliceBytes < SLICE_BYTES) continue;
      sliceBytes = 0;
      yield;
    }
  }

  #put(fs: FileSystem, fd: number, chunkHash: ChunkHash, plain: Bytes): void {
    const skip = this.#isHollow && isZero(plain);
    for (const index of this.#positions.get(chunkHash) ?? []) {
      if (this.#have[index] === 1) continue;
      if (!skip) writeFully(fs, fd, plain, this.#offset(index));
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

function exists(fs: FileSystem, spot: Spot): boolean {
  try {
    fs.close(fs.open(spot.at, 'write'));
    return true;
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Where the file system can share blocks between files, the old file's are shared and patched: a small edit costs no second copy. */
function create(fs: FileSystem, spot: Spot, oldFd: number | null): void {
  if (oldFd !== null && fs.traits.holds) {
    try {
      return fs.clone(oldFd, spot.at, 0o755);
    } catch (error) {
      if (hasErrno(error, 'ENOSPC', 'EDQUOT', 'EIO')) throw error;
      removeIfThere(fs, spot.at);
    }
  }
  // The bits that the umask leaves are what the finished file starts from.
  fs.close(fs.open(spot.at, 'create', 0o777));
}

function openOld(grip: Grip, path: string): number | null {
  const { fs } = grip;
  const spot = grip.spot(path);
  if (spot === null) return null;
  try {
    const fd = fs.open(spot.at, 'read');
    if (fs.fstat(fd).kind === 'file') return fd;
    fs.close(fd);
    return null;
  } catch (error) {
    // Whatever keeps the old file from being read, its chunks can be fetched.
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM', 'ENXIO')) return null;
    throw error;
  }
}

function removeIfThere(fs: FileSystem, path: string): void {
  try {
    fs.unlink(path);
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
