/**
 * Which client works on which state of a link. A state file can be copied, or put back from last week, and then tells of agreements that
 * are not so: what the disk lacks since would look deleted by its person. Nobody can see that from the file alone; the server can, from the
 * numbers that it was told before.
 */
import { HoldfastError } from '#core/errors.ts';
import type { InstallId, SessionId } from '#core/ids.ts';
import { findInstall, putInstall, type StoredInstall } from '#meta/installs.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import { attach } from '#protocol/sync.ts';
import { checkStillLinked, deviceRoute, type DeviceIdentity } from './identity.ts';
import type { ServerContext } from './server-context.ts';

export function installRoutes(context: ServerContext) {
  return [
    deviceRoute(attach, async (request, { identity }) => {
      const goesOn = await context.meta.write(async (writer) => {
        await checkStillLinked(writer, identity);
        const asked = { ...request, device: identity.device };
        if (!continues(await findInstall(writer, request.install), asked)) return false;
        await putInstall(writer, asked);
        return true;
      });
      if (!goesOn) context.log.warn('a link’s state was copied or put back', { device: identity.device });
      return { response: { kind: goesOn ? 'attached' : 'reconcile' }, parts: [] };
    }),
  ];
}

/** A new run has raised the tick; the same run may say the same again. */
function continues(stored: StoredInstall | null, asked: StoredInstall): boolean {
  if (!stored) return true;
  if (stored.device !== asked.device) return false;
  return asked.session === stored.session ? asked.tick >= stored.tick : asked.tick > stored.tick;
}

/**
 * Throws `superseded` where another client was attached to the state since, or none ever was. A state that was copied before this commit
 * does not have its tick, and does not continue from here.
 */
export async function noteCommit(
  writer: MetaWriter,
  identity: DeviceIdentity,
  { install, tick, session }: { readonly install: InstallId; readonly tick: number; readonly session: SessionId },
): Promise<void> {
  const stored = await findInstall(writer, install);
  if (stored?.device !== identity.device || stored.session !== session)
    throw new HoldfastError('superseded', 'another client has begun to work on this state since');
  if (tick > stored.tick) await putInstall(writer, { ...stored, tick });
}
