/**
 * Texts that two devices edited at once, merged after the fact. By then the conflict is settled as every other: the entry holds what another
 * made of it, and a copy beside it what was made here, both in the journal. The merge is one more edit of the entry on this disk, and when the
 * space has it, the copy is deleted as a person would delete it: it lies in the trash, beside both parents in the history. Wherever it
 * ends early, by a crash or because something does not fit, there is a conflict's copy, and nothing else.
 */
import { equalBytes } from '#core/bytes.ts';
import type { Entry, FileContent } from '#core/entry.ts';
import type { ContentId, EntryId, ManifestId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { isForMerging, MERGED_BYTES_MAX, mergeTexts } from '#core/merge-text.ts';
import { mergeList } from '#protocol/merging.ts';
import type { FolderStep, StepOutcome } from '#world/folder.ts';
import { failureOfOne, type Device } from './device.ts';
import { fetchContents } from './manifests.ts';
import type { LocalRow } from './rows.ts';
import { openWhole, sealWhole } from './sealed-text.ts';
import { isRacyPlaced, parseStat } from './stat-text.ts';
import type { UnsureFiles } from './unsure-files.ts';

/** Somebody works on one of the two files: they are left to that person. */
const TRIES_MAX = 5;

/** `made`: the revision of the copy that holds what was made here. `theirs`, `merged`: what a merge was begun with, and what came of it. */
type Row = {
  readonly copy: EntryId;
  readonly entry: EntryId;
  readonly base: ManifestId;
  readonly made: number;
  readonly theirs: number | null;
  readonly merged: ContentId | null;
  readonly placed: boolean;
};

/** The same on both sides, and nothing of it waits. */
type Rested = { readonly remote: Entry & { readonly content: FileContent }; readonly local: LocalRow };

/** A copy was made of what may be mergeable. Call in the transaction that makes it known. */
export function noteForMerging({ state }: Device, copy: Entry, entry: EntryId, base: ManifestId): void {
  state.sql
    .prepare('INSERT OR REPLACE INTO merges (copy, entry, base, made) VALUES (?, ?, ?, ?)')
    .run(copy.entry, entry, base, copy.revision);
}

export class Merging {
  readonly #device: Device;
  readonly #lookAt: (path: string) => void;
  readonly #unsure: UnsureFiles;
  readonly #tries = new Map<EntryId, number>();

  constructor(device: Device, lookAt: (path: string) => void, unsure: UnsureFiles) {
    this.#device = device;
    this.#lookAt = lookAt;
    this.#unsure = unsure;
  }

  get waiting(): boolean {
    return this.#device.state.sql.prepare('SELECT 1 FROM merges LIMIT 1').get() !== undefined;
  }

  /** True where one was brought further. Rejects with outages. */
  async step(): Promise<boolean> {
    for (const values of this.#device.state.sql.prepare('SELECT * FROM merges').all()) {
      const row = rowOf(values);
      if (await this.#further(row)) return true;
    }
    return false;
  }

  async #further(row: Row): Promise<boolean> {
    if (this.#isDirty(row.copy) || this.#isDirty(row.entry)) return false;
    const copy = this.#rested(row.copy);
    const entry = this.#rested(row.entry);
    const untouched = copy?.remote.revision === row.made && copy.remote.placed === row.made;
    if (!copy || !entry || !untouched) return this.#leave(row);
    // After a crash the entry says whether the merge came to be.
    if (row.placed || entry.remote.content.contentId === row.merged) return await this.#removeCopy(row, copy.local);
    if (row.merged !== null && entry.remote.revision !== row.theirs) return this.#leave(row);
    if (!(await this.#unsure.isSure(entry.local))) return false;
    return await this.#merge(row, entry, copy);
  }

  async #merge(row: Row, entry: Rested, copy: Rested): Promise<boolean> {
    const { trees, keys, clock, state } = this.#device;
    const path = trees.localPath(row.entry);
    if (path === null) return this.#leave(row);
    const merged = await this.#merged(row, path, entry.remote, copy.remote);
    if (merged === null) return this.#leave(row);
    if (merged === 'theirs') {
      this.#note(row, 'UPDATE merges SET placed = 1 WHERE copy = ?');
      return true;
    }
    const { contentId, manifest, blocks } = merged;
    const mtimeUs = clock.nowMs() * 1000;
    state.durably(() => {
      state.sql
        .prepare('INSERT OR REPLACE INTO placing VALUES (?, ?, ?, ?, ?)')
        .run(path, row.entry, contentId, mtimeUs, entry.local.name);
      state.sql
        .prepare('UPDATE merges SET theirs = ?, merged = ? WHERE copy = ?')
        .run(entry.remote.revision, contentId, row.copy);
    });
    const expect = parseStat(entry.local.stat);
    const { exec } = entry.local;
    const step: FolderStep = { kind: 'place', path, expect, manifest, contentId, bytes: blocks, mtimeUs, exec };
    const [outcome] = await this.#device.folder.apply([step], keys());
    if (outcome?.kind === 'done') await this.#device.folder.flush();
    return this.#placed(row, path, contentId, outcome);
  }

  #placed(row: Row, path: string, contentId: ContentId, outcome: StepOutcome | undefined): boolean {
    const { state, trees, dirty, log } = this.#device;
    state.transaction(() => {
      state.sql.prepare('DELETE FROM placing WHERE path = ?').run(path);
      const local = trees.local(row.entry);
      if (outcome?.kind !== 'done' || !outcome.stat || !local) {
        this.#note(row, 'UPDATE merges SET theirs = NULL, merged = NULL WHERE copy = ?');
        return;
      }
      // An edit made here: the next plan sends it.
      trees.putLocal({ ...local, contentId }, outcome.stat, isRacyPlaced(outcome.stat));
      dirty.add(row.entry, 'file');
      this.#note(row, 'UPDATE merges SET placed = 1 WHERE copy = ?');
    });
    if (outcome?.kind !== 'done') return this.#tryAgain(row, path, outcome);
    log.info('two edits of a text were merged', { path });
    if (outcome.recovered !== undefined)
      log.warn('a file was written to in the moment it was replaced; those bytes were kept', {
        path,
        kept: outcome.recovered,
      });
    return true;
  }

  /** Null where there is no merge. */
  async #merged(row: Row, path: string, theirs: Rested['remote'], ours: Rested['remote']) {
    const { line, space, signal, primitives, keys, log } = this.#device;
    if (Math.max(theirs.content.size, ours.content.size) > MERGED_BYTES_MAX) return null;
    try {
      const { response } = await line.ask(mergeList, { space }, signal);
      if (!isForMerging(path, response.extensions)) return null;
      const manifests = [row.base, theirs.content.manifestId, ours.content.manifestId];
      const fetched = await fetchContents(line, space, manifests, limits.batchBytesMax, signal);
      const texts = fetched.map((one) =>
        one.kind === 'found' && one.blocks ? openWhole(primitives, keys(), one.manifest, one.blocks) : null,
      );
      const [baseText, theirText, ourText] = texts;
      if (!baseText || !theirText || !ourText) return null;
      const text = mergeTexts(baseText, theirText, ourText);
      if (text === null) return null;
      return equalBytes(text, theirText) ? ('theirs' as const) : sealWhole(primitives, keys(), text);
    } catch (error) {
      const failure = failureOfOne(error);
      if (!failure) throw error;
      log.warn('two edits of a text could not be merged', { path, detail: failure.message });
      return null;
    }
  }

  async #removeCopy(row: Row, copy: LocalRow): Promise<boolean> {
    const { folder, keys, trees, state, dirty } = this.#device;
    const path = trees.localPath(row.copy);
    if (path === null) return this.#leave(row);
    if (!(await this.#unsure.isSure(copy))) return false;
    const [outcome] = await folder.apply([{ kind: 'remove', path, expect: parseStat(copy.stat) }], keys());
    if (outcome?.kind !== 'done') return this.#tryAgain(row, path, outcome);
    state.transaction(() => {
      trees.dropLocal(copy);
      dirty.add(row.copy, 'file');
      this.#note(row, 'DELETE FROM merges WHERE copy = ?');
    });
    return true;
  }

  /** The disk was not as the trees say: it is looked at, and then this is tried again. */
  #tryAgain(row: Row, path: string, outcome: StepOutcome | undefined): boolean {
    const tries = (this.#tries.get(row.copy) ?? 0) + 1;
    this.#tries.set(row.copy, tries);
    if (outcome?.kind !== 'stale' || tries >= TRIES_MAX) return this.#leave(row);
    this.#lookAt(path);
    return true;
  }

  /** The copy stays, for a person. */
  #leave(row: Row): true {
    this.#tries.delete(row.copy);
    this.#device.state.transaction(() => this.#note(row, 'DELETE FROM merges WHERE copy = ?'));
    return true;
  }

  #note(row: Row, statement: string): void {
    this.#device.state.sql.prepare(statement).run(row.copy);
  }

  #isDirty(entry: EntryId): boolean {
    return this.#device.state.sql.prepare('SELECT 1 FROM dirty WHERE entry = ?').get(entry) !== undefined;
  }

  #rested(entry: EntryId): Rested | null {
    const { trees } = this.#device;
    const remote = trees.remote(entry);
    const local = trees.local(entry);
    const synced = trees.synced(entry);
    if (remote?.kind !== 'file' || !remote.content || local?.kind !== 'file' || synced?.presence !== 'here')
      return null;
    const { contentId } = remote.content;
    if (local.contentId !== contentId || synced.contentId !== contentId || local.parked) return null;
    return { remote: { ...remote, content: remote.content }, local };
  }
}

function rowOf(values: Readonly<Record<string, unknown>>): Row {
  return {
    copy: values['copy'] as EntryId,
    entry: values['entry'] as EntryId,
    base: values['base'] as ManifestId,
    made: values['made'] as number,
    theirs: values['theirs'] as number | null,
    merged: values['merged'] as ContentId | null,
    placed: values['placed'] === 1,
  };
}
