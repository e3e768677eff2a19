/** How a journal is shortened: marks of how far it had come, and the rows below its horizon that nobody needs. */
import { idBytes, type SpaceId } from '#core/ids.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import { lookupSlices } from './slices.ts';

export type JournalMark = { readonly mark: number; readonly seq: number; readonly atMs: number };

/** The newest first. */
export async function journalMarks({ db }: MetaReader, space: SpaceId): Promise<readonly JournalMark[]> {
  const rows = await db
    .selectFrom('journal_mark')
    .select(['mark', 'seq', 'at_ms'])
    .where('space', '=', idBytes(space))
    .orderBy('mark', 'desc')
    .execute();
  return rows.map(({ mark, seq, at_ms }) => ({ mark, seq, atMs: at_ms }));
}

export async function addJournalMark({ db }: MetaWriter, space: SpaceId, { mark, seq, atMs }: JournalMark) {
  await db
    .insertInto('journal_mark')
    .values({ space: idBytes(space), mark, seq, at_ms: atMs })
    .execute();
}

export async function dropJournalMarks({ db }: MetaWriter, space: SpaceId, below: number): Promise<void> {
  await db.deleteFrom('journal_mark').where('space', '=', idBytes(space)).where('mark', '<', below).execute();
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

/** The rows go, and no cursor below `horizonSeq` is valid any more. */
export async function shortenJournal(
  { db }: MetaWriter,
  space: SpaceId,
  seqs: readonly number[],
  horizonSeq: number,
): Promise<void> {
  for (const slice of lookupSlices(seqs))
    await db.deleteFrom('journal').where('space', '=', idBytes(space)).where('seq', 'in', slice).execute();
  await db.updateTable('space').set({ horizon_seq: horizonSeq }).where('space', '=', idBytes(space)).execute();
}
