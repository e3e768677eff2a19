/** How a space's journal grows: under the space's row lock, each row chained to the one before. */
import type { JournalRow } from '#core/entry.ts';
import type { Chain } from '#core/ids.ts';
import { chainNext, encodeRow } from '#core/journal-row.ts';
import type { Primitives } from '#core/primitives.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import { advanceSpace, appendJournal, type StoredRow, type StoredSpace } from '#meta/spaces.ts';
import { assert } from '#core/assert.ts';

/** Appends rows to a locked space and returns it as it is afterwards. */
export async function growJournal(
  writer: MetaWriter,
  primitives: Primitives,
  locked: StoredSpace,
  rows: readonly JournalRow[],
): Promise<StoredSpace> {
  if (rows.length === 0) return locked;
  let { headSeq, headChain, keyVersion } = locked;
  const stored: StoredRow[] = [];
  for (const row of rows) {
    assert(
      row.seq === headSeq + 1 && row.epoch === locked.epoch && row.space === locked.space,
      'rows continue the journal',
    );
    const bytes = encodeRow(row);
    headChain = chainNext(primitives, headChain, bytes) satisfies Chain;
    headSeq = row.seq;
    if (row.kind === 'key') keyVersion = row.keyVersion;
    stored.push({ seq: headSeq, row: bytes, chain: headChain });
  }
  await appendJournal(writer, locked.space, stored);
  await advanceSpace(writer, locked.space, { headSeq, headChain, keyVersion });
  return { ...locked, headSeq, headChain, keyVersion };
}
