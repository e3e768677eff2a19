/** `holdfast join` and `holdfast sync`: a linked folder, in the foreground. */
import type { Context } from './context.ts';
import { usage } from './exit.ts';
import { readLinks, requireIdentity, type Identity, type Link } from './home.ts';
import type { Running, RunningDevice } from './launcher.ts';
import { linkFolder, redeemInvite } from './linking.ts';
import { contains, syncedFolder } from './places.ts';
import { shown } from './output.ts';
import { closeAll, untilEnded } from './up.ts';
import { untilStopped } from './context.ts';

export type SyncOptions = { readonly once: boolean };

export async function join(
  context: Context,
  invite: string,
  folder: string | null,
  options: SyncOptions,
): Promise<void> {
  const path = folder === null ? null : syncedFolder(folder, null);
  const identity = await redeemInvite(context, invite);
  if (path === null) {
    context.output.value({ event: 'linked', device: identity.device });
    context.output.line('This device is linked. It syncs no folder; "holdfast fetch" lists and brings files.');
    return;
  }
  const link = await linkFolder(context, identity, path);
  await runLinks(context, identity, [link], options);
}

export async function sync(context: Context, folder: string | null, options: SyncOptions): Promise<void> {
  const identity = requireIdentity(context.home);
  const path = folder === null ? null : syncedFolder(folder, null);
  const links = readLinks(context.home, identity.cluster);
  const chosen = path === null ? links : links.filter((link) => contains(link.folder, path));
  if (chosen.length === 0) {
    throw usage(
      path === null
        ? 'no folder is linked on this device; link one with "holdfast join INVITE FOLDER"'
        : `${path} is not linked; link it with "holdfast join INVITE ${path}"`,
    );
  }
  await runLinks(context, identity, chosen, options);
}

async function runLinks(
  context: Context,
  identity: Identity,
  links: readonly Link[],
  options: SyncOptions,
): Promise<void> {
  const running: RunningDevice[] = [];
  try {
    for (const link of links) {
      running.push(await context.launcher.startDevice(context.home, identity, link, null));
      context.output.value({ event: 'syncing', folder: link.folder });
      context.output.line(`Syncing ${shown(link.folder)}. Ctrl-C stops; "holdfast sync" goes on.`);
    }
    const inSync = Promise.all(running.map((device) => device.untilInSync())).then(() => {
      context.output.value({ event: 'in-sync' });
      context.output.line('Everything is in sync.');
    });
    if (options.once) await firstOf(context, inSync, running);
    else {
      inSync.catch(() => undefined);
      await untilEnded(context, running);
    }
  } finally {
    await closeAll(running);
  }
}

async function firstOf(context: Context, inSync: Promise<void>, running: readonly Running[]): Promise<void> {
  const failure = await Promise.race([
    inSync.then(() => null),
    untilStopped(context.stop).then(() => null),
    ...running.map((device) => device.failed),
  ]);
  if (failure) throw failure;
}
