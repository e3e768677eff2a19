/**
 * Shortens journals in bounded steps. What a row says of an entry's present state stays, since listings are made of it; so do the revisions of
 * files and links, which are their history, while they are kept; what goes are moves, deletes and returns that something later has overtaken, and what was purged.
 *
 * Age is counted in marks, not read from a clock: one for each day that the server ran, so that a clock which jumps ahead ages
 * nothing by more than a day, and a server that was off for a year has kept everybody's place.
 */
import { parseRow } from '#core/journal-row.ts';
import { limits } from '#core/limits.ts';
import type { SpaceId } from '#core/ids.ts';
import {
  addJournalMark,
  journalBetween,
  newestMark,
  presentSeqs,
  seqDaysAgo,
  shortenJournal,
} from '#meta/journal-marks.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import { purgedAmong } from '#meta/purging.ts';
import { allSpaces, lockSpace } from '#meta/spaces.ts';
import type { ServerContext } from './server-context.ts';

const LOOKS_PER_DAY = 24;
const ROWS_PER_STEP = 500;

/** What is kept of a journal at least, whatever its rows say. `dayMs`: in the simulator days are short. */
export type JournalKept = { readonly days: number; readonly rows: number; readonly dayMs: number };

export class JournalTrim {
  readonly #context: ServerContext;
  readonly #kept: JournalKept;
  #lookAtMs = Number.NEGATIVE_INFINITY;
  /** By the monotonic clock; null before the first look of this process. */
  readonly #markAtMs = new Map<SpaceId, number>();

  constructor(context: ServerContext, kept: JournalKept = limits.journalKept) {
    this.#context = context;
    this.#kept = kept;
  }

  async step(): Promise<'busy' | 'idle'> {
    const { meta, clock } = this.#context;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#lookAtMs) return 'idle';
    for (const { space } of await meta.read(allSpaces)) {
      const more = await meta.write(async (writer) => {
        await this.#mark(writer, space);
        return this.#shorten(writer, space);
      });
      if (more) return 'busy';
    }
    this.#lookAtMs = nowMs + this.#kept.dayMs / LOOKS_PER_DAY;
    return 'idle';
  }

  /** Between two marks lies a day by the monotonic clock, or, over a restart, one by both marks' own times. */
  async #mark(writer: MetaWriter, space: SpaceId): Promise<void> {
    const { clock } = this.#context;
    const { dayMs } = this.#kept;
    const nowMs = clock.monotonicMs();
    const last = await newestMark(writer, space);
    const dueAtMs = this.#markAtMs.get(space) ?? nowMs + (last ? dayMs - within(clock.nowMs() - last.atMs, dayMs) : 0);
    this.#markAtMs.set(space, dueAtMs);
    if (nowMs < dueAtMs) return;
    const locked = await lockSpace(writer, space);
    if (!locked) return;
    await addJournalMark(writer, space, { mark: (last?.mark ?? 0) + 1, seq: locked.headSeq, atMs: clock.nowMs() });
    this.#markAtMs.set(space, nowMs + dayMs);
  }

  /** True where there is more to be shortened now. */
  async #shorten(writer: MetaWriter, space: SpaceId): Promise<boolean> {
    const locked = await lockSpace(writer, space);
    const oldEnoughSeq = await seqDaysAgo(writer, space, this.#kept.days);
    if (!locked || oldEnoughSeq === null) return false;
    const untilSeq = Math.min(oldEnoughSeq, locked.headSeq - this.#kept.rows);
    const horizonSeq = Math.min(untilSeq, locked.horizonSeq + ROWS_PER_STEP);
    if (horizonSeq <= locked.horizonSeq) return false;
    const rows = await journalBetween(writer, space, { from: locked.horizonSeq, below: horizonSeq });
    const seqs = rows.map(({ seq }) => seq);
    const present = await presentSeqs(writer, space, seqs);
    const purged = await purgedAmong(writer, space, seqs);
    const isKept = ({ seq, row }: (typeof rows)[number]) => present.has(seq) || (isRevision(row) && !purged.has(seq));
    const overtaken = rows.filter((row) => !isKept(row)).map(({ seq }) => seq);
    await shortenJournal(writer, space, overtaken, horizonSeq);
    return horizonSeq < untilSeq;
  }
}

function isRevision(bytes: Uint8Array): boolean {
  const row = parseRow(bytes);
  return row.kind === 'entry' && row.entry.revision === row.seq && row.entry.kind !== 'folder';
}

function within(ms: number, most: number): number {
  return Math.min(Math.max(ms, 0), most);
}
