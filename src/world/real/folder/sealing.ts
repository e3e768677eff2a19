/** Reading, cutting and sealing a large file from front to end, in steps of bounded size. */
import { chunkBytesMax, chunkerForRevision, cutPoint, type ChunkerKind } from '#core/chunker.ts';
import type { FileContent } from '#core/entry.ts';
import { id32Of, type BlockId, type ChunkHash } from '#core/ids.ts';
import { limits, MIB } from '#core/limits.ts';
import { openManifest, sealManifest, type ManifestChunk } from '#core/manifest.ts';
import { SEAL_OVERHEAD_BYTES } from '#core/seal.ts';
import type { FileSystem } from '../../file-system.ts';
import type { Failure, Stat } from '../../folder.ts';
import { failureOf } from './failure.ts';
import { readFully } from './file.ts';
import type { Grip } from './grip.ts';
import { openExpected, sealChunk, type ChunkSealer } from './seal.ts';
import type { Slices } from './slices.ts';
import { isUnchanged } from './stat.ts';

/** Read at once, beyond what the longest chunk needs. */
const WINDOW_BYTES = 2 * MIB;
/** Sealed at once: several such steps are on their way to the nodes at a time, each held by every process that it passes through. */
const SEALED_BYTES_PER_STEP_MAX = 2 * MIB;
/** Of chunks that need no sealing one step passes so many plain bytes at most, so that nobody else waits long. */
const PLAIN_BYTES_PER_STEP_MAX = 32 * MIB;

export type SealingStep =
  | {
      readonly kind: 'blocks';
      readonly blocks: readonly { readonly id: BlockId; readonly bytes: Uint8Array | null }[];
      readonly plainBytes: number;
    }
  | { readonly kind: 'end'; readonly content: FileContent; readonly manifest: Uint8Array; readonly stat: Stat }
  | { readonly kind: 'changed' }
  | Failure;

export class FileSealing {
  readonly #fs: FileSystem;
  readonly #sealer: ChunkSealer;
  readonly #fd: number;
  readonly #path: string;
  readonly #expect: Stat;
  readonly #chunker: ChunkerKind;
  readonly #previous: ReadonlyMap<ChunkHash, ManifestChunk>;
  /** Chunks of this very file that were handed out. */
  readonly #seen = new Map<ChunkHash, ManifestChunk>();
  readonly #chunks: ManifestChunk[] = [];
  readonly #buffer: Uint8Array;
  /** The unread part of the buffer, and where in the file its end lies. */
  #start = 0;
  #end = 0;
  #position = 0;

  private constructor(
    fs: FileSystem,
    sealer: ChunkSealer,
    fd: number,
    file: { readonly path: string; readonly expect: Stat },
    chunker: ChunkerKind,
    previous: readonly ManifestChunk[],
  ) {
    this.#fs = fs;
    this.#sealer = sealer;
    this.#fd = fd;
    this.#path = file.path;
    this.#expect = file.expect;
    this.#chunker = chunker;
    this.#previous = new Map(previous.map((chunk) => [chunk.chunkHash, chunk]));
    this.#buffer = new Uint8Array(Math.min(chunkBytesMax(chunker) + WINDOW_BYTES, Math.max(file.expect.size, 1)));
  }

  static *open(
    grip: Grip,
    file: { readonly path: string; readonly expect: Stat },
    sealer: ChunkSealer,
    previous: Uint8Array | null,
    nowMs: () => number,
  ): Slices<FileSealing | { readonly kind: 'changed' | 'missing' } | Failure> {
    try {
      const opened = yield* openExpected(grip, file.path, file.expect, nowMs);
      if (typeof opened !== 'number') return opened;
      // A manifest that does not open only costs sealing again what may be stored already.
      const old = previous === null ? null : openManifest(sealer.primitives, sealer.keyring, previous);
      const chunker = chunkerForRevision(file.expect.size, old?.chunker ?? null);
      return new FileSealing(grip.fs, sealer, opened, file, chunker, old?.chunks ?? []);
    } catch (error) {
      return failureOf(error, file.path);
    }
  }

  next(): SealingStep {
    try {
      return this.#step();
    } catch (error) {
      return failureOf(error, this.#path);
    }
  }

  close(): void {
    this.#fs.close(this.#fd);
  }

  #step(): SealingStep {
    if (!this.#isAsExpected()) return { kind: 'changed' };
    const blocks: { readonly id: BlockId; readonly bytes: Uint8Array | null }[] = [];
    let sealedBytes = 0;
    let plainBytes = 0;
    while (plainBytes < PLAIN_BYTES_PER_STEP_MAX && blocks.length < limits.batchBlocksMax) {
      const length = this.#nextLength();
      if (length === 'short') return { kind: 'changed' };
      if (length === 0) break;
      // Of what cannot be compressed a block may come out longer than this; its overhead is counted before it is made.
      if (sealedBytes > 0 && sealedBytes + length + SEAL_OVERHEAD_BYTES > SEALED_BYTES_PER_STEP_MAX) break;
      const block = this.#take(length);
      plainBytes += length;
      if (block === null) continue;
      blocks.push(block);
      sealedBytes += block.bytes?.length ?? 0;
    }
    if (plainBytes > 0) return { kind: 'blocks', blocks, plainBytes };
    return this.#finish();
  }

  #isAsExpected(): boolean {
    return isUnchanged(this.#expect, this.#fs.fstat(this.#fd));
  }

  /** Length of the next chunk, 0 at the end of the file, `short` where the file ends earlier than it did. */
  #nextLength(): number | 'short' {
    const final = () => this.#position === this.#expect.size;
    if (this.#end - this.#start < chunkBytesMax(this.#chunker) && !final()) {
      if (!this.#fill()) return 'short';
    }
    if (this.#start === this.#end) return 0;
    return cutPoint(this.#chunker, this.#buffer, this.#start, this.#end, final());
  }

  #fill(): boolean {
    this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    const wanted = Math.min(this.#buffer.length - this.#end, this.#expect.size - this.#position);
    const count = readFully(this.#fs, this.#fd, this.#buffer.subarray(this.#end), wanted, this.#position);
    this.#end += count;
    this.#position += count;
    return count === wanted;
  }

  /** Null where this file has had the same chunk before. */
  #take(length: number): { readonly id: BlockId; readonly bytes: Uint8Array | null } | null {
    const plain = this.#buffer.subarray(this.#start, this.#start + length);
    this.#start += length;
    const plainHash = this.#sealer.primitives.sha256(plain);
    const chunkHash = id32Of<ChunkHash>(plainHash);
    const seen = this.#seen.get(chunkHash);
    if (seen !== undefined) {
      this.#chunks.push(seen);
      return null;
    }
    const old = this.#previous.get(chunkHash);
    const made = old === undefined ? sealChunk(this.#sealer, plain, plainHash) : null;
    const chunk = made?.chunk ?? (old as ManifestChunk);
    this.#seen.set(chunkHash, chunk);
    this.#chunks.push(chunk);
    return { id: chunk.blockId, bytes: made?.block.bytes ?? null };
  }

  #finish(): SealingStep {
    const { primitives, keyring } = this.#sealer;
    const { size } = this.#expect;
    if (this.#chunks.length > limits.manifestChunksMax) {
      return { kind: 'failed', code: 'too_large', detail: 'the file has more chunks than a manifest can hold' };
    }
    const sealed = sealManifest(primitives, keyring, { size, chunker: this.#chunker, chunks: this.#chunks });
    const content = { contentId: sealed.contentId, manifestId: sealed.manifestId, size };
    return { kind: 'end', content, manifest: sealed.bytes, stat: this.#expect };
  }
}
