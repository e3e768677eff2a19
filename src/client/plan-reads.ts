/** Reads that a plan asks for because nothing can be decided before the local bytes are known. */
import type { EntryId, ManifestId } from '#core/ids.ts';
import type { ReadAction } from '#core/plan.ts';
import { HoldfastError } from '#core/errors.ts';
import { failureOfOne, type Device } from './device.ts';
import { fetchManifest } from './manifests.ts';
import { BATCH_PLAIN_BYTES_MAX, fileSize, SMALL_BYTES_MAX, type Reader, type ReadOrder } from './reader.ts';
import { isRacy, parseStat } from './stat-text.ts';

export class PlanReads {
  readonly #device: Device;
  readonly #reader: Reader;
  readonly #lookAt: (path: string) => void;

  constructor(device: Device, reader: Reader, lookAt: (path: string) => void) {
    this.#device = device;
    this.#reader = reader;
    this.#lookAt = lookAt;
  }

  /**
   * Every entry is planned again afterwards, whatever came of it: `again`. `likes`: manifests that files may be equal to, where not their own. Of how
   * many the bytes are known now.
   */
  async carryOut(
    reads: readonly ReadAction[],
    again: Set<EntryId>,
    likes: ReadonlyMap<EntryId, ManifestId> = new Map(),
  ): Promise<number> {
    const { trees, deferrals } = this.#device;
    let batch: ReadOrder[] = [];
    let bytes = 0;
    let known = 0;
    for (const { entry } of reads) {
      again.add(entry);
      const row = trees.local(entry);
      const path = trees.localPath(entry);
      if (row?.kind !== 'file' || path === null) {
        // There is nothing to read where the tree does not reach it: what is asked for again at once would be asked for for ever.
        deferrals.retry(entry);
        continue;
      }
      const size = fileSize(row);
      if (size > SMALL_BYTES_MAX) {
        if (await this.#readLarge({ row, path }, likes.get(entry) ?? this.#comparedWith(entry))) known++;
        continue;
      }
      if (bytes + size > BATCH_PLAIN_BYTES_MAX || batch.length >= 1000) {
        known += await this.#readSmall(batch);
        batch = [];
        bytes = 0;
      }
      batch.push({ row, path });
      bytes += size;
    }
    if (batch.length > 0) known += await this.#readSmall(batch);
    return known;
  }

  async #readSmall(batch: readonly ReadOrder[]): Promise<number> {
    const { state, trees } = this.#device;
    const results = await this.#reader.read(batch);
    let known = 0;
    state.transaction(() => {
      for (const [entry, read] of results) {
        if (!read) continue;
        trees.setLocalContent(entry, read.sealed.content.contentId, read.racy);
        this.#reader.keep(entry, read);
        known++;
      }
    });
    return known;
  }

  /** Cut as the version is that it is compared with: else equal bytes would not look equal. */
  async #readLarge({ row, path }: ReadOrder, like: ManifestId | null): Promise<boolean> {
    const { folder, keys, clock, signal, state, trees, deferrals } = this.#device;
    const startedMs = clock.nowMs();
    const previous = like && (await this.#manifest(like));
    const sealing = await folder.openSealing({ path, expect: parseStat(row.stat) }, keys(), previous);
    if (!('next' in sealing)) {
      this.#lookAt(path);
      if (sealing.kind === 'failed') deferrals.failed(row.entry, path, sealing.code, sealing.detail);
      else deferrals.retry(row.entry);
      return false;
    }
    try {
      for (;;) {
        const step = await sealing.next(signal);
        if (step.kind === 'blocks') continue;
        if (step.kind === 'failed') throw new HoldfastError(step.code, step.detail);
        if (step.kind === 'changed') {
          this.#lookAt(path);
          deferrals.retry(row.entry);
          return false;
        }
        const { content, stat } = step;
        state.transaction(() => trees.setLocalContent(row.entry, content.contentId, isRacy(stat, startedMs)));
        return true;
      }
    } catch (error) {
      const failure = failureOfOne(error);
      if (!failure) throw error;
      deferrals.failed(row.entry, path, failure.code, failure.message);
      return false;
    } finally {
      await sealing.close();
    }
  }

  #comparedWith(entry: EntryId): ManifestId | null {
    const { trees } = this.#device;
    const local = trees.local(entry);
    const remote = trees.remote(entry) ?? (local ? trees.remoteAt(local.parent, local.name) : null);
    return remote?.content?.manifestId ?? null;
  }

  async #manifest(manifestId: ManifestId): Promise<Uint8Array | null> {
    const { line, space, signal } = this.#device;
    try {
      return await fetchManifest(line, space, manifestId, signal);
    } catch (error) {
      if (failureOfOne(error)) return null;
      throw error;
    }
  }
}
