/** How a journal is shortened: marks of how far it had come, and the rows below its horizon that nobody needs. */
import { idBytes, type SpaceId } from '#core/ids.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import { lookupSlices } from './slices.ts';

export type JournalMark = { readonly mark: number; readonly seq: number; readonly atMs: number };

export async function newestMark({ db }: MetaReader, space: SpaceId): Promise<JournalMark | null> {
  const row = await db
    .selectFrom('journal_mark')
    .select(['mark', 'seq', 'at_ms'])
    .where('space', '=', idBytes(space))
    .orderBy('mark', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row ? { mark: row.mark, seq: row.seq, atMs: row.at_ms } : null;
}

/** How far the journal had come so many days before its newest mark: days on which the server ran. Null: it does not know, or is not that old. */
export async function seqDaysAgo(reader: MetaReader, space: SpaceId, days: number): Promise<number | null> {
  const newest = await newestMark(reader, space);
  if (!newest) return null;
  const row = await reader.db
    .selectFrom('journal_mark')
    .select('seq')
    .where('space', '=', idBytes(space))
    .where('mark', '=', newest.mark - days)
    .executeTakeFirst();
  return row?.seq ?? null;
}

export async function addJournalMark({ db }: MetaWriter, space: SpaceId, { mark, seq, atMs }: JournalMark) {
  await db
    .insertInto('journal_mark')
    .values({ space: idBytes(space), mark, seq, at_ms: atMs })
    .execute();
}

export type SeqRange = { readonly from: number; readonly below: number };

export async function journalBetween(reader: MetaReader, space: SpaceId, range: SeqRange) {
  return rowsBetween(reader, space, range).execute();
}

/** A query, in the order of seqs, to be narrowed further. */
export function rowsBetween({ db }: MetaReader, space: SpaceId, { from, below }: SeqRange) {
  return db
    .selectFrom('journal')
    .select(['seq', 'row'])
    .where('space', '=', idBytes(space))
    .where('seq', '>=', from)
    .where('seq', '<', below)
    .orderBy('seq');
}

/** Those of the seqs that are some entry's present state, in the trash or not. */
export async function presentSeqs(
  { db }: MetaReader,
  space: SpaceId,
  seqs: readonly number[],
): Promise<ReadonlySet<number>> {
  const found = new Set<number>();
  for (const slice of lookupSlices(seqs)) {
    const rows = await db
      .selectFrom('entry')
      .select('seq')
      .where('space', '=', idBytes(space))
      .where('seq', 'in', slice)
      .execute();
    for (const { seq } of rows) found.add(seq);
  }
  return found;
}

/** The rows go: nothing asks for what they tell any more. */
export async function dropRows({ db }: MetaWriter, space: SpaceId, seqs: readonly number[]): Promise<void> {
  for (const slice of lookupSlices(seqs))
    await db.deleteFrom('journal').where('space', '=', idBytes(space)).where('seq', 'in', slice).execute();
}

/** The rows go, and no cursor below `horizonSeq` is valid any more. */
export async function shortenJournal(
  writer: MetaWriter,
  space: SpaceId,
  seqs: readonly number[],
  horizonSeq: number,
): Promise<void> {
  await dropRows(writer, space, seqs);
  await writer.db.updateTable('space').set({ horizon_seq: horizonSeq }).where('space', '=', idBytes(space)).execute();
}
