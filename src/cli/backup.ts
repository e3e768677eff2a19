/** `holdfast backup`: the index alone. The blocks stay on the storage nodes, the root key where its owner keeps it. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { ask } from '#protocol/call.ts';
import { backupCreate } from '#protocol/cluster.ts';
import { within } from './cancel.ts';
import { usage } from './exit.ts';
import type { Context } from './context.ts';
import { readIdentity, requireIdentity } from './home.ts';
import type { BackupMade } from './launcher.ts';
import { bytesText, counted, shown } from './output.ts';

const REQUEST = '.request';
/** Longer than the server holds one question. */
const ANSWER_MS_MAX = 60_000;

type DataOption = { readonly data?: string };

export async function create(context: Context, where: string, options: DataOption): Promise<void> {
  const directory = resolve(where);
  const data = ownData(context, options) ?? resolve('data');
  if (existsSync(directory) && readdirSync(directory).length > 0)
    throw usage(`${shown(directory)} is not empty; a backup goes into a directory of its own`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const backups = await context.launcher.backups();
  const made = backups.isServed(data)
    ? await createByServer(context, directory)
    : await backups.create(data, directory);
  context.output.value({ backup: directory, ...made });
  context.output.line(
    `The index (${counted(made.files, 'file')}, ${bytesText(made.bytes)}) is in ${shown(directory)}.`,
  );
  context.output.note(
    'It holds neither the blocks, which stay on the storage nodes, nor the root key: keep a copy of that apart from it.',
  );
}

/** The server alone may read its index while it runs. What is written into the directory first shows it that we could write there, too. */
async function createByServer(context: Context, directory: string): Promise<BackupMade> {
  const proof = toHex(context.randomBytes(32));
  const request = join(directory, REQUEST);
  writeFileSync(request, `${proof}\n`, { mode: 0o600, flag: 'wx' });
  const peer = context.launcher.connect(context.home, requireIdentity(context.home));
  try {
    for (;;) {
      const signal = within(context.stop, ANSWER_MS_MAX);
      const { response } = await ask(peer, backupCreate, { directory, proof }, signal);
      if (response.state === 'running') continue;
      const { cluster, files, bytes } = response;
      return { cluster, files, bytes };
    }
  } finally {
    await peer.close();
    rmSync(request, { force: true });
  }
}

export async function verify(context: Context, where: string, options: DataOption): Promise<void> {
  const directory = resolve(where);
  const backups = await context.launcher.backups();
  const checked = await backups.verify(directory, ownData(context, options));
  context.output.value({ backup: directory, ...checked });
  context.output.line(
    `${shown(directory)} is whole: ${counted(checked.files, 'file')}, ${bytesText(checked.bytes)}, of ${new Date(checked.createdMs).toISOString()}, cluster ${checked.cluster}.`,
  );
  context.output.line(
    checked.opened
      ? 'The root key opens it.'
      : 'Whether the root key opens it was not tried: name the data directory that has the key with --data.',
  );
}

export async function restore(
  context: Context,
  where: string,
  options: DataOption & { readonly rootKey?: string },
): Promise<void> {
  const directory = resolve(where);
  const data = ownData(context, options) ?? resolve('data');
  const backups = await context.launcher.backups();
  if (backups.isServed(data)) throw new HoldfastError('data_in_use', `a server runs on ${shown(data)}; stop it first`);
  const rootKey = options.rootKey === undefined ? null : resolve(options.rootKey);
  const restored = await backups.restore(directory, data, rootKey);
  context.output.value({ backup: directory, data, ...restored });
  context.output.line(`The index in ${shown(data)} is that of the backup again: ${counted(restored.files, 'file')}.`);
  if (restored.aside !== null) context.output.line(`The one that was there lies in ${shown(restored.aside)}.`);
  context.output.note(
    'Start the server. Every device unites with it: nothing is deleted, what is newer on a device goes up again, and what was deleted since the backup comes back. Devices and nodes that joined since must join again; what was revoked since must be revoked again.',
  );
}

/** By option or environment, else where this home's own server keeps its data. */
function ownData(context: Context, options: DataOption): string | null {
  const asked = options.data ?? process.env['HOLDFAST_DATA'];
  if (asked) return resolve(asked);
  return readIdentity(context.home)?.dataDirectory ?? (existsSync('data') ? resolve('data') : null);
}
