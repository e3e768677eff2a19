/** Brings files of a space to a folder, whether or not this device syncs it: verified like everything that comes down, and never over something else. */
import { HoldfastError, type ErrorCode } from '#core/errors.ts';
import type { ContentId, ManifestId, SpaceId } from '#core/ids.ts';
import type { SealKeys } from '#core/keyring.ts';
import { limits } from '#core/limits.ts';
import { ask } from '#protocol/call.ts';
import type { FileRow } from '#protocol/cluster.ts';
import type { Peer } from '#protocol/wire.ts';
import type { Folder, FolderStep, ListedEntry, Stat } from '#world/folder.ts';
import { lengthsOf, windowsOf } from './large-downloads.ts';
import { fetchBlocks, fetchContents, fetchManifest, type Asker } from './manifests.ts';
import { SMALL_BYTES_MAX } from './reader.ts';

const FILES_PER_REQUEST = 500;
const REQUESTS_MAX = 3;

export type FetchOrder = {
  readonly space: SpaceId;
  readonly keys: SealKeys;
  /** The directories of all paths must be there. What lies at a path already is replaced; it goes to the folder's trash. */
  readonly folder: Folder;
  readonly files: readonly { readonly path: string; readonly row: FileRow }[];
  /** Plain bytes that came since the last call. */
  readonly onProgress: (bytes: number) => void;
  readonly signal: AbortSignal;
};

export type FetchOutcome =
  | { readonly kind: 'fetched'; readonly path: string; readonly size: number }
  | { readonly kind: 'failed'; readonly path: string; readonly code: ErrorCode; readonly detail: string };

type File = {
  readonly path: string;
  readonly row: FileRow;
  readonly manifest: ManifestId;
  readonly contentId: ContentId;
};

/** Outcomes in the order asked. Rejects where the server cannot be asked at all. Everything fetched is durable when it resolves. */
export async function fetchFiles(peer: Peer, order: FetchOrder): Promise<FetchOutcome[]> {
  const fetching = new Fetching(peer, order);
  const outcomes = await fetching.run();
  await order.folder.flush();
  return outcomes;
}

class Fetching {
  readonly #order: FetchOrder;
  readonly #asker: Asker;
  readonly #outcomes = new Map<string, FetchOutcome>();

  constructor(peer: Peer, order: FetchOrder) {
    this.#order = order;
    this.#asker = { ask: (verb, request, signal, parts) => ask(peer, verb, request, signal, parts) };
  }

