/** A device's sync engine on a thread: one linked folder. */
import { mkdirSync } from 'node:fs';
import { linkDirectory, linkStatePath, readIdentity, type Link } from '#cli/home.ts';
import { startClient, type Client } from '#client/client.ts';
import { linkFolder } from '#client/link.ts';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import type { ClusterId } from '#core/ids.ts';
import type { Peer } from '#protocol/wire.ts';
import { realClock } from '#world/real/clock.ts';
import { lockDirectory } from '#world/real/directory-lock.ts';
import { openFolder } from '#world/real/folder.ts';
import { stderrLog } from '#world/real/log.ts';
import { portPeer } from '#world/real/port.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { realWatcher } from '#world/real/watcher.ts';
import { bootOfThisMachine } from '#world/real/boot.ts';
import { connectTo } from './launcher.ts';
import { hearLink } from './link-bell.ts';
import type { Role } from './role.ts';

export type DevicePlan = {
  readonly home: string;
  readonly cluster: ClusterId;
  readonly link: Link /** The server's port is given to it later. */;
  readonly local: boolean;
};

const log = stderrLog('warn');

export async function start(plan: unknown): Promise<Role> {
  const { home, cluster, link, local } = plan as DevicePlan;
  const identity = must(readIdentity(home, cluster), 'a device is started with its identity');
  const directory = linkDirectory(home, cluster, link);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = lockDirectory(directory);
  const given = local ? givenPeer() : null;
  const statePath = linkStatePath(home, cluster, link);
  try {
    const folder = openFolder(link.folder);
    await linkFolder({ folder, sql: sqliteOpener, random: realRandom, statePath });
    const client = startClient({
      folder,
      watcher: realWatcher(link.folder),
      peer: given ?? connectTo(home, identity),
      sql: sqliteOpener,
      clock: realClock,
      random: realRandom,
      log,
      primitives: nodePrimitives,
      statePath,
      deviceName: identity.deviceName,
      boot: bootOfThisMachine(),
      space: link.space,
    });
    endWith(client);
    const stopHearing = hearLink(directory, () => client.chosen());
    return {
      info: {},
      control: async () => {
        const status = await client.untilInSync(new AbortController().signal);
        const problem = status.problems[0];
        if (!status.inSync && problem) {
          const what = problem.path === '' ? problem.message : `${problem.path}: ${problem.message}`;
          throw new HoldfastError(
            problem.code,
            `not everything could be synced: ${what} ("holdfast status" lists all)`,
          );
        }
        return {};
      },
      accept: (purpose, port) => given?.take(portPeer(port, (purpose as { readonly token: string }).token)),
      close: async () => {
        stopHearing();
        await client.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** A defect in the engine ends the thread, and with it the process: it starts clean. */
function endWith(client: Client): void {
  client.ended.catch((error: unknown) => {
    setImmediate(() => {
      throw error;
    });
  });
}

/** The server of this very process, from the moment on that its port arrives. */
function givenPeer(): Peer & { take(peer: Peer): void } {
  const { promise, resolve } = Promise.withResolvers<Peer>();
  return {
    take: resolve,
    call: async (verbName, message, signal) => (await promise).call(verbName, message, signal),
    close: async () => {
      const closed = promise.then((peer) => peer.close());
      await Promise.race([closed, Promise.resolve()]);
    },
  };
}
