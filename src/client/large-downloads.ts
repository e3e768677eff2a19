/**
 * Files too large to hold, fetched beside the engine's loop into a staged copy; the next plan places what is complete. A staged copy
 * outlives a crash, and takes what it can from the old local file.
 */
import { HoldfastError } from '#core/errors.ts';
import type { Entry } from '#core/entry.ts';
import type { EntryId, ManifestId } from '#core/ids.ts';
import { parseManifestPublic } from '#core/manifest.ts';
import { limits, MIB } from '#core/limits.ts';
import { failureOfOne, type Device } from './device.ts';
import { isOutage } from './line.ts';
import { fetchBlocks, fetchManifest } from './manifests.ts';

const RUNNING_MAX = 2;
/** Requests for blocks of one file under way: each answer holds a batch of sealed bytes. */
const REQUESTS_MAX = 2;
/** Asked for at once: every process that it passes through holds it for a while. */
const WINDOW_BYTES_MAX = 2 * MIB;

export type Staged = { readonly stage: string; readonly manifestId: ManifestId; readonly manifest: Uint8Array };

export class LargeDownloads {
  readonly #device: Device;
  readonly #running = new Map<EntryId, Promise<void>>();
  readonly #queued = new Set<EntryId>();
  readonly #done = new Map<EntryId, Staged>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** The complete staged copy of this very content, if there is one. */
  staged(entry: EntryId, manifestId: ManifestId): Staged | null {
    const done = this.#done.get(entry);
    return done?.manifestId === manifestId ? done : null;
  }

  get running(): number {
    return this.#running.size;
  }

  /** It was placed, or something is wrong with it. */
  forget(entry: EntryId): void {
    this.#done.delete(entry);
    this.#device.state.sql.prepare('DELETE FROM staging WHERE entry = ?').run(entry);
  }

  /** Begins it where there is room; the entry is held until it ends, and planned again then. */
  begin(remote: Entry): void {
    const { deferrals, wake } = this.#device;
    deferrals.hold(remote.entry);
    if (this.#running.has(remote.entry)) return;
    if (this.#running.size >= RUNNING_MAX) {
      this.#queued.add(remote.entry);
      return;
    }
    const run = this.#run(remote).finally(() => {
      this.#running.delete(remote.entry);
      for (const queued of this.#queued) deferrals.wake(queued);
      this.#queued.clear();
      wake.call();
    });
    this.#running.set(remote.entry, run);
  }

  async ended(): Promise<void> {
    await Promise.allSettled(this.#running.values());
  }

  async #run(remote: Entry): Promise<void> {
    const { deferrals, trees, problems, signal, log } = this.#device;
    const { entry } = remote;
    try {
      await this.#download(remote);
      deferrals.wake(entry);
      problems.clear(entry);
    } catch (error) {
      if (signal.aborted) return;
      const failure = failureOfOne(error);
      if (failure) deferrals.failed(entry, trees.pathForPeople(entry), failure.code, failure.message);
      else deferrals.retry(entry);
      if (!failure && !isOutage(error)) log.error('a download failed for no known reason', { error: String(error) });
    }
  }

  async #download(remote: Entry): Promise<void> {
    const { folder, line, space, signal, keys } = this.#device;
    const { entry, content } = remote;
    if (!content) return;
    const manifest = await fetchManifest(line, space, content.manifestId, signal);
    const stage = `${entry}-${content.manifestId.slice(0, 16)}`;
    this.#remember(entry, stage);
    const begun = await folder.stage(stage, manifest, content.contentId, await this.#old(entry), keys());
    if (begun.kind === 'failed') throw new HoldfastError(begun.code, begun.detail);
    await this.#fetch(stage, content.manifestId, begun.missing, lengthsOf(manifest));
    this.#done.set(entry, { stage, manifestId: content.manifestId, manifest });
  }

  async #fetch(
    stage: string,
    manifestId: ManifestId,
    missing: readonly number[],
    lengths: (index: number) => number,
  ): Promise<void> {
    const windows = windowsOf(missing, lengths);
    const failures: unknown[] = [];
    let at = 0;
    const worker = async () => {
      for (let window = windows[at++]; window; window = windows[at++]) {
        if (failures.length > 0) return;
        await this.#fetchWindow(stage, manifestId, window);
      }
    };
    const workers = Array.from({ length: Math.min(REQUESTS_MAX, windows.length) }, () =>
      worker().catch((error: unknown) => void failures.push(error)),
    );
    await Promise.all(workers);
    if (failures.length > 0) throw failures[0];
  }

  async #fetchWindow(stage: string, manifestId: ManifestId, window: readonly number[]): Promise<void> {
    const { folder, line, space, signal } = this.#device;
    let left = window;
    while (left.length > 0) {
      const blocks = await fetchBlocks(line, space, manifestId, left, signal);
      const written = await folder.stageBlocks(stage, blocks);
      if (written.kind === 'failed') throw new HoldfastError(written.code, written.detail);
      left = left.slice(blocks.length);
    }
  }

  /** The local file, where its bytes are those of a manifest that the server still has. */
  async #old(entry: EntryId): Promise<{ readonly path: string; readonly manifest: Uint8Array } | null> {
    const { trees, line, space, signal } = this.#device;
    const synced = trees.synced(entry);
    const local = trees.local(entry);
    const path = trees.localPath(entry);
    if (!synced?.manifestId || local?.contentId !== synced.contentId || path === null) return null;
    try {
      return { path, manifest: await fetchManifest(line, space, synced.manifestId, signal) };
    } catch (error) {
      if (failureOfOne(error)) return null;
      throw error;
    }
  }

  #remember(entry: EntryId, stage: string): void {
    const { state } = this.#device;
    state.transaction(() => {
      state.sql.prepare('INSERT OR REPLACE INTO staging VALUES (?, ?)').run(entry, stage);
    });
  }
}

/** Of sealed blocks, by position. */
export function lengthsOf(manifest: Uint8Array): (index: number) => number {
  const blocks = parseManifestPublic(manifest)?.blocks ?? [];
  return (index) => blocks[index]?.storedLength ?? 0;
}

/** Positions in runs whose blocks fit into one answer. */
export function windowsOf(indexes: readonly number[], lengths: (index: number) => number): number[][] {
  const windows: number[][] = [];
  let window: number[] = [];
  let bytes = 0;
  for (const index of indexes) {
    const length = lengths(index);
    if (window.length > 0 && (bytes + length > WINDOW_BYTES_MAX || window.length >= limits.batchBlocksMax)) {
      windows.push(window);
      window = [];
      bytes = 0;
    }
    window.push(index);
    bytes += length;
  }
  if (window.length > 0) windows.push(window);
  return windows;
}
