/** The launcher that commands get: roles on threads of this process, connections over the network. */
import { existsSync } from 'node:fs';
import { MessageChannel } from 'node:worker_threads';
import type { DeviceState, Launcher, RunningNodes, RunningServer, ServerPlan, StartedNode } from '#cli/launcher.ts';
import { linkDirectory, linkStatePath, readIdentity, writeIdentity, type Identity } from '#cli/home.ts';
import { chooseAt, readNotSelected } from '#client/choose.ts';
import { readState } from '#client/status.ts';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import type { ClusterId, Pin } from '#core/ids.ts';
import { verifyKeyList } from '#core/key-list.ts';
import type { Peer } from '#protocol/wire.ts';
import { pinnedPeer } from '#world/pinned-peer.ts';
import { isLocked } from '#world/real/directory-lock.ts';
import { openFolder } from '#world/real/folder.ts';
import { realNet } from '#world/real/net.ts';
import { portPeer } from '#world/real/port.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { ringLink } from './link-bell.ts';
import { startRole } from './role.ts';

export type ServerInfo = {
  readonly cluster: ClusterId;
  readonly url: string;
  readonly addresses: readonly string[];
  readonly pin: Pin | null;
  /** The key by which it proves itself to nodes. */
  readonly shownPin: Pin;
};

/** A server of this process also knows how to give its port away. */
type LocalServer = RunningServer & {
  readonly shownPin: Pin;
  greetNodes(): Promise<void>;
  give(purpose: unknown, port: import('node:worker_threads').MessagePort): void;
};

export const launcher: Launcher = {
  backups: async () => (await import('./backup-directory.ts')).indexBackups,
  openRescue: async (plan) => (await import('./rescue-directories.ts')).openRescue(plan),
  readKit: async (data) => (await import('./rescue-directories.ts')).readKit(data),
  startServer: async (plan: ServerPlan): Promise<LocalServer> => {
    const thread = await startRole<ServerInfo>('server', plan);
    return {
      ...thread.info,
      failed: thread.failed,
      close: thread.close,
      give: thread.give,
      settle: async () => void (await thread.control('settle', {})),
      greetNodes: async () => void (await thread.control('greet-nodes', {})),
      mintInvite: async (kind) => (await thread.control('mint-invite', { kind })) as string,
      peer: (credential) => {
        const { port1, port2 } = new MessageChannel();
        thread.give({ kind: 'caller' }, port2);
        return portPeer(port1, credential);
      },
    };
  },
  startNodes: async (plans, server): Promise<RunningNodes> => {
    const thread = await startRole<readonly StartedNode[]>('nodes', { nodes: plans });
    if (server) {
      const local = server as LocalServer;
      for (const { node } of thread.info) {
        const { port1, port2 } = new MessageChannel();
        thread.give({ node, pin: local.shownPin }, port1);
        local.give({ kind: 'node', node }, port2);
      }
      // Ready means that the server has heard every node, not that it will.
      await local.greetNodes();
    }
    return { nodes: thread.info, failed: thread.failed, close: thread.close };
  },
  startDevice: async (home, identity, link, server) => {
    const thread = await startRole('device', { home, cluster: identity.cluster, link, local: server !== null });
    if (server) {
      const { port1, port2 } = new MessageChannel();
      (server as LocalServer).give({ kind: 'caller' }, port2);
      thread.give({ kind: 'server', token: identity.token }, port1);
    }
    return {
      failed: thread.failed,
      close: thread.close,
      untilInSync: async () => void (await thread.control('until-in-sync', {})),
    };
  },
  readDeviceState: (home, identity, link): DeviceState | null => {
    const path = linkStatePath(home, identity.cluster, link);
    const state = existsSync(path) ? readState(sqliteOpener, path) : null;
    // A client that was killed could not say that it ended; its lock can.
    return state && { ...state, running: isLocked(linkDirectory(home, identity.cluster, link)) };
  },
  readNotSelected: (home, identity, link) => {
    const path = linkStatePath(home, identity.cluster, link);
    return existsSync(path) ? readNotSelected(sqliteOpener, path) : null;
  },
  choose: (home, identity, link, path, wanted) => {
    const statePath = linkStatePath(home, identity.cluster, link);
    if (!existsSync(statePath))
      throw new HoldfastError('not_found', 'this folder was never synced, so that nothing in the space is known yet');
    chooseAt(sqliteOpener, statePath, path, wanted);
    ringLink(linkDirectory(home, identity.cluster, link));
  },
  connect: (home, identity) => connectTo(home, identity),
  connectTo: (addresses, { cluster, pin, webpki }) =>
    pinnedPeer(realNet, {
      primitives: nodePrimitives,
      addresses,
      cluster,
      keyList: null,
      pins: pin === null ? [] : [pin],
      webpki,
      // Whoever redeems an invite has no place for a list yet; it is learnt again by the identity that comes of it.
      onKeyList: async () => undefined,
    }),
  openFolder: (path) => openFolder(path),
};

export function connectTo(home: string, identity: Identity): Peer {
  const bytes = identity.keyList === null ? null : Buffer.from(identity.keyList, 'base64');
  const keyList =
    bytes && must(verifyKeyList(nodePrimitives, bytes, identity.cluster), 'a key list that was stored is signed');
  return pinnedPeer(realNet, {
    primitives: nodePrimitives,
    addresses: identity.addresses,
    cluster: identity.cluster,
    keyList,
    pins: identity.pin === null ? [] : [identity.pin],
    webpki: identity.webpki,
    credential: identity.token,
    onKeyList: async (_list, learnt) => {
      // Read again: another command may have changed the rest of it in the meantime.
      const newest = readIdentity(home, identity.cluster) ?? identity;
      writeIdentity(home, { ...newest, keyList: Buffer.from(learnt).toString('base64') });
    },
  });
}
