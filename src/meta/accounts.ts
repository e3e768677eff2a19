/** Accounts, their devices and tokens, and invites. Of secrets, hashes alone. */
import { id16Of, idBytes, type DeviceId } from '#core/ids.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';

export type StoredAccount = { readonly account: Uint8Array; readonly name: string };
export type StoredDevice = {
  readonly device: DeviceId;
  readonly account: Uint8Array;
  readonly name: string;
  readonly linkedMs: number;
  readonly lastSeenMs: number | null;
  readonly revokedMs: number | null;
};
export type StoredInvite = {
  readonly invite: string;
  readonly kind: 'device' | 'node';
  readonly account: Uint8Array;
  readonly secretHash: Uint8Array;
  readonly expiresMs: number;
  readonly wrongCount: number;
  readonly redeemer: Uint8Array | null;
  readonly made: Uint8Array | null;
  /** Of a ticket for a storage node: the pool that it is for; null: any. */
  readonly pool: string | null;
};

export async function insertAccount({ db }: MetaWriter, account: StoredAccount): Promise<void> {
  await db.insertInto('account').values(account).execute();
}

export async function findAccount({ db }: MetaReader, account: Uint8Array): Promise<StoredAccount | null> {
  const row = await db.selectFrom('account').selectAll().where('account', '=', account).executeTakeFirst();
  return row ?? null;
}

export async function firstAccount({ db }: MetaReader): Promise<StoredAccount | null> {
  return (await db.selectFrom('account').selectAll().orderBy('account').limit(1).executeTakeFirst()) ?? null;
}

export async function insertDevice({ db }: MetaWriter, device: StoredDevice): Promise<void> {
  await db
    .insertInto('device')
    .values({
      device: idBytes(device.device),
      account: device.account,
      name: device.name,
      linked_ms: device.linkedMs,
      last_seen_ms: device.lastSeenMs,
      revoked_ms: device.revokedMs,
    })
    .execute();
}

export async function findDevice({ db }: MetaReader, device: DeviceId): Promise<StoredDevice | null> {
  const row = await db.selectFrom('device').selectAll().where('device', '=', idBytes(device)).executeTakeFirst();
  return row ? deviceOf(row) : null;
}

export async function devicesOf({ db }: MetaReader, account: Uint8Array): Promise<readonly StoredDevice[]> {
  const rows = await db
    .selectFrom('device')
    .selectAll()
    .where('account', '=', account)
    .orderBy('linked_ms')
    .orderBy('device')
    .execute();
  return rows.map(deviceOf);
}

/** Its tokens go with it, and what was known of its links. */
export async function revokeDevice({ db }: MetaWriter, device: DeviceId, atMs: number): Promise<void> {
  await db.updateTable('device').set({ revoked_ms: atMs }).where('device', '=', idBytes(device)).execute();
  await db.deleteFrom('token').where('device', '=', idBytes(device)).execute();
  await db.deleteFrom('install').where('device', '=', idBytes(device)).execute();
}

/** None of them can be let in any more, since their tokens are not known: they are to be invited again, as new ones. */
export async function revokeAllDevices({ db }: MetaWriter, atMs: number): Promise<void> {
  await db.updateTable('device').set({ revoked_ms: atMs }).where('revoked_ms', 'is', null).execute();
}

export async function noteDeviceSeen({ db }: MetaWriter, device: DeviceId, atMs: number): Promise<void> {
  await db.updateTable('device').set({ last_seen_ms: atMs }).where('device', '=', idBytes(device)).execute();
}

export async function insertToken(
  { db }: MetaWriter,
  token: { readonly token: string; readonly device: DeviceId; readonly hash: Uint8Array },
): Promise<void> {
  await db
    .insertInto('token')
    .values({ ...token, device: idBytes(token.device) })
    .execute();
}

export async function findToken({ db }: MetaReader, token: string) {
  const row = await db
    .selectFrom('token')
    .innerJoin('device', 'device.device', 'token.device')
    .select(['token.hash', 'device.device', 'device.account', 'device.name', 'device.revoked_ms'])
    .where('token.token', '=', token)
    .executeTakeFirst();
  if (!row) return null;
  const { hash, account, name } = row;
  return { hash, account, name, device: id16Of<DeviceId>(row.device), revokedMs: row.revoked_ms };
}

export async function tokenOf({ db }: MetaReader, device: DeviceId): Promise<string | null> {
  const row = await db.selectFrom('token').select('token').where('device', '=', idBytes(device)).executeTakeFirst();
  return row?.token ?? null;
}

export async function insertInvite({ db }: MetaWriter, invite: StoredInvite): Promise<void> {
  await db
    .insertInto('invite')
    .values({
      invite: invite.invite,
      kind: invite.kind,
      account: invite.account,
      secret_hash: invite.secretHash,
      expires_ms: invite.expiresMs,
      wrong_count: invite.wrongCount,
      redeemer: invite.redeemer,
      made: invite.made,
      pool: invite.pool,
    })
    .execute();
}

/** Locked, where writers run side by side: two redeemers are judged one after the other. */
export async function lockInvite({ db, dialect }: MetaWriter, invite: string): Promise<StoredInvite | null> {
  let query = db.selectFrom('invite').selectAll().where('invite', '=', invite);
  if (dialect.locksRows) query = query.forUpdate();
  const row = await query.executeTakeFirst();
  if (!row) return null;
  return {
    invite: row.invite,
    kind: row.kind === 'node' ? 'node' : 'device',
    account: row.account,
    secretHash: row.secret_hash,
    expiresMs: row.expires_ms,
    wrongCount: row.wrong_count,
    redeemer: row.redeemer,
    made: row.made,
    pool: row.pool,
  };
}

export async function countWrongSecret({ db }: MetaWriter, invite: string): Promise<void> {
  await db
    .updateTable('invite')
    .set((eb) => ({ wrong_count: eb('wrong_count', '+', 1) }))
    .where('invite', '=', invite)
    .execute();
}

export async function useInvite(
  { db }: MetaWriter,
  invite: string,
  use: { readonly redeemer: Uint8Array; readonly made: Uint8Array },
): Promise<void> {
  await db.updateTable('invite').set(use).where('invite', '=', invite).execute();
}

export async function dropOpenInvites({ db }: MetaWriter): Promise<void> {
  await db.deleteFrom('invite').where('redeemer', 'is', null).execute();
}

function deviceOf(row: {
  device: Uint8Array;
  account: Uint8Array;
  name: string;
  linked_ms: number;
  last_seen_ms: number | null;
  revoked_ms: number | null;
}): StoredDevice {
  return {
    device: id16Of(row.device),
    account: row.account,
    name: row.name,
    linkedMs: row.linked_ms,
    lastSeenMs: row.last_seen_ms,
    revokedMs: row.revoked_ms,
  };
}
