import type { z } from 'zod';
import type { BlockStore } from '#blocks/block-store.ts';
import { RemoteBlockStore } from '#blocks/remote-block-store.ts';
import { HoldfastError } from '#core/errors.ts';
import type { ClusterId, NodeId, Pin } from '#core/ids.ts';
import type { Primitives } from '#core/primitives.ts';
import { ask } from '#protocol/call.ts';
import {
  nodeChallenge,
  nodeDelete,
  nodeKeys,
  nodeRoot,
  nodeStatus,
  type Challenge,
  type ChallengeAnswer,
} from '#protocol/node.ts';
import type { Peer } from '#protocol/wire.ts';
import type { TlsIdentity } from '#world/net.ts';

export type DeleteResult = z.infer<typeof nodeDelete.response>['results'][number];
export type NodeStatus = z.infer<typeof nodeStatus.response>;

/** A storage node as its server sees it. Every call rejects with a `HoldfastError` where the node cannot be asked. */
export interface NodeConnection {
  readonly store: BlockStore;
  status(signal: AbortSignal): Promise<NodeStatus>;
  /** Resolves with what the node holds afterwards. */
  pushKeys(keyList: Uint8Array, signal: AbortSignal): Promise<{ readonly incarnation: number; readonly seq: number }>;
  /** A signed delete order. Resolves when what is `deleted` is durably so; one result for each block of the order. */
  delete(order: Uint8Array, signal: AbortSignal): Promise<readonly DeleteResult[]>;
  /** Resolves with the newest root that the node keeps afterwards. */
  pushRoot(root: Uint8Array, signal: AbortSignal): Promise<{ readonly incarnation: number; readonly seq: number }>;
  /** `limits.challengesMax` at most. Resolves with as many answers, in the order asked; they are the node's word. */
  prove(challenges: readonly Challenge[], signal: AbortSignal): Promise<readonly ChallengeAnswer[]>;
  close(): Promise<void>;
}

export type NodeToReach = {
  readonly node: NodeId;
  readonly cluster: ClusterId;
  readonly pool: string;
  readonly pin: Pin;
  readonly addresses: readonly string[];
};

/** How the composition root reaches a node: lazily; `show` is the key by which the server proves itself. */
export type ConnectNode = (node: NodeToReach, show: TlsIdentity) => NodeConnection;

/** Over a connection that speaks the node's verbs. */
export function nodeConnectionOf(peer: Peer, primitives: Primitives): NodeConnection {
  return {
    store: new RemoteBlockStore(peer, primitives),
    status: async (signal) => (await ask(peer, nodeStatus, {}, signal)).response,
    pushKeys: async (keyList, signal) => (await ask(peer, nodeKeys, {}, signal, [keyList])).response,
    delete: async (order, signal) => (await ask(peer, nodeDelete, {}, signal, [order])).response.results,
    pushRoot: async (root, signal) => (await ask(peer, nodeRoot, {}, signal, [root])).response,
    async prove(challenges, signal) {
      const { answers } = (await ask(peer, nodeChallenge, { challenges: [...challenges] }, signal)).response;
      if (answers.length === challenges.length) return answers;
      const message = 'the answer to "node-challenge" has another number of answers than were asked';
      throw new HoldfastError('upgrade_required', message);
    },
    close: () => peer.close(),
  };
}
