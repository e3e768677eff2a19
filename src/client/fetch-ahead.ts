/** Contents of small files for a run of downloads: a few requests ahead of the disk, in its order. */
import type { Entry } from '#core/entry.ts';
import { HoldfastError } from '#core/errors.ts';
import type { ManifestId, SpaceId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { fetchContents, type Asker, type Fetched } from './manifests.ts';

const AHEAD = 3;
const FILES_MAX = 500;
/** A seal adds little to a small file, and compression usually takes more away. */
const SEAL_BYTES = 80;

export class FetchAhead {
  readonly #asker: Asker;
  readonly #space: SpaceId;
  readonly #signal: AbortSignal;
  readonly #chunks: readonly (readonly Entry[])[];
  readonly #answers: Promise<Map<ManifestId, Fetched>>[] = [];

  constructor(asker: Asker, space: SpaceId, entries: readonly Entry[], signal: AbortSignal) {
    this.#asker = asker;
    this.#space = space;
    this.#signal = signal;
    this.#chunks = chunksOf(entries);
  }

  /** Entries of each chunk. */
  get chunks(): readonly (readonly Entry[])[] {
    return this.#chunks;
  }

  /** Contents of a chunk; the next ones are asked for meanwhile. */
  async take(chunk: number): Promise<Map<ManifestId, Fetched>> {
    for (let at = this.#answers.length; at < Math.min(chunk + AHEAD, this.#chunks.length); at++) {
      const answer = this.#fetch(this.#chunks[at] ?? []);
      // Whoever takes it hears of a rejection.
      answer.catch(() => {});
      this.#answers.push(answer);
    }
    return await (this.#answers[chunk] ?? new Map());
  }

  async #fetch(entries: readonly Entry[]): Promise<Map<ManifestId, Fetched>> {
    const results = new Map<ManifestId, Fetched>();
    let missing = [...new Set(entries.flatMap((entry) => entry.content?.manifestId ?? []))];
    while (missing.length > 0) {
      const fetched = await fetchContents(this.#asker, this.#space, missing, limits.batchBytesMax, this.#signal);
      const again: ManifestId[] = [];
      missing.forEach((id, index) => {
        const one = fetched[index];
        if (!one) return;
        if (one.kind === 'found' && one.blocks === null) again.push(id);
        else results.set(id, one);
      });
      if (again.length === missing.length) {
        const error = new HoldfastError('integrity', 'the server sends less than a small file');
        for (const id of again) results.set(id, { kind: 'failed', error });
        break;
      }
      missing = again;
    }
    return results;
  }
}

function chunksOf(entries: readonly Entry[]): Entry[][] {
  const chunks: Entry[][] = [];
  let chunk: Entry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const length = (entry.content?.size ?? 0) + SEAL_BYTES;
    if (chunk.length > 0 && (bytes + length > limits.batchBytesMax || chunk.length >= FILES_MAX)) {
      chunks.push(chunk);
      chunk = [];
      bytes = 0;
    }
    chunk.push(entry);
    bytes += length;
  }
  if (chunk.length > 0) chunks.push(chunk);
  return chunks;
}
