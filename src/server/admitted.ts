/**
 * What nodes admit not to have, or to have damaged. That alone is a failing disk, and is made good. It is a lie where the node goes on
 * claiming the block when it is asked in another way, and where it took the block anew and does not have it again.
 */
import { HoldfastError } from '#core/errors.ts';
import type { BlockId, SpaceId } from '#core/ids.ts';
import { findPresence } from '#meta/contents.ts';
import type { PlacedPresence } from '#meta/copies.ts';
import { askProofs, type ToProve } from './ask-proofs.ts';
import type { BadCopy } from './bad-copies.ts';
import type { KnownNode } from './node-book.ts';
import type { ServerContext } from './server-context.ts';

/** Of each node; what is beyond that is drawn by chance alone. */
const REMEMBERED_MAX = 60;

type Admission = ToProve & { readonly why: 'missing' | 'corrupt' };
export type BadCopyOf = { readonly space: SpaceId; readonly copy: BadCopy };

export class Admitted {
  readonly #context: ServerContext;
  /** By node number: blocks that it did not have. They are asked for again once the rows say that it has them again. */
  readonly #missing = new Map<number, Map<BlockId, SpaceId>>();

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /** By node number: rows that name it again, of blocks that it did not have. */
  async held(): Promise<ReadonlyMap<number, readonly PlacedPresence[]>> {
    const held = new Map<number, PlacedPresence[]>();
    await this.#context.meta.read(async (reader) => {
      for (const [number, blocks] of this.#missing)
        for (const space of new Set(blocks.values())) {
          const ids = [...blocks].filter(([, one]) => one === space).map(([block]) => block);
          for (const row of await findPresence(reader, space, ids))
            if (row.holders.includes(number)) held.set(number, [...(held.get(number) ?? []), { ...row, space }]);
        }
    });
    return held;
  }

  async judge(known: KnownNode, admitted: readonly Admission[]): Promise<readonly BadCopyOf[]> {
    if (admitted.length === 0) return [];
    const { number } = known.stored;
    const claimed = await this.#claimed(known, admitted);
    const before = this.#missing.get(number);
    return admitted.map(({ row: { block, space }, why }): BadCopyOf => {
      const again = why === 'missing' && before?.has(block) === true;
      return { space, copy: { block, holder: number, why: again || claimed.has(block) ? 'not_there' : why } };
    });
  }

  /** The rows do not name the node for it any more: where they do again, it is because the node said so. */
  noted(bad: readonly BadCopyOf[]): void {
    for (const { space, copy } of bad) {
      if (copy.why !== 'missing') continue;
      const own = this.#missing.get(copy.holder) ?? new Map<BlockId, SpaceId>();
      this.#missing.set(copy.holder, own);
      if (own.size < REMEMBERED_MAX) own.set(copy.block, space);
    }
  }

  /** What it lacked is there again: made good. */
  proved({ stored }: KnownNode, block: BlockId): void {
    this.#missing.get(stored.number)?.delete(block);
  }

  /** In this order: it says that it has them, and then cannot show them. Otherwise what was put meanwhile would look like a lie. */
  async #claimed(known: KnownNode, admitted: readonly Admission[]): Promise<ReadonlySet<BlockId>> {
    const { nodes, closing } = this.#context;
    const ids = admitted.map(({ row }) => row.block);
    let held: readonly boolean[];
    try {
      held = await nodes.call(known, closing, ({ store }, signal) => store.has(ids, signal));
    } catch (error) {
      if (closing.aborted || !(error instanceof HoldfastError)) throw error;
      return new Set();
    }
    const claims = admitted.filter((_, index) => held[index]);
    if (claims.length === 0) return new Set();
    const answers = (await askProofs(this.#context, new Map([[known, claims]]))).get(known);
    const empty = claims.filter((claim) => ['missing', 'corrupt'].includes(answers?.get(claim)?.kind ?? ''));
    return new Set(empty.map(({ row }) => row.block));
  }
}
