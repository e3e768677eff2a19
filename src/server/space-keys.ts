import { assert, must } from '#core/assert.ts';
import type { SpaceId } from '#core/ids.ts';
import { makeKeyring, type Keyring } from '#core/keyring.ts';
import type { Primitives } from '#core/primitives.ts';
import type { MetaReader, MetaWriter } from '#meta/meta-store.ts';
import type { StoredSpace } from '#meta/spaces.ts';
import type { Random } from '#world/random.ts';
import type { Secret, Vault } from './vault.ts';

/** Keys of the spaces whose owners trust this server with them. */
export class SpaceKeys {
  readonly #primitives: Primitives;
  readonly #random: Random;
  readonly #vault: Vault;
  readonly #keyrings = new Map<SpaceId, Keyring>();

  constructor(primitives: Primitives, random: Random, vault: Vault) {
    this.#primitives = primitives;
    this.#random = random;
    this.#vault = vault;
  }

  /** All versions with K0 as version 0, ascending. */
  async versions(reader: MetaReader, space: SpaceId): Promise<readonly Secret[]> {
    const identity = await this.#vault.versions(reader, 'space_identity_key', space);
    const keys = await this.#vault.versions(reader, 'space_key', space);
    assert(identity.length === 1 && keys.length > 0, 'a space has an identity key and a first version');
    return [...identity, ...keys];
  }

  async keyring(reader: MetaReader, space: StoredSpace): Promise<Keyring> {
    const known = this.#keyrings.get(space.space);
    if (known?.currentVersion === space.keyVersion) return known;
    const [identity, ...keys] = await this.versions(reader, space.space);
    const versions = keys.map(({ version, bytes }) => ({ version, key: bytes }));
    const current = must(
      versions.find(({ version }) => version === space.keyVersion),
      'the current key version of a space is stored',
    );
    const identityKey = must(identity, 'a space has an identity key').bytes;
    const keyring = makeKeyring(this.#primitives, { identityKey, current, versions });
    this.#keyrings.set(space.space, keyring);
    return keyring;
  }

  async add(writer: MetaWriter, space: SpaceId, version: number): Promise<void> {
    await this.#vault.put(writer, 'space_key', version, this.#random.bytes(32), space);
  }
}
