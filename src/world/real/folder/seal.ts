/** Reading, cutting and sealing small files, each in one go. A file that moves under the reader gives nothing. */
import type { Bytes } from '#core/bytes.ts';
import { chunkerForRevision, cutPoint, type ChunkerKind } from '#core/chunker.ts';
import { id32Of, type ChunkHash } from '#core/ids.ts';
import type { Keyring } from '#core/keyring.ts';
import { limits } from '#core/limits.ts';
import { sealManifest, type Manifest, type ManifestChunk } from '#core/manifest.ts';
import type { Primitives } from '#core/primitives.ts';
import { blockIdOf, sealData, type Compression } from '#core/seal.ts';
import type { FileSystem } from '../../file-system.ts';
import type { FileToSeal, SealedBlock, SealOutcome, Stat } from '../../folder.ts';
import { failureOf, hasErrno } from './failure.ts';
import type { Grip } from './grip.ts';
import type { Slices } from './slices.ts';
import { isUnchanged } from './stat.ts';

/**
 * Kernels before 6.13 stamp times with the last timer tick, 10 ms at most: a write within the tick of the one before it would not be seen.
 * Reading begins when the newest stamp is older than a tick.
 */
const TICK_MS = 12;

export type ChunkSealer = {
  readonly primitives: Primitives;
  readonly keyring: Keyring;
  readonly compression: Compression;
};

/** Seals one chunk under the current key. */
export function sealChunk(
  { primitives, keyring, compression }: ChunkSealer,
  plain: Bytes,
  plainHash: Bytes = primitives.sha256(plain),
): { readonly chunk: ManifestChunk; readonly block: SealedBlock } {
  const bytes = sealData(primitives, keyring.currentSealKey('data'), plain, { plainHash, compression });
  const id = blockIdOf(primitives, bytes);
  return {
    chunk: {
      blockId: id,
      storedLength: bytes.length,
      keyVersion: keyring.currentVersion,
      chunkHash: id32Of<ChunkHash>(plainHash),
      plainLength: plain.length,
    },
    block: { id, bytes },
  };
}

/** Holds the one buffer that small files are read into: made when first needed, and used again for every file. */
export class SmallFiles {
  readonly #primitives: Primitives;
  readonly #nowMs: () => number;
  #buffer: Uint8Array | null = null;

  constructor(primitives: Primitives, nowMs: () => number) {
    this.#primitives = primitives;
    this.#nowMs = nowMs;
  }

  *seal(grip: Grip, file: FileToSeal, keyring: Keyring): Slices<SealOutcome> {
    try {
      const opened = yield* openExpected(grip, file.path, file.expect, this.#nowMs);
      if (typeof opened !== 'number') return opened;
      try {
        return yield* this.#sealOpened(grip.fs, opened, file, keyring);
      } finally {
        grip.fs.close(opened);
      }
    } catch (error) {
      return failureOf(error, file.path);
    }
  }

  *#sealOpened(fs: FileSystem, fd: number, file: FileToSeal, keyring: Keyring): Slices<SealOutcome> {
    const { expect, compression = 'usual' } = file;
    if (expect.size > limits.batchBytesMax) {
      return { kind: 'failed', code: 'too_large', detail: 'the file is too large to be sealed in one step' };
    }
    this.#buffer ??= new Uint8Array(limits.batchBytesMax);
    const count = yield* readInTurns(fs, fd, this.#buffer, expect.size);
    if (count !== expect.size || !isUnchanged(expect, fs.fstat(fd))) return { kind: 'changed' };
    const sealer = { primitives: this.#primitives, keyring, compression };
    const sealed = sealPlain(sealer, this.#buffer.subarray(0, count));
    const { bytes, manifestId, contentId } = sealManifest(this.#primitives, keyring, sealed.manifest);
    return {
      kind: 'sealed',
      content: { contentId, manifestId, size: count },
      manifest: bytes,
      blocks: sealed.blocks,
      stat: expect,
    };
  }
}

/** From the start; whoever writes meanwhile may do so between any two calls. */
function* readInTurns(fs: FileSystem, fd: number, into: Uint8Array, length: number): Slices<number> {
  let done = 0;
  while (done < length) {
    yield;
    const count = fs.read(fd, into, done, length - done, done);
    if (count === 0) break;
    done += count;
  }
  yield;
  return done;
}

/** An open file that is still what was expected, or why there is none. */
export function* openExpected(
  grip: Grip,
  path: string,
  expect: Stat,
  nowMs: () => number,
): Slices<number | { readonly kind: 'changed' } | { readonly kind: 'missing' }> {
  const { fs } = grip;
  const spot = grip.spot(path);
  if (spot === null) return { kind: 'missing' };
  let fd: number;
  try {
    fd = fs.open(spot.at, 'read');
  } catch (error) {
    // ENXIO: a socket.
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EMLINK', 'ENXIO')) return { kind: 'missing' };
    throw error;
  }
  const now = fs.fstat(fd);
  if (now.kind === 'file' && isUnchanged(expect, now)) {
    const pause = untilTick(now, nowMs());
    if (pause > 0) yield pause;
    return fd;
  }
  fs.close(fd);
  return { kind: now.kind === 'file' ? 'changed' : 'missing' };
}

function untilTick(stat: Stat, nowMs: number): number {
  const ageMs = nowMs - Number(stat.ctimeNs / 1_000_000n);
  // A stamp from the future is another machine's, or the clock was set back: no wait would help.
  return ageMs < 0 || ageMs >= TICK_MS ? 0 : TICK_MS - ageMs;
}

function sealPlain(
  sealer: ChunkSealer,
  plain: Bytes,
): { readonly manifest: Manifest; readonly blocks: readonly SealedBlock[] } {
  const chunker: ChunkerKind = chunkerForRevision(plain.length, null);
  const chunks: ManifestChunk[] = [];
  const blocks = new Map<ChunkHash, { readonly chunk: ManifestChunk; readonly block: SealedBlock }>();
  for (let start = 0; start < plain.length; ) {
    const length = cutPoint(chunker, plain, start, plain.length, true);
    const piece = plain.subarray(start, start + length);
    const plainHash = sealer.primitives.sha256(piece);
    const chunkHash = id32Of<ChunkHash>(plainHash);
    const known = blocks.get(chunkHash) ?? sealChunk(sealer, piece, plainHash);
    blocks.set(chunkHash, known);
    chunks.push(known.chunk);
    start += length;
  }
  return { manifest: { size: plain.length, chunker, chunks }, blocks: [...blocks.values()].map(({ block }) => block) };
}
