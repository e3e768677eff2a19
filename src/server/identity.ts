/** Who asks. Nothing is remembered between two calls: a revoked token is dead at once. */
import { fromHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { parseId32, type DeviceId, type Pin, type SpaceId } from '#core/ids.ts';
import { parseDeviceToken, secretHash } from '#core/token.ts';
import { must } from '#core/assert.ts';
import { findDevice, findToken } from '#meta/accounts.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { findSpace, type StoredSpace } from '#meta/spaces.ts';
import { route, type Answered, type Route } from '#protocol/call.ts';
import type { Caller, Verb } from '#protocol/wire.ts';
import type { ServerContext } from './server-context.ts';

export type DeviceIdentity = {
  readonly kind: 'device';
  readonly device: DeviceId;
  readonly account: Uint8Array;
  readonly name: string;
};
export type Identity =
  | DeviceIdentity
  /** Whoever holds the TLS key of that pin. */
  | { readonly kind: 'pinned'; readonly pin: Pin }
  | { readonly kind: 'anonymous' };

/** One text for every reason: who guesses learns nothing. */
export function unauthenticated(): HoldfastError {
  return new HoldfastError('unauthenticated', 'these credentials are not valid here');
}

/** Throws `unauthenticated` or `forbidden`. `owner`: every device of the one account there is. */
export async function authorise(
  context: ServerContext,
  caller: Caller,
  callers: Verb<unknown, unknown>['callers'],
): Promise<Identity> {
  if (callers === 'server') throw new HoldfastError('forbidden', 'only a server may ask this, of a storage node');
  if (callers === 'anyone') {
    const pin = caller.kind === 'pinned' ? parseId32<Pin>(caller.pin) : null;
    return pin === null ? { kind: 'anonymous' } : { kind: 'pinned', pin };
  }
  const shown = caller.kind === 'bearer' ? parseDeviceToken(caller.token) : null;
  if (!shown) throw unauthenticated();
  const found = await context.meta.read((reader) => findToken(reader, shown.id));
  const { primitives } = context;
  // Judged also where there is no such token, so that the time taken says nothing.
  const hash = must(fromHex(secretHash(primitives, shown.secret)), 'a hash is hexadecimal');
  const equal = primitives.equalConstantTime(hash, found?.hash ?? new Uint8Array(32));
  if (!found || !equal || found.revokedMs !== null) throw unauthenticated();
  return { kind: 'device', device: found.device, account: found.account, name: found.name };
}

/** Inside the transaction that changes something on a device's word: was it revoked since it was let in? */
export async function checkStillLinked(reader: MetaReader, identity: DeviceIdentity): Promise<void> {
  const device = await findDevice(reader, identity.device);
  if (!device || device.revokedMs !== null) throw unauthenticated();
}

/** A space that the device may use. What is absent and what is somebody else's are told apart by nobody. */
export async function spaceFor(reader: MetaReader, identity: DeviceIdentity, space: SpaceId): Promise<StoredSpace> {
  return allowed(await findSpace(reader, space), identity);
}

export function allowed(found: StoredSpace | null, identity: DeviceIdentity): StoredSpace {
  const own = found !== null && found.account.every((byte, index) => byte === identity.account[index]);
  if (!found || !own) throw new HoldfastError('not_found', 'there is no such space');
  return found;
}

/** A verb that only devices may use. */
export function deviceRoute<Request, Response>(
  verb: Verb<Request, Response>,
  useCase: (
    request: Request,
    call: {
      readonly identity: DeviceIdentity;
      readonly parts: readonly Uint8Array[];
      readonly signal: AbortSignal;
    },
  ) => Promise<Answered<Response>>,
): Route<Identity> {
  return route<Request, Response, Identity>(verb, async (request, { identity, parts, signal }) => {
    if (identity.kind !== 'device') throw unauthenticated();
    return useCase(request, { identity, parts, signal });
  });
}
