/** What a storage node answers, and to whom. */
import type { z } from 'zod';
import type { NodeBlockStore } from '#blocks/node-block-store.ts';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import { limits } from '#core/limits.ts';
import type { Primitives } from '#core/primitives.ts';
import { dispatcher, route, type UseCase } from '#protocol/call.ts';
import {
  nodeChallenge,
  nodeDelete,
  nodeGet,
  nodeHas,
  nodeKeys,
  nodePut,
  nodeRoot,
  nodeStatus,
} from '#protocol/node.ts';
import type { Caller, Handler } from '#protocol/wire.ts';
import type { DeleteOrders } from './delete-orders.ts';
import { proveHeld } from './prove.ts';
import type { KeptRoots } from './kept-roots.ts';
import type { TrustedKeys } from './trusted-keys.ts';

export type NodeStatus = z.infer<typeof nodeStatus.response>;
/** Nothing depends on who of the trusted asks. */
type Trusted = { readonly trusted: true };

export type NodeParts = {
  readonly blocks: NodeBlockStore;
  readonly keys: TrustedKeys;
  readonly roots: KeptRoots;
  readonly orders: DeleteOrders;
  readonly primitives: Primitives;
  /** Blocks were deleted. */
  readonly onDeleted: () => void;
  readonly status: () => Promise<NodeStatus>;
};

export function nodeHandler({ blocks, keys, roots, orders, primitives, onDeleted, status }: NodeParts): Handler {
  return dispatcher<Trusted>(
    [
      route(nodePut, putBlocks(blocks)),
      route(nodeGet, getBlocks(blocks)),
      route(nodeHas, async ({ blocks: ids }, { signal }) => answer({ held: [...(await blocks.has(ids, signal))] })),
      route(nodeChallenge, async ({ challenges }, { signal }) =>
        answer({ answers: [...(await proveHeld(blocks, primitives, challenges, signal))] }),
      ),
      route(nodeStatus, async () => answer(await status())),
      route(nodeKeys, offerKeys(keys)),
      route(nodeDelete, async (_request, { parts }) => {
        const [bytes] = parts;
        if (!bytes || parts.length !== 1) throw new HoldfastError('invalid_field', 'one part: the signed order');
        const results = await orders.carryOut(bytes, blocks);
        onDeleted();
        return answer({ results: [...results] });
      }),
      route(nodeRoot, offerRoot(roots)),
    ],
    (caller, _callers, verbName) => authorise(keys, caller, verbName),
  );
}

/** A key list proves itself by its signature: a server whose key is new can show it in no other way. */
function authorise(keys: TrustedKeys, caller: Caller, verbName: string): Trusted {
  if (verbName === nodeKeys.name) return { trusted: true };
  if (caller.kind !== 'pinned') throw new HoldfastError('unauthenticated', 'a storage node serves its server alone');
  if (!keys.trusts(caller.pin))
    throw new HoldfastError('unknown_pin', 'the key that the caller showed is not in the key list of the cluster');
  return { trusted: true };
}

type Answers<V extends { request: z.ZodType; response: z.ZodType }> = UseCase<
  z.infer<V['request']>,
  z.infer<V['response']>,
  Trusted
>;

function putBlocks(store: NodeBlockStore): Answers<typeof nodePut> {
  return async ({ fence, blocks: ids }, { parts, signal }) => {
    if (parts.length !== ids.length)
      throw new HoldfastError('invalid_field', `blocks: ${ids.length} ids came with ${parts.length} parts`);
    const blocks = ids.map((id, index) => ({ id, bytes: must(parts[index], 'as many parts as ids') }));
    return answer({ results: [...(await store.put(blocks, fence, signal))] });
  };
}

function getBlocks(store: NodeBlockStore): Answers<typeof nodeGet> {
  return async ({ blocks: ids }, { signal }) => {
    const lengths = await store.lengths(ids);
    const got = await store.get(ids.slice(0, countWithin(lengths, limits.batchBytesMax)), signal);
    const parts = got.flatMap((result) => (result.kind === 'found' ? [result.bytes] : []));
    return { response: { results: got.map(({ kind }) => kind) }, parts };
  };
}

function offerKeys(keys: TrustedKeys): Answers<typeof nodeKeys> {
  return async (_request, { parts }) => {
    const [bytes] = parts;
    if (!bytes || parts.length !== 1) throw new HoldfastError('invalid_field', 'one part: the signed key list');
    const { incarnation, seq } = await keys.offer(bytes);
    return answer({ incarnation, seq });
  };
}

function offerRoot(roots: KeptRoots): Answers<typeof nodeRoot> {
  return async (_request, { parts }) => {
    const [bytes] = parts;
    if (!bytes || parts.length !== 1) throw new HoldfastError('invalid_field', 'one part: the signed root');
    const { incarnation, seq } = await roots.offer(bytes);
    return answer({ incarnation, seq });
  };
}

/** How many of the first come to that many bytes together at most; one at least. */
function countWithin(lengths: readonly (number | null)[], bytesMax: number): number {
  let bytes = 0;
  let taken = 0;
  for (const length of lengths) {
    bytes += length ?? 0;
    if (taken > 0 && bytes > bytesMax) break;
    taken += 1;
  }
  return taken;
}

function answer<Response>(response: Response) {
  return { response, parts: [] };
}
