/** The blocks of a storage node at the other end of a connection. */
import { toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import type { Primitives } from '#core/primitives.ts';
import { ask } from '#protocol/call.ts';
import { nodeGet, nodeHas, nodePut } from '#protocol/node.ts';
import type { Peer } from '#protocol/wire.ts';
import type { Block, BlockStore, GetResult, PutResult } from './block-store.ts';

/** What `node-has` takes at once. */
const HAS_BLOCKS_MAX = 4096;

/**
 * Splits what it is asked into messages of limited size, one after the other. The node is not trusted: what it sends is verified
 * against the id, and other bytes are `corrupt` and `forged`.
 */
export class RemoteBlockStore implements BlockStore {
  readonly #peer: Peer;
  readonly #primitives: Pick<Primitives, 'sha256'>;

  constructor(peer: Peer, primitives: Pick<Primitives, 'sha256'>) {
    this.#peer = peer;
    this.#primitives = primitives;
  }

  async put(blocks: readonly Block[], fence: number, signal: AbortSignal): Promise<readonly PutResult[]> {
    const results: PutResult[] = [];
    for (const batch of batches(blocks)) {
      const request = { fence, blocks: batch.map(({ id }) => id) };
      const parts = batch.map(({ bytes }) => bytes);
      const { response } = await ask(this.#peer, nodePut, request, signal, parts);
      if (response.results.length !== batch.length)
        throw strange('node-put', 'another number of results than of blocks');
      results.push(...response.results);
    }
    return results;
  }

  async get(ids: readonly BlockId[], signal: AbortSignal): Promise<readonly GetResult[]> {
    const results: GetResult[] = [];
    while (results.length < ids.length) {
      const asked = ids.slice(results.length, results.length + limits.batchBlocksMax);
      results.push(...(await this.#getSome(asked, signal)));
    }
    return results;
  }

  /** As many of the first of `ids` as the node sends in one message, one at least. */
  async #getSome(ids: readonly BlockId[], signal: AbortSignal): Promise<GetResult[]> {
    const { response, parts } = await ask(this.#peer, nodeGet, { blocks: [...ids] }, signal);
    const { results } = response;
    if (results.length === 0 || results.length > ids.length) throw strange('node-get', `${results.length} results`);
    if (parts.length !== results.filter((kind) => kind === 'found').length)
      throw strange('node-get', 'another number of parts than of found blocks');
    let next = 0;
    return results.map((kind, index) => {
      if (kind !== 'found') return { kind };
      const bytes = parts[next++] as Uint8Array;
      return toHex(this.#primitives.sha256(bytes)) === ids[index] ? { kind, bytes } : { kind: 'corrupt', forged: true };
    });
  }

  async has(ids: readonly BlockId[], signal: AbortSignal): Promise<readonly boolean[]> {
    const held: boolean[] = [];
    while (held.length < ids.length) {
      const blocks = ids.slice(held.length, held.length + HAS_BLOCKS_MAX);
      const { response } = await ask(this.#peer, nodeHas, { blocks }, signal);
      if (response.held.length !== blocks.length) throw strange('node-has', 'another number of answers than of blocks');
      held.push(...response.held);
    }
    return held;
  }
}

/** In order; each within the limits of a batch, or one larger block alone. */
function* batches(blocks: readonly Block[]): Iterable<readonly Block[]> {
  let batch: Block[] = [];
  let batchBytes = 0;
  for (const block of blocks) {
    const full = batch.length === limits.batchBlocksMax || batchBytes + block.bytes.length > limits.batchBytesMax;
    if (full && batch.length > 0) {
      yield batch;
      batch = [];
      batchBytes = 0;
    }
    batch.push(block);
    batchBytes += block.bytes.length;
  }
  if (batch.length > 0) yield batch;
}

function strange(verbName: string, what: string): HoldfastError {
  return new HoldfastError('upgrade_required', `the answer to "${verbName}" has ${what}`);
}
