/**
 * Files too large for one commit, sealed and sent beside the engine's loop: prepare, then window after window need and put. What is
 * complete waits for the commit that the next plan makes. The upload id outlives a crash: what was put before is not sent again.
 */
import type { FileContent } from '#core/entry.ts';
import { HoldfastError, hasCode } from '#core/errors.ts';
import type { BlockId, EntryId, UploadId } from '#core/ids.ts';
import { abandon, need, prepare, put } from '#protocol/sync.ts';
import { limits } from '#core/limits.ts';
import type { Sealing } from '#world/folder.ts';
import { failureOfOne, freshId, type Device } from './device.ts';
import { isOutage } from './line.ts';
import { fetchManifest } from './manifests.ts';
import { isRacy, parseStat, statText } from './stat-text.ts';

const RUNNING_MAX = 2;
/** Puts of one file under way: each holds a window of sealed bytes. */
const PUTS_MAX = 2;

export type Uploaded = {
  readonly upload: UploadId;
  readonly stat: string;
  readonly racy: boolean;
  readonly content: FileContent;
  readonly manifest: Uint8Array;
};

/** `subject`: the local entry that the bytes are read from. `target`: the entry that they become. */
export type UploadOrder = {
  readonly subject: EntryId;
  readonly target: EntryId;
  readonly parent: EntryId;
  readonly name: string;
  readonly path: string;
  readonly stat: string;
};

type Window = readonly { readonly id: BlockId; readonly bytes: Uint8Array | null }[];

export class LargeUploads {
  readonly #device: Device;
  readonly #running = new Map<EntryId, Promise<void>>();
  /** Held until one that runs has ended. */
  readonly #queued = new Set<EntryId>();
  readonly #done = new Map<EntryId, Uploaded & { readonly target: EntryId }>();
  /** The server lacks blocks that an old manifest names: everything is sealed and offered again. */
  readonly #whole = new Set<EntryId>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** The finished upload of this very state of the file, if there is one. */
  uploaded(subject: EntryId, target: EntryId, stat: string): Uploaded | null {
    const done = this.#done.get(subject);
    return done?.stat === stat && done.target === target ? done : null;
  }

  /** The id that a conflict's copy got when its upload began. */
  targetOf(subject: EntryId): EntryId | null {
    const row = this.#device.state.sql.prepare('SELECT target FROM uploads WHERE subject = ?').get(subject);
    return (row?.['target'] as EntryId | undefined) ?? null;
  }

  get running(): number {
    return this.#running.size;
  }

  /** The commit took it, or nobody needs it any more. Call inside a transaction. */
  forget(subject: EntryId): void {
    this.#done.delete(subject);
    this.#whole.delete(subject);
    this.#device.state.sql.prepare('DELETE FROM uploads WHERE subject = ?').run(subject);
  }

  /** It turned out that nothing needs to be sent. The server hears of it when it can: it only stops saying "updating". */
  giveUp(subject: EntryId): void {
    const { line, space, signal } = this.#device;
    const done = this.#done.get(subject);
    this.forget(subject);
    if (done) line.ask(abandon, { space, uploads: [done.upload] }, signal).catch(() => {});
  }

  sendWhole(subject: EntryId): void {
    this.#done.delete(subject);
    this.#whole.add(subject);
  }

  /** Begins it where there is room; the entry is held until it ends, and planned again then. */
  begin(order: UploadOrder): void {
    const { deferrals, wake } = this.#device;
    if (this.#running.has(order.subject)) return deferrals.hold(order.subject);
    deferrals.hold(order.subject);
    if (this.#running.size >= RUNNING_MAX) {
      this.#queued.add(order.subject);
      return;
    }
    const run = this.#run(order).finally(() => {
      this.#running.delete(order.subject);
      for (const queued of this.#queued) deferrals.wake(queued);
      this.#queued.clear();
      wake.call();
    });
    this.#running.set(order.subject, run);
  }

  async ended(): Promise<void> {
    await Promise.allSettled(this.#running.values());
  }

  async #run(order: UploadOrder): Promise<void> {
    const { deferrals, trees, signal, log } = this.#device;
    try {
      if (await this.#upload(order)) {
        deferrals.wake(order.subject);
        this.#device.problems.clear(order.subject);
      } else deferrals.retry(order.subject);
    } catch (error) {
      if (signal.aborted) return;
      const failure = failureOfOne(error);
      if (failure) deferrals.failed(order.subject, trees.pathForPeople(order.subject), failure.code, failure.message);
      else deferrals.retry(order.subject);
      if (!failure && !isOutage(error)) log.error('an upload failed for no known reason', { error: String(error) });
    }
  }

