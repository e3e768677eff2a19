/** Commands that ask the server one thing and print the answer: invites, devices. */
import { HoldfastError } from '#core/errors.ts';
import { ask } from '#protocol/call.ts';
import { devicesList, devicesRevoke, inviteCreate, tlsRotate } from '#protocol/account.ts';
import type { Peer } from '#protocol/wire.ts';
import { REQUEST_MS_MAX, within } from './cancel.ts';
import type { Context } from './context.ts';
import { usage } from './exit.ts';
import { requireIdentity } from './home.ts';
import { shown, table } from './output.ts';

/** Runs `work` with a connection to the server of this device's identity. */
export async function withServer<T>(
  context: Context,
  work: (peer: Peer, signal: AbortSignal) => Promise<T>,
  waitMsMax: number = REQUEST_MS_MAX,
): Promise<T> {
  const peer = context.launcher.connect(context.home, requireIdentity(context.home));
  try {
    return await work(peer, within(context.stop, waitMsMax));
  } finally {
    await peer.close();
  }
}

export async function invite(
  context: Context,
  options: { readonly node: boolean; readonly address: readonly string[]; readonly pool?: string },
): Promise<void> {
  if (options.pool !== undefined && !options.node)
    throw usage('only a ticket for a storage node names a pool: holdfast invite --node --pool POOL');
  const { response } = await withServer(context, (peer, signal) =>
    ask(
      peer,
      inviteCreate,
      {
        kind: options.node ? 'node' : 'device',
        ...(options.address.length > 0 ? { addresses: [...options.address] } : {}),
        ...(options.pool === undefined ? {} : { pool: options.pool }),
      },
      signal,
    ),
  );
  context.output.value({ invite: response.invite });
  context.output.line(response.invite);
  const hours = Math.max(1, Math.round((response.expiresMs - Date.now()) / 3_600_000));
  context.output.note(
    options.node
      ? `On the node's machine, within ${hours} h:  holdfast node --join TICKET --data DIR`
      : `On the other device, within ${hours} h, once:  holdfast join INVITE FOLDER`,
  );
  if (response.loopbackOnly) {
    context.output.note(
      'The server listens on this machine only (127.0.0.1), so the invite works only here. For other machines start it with --listen 0.0.0.0 (TLS turns on by itself), then invite again.',
    );
  }
}

export async function listDevices(context: Context): Promise<void> {
  const { response } = await withServer(context, (peer, signal) => ask(peer, devicesList, {}, signal));
  context.output.value(response.devices);
  const rows = response.devices.map((device) => [
    device.device.slice(0, 8),
    shown(device.name),
    device.revoked
      ? 'revoked'
      : device.self
        ? 'this device'
        : device.lastSeenMs === null
          ? 'never seen'
          : `seen ${when(device.lastSeenMs)}`,
  ]);
  for (const line of table([['DEVICE', 'NAME', 'STATE'], ...rows])) context.output.line(line);
}

/** `which`: a device's id, the beginning of it, or its name. */
export async function revokeDevice(context: Context, which: string): Promise<void> {
  await withServer(context, async (peer, signal) => {
    const { response } = await ask(peer, devicesList, {}, signal);
    const live = response.devices.filter((device) => !device.revoked);
    const found = live.filter((device) => device.name === which || device.device.startsWith(which.toLowerCase()));
    const only = found[0];
    if (!only)
      throw new HoldfastError('not_found', `no device is called "${shown(which)}"; "holdfast devices" lists them`);
    if (found.length > 1)
      throw usage(
        `"${shown(which)}" names ${found.length} devices; give more of the id: ${found.map((device) => device.device.slice(0, 12)).join(', ')}`,
      );
    await ask(peer, devicesRevoke, { device: only.device }, signal);
    context.output.value({ revoked: only.device });
    context.output.line(`${shown(only.name)} is revoked: it can do nothing any more, and new data gets a new key.`);
  });
}

/** The old key stays in force until every storage node knows the new one. */
export async function rotateTls(context: Context): Promise<void> {
  const { response } = await withServer(context, (peer, signal) => ask(peer, tlsRotate, {}, signal));
  context.output.value(response);
  if (response.state === 'done')
    context.output.line(`The server shows a new key: ${response.pin}. Devices and nodes follow by themselves.`);
  else
    context.output.line(
      `The new key ${response.pin} waits until these storage nodes are back: ${response.waitingFor.map(shown).join(', ')}.`,
    );
}

export function when(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').slice(0, 16);
}
