/** Commands that ask the server one thing and print the answer: invites, devices, nodes, pools. */
import { HoldfastError } from '#core/errors.ts';
import { ask } from '#protocol/call.ts';
import { devicesList, devicesRevoke, inviteCreate, tlsRotate } from '#protocol/account.ts';
import { nodesList, poolsList, type NodeRow } from '#protocol/cluster.ts';
import type { Peer } from '#protocol/wire.ts';
import { REQUEST_MS_MAX, within } from './cancel.ts';
import type { Context } from './context.ts';
import { usage } from './exit.ts';
import { requireIdentity } from './home.ts';
import { bytesText, shown, table } from './output.ts';

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
  options: { readonly node: boolean; readonly address: readonly string[] },
): Promise<void> {
  const { response } = await withServer(context, (peer, signal) =>
    ask(
      peer,
      inviteCreate,
      {
        kind: options.node ? 'node' : 'device',
        ...(options.address.length > 0 ? { addresses: [...options.address] } : {}),
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

export function nodeLine(node: NodeRow): readonly string[] {
  return [
    node.node.slice(0, 8),
    shown(node.name),
    node.pool,
    node.address,
    node.state,
    `${node.blocks} blocks`,
    bytesText(node.storedBytes),
    `${bytesText(node.freeBytes)} free`,
  ];
}

export async function listNodes(context: Context): Promise<void> {
  const { response } = await withServer(context, (peer, signal) => ask(peer, nodesList, {}, signal));
  context.output.value(response.nodes);
  for (const line of table([
    ['NODE', 'NAME', 'POOL', 'ADDRESS', 'STATE', 'HOLDS', 'SIZE', 'DISK'],
    ...response.nodes.map(nodeLine),
  ]))
    context.output.line(line);
}

export async function listPools(context: Context): Promise<void> {
  const { response } = await withServer(context, (peer, signal) => ask(peer, poolsList, {}, signal));
  context.output.value(response.pools);
  for (const line of table([
    ['POOL', 'COPIES', 'NODES'],
    ...response.pools.map((pool) => [pool.pool, String(pool.copies), String(pool.nodes)]),
  ]))
    context.output.line(line);
}

export function when(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').slice(0, 16);
}
