/**
 * Carries out what a plan has for the server: seals small files, packs groups into commits, and seals the next while one is under way. Large
 * files go ahead (`large-uploads.ts`) and are committed by the plan after.
 */
import { assert } from '#core/assert.ts';
import type { Entry, FileContent } from '#core/entry.ts';
import type { EntryId, ManifestId, UploadId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import type { ConflictAction, UpAction } from '#core/plan.ts';
import type { Operation } from '#protocol/sync.ts';
import type { Batch, Commits, Settled, Totals } from './commits.ts';
import { freshId, type Device } from './device.ts';
import type { LargeUploads } from './large-uploads.ts';
import { BATCH_PLAIN_BYTES_MAX, fileSize, SMALL_BYTES_MAX, type Read, type Reader, type ReadOrder } from './reader.ts';
import type { LocalRow } from './rows.ts';
import type { ReadFrom, Sent } from './sent.ts';
import { mtimeUsOf, parseStat } from './stat-text.ts';

export type Step = UpAction | ConflictAction;
type Bytes = {
  readonly content: FileContent;
  readonly manifest: Uint8Array;
  readonly read: ReadFrom;
  readonly upload: UploadId | null;
};
/** A group whose bytes are at hand, or that needs none. */
type Draft = {
  readonly steps: readonly Step[];
  readonly rows: ReadonlyMap<EntryId, LocalRow>;
  readonly reads: readonly ReadOrder[];
};

export class Uploader {
  readonly #device: Device;
  readonly #reader: Reader;
  readonly #large: LargeUploads;
  readonly #commits: Commits;

  constructor(device: Device, reader: Reader, large: LargeUploads, commits: Commits) {
    this.#device = device;
    this.#reader = reader;
    this.#large = large;
    this.#commits = commits;
  }

  /**
   * `onSettled` hears of each commit's outcome in order. `again`: entries whose step was not even sent; they stay dirty. Rejects with outages.
   */
  async carryOut(
    groups: readonly (readonly Step[])[],
    totals: Totals,
    again: Set<EntryId>,
    onSettled: (settled: Settled) => void,
  ): Promise<void> {
    let underWay: Promise<void> = Promise.resolve();
    let at = 0;
    while (at < groups.length) {
      const { drafts, next } = this.#gather(groups, at, again);
      at = next;
      const batch = await this.#seal(drafts, again);
      await underWay;
      if (batch.groups.length === 0) continue;
      underWay = this.#send(batch, totals, again, onSettled);
      // Awaited at the next turn: until then a rejection is nobody's.
      underWay.catch(() => {});
    }
    await underWay;
  }

  async #send(batch: Batch, totals: Totals, again: Set<EntryId>, onSettled: (settled: Settled) => void): Promise<void> {
    const settled = await this.#commits.send(batch, totals);
    for (const entry of settled.again) again.add(entry);
    if (settled.applied.length > 0 && batch.uploads.length > 0) {
      this.#device.state.transaction(() => {
        for (const sent of settled.applied)
          if (sent.kind !== 'move' && sent.kind !== 'delete') this.#large.forget(subjectOfContent(sent));
      });
    }
    onSettled(settled);
  }

  /** As many groups from `at` on as one commit holds. */
  #gather(groups: readonly (readonly Step[])[], from: number, again: Set<EntryId>): { drafts: Draft[]; next: number } {
    const drafts: Draft[] = [];
    let operations = 0;
    let bytes = 0;
    let at = from;
    for (; at < groups.length; at++) {
      const steps = groups[at] ?? [];
      const draft = this.#draft(steps);
      if (!draft) {
        for (const step of steps) again.add(subjectOfStep(step));
        continue;
      }
      const draftBytes = draft.reads.reduce((sum, { row }) => sum + fileSize(row), 0);
      const full =
        operations + steps.length > limits.commitOperationsMax ||
        bytes + draftBytes > BATCH_PLAIN_BYTES_MAX ||
        bytes / (64 * 1024) + operations + steps.length > limits.commitOperationsMax;
      if (full && drafts.length > 0) break;
      drafts.push(draft);
      operations += steps.length;
      bytes += draftBytes;
    }
    return { drafts, next: at };
  }

  /** Null where some of it cannot be sent now. */
  #draft(steps: readonly Step[]): Draft | null {
    const { trees, deferrals } = this.#device;
    const rows = new Map<EntryId, LocalRow>();
    const reads: ReadOrder[] = [];
    let whole = true;
    for (const step of steps) {
      if (step.kind === 'up_move' || step.kind === 'up_delete') continue;
      const subject = subjectOfStep(step);
      const row = trees.local(subject);
      const path = row ? trees.localPath(subject) : null;
      if (!row || path === null) {
        deferrals.retry(subject);
        return null;
      }
      rows.set(subject, row);
      if (row.kind !== 'file' || (step.kind === 'up_update' && this.#onlyExec(row))) continue;
      const target = this.#targetOf(step);
      if (fileSize(row) <= SMALL_BYTES_MAX) reads.push({ row, path });
      else if (!this.#large.uploaded(subject, target, row.stat)) {
        const place =
          step.kind === 'up_create'
            ? step
            : step.kind === 'conflict'
              ? { parent: step.parent, name: step.copyName }
              : row;
        this.#large.begin({ subject, target, parent: place.parent, name: place.name, path, stat: row.stat });
        whole = false;
      }
    }
    return whole ? { steps, rows, reads } : null;
  }

  async #seal(drafts: readonly Draft[], again: Set<EntryId>): Promise<Batch> {
    const reads = await this.#reader.read(drafts.flatMap((draft) => draft.reads));
    const groups: { operation: Operation; sent: Sent }[][] = [];
    const manifests: Uint8Array[] = [];
    const blocks = new Map<string, Uint8Array>();
    const uploads: UploadId[] = [];
    for (const draft of drafts) {
      if (draft.reads.some(({ row }) => !reads.get(row.entry))) {
        for (const step of draft.steps) again.add(subjectOfStep(step));
        continue;
      }
      const group: { operation: Operation; sent: Sent }[] = [];
      for (const step of draft.steps) {
        const row = draft.rows.get(subjectOfStep(step)) ?? null;
        const read = row ? (reads.get(row.entry) ?? null) : null;
        const bytes = row && needsBytes(step, row) ? this.#bytesOf(step, row, read) : null;
        const made = this.#make(step, row, bytes, manifests.length);
        if (!made) {
          again.add(subjectOfStep(step));
          continue;
        }
        if (made.withContent && bytes) {
          manifests.push(bytes.manifest);
          if (bytes.upload) uploads.push(bytes.upload);
          for (const block of read?.sealed.blocks ?? []) blocks.set(block.id, block.bytes);
        }
        group.push(made);
      }
      if (group.length > 0) groups.push(group);
    }
    return { groups, manifests, blocks, uploads };
  }

  #bytesOf(step: Step, row: LocalRow, read: Read | null): Bytes | null {
    if (read) {
      const { content, manifest } = read.sealed;
      return { content, manifest, read: { stat: read.stat, racy: read.racy }, upload: null };
    }
    const large = this.#large.uploaded(row.entry, this.#targetOf(step), row.stat);
    if (!large) return null;
    const { content, manifest, upload, stat, racy } = large;
    return { content, manifest, upload, read: { stat, racy } };
  }

  /** Null where nothing needs to be sent after all. */
  #make(
    step: Step,
    row: LocalRow | null,
    bytes: Bytes | null,
    manifest: number,
  ): { operation: Operation; sent: Sent; withContent: boolean } | null {
    switch (step.kind) {
      case 'up_move': {
        const { entry, base, parent, name } = step;
        return {
          operation: { kind: 'move', entry, base, parent, name },
          sent: { kind: 'move', entry, parent, name },
          withContent: false,
        };
      }
      case 'up_delete':
        return {
          operation: { kind: 'delete', entry: step.entry, basis: step.basis },
          sent: { kind: 'delete', entry: step.entry },
          withContent: false,
        };
      case 'up_update':
        assert(row !== null, 'an update has a local row');
        return this.#makeUpdate(step.base, row, bytes, manifest);
      case 'up_create':
        assert(row !== null, 'a create has a local row');
        return makeCreate(step, row, bytes, manifest, null);
      default: {
        assert(row !== null, 'a conflict has a local row');
        const entry = this.#targetOf(step);
        const place = { entry, parent: step.parent, name: step.copyName };
        const base = this.#device.trees.synced(step.entry)?.manifestId ?? null;
        return makeCreate(place, row, bytes, manifest, { ...step, base });
      }
    }
  }

  #makeUpdate(base: number, row: LocalRow, bytes: Bytes | null, manifest: number) {
    const { trees, state } = this.#device;
    const synced = trees.synced(row.entry);
    const same = row.kind === 'file' && bytes !== null && bytes.content.contentId === synced?.contentId;
    if (bytes && same && synced.exec === row.exec) {
      // Touched, and the bytes are what both sides have.
      state.transaction(() => {
        trees.setLocalContent(row.entry, bytes.content.contentId, bytes.read.racy);
        if (bytes.upload) this.#large.giveUp(row.entry);
      });
      return null;
    }
    const content = bytes && !same ? bytes.content : null;
    const mtimeUs = row.kind === 'file' ? mtimeUsOf(parseStat(row.stat)) : 0;
    const common = { entry: row.entry, target: row.target, mtimeUs, exec: row.exec };
    return {
      operation: {
        kind: 'update' as const,
        ...common,
        base,
        content: content && { contentId: content.contentId, size: content.size, manifest },
      },
      sent: { kind: 'update' as const, ...common, content, read: bytes?.read ?? null },
      withContent: content !== null,
    };
  }

  #onlyExec(row: LocalRow): boolean {
    return row.contentId !== null && row.contentId === this.#device.trees.synced(row.entry)?.contentId;
  }

  #targetOf(step: Step): EntryId {
    if (step.kind !== 'conflict') return step.entry;
    if (step.found !== step.entry) return step.found;
    const kept = this.#copies.get(step.found) ?? this.#large.targetOf(step.found);
    const target = kept && kept !== step.entry ? kept : freshId<EntryId>(this.#device.random);
    this.#copies.set(step.found, target);
    return target;
  }

  /** Ids of conflicts' copies, for as long as their commit is not answered. */
  readonly #copies = new Map<EntryId, EntryId>();

  forgetCopy(found: EntryId): void {
    this.#copies.delete(found);
  }
}

