/** Long work that goes on in bounded steps: a row says how far it came, so that any server goes on with it. */
import type { MetaReader, MetaWriter } from './meta-store.ts';
import type { MetaSchema } from './schema.ts';

export type StoredJob = {
  /** What is done, and to what: together the job's name. */
  readonly kind: string;
  readonly subject: string;
  /** Another one each time that the job is asked for: what a step for an earlier one came to is not recorded. */
  readonly mark: string;
  /** How far it came, in the words of its kind; null: at the beginning. */
  readonly place: string | null;
  readonly done: number;
  /** What there is to do in all; null before the first step. */
  readonly total: number | null;
  /** What could not be done in this pass: there will be another. */
  readonly skipped: number;
  /** It was asked for while it was under way: there will be another pass too. */
  readonly again: boolean;
};

const AT_FIRST = { place: null, done: 0, total: null, skipped: 0, again: 0 };

export type JobName = Pick<StoredJob, 'kind' | 'subject' | 'mark'>;

/** From the beginning, also where it is under way. `mark`: never used before. */
export async function wantJob({ db }: MetaWriter, { kind, subject, mark }: JobName): Promise<void> {
  const fresh = { mark, ...AT_FIRST };
  await db
    .insertInto('job')
    .values({ kind, subject, ...fresh })
    .onConflict((conflict) => conflict.columns(['kind', 'subject']).doUpdateSet(fresh))
    .execute();
}

/** One that is under way goes on, and has another pass after this one. */
export async function ensureJob({ db }: MetaWriter, { kind, subject, mark }: JobName): Promise<void> {
  await db
    .insertInto('job')
    .values({ kind, subject, mark, ...AT_FIRST })
    .onConflict((conflict) => conflict.columns(['kind', 'subject']).doUpdateSet({ again: 1 }))
    .execute();
}

export async function allJobs({ db }: MetaReader): Promise<readonly StoredJob[]> {
  return (await db.selectFrom('job').selectAll().orderBy('kind').orderBy('subject').execute()).map(jobOf);
}

/** False where it was asked for again since, or is no more: nothing changed. `skipped` is added to what the row has. */
export async function noteJob({ db }: MetaWriter, job: StoredJob, skipped: number): Promise<boolean> {
  const { place, done, total } = job;
  const result = await db
    .updateTable('job')
    .set((eb) => ({ place, done, total, skipped: eb('skipped', '+', skipped) }))
    .where('kind', '=', job.kind)
    .where('subject', '=', job.subject)
    .where('mark', '=', job.mark)
    .executeTakeFirst();
  return result.numUpdatedRows > 0;
}

/** The pass is over. `ended`: nothing was left out, and the row is gone; `again`, or `later` where something was: it begins anew; `stale`: no longer wanted. */
export async function endPass(
  { db }: MetaWriter,
  job: StoredJob,
  skipped: number,
): Promise<'ended' | 'again' | 'later' | 'stale'> {
  const found = await db
    .selectFrom('job')
    .selectAll()
    .where('kind', '=', job.kind)
    .where('subject', '=', job.subject)
    .executeTakeFirst();
  if (!found || found.mark !== job.mark) return 'stale';
  const named = { kind: job.kind, subject: job.subject };
  const leftOut = found.skipped + skipped > 0;
  if (leftOut || found.again === 1) {
    await db
      .updateTable('job')
      .set(AT_FIRST)
      .where('kind', '=', named.kind)
      .where('subject', '=', named.subject)
      .execute();
    return leftOut ? 'later' : 'again';
  }
  await db.deleteFrom('job').where('kind', '=', named.kind).where('subject', '=', named.subject).execute();
  return 'ended';
}

function jobOf(row: MetaSchema['job']): StoredJob {
  const { kind, subject, mark, place, done, total, skipped } = row;
  return { kind, subject, mark, place, done, total, skipped, again: row.again === 1 };
}
