import { HoldfastError } from '#core/errors.ts';
import { fromHex } from '#core/bytes.ts';
import { must } from '#core/assert.ts';
import type { ClusterId } from '#core/ids.ts';
import type { Primitives } from '#core/primitives.ts';
import { kitProof, type RootKey } from '#core/root-key.ts';
import { deriveSealKey, type SealKey } from '#core/seal.ts';
import { NO_OBJECT, unwrapSecret, wrapSecret, type WrapPurpose } from '#core/wrap.ts';
import { findSecrets, putSecret, removeSecret } from '#meta/clusters.ts';
import type { MetaReader, MetaWriter } from '#meta/meta-store.ts';
import type { Random } from '#world/random.ts';

export type Secret = { readonly version: number; readonly bytes: Uint8Array };

/** Secrets that the server must read back: in the database only under the root key, each bound to its place. */
export class Vault {
  readonly #primitives: Primitives;
  readonly #random: Random;
  readonly #root: RootKey;
  readonly #cluster: ClusterId;
  #metadataKey: SealKey | null = null;

  constructor(primitives: Primitives, random: Random, root: RootKey, cluster: ClusterId) {
    this.#primitives = primitives;
    this.#random = random;
    this.#root = root;
    this.#cluster = cluster;
  }

  /** What metadata is sealed under before it goes to the storage nodes. */
  metadataKey(): SealKey {
    this.#metadataKey ??= deriveSealKey(this.#primitives, this.#root.key, 'metadata');
    return this.#metadataKey;
  }

  /** Of the root key that everything is wrapped under. */
  get generation(): number {
    return this.#root.generation;
  }

  /** What only somebody knows who has the recovery kit, and what tells nothing of it. */
  kitProof(): string {
    return kitProof(this.#primitives, { cluster: this.#cluster, root: this.#root });
  }

  async put(writer: MetaWriter, purpose: WrapPurpose, version: number, bytes: Uint8Array, object: string = NO_OBJECT) {
    const place = { cluster: this.#cluster, purpose, object, version };
    const wrapped = wrapSecret(this.#primitives, this.#root, this.#random.bytes(12), place, bytes);
    await putSecret(writer, { purpose, object: objectBytes(object), version }, wrapped);
  }

  /** All versions, ascending. Throws `integrity` where one does not open. */
  async versions(reader: MetaReader, purpose: WrapPurpose, object: string = NO_OBJECT): Promise<readonly Secret[]> {
    const rows = await findSecrets(reader, purpose, objectBytes(object));
    return rows.map(({ version, wrapped }) => {
      const place = { cluster: this.#cluster, purpose, object, version };
      const bytes = unwrapSecret(this.#primitives, this.#root, place, wrapped);
      if (!bytes)
        throw new HoldfastError('integrity', `a secret (${purpose}) in the database does not open with the root key`);
      return { version, bytes };
    });
  }

  async remove(writer: MetaWriter, purpose: WrapPurpose, version: number, object: string = NO_OBJECT): Promise<void> {
    await removeSecret(writer, { purpose, object: objectBytes(object), version });
  }
}

function objectBytes(object: string): Uint8Array {
  return must(fromHex(object), 'objects are named in hexadecimal');
}