function needsBytes(step: Step, row: LocalRow): boolean {
  return row.kind === 'file' && (step.kind === 'up_create' || step.kind === 'up_update' || step.kind === 'conflict');
}

function subjectOfStep(step: Step): EntryId {
  return step.kind === 'conflict' ? step.found : step.entry;
}

function subjectOfContent(sent: Extract<Sent, { kind: 'create' | 'update' | 'copy' }>): EntryId {
  if (sent.kind === 'copy') return sent.found;
  return sent.kind === 'create' ? sent.entry.entry : sent.entry;
}

function makeCreate(
  place: { readonly entry: EntryId; readonly parent: EntryId; readonly name: string },
  row: LocalRow,
  bytes: Bytes | null,
  manifest: number,
  conflict: (ConflictAction & { readonly base: ManifestId | null }) | null,
): { operation: Operation; sent: Sent; withContent: boolean } | null {
  const { entry, parent, name } = place;
  const mtimeUs = row.kind === 'file' ? mtimeUsOf(parseStat(row.stat)) : 0;
  const made: Entry = {
    entry,
    parent,
    name,
    kind: row.kind,
    revision: 0,
    placed: 0,
    seq: 0,
    content: bytes?.content ?? null,
    target: row.target,
    mtimeUs,
    exec: row.exec,
    trashedFrom: null,
  };
  const operation = (state: Extract<Operation, { kind: 'create' }>['state']): Operation => ({
    kind: 'create',
    entry,
    parent,
    name,
    state,
  });
  if (row.kind === 'file') {
    if (!bytes) return null;
    const { contentId, size } = bytes.content;
    const sent: Sent = conflict
      ? { kind: 'copy', entry: made, of: conflict.entry, found: conflict.found, base: conflict.base, read: bytes.read }
      : { kind: 'create', entry: made, read: bytes.read };
    return {
      operation: operation({ kind: 'file', content: { contentId, size, manifest }, mtimeUs, exec: row.exec }),
      sent,
      withContent: true,
    };
  }
  const sent: Sent = { kind: 'create', entry: made, read: null };
  if (row.kind === 'folder') return { operation: operation({ kind: 'folder' }), sent, withContent: false };
  if (row.target === null) return null;
  return { operation: operation({ kind: 'symlink', target: row.target }), sent, withContent: false };
}
