/**
 * Works off long work in bounded steps, most urgent kind first. Rows say what there is and how far it came; this process only knows how
 * fast it goes. A step may be done twice, after a crash or by two servers: kinds are made so that this changes nothing.
 */
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import { allJobs, endPass, noteJob, type StoredJob } from '#meta/jobs.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import type { JobRow } from '#protocol/cluster.ts';
import type { ServerContext } from './server-context.ts';
import { Speed } from './speed.ts';

export type JobStep =
  /** `place`: where the next step begins; null: the pass is over. `skipped`: what could not be done now. `bytes`: that crossed the network. */
  | {
      readonly kind: 'done';
      readonly place: string | null;
      readonly done: number;
      readonly skipped: number;
      readonly bytes: number;
    }
  /** Nothing can be done now. `ms`: before it is looked at again; default: as long as before any other retry. */
  | { readonly kind: 'wait'; readonly ms?: number };

export type JobKind = {
  readonly kind: string;
  /** What there is to do in all. */
  count(subject: string): Promise<number>;
  step(job: StoredJob): Promise<JobStep>;
  /** In the transaction in which a whole pass ends that left nothing out. */
  ended?(writer: MetaWriter, subject: string): Promise<void>;
};

/** Work that is never over, and whose rows are its own. */
export type StandingWork = {
  /** What could not be done may be done now. */
  wake(): void;
  step(): Promise<{ readonly busy: boolean; readonly bytes: number }>;
  row(): Promise<JobRow | null>;
};

export type Shown = { row(): JobRow | null };

export class Jobs {
  readonly #context: ServerContext;
  readonly #works: readonly (JobKind | StandingWork)[];
  readonly #alsoShown: readonly Shown[];
  readonly #speeds = new Map<string, Speed>();
  /** Monotonic: jobs that could not go on are not tried again before. */
  readonly #notBeforeMs = new Map<string, number>();
  #turn: Promise<unknown> = Promise.resolve();
  #wake = new AbortController();

  /** `alsoShown`: work that others step through. */
  constructor(context: ServerContext, works: readonly (JobKind | StandingWork)[], alsoShown: readonly Shown[] = []) {
    this.#context = context;
    this.#alsoShown = alsoShown;
    this.#works = works;
  }

  /** There may be something to do: does not wait for the next look. */
  wake(): void {
    this.#notBeforeMs.clear();
    for (const work of this.#works) if ('wake' in work) work.wake();
    this.#wake.abort();
  }

  /** Until the server closes. */
  async run(): Promise<void> {
    const { clock, closing, log, care } = this.#context;
    while (!closing.aborted) {
      if (this.#wake.signal.aborted) this.#wake = new AbortController();
      let pauseMs: number = care.lookMs;
      const begunMs = clock.monotonicMs();
      try {
        const { busy, bytes } = await this.step();
        // What carrying them took is part of the time that so many bytes are to take.
        if (busy) pauseMs = (bytes / care.bytesPerS) * 1000 - (clock.monotonicMs() - begunMs);
      } catch (error) {
        if (closing.aborted) return;
        if (!(error instanceof HoldfastError)) throw error;
        log.warn('a background task failed; it is tried again', { code: error.code, detail: error.message });
      }
      if (pauseMs > 0) await clock.sleep(pauseMs, AbortSignal.any([closing, this.#wake.signal]));
    }
  }

  /** One bounded step of what is most urgent. Callers take turns. */
  step(): Promise<{ readonly busy: boolean; readonly bytes: number }> {
    const next = this.#turn.then(() => this.#step());
    this.#turn = next.catch(() => undefined);
    return next;
  }

  async #step(): Promise<{ readonly busy: boolean; readonly bytes: number }> {
    const jobs = await this.#context.meta.read(allJobs);
    for (const work of this.#works) {
      if (!('kind' in work)) {
        const did = await work.step();
        if (did.busy) return did;
        continue;
      }
      for (const job of jobs) {
        if (job.kind !== work.kind || this.#waits(job)) continue;
        const bytes = await this.#stepOf(work, job);
        if (bytes !== null) return { busy: true, bytes };
      }
    }
    return { busy: false, bytes: 0 };
  }

  #waits(job: StoredJob): boolean {
    return (this.#notBeforeMs.get(nameOf(job)) ?? 0) > this.#context.clock.monotonicMs();
  }

  #waitWith(job: StoredJob, ms: number = this.#context.care.retryMs): void {
    this.#notBeforeMs.set(nameOf(job), this.#context.clock.monotonicMs() + ms);
  }

  /** Null where nothing was done. */
  async #stepOf(work: JobKind, stored: StoredJob): Promise<number | null> {
    const { meta } = this.#context;
    const job = stored.total === null ? { ...stored, total: await work.count(stored.subject) } : stored;
    const did = await work.step(job);
    if (did.kind === 'wait') {
      this.#waitWith(job, did.ms);
      return null;
    }
    this.#speedOf(job).add(did.done, did.bytes);
    const { place } = did;
    if (place !== null) {
      const total = Math.max(must(job.total, 'it was counted'), job.done + did.done);
      await meta.write((writer) => noteJob(writer, { ...job, place, done: job.done + did.done, total }, did.skipped));
      return did.bytes;
    }
    const outcome = await meta.write(async (writer) => {
      const end = await endPass(writer, job, did.skipped);
      if (end === 'ended') await work.ended?.(writer, job.subject);
      return end;
    });
    if (outcome === 'later') this.#waitWith(job);
    if (outcome === 'ended') this.#speeds.delete(nameOf(job));
    return did.bytes;
  }

  #speedOf(job: StoredJob): Speed {
    const name = nameOf(job);
    const known = this.#speeds.get(name) ?? new Speed(this.#context.clock);
    this.#speeds.set(name, known);
    return known;
  }

  /** What there is to do, for people. */
  async rows(): Promise<readonly JobRow[]> {
    const rows: JobRow[] = [];
    const jobs = await this.#context.meta.read(allJobs);
    for (const work of this.#works) {
      if ('kind' in work) rows.push(...jobs.filter(({ kind }) => kind === work.kind).map((job) => this.#rowOf(job)));
      else {
        const row = await work.row();
        if (row) rows.push(row);
      }
    }
    return [...rows, ...this.#alsoShown.flatMap((work) => work.row() ?? [])];
  }

  #rowOf(job: StoredJob): JobRow {
    const left = job.total === null ? null : Math.max(0, job.total - job.done);
    const speed = this.#speeds.get(nameOf(job));
    return { name: job.kind, subject: job.subject, done: job.done, left, ...rated(speed, left) };
  }
}

export function rated(
  speed: Speed | undefined,
  left: number | null,
): Pick<JobRow, 'ratePerS' | 'bytesPerS' | 'secondsLeft'> {
  const { itemsPerS, bytesPerS } = speed?.rate() ?? { itemsPerS: 0, bytesPerS: 0 };
  const secondsLeft = left === null || itemsPerS <= 0 ? null : Math.ceil(left / itemsPerS);
  return { ratePerS: round(itemsPerS), bytesPerS: Math.round(bytesPerS), secondsLeft };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function nameOf({ kind, subject }: { readonly kind: string; readonly subject: string }): string {
  return `${kind} ${subject}`;
}
