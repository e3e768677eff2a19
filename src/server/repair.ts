/**
 * Repair: always on. The rows that owe copies are its list, those with the fewest copies first; it copies from a good copy to the next nodes
 * of the layout. What cannot be helped now - no good copy in reach, no node to take one - waits for the next round.
 */
import { planRepair } from '#core/copies.ts';
import { countOwedByPool, owedRows, type PlacedPresence, type Reach } from '#meta/copies.ts';
import type { JobRow } from '#protocol/cluster.ts';
import { batchOf, copyBlocks, type CopyTask } from './copier.ts';
import { rated, type StandingWork } from './jobs.ts';
import type { ServerContext } from './server-context.ts';
import { Speed } from './speed.ts';

const ROWS_PER_STEP = 256;

export class Repair implements StandingWork {
  readonly #context: ServerContext;
  #after: PlacedPresence | null = null;
  #done = 0;
  #speed: Speed | null = null;
  /** Monotonic: after a round in which nothing could be done. */
  #notBeforeMs = 0;
  #helped = false;
  #pauseMs = 0;

  constructor(context: ServerContext) {
    this.#context = context;
  }

  wake(): void {
    this.#notBeforeMs = 0;
    this.#pauseMs = 0;
  }

  async step(): Promise<{ readonly busy: boolean; readonly bytes: number }> {
    const { meta, clock } = this.#context;
    const reach = this.#reachNow();
    if (clock.monotonicMs() < this.#notBeforeMs) return { busy: false, bytes: 0 };
    const rows = await meta.read((reader) => owedRows(reader, reach, this.#after, ROWS_PER_STEP));
    if (rows.length === 0) return { busy: this.#endRound(), bytes: 0 };
    this.#speed ??= new Speed(clock);
    const { last, pool, layout, tasks } = this.#plan(rows);
    this.#after = last;
    if (tasks.length === 0) return { busy: true, bytes: 0 };
    const copied = await copyBlocks(this.#context, pool, layout, tasks, false);
    if (copied.bytes > 0) this.#helped = true;
    this.#done += copied.whole;
    this.#speed.add(copied.whole, copied.bytes);
    return { busy: true, bytes: copied.bytes };
  }

  /** The first rows of one pool that fit into a batch, and those between them that nothing can be done for. */
  #plan(rows: readonly PlacedPresence[]) {
    const { nodes } = this.#context;
    const pool = (rows[0] as PlacedPresence).pool;
    const same = rows.findIndex((row) => row.pool !== pool);
    const own = same < 0 ? rows : rows.slice(0, same);
    const tasks: CopyTask[] = [];
    for (const row of own) {
      const plan = planRepair(row.holders, nodes.order(pool, row.block), nodes.standing(pool));
      const known = plan.targets.flatMap((number) => nodes.byNumber(number) ?? []);
      const targets = known.filter((one) => nodes.takesBlocks(one));
      const needed = Math.min(plan.needed, targets.length);
      if (needed > 0 && nodes.hasSource(row)) tasks.push({ row, targets, needed });
    }
    const batch = batchOf(tasks);
    const last = batch.length < tasks.length ? (batch.at(-1) as CopyTask).row : (own.at(-1) as PlacedPresence);
    return { last, pool, layout: nodes.layoutNumber(pool), tasks: batch };
  }

  /** True where another round may come to something. */
  #endRound(): boolean {
    const { clock, care } = this.#context;
    const [helped, seen] = [this.#helped, this.#after !== null];
    this.#after = null;
    this.#helped = false;
    if (helped) {
      this.#pauseMs = 0;
      return true;
    }
    this.#speed = null;
    this.#done = 0;
    // Longer each time: it may be many that nobody can help now.
    this.#pauseMs = seen ? Math.min(care.retryMs, 2 * Math.max(this.#pauseMs, care.lookMs)) : 0;
    this.#notBeforeMs = clock.monotonicMs() + this.#pauseMs;
    return false;
  }

  #reachNow(): readonly Reach[] {
    const { nodes } = this.#context;
    const up = (pool: string) => nodes.members(pool).filter((known) => !nodes.isDown(known)).length;
    return nodes
      .pools()
      .map((pool) => ({ pool, nodes: up(pool) }))
      .filter((reach) => reach.nodes > 0);
  }

  async row(): Promise<JobRow | null> {
    const owed = await this.#context.meta.read(countOwedByPool);
    const left = [...owed.values()].reduce((sum, one) => sum + one.owed, 0);
    if (left === 0) return null;
    return { name: 'repair', subject: 'all pools', done: this.#done, left, ...rated(this.#speed ?? undefined, left) };
  }

  /** Bytes a second, as measured while it works; null: it does not. */
  measured(): number | null {
    const bytesPerS = this.#speed?.rate().bytesPerS ?? 0;
    return bytesPerS > 0 ? bytesPerS : null;
  }
}
