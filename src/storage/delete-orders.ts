/** Delete orders: only its own cluster's, for this very node, each later than the last. A node deletes nothing on its own. */
import type { DeleteResult, NodeBlockStore } from '#blocks/node-block-store.ts';
import { equalBytes, type Bytes } from '#core/bytes.ts';
import { isLaterOrder, verifyDeleteOrder, type DeleteOrder } from '#core/delete-order.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Disk } from '#world/disk.ts';
import type { NodeIdentity } from './node-identity.ts';
import type { TrustedKeys } from './trusted-keys.ts';

export const DELETE_ORDER_FILE = 'delete-order';

type Kept = { readonly order: DeleteOrder; readonly bytes: Bytes };

export class DeleteOrders {
  readonly #disk: Disk;
  readonly #primitives: Primitives;
  readonly #identity: NodeIdentity;
  readonly #keys: TrustedKeys;
  #last: Kept | null;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(
    disk: Disk,
    primitives: Primitives,
    identity: NodeIdentity,
    keys: TrustedKeys,
    last: Kept | null,
  ) {
    this.#disk = disk;
    this.#primitives = primitives;
    this.#identity = identity;
    this.#keys = keys;
    this.#last = last;
  }

  /** Throws `integrity` where the kept order does not verify: without it, an old one could be carried out again. */
  static async load(
    disk: Disk,
    primitives: Primitives,
    identity: NodeIdentity,
    keys: TrustedKeys,
  ): Promise<DeleteOrders> {
    const bytes = await disk.read(DELETE_ORDER_FILE);
    if (!bytes) return new DeleteOrders(disk, primitives, identity, keys, null);
    const order = verifyDeleteOrder(primitives, bytes, identity.publicKey);
    if (!order)
      throw new HoldfastError(
        'integrity',
        `${DELETE_ORDER_FILE} of the storage node is damaged; without the file it takes the next order that its cluster signs`,
      );
    return new DeleteOrders(disk, primitives, identity, keys, { order, bytes });
  }

  /** One after another. Throws `forbidden` where the order is none for this node, `conflict` where its time is past. */
  carryOut(bytes: Bytes, blocks: NodeBlockStore): Promise<readonly DeleteResult[]> {
    const turn = this.#turn.then(() => this.#carryOut(bytes.slice(), blocks));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #carryOut(bytes: Bytes, blocks: NodeBlockStore): Promise<readonly DeleteResult[]> {
    const { node, cluster, publicKey } = this.#identity;
    const order = verifyDeleteOrder(this.#primitives, bytes, publicKey);
    if (!order || order.cluster !== cluster || order.node !== node)
      throw new HoldfastError('forbidden', 'the order is not signed by the cluster of this storage node, for it');
    // A server that was replaced may still reach the node with what it once ordered.
    if (order.incarnation !== this.#keys.list?.incarnation)
      throw new HoldfastError('conflict', 'the order is of another time of its cluster');
    const last = this.#last;
    if (last && !equalBytes(bytes, last.bytes) && !isLaterOrder(order, last.order))
      throw new HoldfastError('conflict', 'a later order was carried out already');
    if (!last || !equalBytes(bytes, last.bytes)) {
      await this.#disk.replace(DELETE_ORDER_FILE, bytes);
      this.#last = { order, bytes };
    }
    return blocks.delete(order.blocks, order);
  }
}
