/** Recomputes the chain of a space's journal, from its horizon to its head. */
import { toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Chain, SpaceId } from '#core/ids.ts';
import { chainNext, chainStart, parseRow } from '#core/journal-row.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Finding } from '#protocol/safety.ts';
import { findSpace } from '#meta/spaces.ts';
import { chainedRows } from '#meta/surveying.ts';
import type { VerifyPhase } from './verify.ts';

const ROWS_PER_STEP = 1000;

/** `after`: seq and chain of the last row that was good. */
export const verifyJournal: VerifyPhase = async ({ meta, primitives }, space, after) => {
  const { rows, stored } = await meta.read(async (reader) => {
    const stored = await findSpace(reader, space);
    const from = after === null ? Math.max(stored?.horizonSeq ?? 0, 1) : Number(after.split(' ')[0]) + 1;
    return { rows: await chainedRows(reader, space, from, ROWS_PER_STEP), stored };
  });
  if (!stored) return { findings: [], checked: {}, after: null };
  let [seq, chain]: [number, Chain | null] = after === null ? [0, null] : readAfter(after);
  // The horizon may have risen past where the last step was: what follows begins anew.
  if (seq > 0 && seq < stored.horizonSeq && rows[0]?.seq !== seq + 1) [seq, chain] = [0, null];
  for (const row of rows) {
    const expected = seq === 0 ? Math.max(stored.horizonSeq, 1) : seq + 1;
    if (row.seq !== expected) return broken(`rows from ${expected} to ${row.seq - 1} of the journal are missing`);
    const before = row.seq === 1 ? beginning(primitives, space, row.row) : chain;
    const own = toHex(row.chain) as Chain;
    if (before === 'malformed' || (before !== null && chainNext(primitives, before, row.row) !== own))
      return broken(`row ${row.seq} of the journal is not what it was when it was chained`);
    [seq, chain] = [row.seq, own];
  }
  const checked = { journalRows: rows.length };
  if (rows.length === ROWS_PER_STEP) return { findings: [], checked, after: `${seq} ${chain}` };
  if (stored.headSeq > 0 && (seq !== stored.headSeq || chain !== stored.headChain))
    return broken(`the journal ends at ${seq}, its head is at ${stored.headSeq}`);
  return { findings: [], checked, after: null };
};

/** The chain before the first row: of the epoch that it names. */
function beginning(primitives: Primitives, space: SpaceId, row: Uint8Array): Chain | 'malformed' {
  try {
    return chainStart(primitives, space, parseRow(row).epoch);
  } catch (error) {
    if (error instanceof HoldfastError) return 'malformed';
    throw error;
  }
}

function readAfter(after: string): [number, Chain] {
  const [seq, chain] = after.split(' ');
  return [Number(seq), chain as Chain];
}

function broken(message: string) {
  const finding: Finding = { about: 'journal', space: '', path: '', code: 'integrity', message, whole: false };
  return { findings: [finding], checked: {}, after: null };
}
