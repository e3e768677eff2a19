import { fromHex } from '#core/bytes.ts';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import type { SpaceId } from '#core/ids.ts';
import type { SealKeys } from '#core/keyring.ts';
import { spaces } from '#protocol/account.ts';
import { ask } from '#protocol/call.ts';
import type { Peer } from '#protocol/wire.ts';

/** The person's own space, or the one that `which` names by its name or id, and its keys. */
export async function ownSpace(
  peer: Peer,
  which: string | null,
  signal: AbortSignal,
): Promise<{ readonly space: SpaceId; readonly keys: SealKeys }> {
  const { response } = await ask(peer, spaces, {}, signal);
  const found = response.spaces.find((space) =>
    which === null ? space.own : space.name === which || space.space === which,
  );
  if (!found)
    throw new HoldfastError(
      'not_found',
      which === null ? 'this account has no space of its own' : `there is no space "${which}"`,
    );
  const keys = found.keys.map(({ version, key }) => ({
    version,
    key: must(fromHex(key), 'a key that its schema let pass is hexadecimal'),
  }));
  const identityKey = must(
    keys.find(({ version }) => version === 0),
    'a space has a key version 0',
  ).key;
  const current = must(
    keys.find(({ version }) => version === found.currentKeyVersion),
    'a space has its current key',
  );
  return { space: found.space, keys: { identityKey, current, versions: keys.filter(({ version }) => version > 0) } };
}
