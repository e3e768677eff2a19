/** The states of links that clients work on. */
import { id16Of, idBytes, type DeviceId, type InstallId, type SessionId } from '#core/ids.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';

export type StoredInstall = {
  readonly install: InstallId;
  readonly device: DeviceId;
  readonly tick: number;
  readonly session: SessionId;
};

export async function findInstall({ db }: MetaReader, install: InstallId): Promise<StoredInstall | null> {
  const row = await db.selectFrom('install').selectAll().where('install', '=', idBytes(install)).executeTakeFirst();
  return row ? { install, device: id16Of(row.device), tick: row.tick, session: id16Of(row.session) } : null;
}

export async function putInstall({ db }: MetaWriter, { install, ...rest }: StoredInstall): Promise<void> {
  const values = { device: idBytes(rest.device), tick: rest.tick, session: idBytes(rest.session) };
  await db
    .insertInto('install')
    .values({ install: idBytes(install), ...values })
    .onConflict((conflict) => conflict.column('install').doUpdateSet(values))
    .execute();
}
