/** `holdfast select`: what of the space this device keeps on its disk. */
import { isAbsolute, relative } from 'node:path';
import type { Context } from './context.ts';
import { usage } from './exit.ts';
import { readLinks, requireIdentity, type Identity, type Link } from './home.ts';
import { shown, table } from './output.ts';
import { contains, syncedFolder } from './places.ts';

export type SelectOptions = { readonly folder?: string };

export async function listSelection(context: Context, options: SelectOptions): Promise<void> {
  const identity = requireIdentity(context.home);
  const link = chosenLink(context, identity, options);
  const rows = context.launcher.readNotSelected(context.home, identity, link) ?? [];
  context.output.value(rows);
  if (rows.length === 0) context.output.line(`Everything in the space is kept in ${shown(link.folder)}.`);
  const text = rows.map((row) => [
    shown(row.path) + (row.kind === 'folder' ? '/' : ''),
    row.selected === 'none' ? 'not kept here' : 'only some of it is kept here',
  ]);
  for (const line of table(text)) context.output.line(line);
}

export async function changeSelection(
  context: Context,
  paths: readonly string[],
  wanted: boolean,
  options: SelectOptions,
): Promise<void> {
  const identity = requireIdentity(context.home);
  const link = chosenLink(context, identity, options);
  for (const path of paths.map((path) => pathInSpace(link, path))) {
    context.launcher.choose(context.home, identity, link, path, wanted);
    context.output.value({ path, selected: wanted });
    context.output.line(
      wanted
        ? `${shown(path)} is kept on this device again.`
        : `${shown(path)} is not kept on this device any more: it leaves ${shown(link.folder)} as soon as all of it is on the server, where it stays.`,
    );
  }
  const state = context.launcher.readDeviceState(context.home, identity, link);
  if (!state?.running)
    context.output.note('Nothing syncs this folder at present; it happens with the next "holdfast sync".');
}

function chosenLink(context: Context, identity: Identity, options: SelectOptions): Link {
  const links = readLinks(context.home, identity.cluster);
  const folder = options.folder === undefined ? null : syncedFolder(options.folder, null);
  const chosen = folder === null ? links : links.filter((link) => contains(link.folder, folder));
  const [link, ...others] = chosen;
  if (!link) throw usage('no such folder is linked on this device; link one with "holdfast join INVITE FOLDER"');
  if (others.length > 0)
    throw usage(`several folders are linked; name one with --folder, for example --folder ${link.folder}`);
  return link;
}

/** As it is in the space, or as it lies in the linked folder. */
function pathInSpace(link: Link, path: string): string {
  if (isAbsolute(path) && !contains(link.folder, path)) throw usage(`${path} does not lie in ${link.folder}`);
  const below = isAbsolute(path) ? relative(link.folder, path) : path;
  const names = below.split('/').filter((name) => name !== '' && name !== '.');
  if (names.length === 0) throw usage('name something in the folder, not the folder itself');
  return names.join('/');
}
