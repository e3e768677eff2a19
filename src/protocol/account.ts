/** Verbs of identity: who the cluster is, linking devices and nodes, revoking them. */
import { z } from 'zod';
import {
  address,
  clusterId,
  count,
  cursor,
  deviceId,
  hash,
  label,
  nodeId,
  pin,
  poolName,
  siteName,
  sizeBytes,
  secret,
  seq,
  spaceId,
  timeMs,
} from './fields.ts';
import { verb } from './wire.ts';

export const PROTOCOL_VERSION = 1;

/** First call of every connection's user. A side that finds no version in common stops with `upgrade_required`. */
export const hello = verb(
  'hello',
  'anyone',
  z.strictObject({ protocol: z.strictObject({ min: count, max: count }) }),
  z.strictObject({
    protocol: count,
    cluster: clusterId,
    version: z.string().max(64),
    timeMs,
  }),
);

/** Part 0: the signed key list ("HFK", `core/key-list.ts`). Public; asked over an unverified connection when a pin is unknown. */
export const keys = verb('keys', 'anyone', z.strictObject({}), z.strictObject({ incarnation: count, seq }));

/**
 * Redeems a device invite. `tokenHash` = H of the secret that the device made and stored before it asked; asking
 * again with the same hash gets the same answer. Anyone else: `invite_used`.
 */
export const redeem = verb(
  'redeem',
  'anyone',
  z.strictObject({ invite: z.strictObject({ id: secret, secret }), device: deviceId, name: label, tokenHash: hash }),
  z.strictObject({ device: deviceId, account: label, tokenId: secret }),
);

/** Spaces of the account, with every key version that it may open. Only over TLS or loopback. Keys: 32 bytes, hexadecimal; K0 is version 0. */
export const spaces = verb(
  'spaces',
  'device',
  z.strictObject({}),
  z.strictObject({
    spaces: z.array(
      z.strictObject({
        space: spaceId,
        name: label,
        own: z.boolean(),
        head: cursor,
        currentKeyVersion: count,
        keys: z.array(z.strictObject({ version: count, key: hash })),
      }),
    ),
  }),
);

const deviceRow = z.strictObject({
  device: deviceId,
  name: label,
  linkedMs: timeMs,
  lastSeenMs: timeMs.nullable(),
  revoked: z.boolean(),
  /** The one that asks. */
  self: z.boolean(),
});
export const devicesList = verb(
  'devices-list',
  'device',
  z.strictObject({}),
  z.strictObject({ devices: z.array(deviceRow) }),
);
/** Ends the device's token at once, and adds a key version to each of its spaces in the same transaction. */
export const devicesRevoke = verb('devices-revoke', 'owner', z.strictObject({ device: deviceId }), z.strictObject({}));

/** A one-time link or node ticket, as text. `loopbackOnly`: nobody else's machine can reach the addresses in it. */
export const inviteCreate = verb(
  'invite-create',
  'owner',
  z.strictObject({
    kind: z.enum(['device', 'node']),
    validMs: count.optional(),
    /** Addresses to put into it; default: the server's own. */ addresses: z.array(address).max(8).optional(),
    /** Of a ticket for a storage node: the pool that it joins, and no other. */
    pool: poolName.optional(),
  }),
  z.strictObject({ invite: z.string(), expiresMs: timeMs, loopbackOnly: z.boolean() }),
);

/** A storage node introduces itself with its ticket. Asked again by the same pin: the same answer. Part 0 of the answer: the key list. */
export const nodeJoin = verb(
  'node-join',
  'anyone',
  z.strictObject({
    ticket: z.strictObject({ id: secret, secret }),
    node: nodeId,
    pin,
    name: label,
    /** Null: as the ticket says; where it says nothing, `others`. */
    pool: poolName.nullable(),
    addresses: z.array(address).min(1).max(8),
    /** Where it is: copies go to different sites first, then to different hosts. */
    site: siteName.optional(),
    /** That its disk has for blocks: what it is to hold goes by that. */
    spaceBytes: sizeBytes.optional(),
  }),
  z.strictObject({ cluster: clusterId, pool: poolName }),
);
/** A known node tells its present addresses (called over a connection on which it showed its pinned key). */
export const nodeHere = verb(
  'node-here',
  'anyone',
  z.strictObject({ node: nodeId, addresses: z.array(address).min(1).max(8) }),
  z.strictObject({}),
);

/**
 * Begins, or goes on with, a change of the server's TLS key: announced in the key list first, shown once every storage node has that
 * list. `waitingFor`: nodes that do not have it yet; the server goes on by itself when they are back.
 */
export const tlsRotate = verb(
  'tls-rotate',
  'owner',
  z.strictObject({}),
  z.strictObject({ state: z.enum(['done', 'waiting']), pin, waitingFor: z.array(label) }),
);
