/**
 * Garbage collection: marks what is kept, condemns rows that a mark did not find, removes those that a later one did not find either, and has the storage
 * nodes let go of copies that no row names. The database's rows decide what may go; a mark that a restart cuts off is only lost.
 */
import type { SpaceId } from '#core/ids.ts';
import { collectionState, putCollectionState } from '#meta/collection.ts';
import { lastRootSeq } from '#meta/roots.ts';
import { allSpaces } from '#meta/spaces.ts';
import { CopyCollector } from './collect-copies.ts';
import { Mark } from './collect-mark.ts';
import { Sweep } from './collect-sweep.ts';
import type { JobRow } from '#protocol/cluster.ts';
import { rated } from './jobs.ts';
import type { ServerContext } from './server-context.ts';

export type CollectionTimes = {
  /** Between the beginnings of two marks. */
  readonly everyMs: number;
  /** What is garbage is kept at least so long after it was found. */
  readonly graceMs: number;
};

/** What is found is kept over two further marks. */
export function collectionTimes(everyMs: number): CollectionTimes {
  return { everyMs, graceMs: 2 * everyMs };
}

export const COLLECTION_TIMES: CollectionTimes = collectionTimes(12 * 3_600_000);

type Cycle = {
  readonly number: number;
  /** The highest number of a root when it began: what was condemned before was so when a later one is made. */
  readonly rootsBefore: number;
  readonly spaces: SpaceId[];
  mark: Mark | null;
  sweep: Sweep | null;
  steps: number;
};

export class Collection {
  readonly #context: ServerContext;
  readonly #times: CollectionTimes;
  readonly #copies: CopyCollector;
  readonly #wantRoot: (above: number) => void;
  #cycle: Cycle | null = null;
  /** By the monotonic clock; null before the first look of this process. */
  #nextMs: number | null = null;

  /** `wantRoot`: asks for a root with a higher number than this. */
  constructor(context: ServerContext, wantRoot: (above: number) => void, times: CollectionTimes = COLLECTION_TIMES) {
    this.#context = context;
    this.#wantRoot = wantRoot;
    this.#times = times;
    this.#copies = new CopyCollector(context, times.graceMs);
  }

  /** While one is under way. */
  row(): JobRow | null {
    if (!this.#cycle) return null;
    const subject = this.#cycle.sweep ? 'sweep' : 'mark';
    return { name: 'collection', subject, done: this.#cycle.steps, left: null, ...rated(undefined, null) };
  }

  async step(): Promise<'busy' | 'idle'> {
    this.#cycle ??= await this.#begin();
    if (this.#cycle) {
      this.#cycle.steps++;
      if (await this.#go(this.#cycle)) this.#cycle = null;
      return 'busy';
    }
    return this.#copies.step();
  }

  async #begin(): Promise<Cycle | null> {
    const { meta, clock } = this.#context;
    const nowMs = clock.monotonicMs();
    if (this.#nextMs === null) {
      const { markedMs } = await meta.read(collectionState);
      const agoMs = Math.max(0, clock.nowMs() - markedMs);
      this.#nextMs = nowMs + Math.max(0, this.#times.everyMs - agoMs);
    }
    if (nowMs < this.#nextMs) return null;
    this.#nextMs = nowMs + this.#times.everyMs;
    const cycle = await meta.write(async (writer) => {
      const state = await collectionState(writer);
      const number = state.mark + 1;
      await putCollectionState(writer, { ...state, mark: number, markedMs: clock.nowMs() });
      const spaces = (await allSpaces(writer)).map(({ space }) => space);
      return { number, rootsBefore: await lastRootSeq(writer), spaces, mark: null, sweep: null, steps: 0 };
    });
    this.#wantRoot(cycle.rootsBefore);
    return cycle;
  }

  /** One step; true when the cycle is over. */
  async #go(cycle: Cycle): Promise<boolean> {
    const { meta, clock } = this.#context;
    if (cycle.sweep) {
      const { sweep } = cycle;
      const { number: mark, rootsBefore } = cycle;
      const time = { mark, rootsBefore, nowMs: clock.nowMs(), graceMs: this.#times.graceMs };
      if (await meta.write((writer) => sweep.step(writer, time))) cycle.sweep = null;
      return false;
    }
    if (!cycle.mark) {
      const space = cycle.spaces.shift();
      if (space !== undefined) cycle.mark = new Mark(space, cycle.number);
      else return !(await this.#copies.sweepLeft());
    }
    const { mark } = cycle;
    if (mark && (await meta.read((reader) => mark.step(reader)))) {
      cycle.mark = null;
      cycle.sweep = new Sweep(mark);
    }
    return false;
  }
}
