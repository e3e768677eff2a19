/** Draws which blocks nodes are asked to prove: at random over all that the rows say they hold, so that no node can know what to keep. */
import { must } from '#core/assert.ts';
import { id32Of, type BlockId, type SpaceId } from '#core/ids.ts';
import { countBySpace, walkPresence, type PlacedPresence } from '#meta/copies.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import type { Random } from '#world/random.ts';
import { placeOf } from './copy-jobs.ts';
import type { ServerContext } from './server-context.ts';

/** Up to so many rows all are read. Of more, runs of neighbours behind random ids: ids are hashes, so that neighbours have nothing in common. */
const ALL_ROWS_MAX = 512;
const RUN_ROWS = 64;
const RUNS_MIN = 8;
/** More runs where nodes are many and each holds few of the rows. */
const RUNS_MAX = 64;
/** How many rows the spaces have is counted anew after that time. */
const COUNT_MS = 3_600_000;
const FIRST = id32Of<BlockId>(new Uint8Array(32));

type Counted = {
  readonly spaces: readonly { readonly space: SpaceId; readonly rows: number }[];
  readonly atMs: number;
};

export class ChallengeSample {
  readonly #context: Pick<ServerContext, 'meta' | 'clock' | 'random'>;
  #counted: Counted | null = null;

  constructor(context: Pick<ServerContext, 'meta' | 'clock' | 'random'>) {
    this.#context = context;
  }

  /** For each of the nodes, by their numbers: rows that name it, in random order, `each` at most; fewer where it is hard to find so many. */
  async draw(numbers: readonly number[], each: number): Promise<ReadonlyMap<number, readonly PlacedPresence[]>> {
    const { meta, random } = this.#context;
    const found = new Map<string, PlacedPresence>();
    const named = new Map(numbers.map((number) => [number, 0]));
    const add = (rows: readonly PlacedPresence[]) => {
      for (const row of rows) {
        if (found.has(placeOf(row))) continue;
        found.set(placeOf(row), row);
        for (const holder of row.holders) named.set(holder, 1 + (named.get(holder) ?? 0));
      }
    };
    const few = await meta.read((reader) => walkPresence(reader, null, ALL_ROWS_MAX));
    if (few.length < ALL_ROWS_MAX) add(few);
    else {
      const enough = () => numbers.every((number) => (named.get(number) ?? 0) >= each);
      for (let run = 0; run < RUNS_MAX && (run < RUNS_MIN || !enough()); run++)
        add(await meta.read((reader) => this.#run(reader)));
    }
    const rows = [...found.values()];
    return new Map(
      numbers.map((number) => {
        const own = rows.filter(({ holders }) => holders.includes(number));
        return [number, shuffled(random, own).slice(0, each)];
      }),
    );
  }

  /** Neighbours in one space, each with the same chance; behind its last row comes its first. */
  async #run(reader: MetaReader): Promise<readonly PlacedPresence[]> {
    const { random } = this.#context;
    const { spaces } = await this.#count(reader);
    let at = below(
      random,
      spaces.reduce((sum, { rows }) => sum + rows, 0),
    );
    const space = must(
      spaces.find(({ rows }) => (at -= rows) < 0),
      'the draw is below the sum',
    ).space;
    const within = async (block: BlockId) => {
      const rows = await walkPresence(reader, { space, block, pool: '' }, RUN_ROWS);
      return rows.filter((row) => row.space === space);
    };
    const behind = await within(id32Of<BlockId>(random.bytes(32)));
    return behind.length === RUN_ROWS ? behind : [...behind, ...(await within(FIRST))].slice(0, RUN_ROWS);
  }

  async #count(reader: MetaReader): Promise<Counted> {
    const nowMs = this.#context.clock.monotonicMs();
    if (this.#counted && nowMs - this.#counted.atMs < COUNT_MS) return this.#counted;
    this.#counted = { spaces: await countBySpace(reader), atMs: nowMs };
    return this.#counted;
  }
}

/** A whole number from 0, below `limit`. */
export function below(random: Random, limit: number): number {
  const view = new DataView(random.bytes(6).slice().buffer);
  return Math.floor(((view.getUint16(0) * 2 ** 32 + view.getUint32(2)) / 2 ** 48) * limit);
}

function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = below(random, last + 1);
    [order[last], order[other]] = [order[other] as T, order[last] as T];
  }
  return order;
}
