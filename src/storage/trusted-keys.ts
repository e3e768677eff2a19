/** The newest list of the cluster's keys that this node was shown, kept on its disk. */
import type { Bytes } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { ClusterId } from '#core/ids.ts';
import { isNewer, verifyKeyList, type KeyList } from '#core/key-list.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Disk } from '#world/disk.ts';

export const KEY_LIST_FILE = 'key-list';

type Kept = { readonly list: KeyList; readonly bytes: Bytes };

export class TrustedKeys {
  readonly #disk: Disk;
  readonly #primitives: Primitives;
  readonly #cluster: ClusterId;
  #kept: Kept | null;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(disk: Disk, primitives: Primitives, cluster: ClusterId, kept: Kept | null) {
    this.#disk = disk;
    this.#primitives = primitives;
    this.#cluster = cluster;
    this.#kept = kept;
  }

  /**
   * Throws `integrity` where the kept list does not verify: to go on without it would let a server that was replaced come back with an
   * older list.
   */
  static async load(disk: Disk, primitives: Primitives, cluster: ClusterId): Promise<TrustedKeys> {
    const bytes = await disk.read(KEY_LIST_FILE);
    if (!bytes) return new TrustedKeys(disk, primitives, cluster, null);
    const list = verifyKeyList(primitives, bytes, cluster);
    if (!list)
      throw new HoldfastError(
        'integrity',
        `${KEY_LIST_FILE} of the storage node is damaged; without the file it takes the next list that its cluster signed`,
      );
    return new TrustedKeys(disk, primitives, cluster, { list, bytes });
  }

  /** Null before the first list. */
  get list(): KeyList | null {
    return this.#kept?.list ?? null;
  }

  trusts(pin: string): boolean {
    return this.list?.pins.some((known) => known === pin) ?? false;
  }

  /**
   * Durably keeps the list where it is newer than the one at hand; answers with the one at hand afterwards. Throws `forbidden` where the
   * cluster did not sign it.
   */
  async offer(bytes: Bytes): Promise<KeyList> {
    const list = verifyKeyList(this.#primitives, bytes, this.#cluster);
    if (!list) throw new HoldfastError('forbidden', 'the key list is not signed by the cluster of this storage node');
    const turn = this.#writing.then(() => this.#keep(list, bytes.slice()));
    this.#writing = turn.catch(() => undefined);
    return turn;
  }

  async #keep(list: KeyList, bytes: Bytes): Promise<KeyList> {
    if (this.#kept && !isNewer(list, this.#kept.list)) return this.#kept.list;
    await this.#disk.replace(KEY_LIST_FILE, bytes);
    this.#kept = { list, bytes };
    return list;
  }
}
