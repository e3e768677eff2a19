/**
 * One complete look at everything in a space that names stored bytes. Kept is what entries have, also those in the trash; every revision that the journal
 * still tells of; and what is held for a person; but for what was purged. In that order, since contents pass from holds into entries, and both leave rows at the
 * journal's end, which is read last: what changes its place meanwhile is met later on. What is new meanwhile is spared where it is made.
 */
import type { TreeOperation } from '#core/commit.ts';
import { IdFilter } from '#core/id-filter.ts';
import type { EntryId, ManifestId, SpaceId } from '#core/ids.ts';
import { parseRow } from '#core/journal-row.ts';
import { filesAfter } from '#meta/entries.ts';
import { heldAfter, type HeldKey } from '#meta/holds.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { purgedAmong } from '#meta/purging.ts';
import { journalAfter } from '#meta/spaces.ts';
import { outlines } from './contents.ts';

const ROWS_PER_STEP = 200;
/** Manifests looked at together: some are large. */
const MANIFESTS_AT_ONCE = 32;
/** Manifests that are not looked at twice, in a few tens of megabytes. */
const REMEMBERED_MAX = 200_000;

type Named = { readonly manifest: ManifestId; readonly pools: readonly string[] };

export class Mark {
  readonly space: SpaceId;
  readonly #salt: number;
  /** Blocks that anything kept has; manifests likewise; and blocks by the pool in which something wants them now. */
  readonly #blocks: IdFilter;
  readonly #manifests: IdFilter;
  readonly #wanted = new Map<string, IdFilter>();
  readonly #remembered = new Set<ManifestId>();
  #phase: 'held' | 'entries' | 'journal' = 'held';
  #afterHeld: HeldKey | null = null;
  #afterEntry: EntryId | null = null;
  #afterSeq = -1;

  /** `salt`: another one for each mark. */
  constructor(space: SpaceId, salt: number) {
    this.space = space;
    this.#salt = salt;
    this.#blocks = new IdFilter(salt);
    this.#manifests = new IdFilter(salt);
  }

  /** May be wrong in one way only: seldom, what nothing names is said to be named. */
  isLive(block: string): boolean {
    return this.#blocks.has(block);
  }

  isWanted(block: string, pool: string): boolean {
    return this.#wanted.get(pool)?.has(block) ?? false;
  }

  isKept(manifest: ManifestId): boolean {
    return this.#manifests.has(manifest);
  }

  /** True when it is complete. */
  async step(reader: MetaReader): Promise<boolean> {
    switch (this.#phase) {
      case 'held': {
        const held = await heldAfter(reader, this.space, this.#afterHeld, ROWS_PER_STEP);
        const named = held.map(({ operation, pool }) => namedBy(operation, pool));
        await this.#add(reader, named.flat());
        this.#afterHeld = held.at(-1) ?? this.#afterHeld;
        if (held.length < ROWS_PER_STEP) this.#phase = 'entries';
        return false;
      }
      case 'entries': {
        const files = await filesAfter(reader, this.space, this.#afterEntry, ROWS_PER_STEP);
        const purged = await this.#purged(reader, files);
        const named = files.flatMap(({ content, pool, poolWanted, revision }): Named[] =>
          content && !purged.has(revision)
            ? [{ manifest: content.manifestId, pools: [pool, poolWanted].filter((one) => one !== null) }]
            : [],
        );
        await this.#add(reader, named);
        this.#afterEntry = files.at(-1)?.entry ?? this.#afterEntry;
        if (files.length < ROWS_PER_STEP) this.#phase = 'journal';
        return false;
      }
      case 'journal': {
        const rows = await journalAfter(reader, this.space, this.#afterSeq, ROWS_PER_STEP);
        const states = rows.flatMap(({ row: bytes }) => {
          const row = parseRow(bytes);
          return row.kind === 'entry' ? [row.entry] : [];
        });
        const purged = await this.#purged(reader, states);
        const named = states.flatMap(({ content, revision }): Named[] =>
          content && !purged.has(revision) ? [{ manifest: content.manifestId, pools: [] }] : [],
        );
        await this.#add(reader, named);
        this.#afterSeq = rows.at(-1)?.seq ?? this.#afterSeq;
        return rows.length < ROWS_PER_STEP;
      }
    }
  }

  async #purged(reader: MetaReader, states: readonly { readonly revision: number }[]): Promise<ReadonlySet<number>> {
    return purgedAmong(
      reader,
      this.space,
      states.map(({ revision }) => revision),
    );
  }

  async #add(reader: MetaReader, named: readonly Named[]): Promise<void> {
    const fresh = named.filter(({ manifest, pools }) => pools.length > 0 || !this.#remembered.has(manifest));
    for (let start = 0; start < fresh.length; start += MANIFESTS_AT_ONCE) {
      const some = fresh.slice(start, start + MANIFESTS_AT_ONCE);
      const known = await outlines(
        reader,
        this.space,
        some.map(({ manifest }) => manifest),
      );
      for (const { manifest, pools } of some) {
        this.#manifests.add(manifest);
        const filters = [this.#blocks, ...pools.map((pool) => this.#wantedIn(pool))];
        for (const { id } of known.get(manifest)?.blocks ?? []) for (const filter of filters) filter.add(id);
        if (this.#remembered.size < REMEMBERED_MAX) this.#remembered.add(manifest);
      }
    }
  }

  #wantedIn(pool: string): IdFilter {
    const known = this.#wanted.get(pool) ?? new IdFilter(this.#salt);
    this.#wanted.set(pool, known);
    return known;
  }
}

function namedBy(operation: TreeOperation, pool: string | null): readonly Named[] {
  const content =
    operation.kind === 'update'
      ? operation.content
      : operation.kind === 'create' && operation.state.kind === 'file'
        ? operation.state.content
        : null;
  return content ? [{ manifest: content.manifestId, pools: pool === null ? [] : [pool] }] : [];
}
