/** The keys of the link's space, asked from the server and kept in memory alone. */
import { fromHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { SpaceId } from '#core/ids.ts';
import type { SealKeys } from '#core/keyring.ts';
import { spaces } from '#protocol/account.ts';
import type { Asker } from './manifests.ts';

export type SpaceWithKeys = { readonly space: SpaceId; readonly keys: SealKeys };

/** `wanted` null: the account's own. Throws `not_found` where the account has no such space. */
export async function askSpaceKeys(asker: Asker, wanted: SpaceId | null, signal: AbortSignal): Promise<SpaceWithKeys> {
  const { response } = await asker.ask(spaces, {}, signal);
  const found = response.spaces.find(({ space, own }) => (wanted === null ? own : space === wanted));
  if (!found) throw new HoldfastError('not_found', 'this account has no such space');
  const keyOf = (version: number) => {
    const text = found.keys.find((key) => key.version === version)?.key;
    const key = text === undefined ? null : fromHex(text);
    if (!key) throw new HoldfastError('integrity', `the server gave no key of version ${version}`);
    return key;
  };
  const version = found.currentKeyVersion;
  return {
    space: found.space,
    keys: {
      identityKey: keyOf(0),
      current: { version, key: keyOf(version) },
      versions: found.keys
        .filter((key) => key.version > 0)
        .map((key) => ({ version: key.version, key: keyOf(key.version) })),
    },
  };
}
