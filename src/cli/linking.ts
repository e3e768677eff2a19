/** How a device begins: redeeming an invite, and linking folders to a space. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { fromHex, toHex } from '#core/bytes.ts';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import { id16Of, type OpId } from '#core/ids.ts';
import { parseInvite, type Invite } from '#core/invite.ts';
import { formatDeviceToken, secretHash } from '#core/token.ts';
import { hello, PROTOCOL_VERSION, redeem, spaces } from '#protocol/account.ts';
import { ask } from '#protocol/call.ts';
import type { Peer } from '#protocol/wire.ts';
import { REQUEST_MS_MAX, within } from './cancel.ts';
import type { Context } from './context.ts';
import { usage } from './exit.ts';
import {
  forgetLinkStates,
  joiningPath,
  readIdentity,
  readJoining,
  readLinks,
  writeIdentity,
  writeJoining,
  writeLink,
  type Identity,
  type Link,
} from './home.ts';
import type { RunningServer } from './launcher.ts';
import { contains } from './places.ts';
import { shown } from './output.ts';

/**
 * The identity of this device in the invite's cluster. Where it has one that still works, the invite is left unused: it
 * may serve another device.
 */
export async function redeemInvite(context: Context, text: string): Promise<Identity> {
  const invite = parseInvite(context.primitives, text);
  if (invite.kind !== 'device')
    throw usage('this is a ticket for a storage node: use it with "holdfast node --join TICKET"');
  const known = readIdentity(context.home, invite.cluster);
  if (known && (await stillLinked(context, known))) {
    writeIdentity(context.home, known);
    return known;
  }
  const peer = context.launcher.connectTo(invite.addresses, {
    cluster: invite.cluster,
    pin: invite.pin,
    webpki: invite.webPki,
  });
  try {
    const identity = await introduce(context, peer, invite, known?.dataDirectory ?? null);
    forgetLinkStates(context.home, invite.cluster);
    return identity;
  } finally {
    await peer.close();
  }
}

/** The owner's own device on the machine of the server: made at the first start, kept afterwards. */
export async function ownIdentity(context: Context, server: RunningServer, dataDirectory: string): Promise<Identity> {
  const known = readIdentity(context.home, server.cluster);
  const invite = {
    ...parseInvite(context.primitives, await server.mintInvite('device')),
    addresses: [...server.addresses],
  };
  if (known && (await linkedOver(context, server.peer(known.token)))) {
    const moved = { ...known, addresses: [...server.addresses], pin: server.pin, webpki: false, dataDirectory };
    writeIdentity(context.home, moved);
    return moved;
  }
  const peer = server.peer(null);
  try {
    return await introduce(context, peer, invite, dataDirectory);
  } finally {
    await peer.close();
  }
}

/** The secret is stored before it is registered, so that a lost answer is asked for again with the same one. */
async function introduce(
  context: Context,
  peer: Peer,
  invite: Invite,
  dataDirectory: string | null,
): Promise<Identity> {
  const signal = within(context.stop, REQUEST_MS_MAX);
  await ask(peer, hello, { protocol: { min: PROTOCOL_VERSION, max: PROTOCOL_VERSION } }, signal);
  let joining = readJoining(context.home, invite.cluster);
  if (joining?.invite !== invite.tokenId) {
    joining = { version: 1, invite: invite.tokenId, device: id16Of(randomBytes(16)), secret: toHex(randomBytes(32)) };
    writeJoining(context.home, invite.cluster, joining);
  }
  const secret = must(fromHex(joining.secret), 'a stored secret is hexadecimal');
  const { response } = await ask(
    peer,
    redeem,
    {
      invite: { id: invite.tokenId, secret: invite.secret },
      device: joining.device,
      name: context.deviceName.slice(0, 200),
      tokenHash: secretHash(context.primitives, secret),
    },
    signal,
  );
  const identity: Identity = {
    version: 1,
    cluster: invite.cluster,
    clusterKey: toHex(invite.publicKey),
    addresses: [...invite.addresses],
    webpki: invite.webPki,
    pin: invite.pin,
    keyList: null,
    device: response.device,
    deviceName: context.deviceName,
    account: response.account,
    token: formatDeviceToken({ id: response.tokenId, secret }),
    dataDirectory,
  };
  writeIdentity(context.home, identity);
  rmSync(joiningPath(context.home, invite.cluster), { force: true });
  return identity;
}

async function stillLinked(context: Context, identity: Identity): Promise<boolean> {
  return linkedOver(context, context.launcher.connect(context.home, identity));
}

/** False where the server does not know the token any more; every other failure is the caller's to see. */
async function linkedOver(context: Context, peer: Peer): Promise<boolean> {
  try {
    await ask(peer, spaces, {}, within(context.stop, REQUEST_MS_MAX));
    return true;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'unauthenticated') return false;
    throw error;
  } finally {
    await peer.close();
  }
}

/** The link of this very folder, made where there is none. A folder inside a linked one, or around it, is refused. */
export async function linkFolder(context: Context, identity: Identity, path: string): Promise<Link> {
  const links = readLinks(context.home, identity.cluster);
  const same = links.find((link) => link.folder === path);
  if (same) return same;
  const near = links.find((link) => contains(link.folder, path) || contains(path, link.folder));
  if (near)
    throw usage(
      `${shown(path)} and the linked folder ${shown(near.folder)} contain one another; choose another folder`,
    );
  refuseForeignRoot(path, links);
  const peer = context.launcher.connect(context.home, identity);
  try {
    const { response } = await ask(peer, spaces, {}, within(context.stop, REQUEST_MS_MAX));
    const own = must(
      response.spaces.find((space) => space.own),
      'every account has a space of its own',
    );
    const link: Link = { version: 1, id: id16Of<OpId>(randomBytes(16)), space: own.space, folder: path };
    writeLink(context.home, identity.cluster, link);
    return link;
  } finally {
    await peer.close();
  }
}

/** A folder that carries another link's mark is that link's, moved or copied: syncing it twice would make each copy undo the other. */
function refuseForeignRoot(path: string, links: readonly Link[]): void {
  const mark = `${path}/.holdfast/root-id`;
  if (!existsSync(mark)) return;
  const here = readFileSync(mark, 'utf8').trim();
  for (const link of links) {
    const other = `${link.folder}/.holdfast/root-id`;
    if (!existsSync(other) || readFileSync(other, 'utf8').trim() !== here) continue;
    if (realpathSync(link.folder) !== realpathSync(path))
      throw usage(
        `${shown(path)} is a copy of the linked folder ${shown(link.folder)}; remove ${shown(mark)} to link it as a folder of its own`,
      );
  }
}