  /** False where the file moved under the reader. */
  async #upload(order: UploadOrder): Promise<boolean> {
    const { folder, line, space, signal, keys, compressing } = this.#device;
    const upload = await this.#open(order);
    const size = parseStat(order.stat).size;
    const { response } = await line.ask(
      prepare,
      { space, files: [{ upload, entry: order.target, parent: order.parent, name: order.name, size }] },
      signal,
    );
    const answer = response.files[0];
    if (answer?.kind === 'pool_unavailable') throw new HoldfastError('storage_unavailable', answer.detail);
    const previous = await this.#previous(order);
    await compressing.learn();
    const { path } = order;
    const file = { path, expect: parseStat(order.stat), compression: compressing.of(path, size) };
    const sealing = await folder.openSealing(file, keys(), previous);
    if (!('next' in sealing)) {
      if (sealing.kind === 'failed') throw new HoldfastError(sealing.code, sealing.detail);
      return false;
    }
    try {
      return await this.#send(order, upload, sealing);
    } finally {
      await sealing.close();
    }
  }

  async #send(order: UploadOrder, upload: UploadId, sealing: Sealing): Promise<boolean> {
    const { clock, signal } = this.#device;
    const startedMs = clock.nowMs();
    const puts = new Set<Promise<void>>();
    const failures: unknown[] = [];
    try {
      for (;;) {
        const step = await sealing.next(signal);
        if (failures.length > 0) throw failures[0];
        if (step.kind === 'changed') return false;
        if (step.kind === 'failed') throw new HoldfastError(step.code, step.detail);
        if (step.kind === 'end') {
          await Promise.all(puts);
          if (failures.length > 0) throw failures[0];
          const stat = statText(step.stat);
          const racy = isRacy(step.stat, startedMs);
          const { content, manifest } = step;
          this.#done.set(order.subject, { upload, stat, racy, content, manifest, target: order.target });
          return true;
        }
        // A stretch of what was sent already: zeros, say.
        if (step.blocks.length === 0) continue;
        const sent = this.#put(upload, step.blocks, order.subject)
          .catch((error: unknown) => void failures.push(error))
          .finally(() => void puts.delete(sent));
        puts.add(sent);
        if (puts.size >= PUTS_MAX) await Promise.race(puts);
      }
    } finally {
      await Promise.all(puts);
    }
  }

  async #put(upload: UploadId, window: Window, subject: EntryId): Promise<void> {
    const { line, space, signal } = this.#device;
    const bytesOf = new Map(window.map((block) => [block.id, block.bytes]));
    const { response } = await line.ask(need, { space, upload, blocks: [...bytesOf.keys()] }, signal);
    const missing = response.missing.map((id) => ({ id, bytes: bytesOf.get(id) ?? null }));
    if (missing.some(({ bytes }) => bytes === null)) {
      this.#whole.add(subject);
      throw new HoldfastError('blocks_missing', 'the server lacks parts of the last version; all of it is sent again');
    }
    let some: { id: BlockId; bytes: Uint8Array }[] = [];
    let length = 0;
    const flush = async () => {
      if (some.length > 0)
        await line.ask(
          put,
          { space, upload, blocks: some.map(({ id }) => id) },
          signal,
          some.map(({ bytes }) => bytes),
        );
      some = [];
      length = 0;
    };
    for (const { id, bytes } of missing) {
      if (!bytes) continue;
      if (length + bytes.length > limits.batchBytesMax || some.length >= limits.batchBlocksMax) await flush();
      some.push({ id, bytes });
      length += bytes.length;
    }
    await flush();
  }

  /** The upload id of this state of the file: kept from before a crash where it is the same. */
  async #open(order: UploadOrder): Promise<UploadId> {
    const { state, random, line, space, signal } = this.#device;
    const kept = state.sql.prepare('SELECT * FROM uploads WHERE subject = ?').get(order.subject);
    if (kept?.['stat'] === order.stat && kept['target'] === order.target) return kept['upload'] as UploadId;
    const upload = freshId<UploadId>(random);
    // Durably: an upload that a power cut made it forget would keep the entry updating until the lease ends.
    state.durably(() => {
      state.sql
        .prepare('INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)')
        .run(order.subject, upload, order.target, order.stat);
    });
    if (kept) await line.ask(abandon, { space, uploads: [kept['upload'] as UploadId] }, signal);
    return upload;
  }

  /** Chunks that the last version has need not be sealed again, and its chunker is kept. */
  async #previous(order: UploadOrder): Promise<Uint8Array | null> {
    const { trees, line, space, signal } = this.#device;
    const manifestId =
      trees.synced(order.target)?.manifestId ?? trees.remote(order.target)?.content?.manifestId ?? null;
    if (manifestId === null || this.#whole.has(order.subject)) return null;
    try {
      return await fetchManifest(line, space, manifestId, signal);
    } catch (error) {
      if (hasCode(error, 'not_found', 'integrity', 'block_missing', 'block_corrupt', 'storage_unavailable'))
        return null;
      throw error;
    }
  }
}
