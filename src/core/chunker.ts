/**
 * Where a file's bytes are cut (normative: docs/on-disk.md, "Chunks"): content-defined with normalised sizes, so that an
 * insertion moves the cuts around it and no others.
 */
import { assert } from './assert.ts';
import type { Bytes } from './bytes.ts';
import { KIB, MIB } from './limits.ts';

/** one: every 512 KiB, for files that are one chunk. cdc-…: content-defined, with chunks of about that size. */
export type ChunkerKind = 'one' | 'cdc-512k' | 'cdc-2m';

type Sizes = {
  readonly bytesMin: number;
  /** Up to here a cut is made rarer, above it more frequent. */
  readonly bytesNormal: number;
  readonly bytesMax: number;
  /** How far the rolling hash is shifted so that only the bits that must be zero are left. */
  readonly shiftBelowNormal: number;
  readonly shiftAboveNormal: number;
};

const ONE_BYTES_MAX = 512 * KIB;
const SMALL_CHUNKS_FILE_BYTES_MAX = 4096 * MIB;
/** Bytes that the rolling 32-bit hash still knows of: a byte's last trace is shifted out after so many. */
const WINDOW_BYTES = 32;

const CDC = {
  'cdc-512k': sizes(128 * KIB, 512 * KIB, 2 * MIB, 19),
  'cdc-2m': sizes(512 * KIB, 2 * MIB, 8 * MIB, 21),
} as const;

/** Normalisation level 2: two more bits than the normal size's below it, two fewer above. */
function sizes(bytesMin: number, bytesNormal: number, bytesMax: number, bits: number): Sizes {
  return {
    bytesMin,
    bytesNormal,
    bytesMax,
    shiftBelowNormal: 32 - (bits + 2),
    shiftAboveNormal: 32 - (bits - 2),
  };
}

/** FORMAT: 256 numbers that look random, from a formula that anyone can repeat (the finaliser of MurmurHash3 over a Weyl sequence). */
export function makeGearTable(): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => {
    let x = Math.imul(byte + 1, 0x9e3779b9);
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return x ^ (x >>> 16);
  });
}

const GEAR = makeGearTable();

/** The chunker of a file that is first seen at this size (plain bytes). */
export function chunkerForSize(size: number): ChunkerKind {
  if (size <= ONE_BYTES_MAX) return 'one';
  return size <= SMALL_CHUNKS_FILE_BYTES_MAX ? 'cdc-512k' : 'cdc-2m';
}

/**
 * The chunker of an entry's next revision: it keeps the one it has, so that growing past a border re-cuts nothing. Only `one` is left
 * for another, since its cuts follow no content.
 */
export function chunkerForRevision(size: number, previous: ChunkerKind | null): ChunkerKind {
  return previous === null || previous === 'one' ? chunkerForSize(size) : previous;
}

/** No chunk is longer; a reader's buffer of this many bytes always holds the next one. */
export function chunkBytesMax(kind: ChunkerKind): number {
  return kind === 'one' ? ONE_BYTES_MAX : CDC[kind].bytesMax;
}

/**
 * The length of the chunk that begins at `start`, where `buffer[start..end)` are the file's next bytes; 0 where more of them are
 * needed to tell. `final`: the file ends at `end`. Hand it `chunkBytesMax` bytes, or all that are left, and it always answers at once.
 */
export function cutPoint(kind: ChunkerKind, buffer: Bytes, start: number, end: number, final: boolean): number {
  assert(start >= 0 && start <= end && end <= buffer.length, 'a range inside the buffer');
  const available = end - start;
  if (available >= chunkBytesMax(kind) || final) {
    const length = Math.min(available, chunkBytesMax(kind));
    return kind === 'one' ? length : cut(CDC[kind], buffer, start, length, length);
  }
  return kind === 'one' ? 0 : cut(CDC[kind], buffer, start, available, 0);
}

/** `otherwise`: the answer where no cut is found within `available` bytes. */
function cut(sizes: Sizes, buffer: Bytes, start: number, available: number, otherwise: number): number {
  if (available < sizes.bytesMin) return otherwise;
  // The first cut that may be judged lies behind byte `bytesMin - 1`; the bytes before it fill the window.
  let hash = 0;
  const first = start + sizes.bytesMin - 1;
  for (let i = first - WINDOW_BYTES + 1; i < first; i++) hash = (hash << 1) + (GEAR[buffer[i] as number] as number);
  const normal = start + Math.min(available, sizes.bytesNormal - 1);
  const end = start + Math.min(available, sizes.bytesMax);
  const found = scan(buffer, first, normal, hash, sizes.shiftBelowNormal);
  if (found.cut) return found.at - start;
  const foundAbove = scan(buffer, found.at, end, found.hash, sizes.shiftAboveNormal);
  return foundAbove.cut ? foundAbove.at - start : otherwise;
}

type Scan = { readonly cut: boolean; readonly at: number; readonly hash: number };

/** The one loop that touches every byte. Two at a time: the second look-up does not wait for the first comparison. */
function scan(buffer: Bytes, from: number, to: number, seed: number, shift: number): Scan {
  let hash = seed | 0;
  let i = from;
  for (; i + 1 < to; i += 2) {
    hash = ((hash << 1) + (GEAR[buffer[i] as number] as number)) | 0;
    if (hash >>> shift === 0) return { cut: true, at: i + 1, hash };
    hash = ((hash << 1) + (GEAR[buffer[i + 1] as number] as number)) | 0;
    if (hash >>> shift === 0) return { cut: true, at: i + 2, hash };
  }
  if (i < to) {
    hash = ((hash << 1) + (GEAR[buffer[i] as number] as number)) | 0;
    i++;
    if (hash >>> shift === 0) return { cut: true, at: i, hash };
  }
  return { cut: false, at: to, hash };
}
