/** A server, storage nodes and a device, each a process of its own, in one directory. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import type { SpaceId } from '#core/ids.ts';
import type { SealKeys } from '#core/keyring.ts';
import { ask } from '#protocol/call.ts';
import { files, nodesList, serverStatus, type FileRow, type NodeRow } from '#protocol/cluster.ts';
import type { Peer } from '#protocol/wire.ts';
import { requireIdentity } from '#cli/home.ts';
import { ownSpace } from '#cli/spaces.ts';
import { connectTo } from '../../src/launcher.ts';
import { freePorts, run, runJson, service, until, type Service, type Surroundings } from '../../test/holdfast.ts';

/** Nothing is to be done at the end: every process below this one is killed when the workload is over. */
const ENDING = { after: () => undefined };
/** What no rule sends elsewhere goes there. */
export const POOL = 'others';
const YEAR_S = 31_536_000;
/** Nothing that has a time of its own is to fall into what is measured. */
const QUIET = ['--lost-after', String(YEAR_S), '--challenge-every', String(YEAR_S), '--root-every', String(YEAR_S)];

export type ServerStatus = z.infer<typeof serverStatus.response>;

export class ClusterPlace {
  readonly owner: Surroundings;
  /** The folder of the device. */
  readonly folder: string;
  readonly nodes = new Map<string, Service>();
  readonly #root: string;
  readonly #ports: readonly number[];
  server!: Service;
  #peer: Peer | null = null;

  /** `nodes`: their names. All are in the one pool, which keeps `copies`. */
  static async start(
    root: string,
    { copies, nodes }: { readonly copies: number; readonly nodes: readonly string[] },
  ): Promise<ClusterPlace> {
    const place = new ClusterPlace(root, await freePorts(nodes.length + 1));
    await place.startServer();
    await runJson(['pools', 'set', POOL, '--copies', String(copies)], place.owner);
    for (const [index, name] of nodes.entries()) {
      const { invite } = await runJson<{ invite: string }>(['invite', '--node', '--pool', POOL], place.owner);
      await place.startNode(name, index, ['--join', invite, '--name', name]);
    }
    return place;
  }

  private constructor(root: string, ports: readonly number[]) {
    this.#root = root;
    this.#ports = ports;
    this.owner = { home: join(root, 'home-owner'), cwd: root };
    this.folder = join(root, 'drive');
    mkdirSync(this.folder, { recursive: true });
  }

  get serverData(): string {
    return join(this.#root, 'server');
  }

  nodeData(name: string): string {
    return join(this.#root, `node-${name}`);
  }

  async startServer(): Promise<void> {
    const args = ['server', '--data', this.serverData, '--port', String(this.#ports[0]), ...QUIET];
    this.server = await service(ENDING, args, this.owner, 600_000);
  }

  /** `index`: which of the ports is its own. */
  async startNode(name: string, index: number, more: readonly string[] = []): Promise<Service> {
    const args = ['node', '--data', this.nodeData(name), '--port', String(this.#ports[index + 1]), ...more];
    const node = await service(ENDING, args, this.owner, 600_000);
    this.nodes.set(name, node);
    return node;
  }

  /** A device that syncs the folder from now on. */
  async startDevice(): Promise<Service> {
    const { invite } = await runJson<{ invite: string }>(['invite'], this.owner);
    return service(ENDING, ['join', invite, this.folder], { ...this.owner, home: join(this.#root, 'home-device') });
  }

  /** Runs a command of the owner to its end. Throws where it fails. */
  async command(args: readonly string[], secondsMax: number): Promise<string> {
    const ran = await run(args, this.owner, secondsMax * 1000);
    if (ran.code !== 0) throw new Error(`holdfast ${args[0]} ended with ${ran.code}: ${ran.stderr.slice(-300)}`);
    return ran.stdout;
  }

  /** The owner's way to the server, from this very process: asking is not to cost what starting a command costs. */
  get peer(): Peer {
    this.#peer ??= connectTo(this.owner.home, requireIdentity(this.owner.home));
    return this.#peer;
  }

  async close(): Promise<void> {
    await this.#peer?.close();
    this.#peer = null;
  }

  space(): Promise<{ readonly space: SpaceId; readonly keys: SealKeys }> {
    return ownSpace(this.peer, null, AbortSignal.timeout(10_000));
  }

  async nodeRows(): Promise<readonly NodeRow[]> {
    return (await ask(this.peer, nodesList, {}, AbortSignal.timeout(10_000))).response.nodes;
  }

  async status(): Promise<ServerStatus> {
    return (await ask(this.peer, serverStatus, {}, AbortSignal.timeout(60_000))).response;
  }

  /** Waits until the server has heard that many nodes. */
  async untilHeard(count: number): Promise<void> {
    await until(
      'the server hears its storage nodes',
      () => this.nodeRows(),
      (rows) => rows.filter(({ state }) => state === 'ok').length === count,
      60_000,
    );
  }

  /** Waits until the server has committed that many files, each with that many copies. */
  async untilStored(count: number, copies: number, secondsMax: number): Promise<readonly FileRow[]> {
    const { space } = await this.space();
    return until(
      `${count} files with ${copies} copies`,
      async () =>
        (await ask(this.peer, files, { space, after: null, limit: 1000 }, AbortSignal.timeout(60_000))).response.files,
      (rows) => rows.length === count && rows.every((row) => row.state === 'stored' && row.copies >= copies),
      secondsMax * 1000,
    );
  }
}

export function pidOf({ process: child }: Service): number {
  if (child.pid === undefined) throw new Error('a process that was started has a number');
  return child.pid;
}
