/** Who the cluster is, the devices of an account, and the keys of its spaces. */
import { toHex } from '#core/bytes.ts';
import type { JournalRow } from '#core/entry.ts';
import { HoldfastError } from '#core/errors.ts';
import type { DeviceId } from '#core/ids.ts';
import { devicesOf, findDevice, revokeDevice } from '#meta/accounts.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import { lockSpace, spacesOf, type StoredSpace } from '#meta/spaces.ts';
import { devicesList, devicesRevoke, hello, keys, PROTOCOL_VERSION, spaces, tlsRotate } from '#protocol/account.ts';
import { route } from '#protocol/call.ts';
import { must } from '#core/assert.ts';
import type { z } from 'zod';
import type { Care } from './care.ts';
import { deviceRoute, type DeviceIdentity, type Identity } from './identity.ts';
import { growJournal } from './journal-writer.ts';
import { headOf } from './journal-view.ts';
import type { ServerContext } from './server-context.ts';

export function accountRoutes(context: ServerContext, care: Care) {
  const { meta, clock, cluster } = context;
  return [
    route<z.infer<typeof hello.request>, z.infer<typeof hello.response>, Identity>(hello, ({ protocol }) => {
      if (protocol.min > PROTOCOL_VERSION || protocol.max < PROTOCOL_VERSION)
        throw new HoldfastError('upgrade_required', `this server speaks version ${PROTOCOL_VERSION} of the protocol`);
      const { version } = context;
      return {
        response: { protocol: PROTOCOL_VERSION, cluster: cluster.cluster, version, timeMs: clock.nowMs() },
        parts: [],
      };
    }),
    route<object, z.infer<typeof keys.response>, Identity>(keys, () => {
      const { bytes, list } = context.tlsKeys.keyList();
      return { response: { incarnation: list.incarnation, seq: list.seq }, parts: [bytes] };
    }),
    deviceRoute(spaces, async (_request, { identity }) => ({
      response: await describeSpaces(context, identity),
      parts: [],
    })),
    deviceRoute(devicesList, async (_request, { identity }) => {
      const devices = await meta.read((reader) => devicesOf(reader, identity.account));
      const rows = devices.map(({ device, name, linkedMs, lastSeenMs, revokedMs }) => {
        return { device, name, linkedMs, lastSeenMs, revoked: revokedMs !== null, self: device === identity.device };
      });
      return { response: { devices: rows }, parts: [] };
    }),
    deviceRoute(devicesRevoke, async ({ device }, { identity }) => {
      await revoke(context, identity, device);
      return { response: {}, parts: [] };
    }),
    deviceRoute(tlsRotate, async () => {
      await context.tlsKeys.announce();
      // Pushes the list to every node that answers, and changes over where all have it.
      await care.beat();
      const waitingFor = context.tlsKeys.rotating() ? care.waitingFor().map((known) => known.stored.name) : [];
      const state = context.tlsKeys.rotating() ? 'waiting' : 'done';
      return { response: { state, pin: context.tlsKeys.current().pin, waitingFor }, parts: [] };
    }),
  ];
}

async function describeSpaces(
  context: ServerContext,
  identity: DeviceIdentity,
): Promise<z.infer<typeof spaces.response>> {
  return context.meta.read(async (reader) => {
    const rows = [];
    for (const space of await spacesOf(reader, identity.account)) {
      const versions = await context.spaceKeys.versions(reader, space.space);
      rows.push({
        space: space.space,
        name: space.name,
        own: true,
        head: headOf(space),
        currentKeyVersion: space.keyVersion,
        keys: versions.map(({ version, bytes }) => ({ version, key: toHex(bytes) })),
      });
    }
    return { spaces: rows };
  });
}

/** One transaction ends the tokens and begins new key versions: what is written from here on, the lost device cannot open. */
async function revoke(context: ServerContext, identity: DeviceIdentity, device: DeviceId): Promise<void> {
  const atMs = context.clock.nowMs();
  const changed = await context.meta.write(async (writer) => {
    const found = await findDevice(writer, device);
    if (!found || toHex(found.account) !== toHex(identity.account))
      throw new HoldfastError('not_found', 'there is no such device');
    if (found.revokedMs !== null) return [];
    await revokeDevice(writer, device, atMs);
    const grown: StoredSpace[] = [];
    for (const { space } of await spacesOf(writer, identity.account)) {
      const locked = must(await lockSpace(writer, space), 'a space stays');
      grown.push(await raiseKeyVersion(context, writer, locked, identity.device));
    }
    return grown;
  });
  for (const { space } of changed) context.bell.ring(space);
  context.bell.ringAll();
  context.log.info('a device was revoked', { device });
}

async function raiseKeyVersion(
  context: ServerContext,
  writer: MetaWriter,
  locked: StoredSpace,
  device: DeviceId,
): Promise<StoredSpace> {
  const keyVersion = locked.keyVersion + 1;
  await context.spaceKeys.add(writer, locked.space, keyVersion);
  const { space, epoch } = locked;
  const row: JournalRow = {
    kind: 'key',
    space,
    epoch,
    seq: locked.headSeq + 1,
    device,
    atMs: context.clock.nowMs(),
    keyVersion,
  };
  return growJournal(writer, context.primitives, locked, [row]);
}
