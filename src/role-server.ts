/** The server on a thread: its directory, its port, and its ways to the storage nodes. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ServerPlan } from '#cli/launcher.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { NodeId } from '#core/ids.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { collectionTimes } from '#server/collection.ts';
import { nodeConnectionOf, type NodeToReach } from '#server/node-connection.ts';
import { ROOTS_PACE } from '#server/roots.ts';
import { startServer, type Server } from '#server/server.ts';
import type { Peer } from '#protocol/wire.ts';
import type { TlsIdentity } from '#world/net.ts';
import { pinnedPeer } from '#world/pinned-peer.ts';
import { realClock } from '#world/real/clock.ts';
import { lockDirectory } from '#world/real/directory-lock.ts';
import { stderrLog } from '#world/real/log.ts';
import { realNet } from '#world/real/net.ts';
import { bearerOverPort, portPeer, servePort } from '#world/real/port.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { addressesOf, isLoopback } from './addresses.ts';
import { backUpInto } from './backup-directory.ts';
import type { ServerInfo } from './launcher.ts';
import type { Role } from './role.ts';
import { rootKeyFile } from './root-key-file.ts';
import { version } from './version.ts';

type Accepted = { readonly kind: 'caller' } | { readonly kind: 'node'; readonly node: NodeId };

const log = stderrLog('warn');

export async function start(plan: unknown): Promise<Role> {
  const { dataDirectory, host, port, lostMs, scrubMs, challengeMs, collectEveryMs, rootEveryMs } = plan as ServerPlan;
  const directory = join(dataDirectory, 'server');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = lockDirectory(directory);
  try {
    const meta = await openIndex(join(directory, 'meta.db'));
    const nodes = new NodePeers();
    let addresses: readonly string[] = [];
    const server = await startServer({
      version,
      meta,
      primitives: nodePrimitives,
      clock: realClock,
      random: realRandom,
      log,
      net: realNet,
      rootKeeper: rootKeyFile(join(directory, 'root.key'), nodePrimitives),
      connectNode: (node, show) => nodeConnectionOf(nodes.peerOf(node, show), nodePrimitives),
      addresses: () => addresses,
      collection: collectionTimes(collectEveryMs),
      care: { lostMs, scrubMs, challengeMs },
      rootsPace: { ...ROOTS_PACE, segmentMs: rootEveryMs },
      backUp: (to, proof) => backUpInto(to, proof, (path) => meta.copyTo(path)),
    });
    const tls = !isLoopback(host);
    const page = (path: string) => server.page(path);
    const listening = await realNet
      .listen({ host, port }, server.handler, tls ? { identity: server.tlsIdentity(), page } : { page })
      .catch(async (error: unknown) => {
        await server.close();
        throw error;
      });
    addresses = addressesOf(realNet, tls ? 'https' : 'http', host, listening.port);
    if (tls) server.onTlsIdentity((identity) => listening.replaceIdentity(identity));
    const info: ServerInfo = {
      cluster: server.cluster,
      url: addresses[0] as string,
      addresses,
      pin: tls ? server.tlsIdentity().pin : null,
      shownPin: server.tlsIdentity().pin,
    };
    return {
      info,
      control: (verb, body) => control(server, verb, body),
      accept: (purpose, given) => {
        const accepted = purpose as Accepted;
        if (accepted.kind === 'caller') servePort(given, server.handler, bearerOverPort, log);
        else nodes.attach(accepted.node, portPeer(given));
      },
      close: async () => {
        server.endHeldRequests();
        await listening.close();
        await server.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function openIndex(path: string): ReturnType<typeof openSqliteMetaStore> {
  try {
    return await openSqliteMetaStore(sqliteOpener, path);
  } catch (error) {
    if (!hasCode(error, 'integrity')) throw error;
    const detail = `the index ${path} cannot be used: ${error.message}; nothing was changed: put a backup in its place ("holdfast backup restore"), or make the server anew from its storage nodes ("holdfast rescue")`;
    throw new HoldfastError('integrity', detail, { cause: error });
  }
}

async function control(server: Server, verb: string, body: unknown): Promise<unknown> {
  if (verb === 'mint-invite') return (await server.invite({ kind: (body as { kind: 'device' | 'node' }).kind })).invite;
  if (verb === 'settle') await server.settle();
  else await server.greetNodes();
  return {};
}

/** By the key that the index has for it, whatever its address is. */
export function peerOverNetwork({ cluster, pin, addresses }: NodeToReach, show: TlsIdentity): Peer {
  return pinnedPeer(realNet, {
    primitives: nodePrimitives,
    addresses,
    cluster,
    keyList: null,
    pins: [pin],
    show,
    onKeyList: async () => undefined,
  });
}

/** Nodes that run in this process are reached by a port, as soon as there is one; all others over the network. */
class NodePeers {
  readonly #attached = new Map<NodeId, Peer>();

  attach(node: NodeId, peer: Peer): void {
    this.#attached.set(node, peer);
  }

  peerOf(reach: NodeToReach, show: TlsIdentity): Peer {
    const remote = peerOverNetwork(reach, show);
    return {
      call: (verbName, message, signal) => (this.#attached.get(reach.node) ?? remote).call(verbName, message, signal),
      close: () => remote.close(),
    };
  }
}
