/** A server, two storage nodes and two devices, each a process of its own that can be ended and started again. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts, runJson, service, type Ending, type Service, type Surroundings } from '../holdfast.ts';
import {
  ARMED_FILE,
  armedText,
  CUT_DISKS,
  cutsFile,
  killedFile,
  type Point,
  type UpkeepPoint,
  type Victim,
} from './points.ts';

export type Role = {
  readonly name: string;
  readonly victim: Victim;
  readonly args: readonly string[];
  readonly at: Surroundings;
  /** Of a device. */
  readonly folder: string | null;
  running: Service;
};

export type Roles = {
  readonly all: readonly Role[];
  readonly devices: readonly Role[];
  readonly folders: readonly string[];
  readonly reader: Surroundings;
};

const preload = fileURLToPath(new URL('./preload.ts', import.meta.url));
const armedFileOf = (role: Role): string => join(role.at.cwd, `armed-${role.name.replace(' ', '-')}`);

/** Where a role's files lie: a device's folder may be on another disk than what it keeps to itself. Made by the caller. */
export type Places = { readonly home: string; readonly folder: string };

export async function startRoles(
  ending: Ending,
  directory: string,
  options: {
    readonly placesOf?: (name: string) => Places;
    readonly cutDisks?: boolean;
    readonly serverOptions?: readonly string[];
  } = {},
): Promise<Roles> {
  const placesOf = (name: string): Places => {
    const beside = join(directory, name.replace(' ', '-'));
    return options.placesOf?.(name) ?? { home: beside, folder: join(beside, 'folder') };
  };
  const home = (name: string): string => placesOf(name).home;
  const [port, ...nodePorts] = await freePorts(3);
  const at = (name: string): Surroundings => ({
    home: join(home(name), 'home'),
    cwd: directory,
    env: {
      HOLDFAST_DEVICE_NAME: name,
      NODE_OPTIONS: `--import=${preload}`,
      [ARMED_FILE]: join(directory, `armed-${name.replace(' ', '-')}`),
      ...(options.cutDisks ? { [CUT_DISKS]: disksOf(placesOf(name)).join(':') } : {}),
    },
  });
  const all: Role[] = [];
  const start = async (role: Omit<Role, 'running'>, first: readonly string[]): Promise<void> => {
    all.push({ ...role, running: await service(ending, first, role.at) });
  };
  const server = at('server');
  const serverArgs = [
    'server',
    '--data',
    join(home('server'), 'data'),
    '--port',
    String(port),
    ...(options.serverOptions ?? []),
  ];
  const serverRole = { name: 'server', victim: 'server', args: serverArgs, at: server, folder: null } as const;
  await start({ ...serverRole }, serverArgs);
  // The owner's commands pass no points.
  const reader: Surroundings = { home: server.home, cwd: directory };
  for (const [index, pool] of ['others', 'txt'].entries()) {
    const name = `node ${pool}`;
    const { invite } = await runJson<{ invite: string }>(['invite', '--node'], reader);
    const args = ['node', '--data', join(home(name), 'data'), '--port', String(nodePorts[index])];
    const role = { name, victim: 'node', args, at: at(name), folder: null } as const;
    await start(role, [...args, '--join', invite, '--pool', pool]);
  }
  for (const name of ['device a', 'device b']) {
    const { folder } = placesOf(name);
    const { invite } = await runJson<{ invite: string }>(['invite'], reader);
    const role = { name, victim: 'device', args: ['sync'], at: at(name), folder } as const;
    await start(role, ['join', invite, folder]);
  }
  const devices = all.filter(({ folder }) => folder !== null);
  return { all, devices, folders: devices.map(({ folder }) => folder as string), reader };
}

/** The mount points on which a role's files lie. */
const disksOf = ({ home, folder }: Places): readonly string[] =>
  folder.startsWith(`${home}/`) ? [home] : [home, dirname(folder)];

/** The role dies at its `passage`th passage of the point from now on. */
export function arm(role: Role, point: Point | UpkeepPoint, passage: number): void {
  writeFileSync(armedFileOf(role), armedText(point, passage));
}

/** Takes it back; true where the point was passed and the role died of it. */
export function disarm(role: Role): boolean {
  const armed = armedFileOf(role);
  rmSync(armed, { force: true });
  const died = existsSync(killedFile(armed)) && readFileSync(killedFile(armed)).length > 0;
  rmSync(killedFile(armed), { force: true });
  return died;
}

/** Its machine starts anew. */
export function noteCut(role: Role, cut: number): void {
  writeFileSync(cutsFile(armedFileOf(role)), String(cut));
}

export const hasEnded = ({ running }: Role): boolean =>
  running.process.exitCode !== null || running.process.signalCode !== null;

export async function restart(ending: Ending, role: Role): Promise<void> {
  role.running = await service(ending, role.args, role.at);
}
