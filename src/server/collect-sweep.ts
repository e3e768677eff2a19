/** Judges the rows of a space by a complete mark, some hundred in a transaction, and lets go of what has waited long enough. */
import { fateOf, type Found } from '#core/collection.ts';
import { owedOf, QUORUM_COPIES } from '#core/copies.ts';
import type { ManifestId } from '#core/ids.ts';
import {
  collectionState,
  contentsAfter,
  judgeContent,
  judgePresence,
  presenceAfter,
  removeContent,
  removePresence,
  type JudgedPresence,
  type PresenceKey,
} from '#meta/collection.ts';
import { allNodes } from '#meta/clusters.ts';
import { addGarbage } from '#meta/garbage.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import { newestRoot } from '#meta/roots.ts';
import type { Mark } from './collect-mark.ts';
import { readPools, type PoolsNow } from './standing.ts';

const ROWS_PER_STEP = 300;
/** A block has one row in each pool: a page is read a little further, so that all of them are looked at together. */
const POOLS_MAX = 64;

export type SweepTime = {
  readonly mark: number;
  /** The highest number of a root when that mark began. */
  readonly rootsBefore: number;
  readonly nowMs: number;
  readonly graceMs: number;
};

/** As one step has it. */
type Now = Omit<SweepTime, 'rootsBefore'> & { readonly rooted: boolean };

export class Sweep {
  readonly #mark: Mark;
  #phase: 'presence' | 'contents' = 'presence';
  #after: PresenceKey | null = null;
  #afterContent: ManifestId | null = null;

  constructor(mark: Mark) {
    this.#mark = mark;
  }

  /** True when everything was judged. */
  async step(writer: MetaWriter, time: SweepTime): Promise<boolean> {
    const now = { ...time, rooted: await isRooted(writer, time.rootsBefore) };
    if (this.#phase === 'contents') return this.#sweepContents(writer, now);
    if (await this.#sweepPresence(writer, now)) this.#phase = 'contents';
    return false;
  }

  async #sweepPresence(writer: MetaWriter, now: Now): Promise<boolean> {
    const { space } = this.#mark;
    const rows = await presenceAfter(writer, space, this.#after, ROWS_PER_STEP);
    const last = rows.at(-1);
    if (!last) return true;
    const rest = await presenceAfter(writer, space, last, POOLS_MAX);
    const page = [...rows, ...rest.filter(({ block }) => block === last.block)];
    const condemned = { mark: (await collectionState(writer)).mark, atMs: now.nowMs };
    const pools = await readPools(writer);
    for (const [at, row] of page.entries()) {
      const others = siblings(page, at);
      const fate = fateOf(this.#find(row, others, pools), row.condemned, now);
      if (fate === 'spare') await judgePresence(writer, space, row, null);
      else if (fate === 'condemn') await judgePresence(writer, space, row, condemned);
      else if (fate === 'delete') {
        await removePresence(writer, space, row);
        const copies = row.holders.map((node) => ({ node, block: row.block }));
        // It has waited already: its copies are judged at once.
        await addGarbage(writer, copies, 0);
      }
    }
    this.#after = page.at(-1) ?? null;
    return rows.length < ROWS_PER_STEP;
  }

  #find({ block, pool }: JudgedPresence, others: readonly JudgedPresence[], pools: PoolsNow): Found {
    return {
      live: this.#mark.isLive(block),
      wantedHere: this.#mark.isWanted(block, pool),
      // Owing nothing by the nodes as they stand now, and not itself about to go.
      wholeElsewhere: others.some(
        (other) =>
          this.#mark.isWanted(block, other.pool) &&
          other.owed === 0 &&
          owedOf(other.holders, pools.of(other.pool)) === 0 &&
          other.holders.length > 0 &&
          other.condemned === null,
      ),
    };
  }

  async #sweepContents(writer: MetaWriter, now: Now): Promise<boolean> {
    const { space } = this.#mark;
    const rows = await contentsAfter(writer, space, this.#afterContent, ROWS_PER_STEP);
    const condemned = { mark: (await collectionState(writer)).mark, atMs: now.nowMs };
    for (const { manifest, condemned: before } of rows) {
      const live = this.#mark.isKept(manifest);
      const fate = fateOf({ live, wantedHere: live, wholeElsewhere: false }, before, now);
      if (fate === 'spare') await judgeContent(writer, space, manifest, null);
      else if (fate === 'condemn') await judgeContent(writer, space, manifest, condemned);
      else if (fate === 'delete') await removeContent(writer, space, manifest);
    }
    this.#afterContent = rows.at(-1)?.manifest ?? null;
    return rows.length < ROWS_PER_STEP;
  }
}

/** Whether a root that began after those lies on enough nodes. */
async function isRooted(writer: MetaWriter, rootsBefore: number): Promise<boolean> {
  const newest = await newestRoot(writer);
  const staying = (await allNodes(writer)).filter(({ standing }) => standing === 'in');
  return newest !== null && newest.seq > rootsBefore && newest.nodes >= Math.min(QUORUM_COPIES, staying.length);
}

/** The other rows of the same block: they lie beside it. */
function siblings(page: readonly JudgedPresence[], at: number): readonly JudgedPresence[] {
  const block = page[at]?.block;
  const found: JudgedPresence[] = [];
  for (let left = at - 1; page[left]?.block === block && left >= 0; left--) found.push(page[left] as JudgedPresence);
  for (let right = at + 1; page[right]?.block === block && right < page.length; right++)
    found.push(page[right] as JudgedPresence);
  return found;
}
