/**
 * Ends what no rule keeps any more, in bounded steps: older revisions, and what lies in the trash. What is purged is noted for good; garbage collection then
 * finds that nothing names the bytes. Once for each day that the server ran, and where rules were applied: what is over is found by walking through the journal.
 */
import type { EntryId, SpaceId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { allRules } from '#meta/clusters.ts';
import type { PooledEntry } from '#meta/entries.ts';
import { addFolders, childrenAfter, nextFolder, noteFolder, type QueuedFolder } from '#meta/folder-queues.ts';
import { dropRows, newestMark } from '#meta/journal-marks.ts';
import type { MetaReader, MetaWriter } from '#meta/meta-store.ts';
import { placingState, wantIn } from '#meta/placing.ts';
import { addPurged, PURGING } from '#meta/purging.ts';
import { allSpaces, lockSpace, type StoredSpace } from '#meta/spaces.ts';
import type { JobRow } from '#protocol/cluster.ts';
import { HistoryWalk, WALK_START, type Ended, type WalkPlace } from './history-walk.ts';
import { rated } from './jobs.ts';
import type { ServerContext } from './server-context.ts';

const CHILDREN_PER_STEP = 500;
const LOOKS_PER_DAY = 1440;

type Walk = { readonly space: SpaceId; readonly occasion: string; readonly place: WalkPlace };

export class Purge {
  readonly #context: ServerContext;
  readonly #lookMs: number;
  /** For which occasion a space was walked through to its end. */
  readonly #walked = new Map<SpaceId, string>();
  #walk: Walk | null = null;
  #isBusy = false;
  /** By the monotonic clock. */
  #lookAtMs = Number.NEGATIVE_INFINITY;

  /** `dayMs`: what a day is long (`JournalKept`). */
  constructor(context: ServerContext, dayMs: number = limits.journalKept.dayMs) {
    this.#context = context;
    this.#lookMs = dayMs / LOOKS_PER_DAY;
  }

  /** While there is something to do. `done`: seqs of the journal that were walked through. */
  row(): JobRow | null {
    if (!this.#isBusy) return null;
    return { name: 'purge', subject: '', done: this.#walk?.place.seq ?? 0, left: null, ...rated(undefined, null) };
  }

  async step(): Promise<'busy' | 'idle'> {
    const outcome = await this.#step();
    this.#isBusy = outcome === 'busy';
    return outcome;
  }

  async #step(): Promise<'busy' | 'idle'> {
    const { meta, clock } = this.#context;
    if ((await meta.read((reader) => nextFolder(reader, PURGING))) !== null) {
      await meta.write((writer) => this.#purgeSome(writer));
      return 'busy';
    }
    if (this.#walk) {
      const walk = this.#walk;
      const place = await meta.write((writer) => this.#go(writer, walk));
      this.#walk = typeof place === 'string' ? null : { ...walk, place };
      if (place === 'over') this.#walked.set(walk.space, walk.occasion);
      return 'busy';
    }
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#lookAtMs) return 'idle';
    for (const { space } of await meta.read(allSpaces)) {
      const occasion = await meta.read((reader) => occasionOf(reader, space));
      if (occasion === null || this.#walked.get(space) === occasion) continue;
      this.#walk = { space, occasion, place: WALK_START };
      return 'busy';
    }
    this.#lookAtMs = nowMs + this.#lookMs;
    return 'idle';
  }

  /** One step: where the next one begins; or the walk is over, or it was for something else than there is by now. */
  async #go(writer: MetaWriter, walk: Walk): Promise<WalkPlace | 'over' | 'begin anew'> {
    if ((await occasionOf(writer, walk.space)) !== walk.occasion) return 'begin anew';
    const space = await lockSpace(writer, walk.space);
    const found = space && (await HistoryWalk.of(writer, space, await allRules(writer), this.#context.clock.nowMs()));
    if (!found) return 'over';
    const { ended, next } = await found.step(walk.place);
    await purge(writer, space, ended);
    return next ?? 'over';
  }

  /** Files of folders that were purged: nothing comes back from there, so that what is found in it now stays in it. */
  async #purgeSome(writer: MetaWriter): Promise<void> {
    for (let left = CHILDREN_PER_STEP; left > 0; ) {
      const folder = await nextFolder(writer, PURGING);
      if (!folder) return;
      left -= await purgeChildren(writer, folder, left);
    }
  }
}

/** What a walk is for: a further day, or other rules. Null: rules that nobody has applied end nothing, and where no day has passed nothing is over. */
async function occasionOf(reader: MetaReader, space: SpaceId): Promise<string | null> {
  const { pending, placedMs } = await placingState(reader);
  const mark = await newestMark(reader, space);
  const rules = await allRules(reader);
  if (pending || !mark || rules.every(({ historyDays }) => historyDays === undefined)) return null;
  return `${mark.mark} ${placedMs} ${JSON.stringify(rules)}`;
}

async function purge(writer: MetaWriter, space: StoredSpace, ended: readonly Ended[]): Promise<void> {
  const seqs: number[] = [];
  const files: PooledEntry[] = [];
  const folders: EntryId[] = [];
  for (const one of ended) {
    if (one.kind === 'revision') seqs.push(one.seq);
    else {
      seqs.push(one.entry.placed);
      if (one.entry.kind === 'folder') folders.push(one.entry.entry);
      else files.push(one.entry);
    }
  }
  await addPurged(writer, space.space, seqs);
  await addFolders(writer, PURGING, space.space, folders);
  await purgeFiles(writer, space.space, files);
  // Those above the horizon go with it: until then the journal is whole.
  const revisions = ended.flatMap((one) => (one.kind === 'revision' && one.seq < space.horizonSeq ? one.seq : []));
  await dropRows(writer, space.space, revisions);
}

/** Answers how much that was, one at least. */
async function purgeChildren(writer: MetaWriter, at: QueuedFolder, limit: number): Promise<number> {
  const { children, last } = await childrenAfter(writer, at, limit);
  await purgeFiles(
    writer,
    at.space,
    children.filter(({ kind }) => kind === 'file'),
  );
  await noteFolder(writer, PURGING, at, children.length < limit ? null : last);
  await addFolders(
    writer,
    PURGING,
    at.space,
    children.filter(({ kind }) => kind === 'folder').map(({ entry }) => entry),
  );
  return children.length + 1;
}

/** Their bytes are kept no more, and nobody moves them to another pool. */
async function purgeFiles(writer: MetaWriter, space: SpaceId, files: readonly PooledEntry[]): Promise<void> {
  await addPurged(
    writer,
    space,
    files.map(({ revision }) => revision),
  );
  for (const [pool, some] of Map.groupBy(files, ({ pool: of }) => of))
    if (pool !== null) await wantIn(writer, space, some, pool);
}
