/**
 * Scrub: every copy is read once within a set time, from the node that is said to hold it, and verified here: nodes are not trusted. A copy
 * that is missing or damaged is owed from then on. Never over; how far it came is a row, how fast it may go is counted here.
 */
import { limits } from '#core/limits.ts';
import { countPresence, walkPresence, type PlacedPresence } from '#meta/copies.ts';
import { allJobs } from '#meta/jobs.ts';
import { noteBadCopies, type BadCopy } from './bad-copies.ts';
import { badness } from './block-reader.ts';
import { keyAt, walked } from './copy-jobs.ts';
import type { JobKind } from './jobs.ts';
import { transferMsMax, type KnownNode } from './node-book.ts';
import { wantJobs } from './standing.ts';
import type { ServerContext } from './server-context.ts';
import { withinBatch } from './within-batch.ts';

const SCRUB = ['scrub', 'all pools'] as const;
/** What was not scrubbed while the server did other work is not made up for beyond this. */
const CREDIT_ROWS_MAX = 10_000;

export function scrub(context: ServerContext): JobKind {
  const { meta, clock, care } = context;
  let credit = 0;
  let countedMs = clock.monotonicMs();
  return {
    kind: SCRUB[0],
    count: () => meta.read(countPresence),
    async step(job) {
      const nowMs = clock.monotonicMs();
      const rowsPerMs = Math.max(1, job.total ?? 0) / care.scrubMs;
      credit = Math.min(CREDIT_ROWS_MAX, credit + (nowMs - countedMs) * rowsPerMs);
      countedMs = nowMs;
      if (credit < 1)
        return { kind: 'wait', ms: Math.min(care.retryMs, Math.max(care.lookMs, (1 - credit) / rowsPerMs)) };
      const limit = Math.min(limits.batchBlocksMax, Math.floor(credit));
      const rows = await meta.read((reader) => walkPresence(reader, keyAt(job.place), limit));
      const batch = withinBatch(rows);
      credit -= Math.max(1, batch.length);
      const bytes = await check(context, batch);
      return walked(batch, batch.length < rows.length ? batch.length : limit, { bytes });
    },
    ended: (writer) => wantJobs(context, writer, [SCRUB]),
  };
}

/** There is always one. */
export async function beginScrub(context: ServerContext): Promise<void> {
  await context.meta.write(async (writer) => {
    if (!(await allJobs(writer)).some(({ kind }) => kind === SCRUB[0])) await wantJobs(context, writer, [SCRUB]);
  });
}

/** Resolves with the bytes that were read. Nodes that do not answer are passed over: their turn comes again. */
async function check(context: ServerContext, rows: readonly PlacedPresence[]): Promise<number> {
  const { nodes } = context;
  const byNode = new Map<KnownNode, PlacedPresence[]>();
  for (const row of rows)
    for (const holder of row.holders) {
      const known = nodes.byNumber(holder);
      if (!known || nodes.isDown(known)) continue;
      byNode.set(known, [...(byNode.get(known) ?? []), row]);
    }
  let read = 0;
  for (const [known, own] of byNode) {
    const bytes = own.reduce((sum, row) => sum + row.length, 0);
    const ids = own.map(({ block }) => block);
    const results = await nodes.call(
      known,
      context.closing,
      ({ store }, signal) => store.get(ids, signal),
      transferMsMax(bytes),
    );
    read += bytes;
    const bad = new Map<PlacedPresence['space'], BadCopy[]>();
    own.forEach((row, index) => {
      const why = badness(results[index], { id: row.block, storedLength: row.length });
      if (why === null) return;
      bad.set(row.space, [...(bad.get(row.space) ?? []), { block: row.block, holder: known.stored.number, why }]);
    });
    for (const [space, copies] of bad) await noteBadCopies(context, space, copies);
  }
  return read;
}