  async run(): Promise<FetchOutcome[]> {
    const small: File[] = [];
    for (const { path, row } of this.#order.files) {
      const { manifest, contentId } = row;
      if (manifest === null || contentId === null)
        this.#fail(path, new HoldfastError('not_found', 'no complete revision of this file exists yet'));
      else if (row.size > SMALL_BYTES_MAX) await this.#fetchLarge({ path, row, manifest, contentId });
      else small.push({ path, row, manifest, contentId });
    }
    for (const batch of batchesOf(small)) await this.#fetchSmall(batch);
    return this.#order.files.map(
      ({ path }) =>
        this.#outcomes.get(path) ?? { kind: 'failed', path, code: 'integrity', detail: 'the file was not fetched' },
    );
  }

  async #fetchSmall(batch: readonly File[]): Promise<void> {
    const { folder, space, signal } = this.#order;
    const expected = await this.#present(batch.map(({ path }) => path));
    let left = batch;
    while (left.length > 0) {
      const fetched = await fetchContents(
        this.#asker,
        space,
        left.map(({ manifest }) => manifest),
        limits.batchBytesMax,
        signal,
      );
      const again: File[] = [];
      const ready: { readonly file: File; readonly step: FolderStep }[] = [];
      left.forEach((file, index) => {
        const one = fetched[index];
        if (!one || (one.kind === 'found' && one.blocks === null)) again.push(file);
        else if (one.kind === 'failed') this.#fail(file.path, one.error);
        else if (one.blocks) ready.push({ file, step: placing(file, expected, one.manifest, one.blocks) });
      });
      const outcomes =
        ready.length === 0
          ? []
          : await folder.apply(
              ready.map(({ step }) => step),
              this.#order.keys,
            );
      ready.forEach(({ file }, index) => this.#judge(file, outcomes[index] ?? { kind: 'stale' }, file.row.size));
      if (again.length === left.length) {
        for (const { path } of again)
          this.#fail(path, new HoldfastError('integrity', 'the server sends less than it has'));
        return;
      }
      left = again;
    }
  }

  async #fetchLarge(file: File): Promise<void> {
    const { folder, space, keys, signal } = this.#order;
    try {
      const manifest = await fetchManifest(this.#asker, space, file.manifest, signal);
      const stage = `fetch-${file.row.entry}-${file.manifest.slice(0, 16)}`;
      const begun = await folder.stage(stage, manifest, file.contentId, null, keys);
      if (begun.kind === 'failed') throw new HoldfastError(begun.code, begun.detail);
      await this.#fetchBlocks(stage, file, manifest, begun.missing);
      const expected = await this.#present([file.path]);
      const [outcome] = await folder.apply([placing(file, expected, manifest, { staged: stage })], keys);
      this.#judge(file, outcome ?? { kind: 'stale' }, 0);
    } catch (error) {
      if (signal.aborted || !(error instanceof HoldfastError)) throw error;
      this.#fail(file.path, error);
    }
  }

  async #fetchBlocks(stage: string, file: File, manifest: Uint8Array, missing: readonly number[]): Promise<void> {
    const { folder, space, signal, onProgress } = this.#order;
    const windows = windowsOf(missing, lengthsOf(manifest));
    const bytesPerBlock = file.row.size / Math.max(1, missing.length);
    let at = 0;
    let failed = false;
    const work = async () => {
      for (let window = windows[at++]; window && !failed; window = windows[at++]) {
        for (let left: readonly number[] = window; left.length > 0; ) {
          const blocks = await fetchBlocks(this.#asker, space, file.manifest, left, signal);
          const written = await folder.stageBlocks(stage, blocks);
          if (written.kind === 'failed') throw new HoldfastError(written.code, written.detail);
          onProgress(Math.round(blocks.length * bytesPerBlock));
          left = left.slice(blocks.length);
        }
      }
    };
    const workers = Array.from({ length: REQUESTS_MAX }, () =>
      work().catch((error: unknown) => {
        failed = true;
        throw error;
      }),
    );
    const results = await Promise.allSettled(workers);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** What lies at these paths now: it is replaced only as it is. */
  async #present(paths: readonly string[]): Promise<ReadonlyMap<string, Stat>> {
    const seen = await this.#order.folder.look(paths);
    const present = new Map<string, Stat>();
    paths.forEach((path, index) => {
      const found = seen[index] ?? null;
      if (found !== null && 'stat' in found) present.set(path, (found satisfies ListedEntry).stat);
    });
    return present;
  }

  #judge(file: File, outcome: Awaited<ReturnType<Folder['apply']>>[number], bytes: number): void {
    if (outcome.kind === 'done') {
      this.#outcomes.set(file.path, { kind: 'fetched', path: file.path, size: file.row.size });
      if (bytes > 0) this.#order.onProgress(bytes);
    } else if (outcome.kind === 'stale')
      this.#fail(file.path, new HoldfastError('conflict', 'something else is at this place'));
    else this.#fail(file.path, new HoldfastError(outcome.code, outcome.detail));
  }

  #fail(path: string, error: HoldfastError): void {
    this.#outcomes.set(path, { kind: 'failed', path, code: error.code, detail: error.message });
  }
}

function placing(
  { path, row, contentId }: File,
  expected: ReadonlyMap<string, Stat>,
  manifest: Uint8Array,
  bytes: Extract<FolderStep, { kind: 'place' }>['bytes'],
): FolderStep {
  const { mtimeUs, exec } = row;
  return { kind: 'place', path, expect: expected.get(path) ?? null, manifest, contentId, bytes, mtimeUs, exec };
}

function batchesOf(files: readonly File[]): File[][] {
  const batches: File[][] = [];
  let batch: File[] = [];
  let bytes = 0;
  for (const file of files) {
    if (batch.length > 0 && (bytes + file.row.size > limits.batchBytesMax || batch.length >= FILES_PER_REQUEST)) {
      batches.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.row.size;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}
