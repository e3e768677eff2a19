/**
 * `HOLDFAST_HOME`: where a device keeps who it is and what it has linked, one folder per cluster:
 *   current                              the cluster that commands speak to
 *   clusters/<cluster>/identity.json     0600: token, cluster key, addresses
 *   clusters/<cluster>/joining.json      0600: an introduction that was not answered yet
 *   clusters/<cluster>/links/<id>/       a linked folder: link.json, its sync state, and a lock while it syncs
 * Every file is replaced whole and durably, so that a crash leaves the old one or the new one.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import envPaths from 'env-paths';
import { z } from 'zod';
import { HoldfastError } from '#core/errors.ts';
import type { ClusterId } from '#core/ids.ts';
import * as field from '#protocol/fields.ts';

const identitySchema = z.strictObject({
  version: z.literal(1),
  cluster: field.clusterId,
  /** The cluster's Ed25519 identity, hexadecimal: what the device trusts for good. */
  clusterKey: field.hash,
  addresses: z.array(field.address).min(1),
  /** Behind a certificate that the system trusts; else keys are pinned. */
  webpki: z.boolean(),
  /** The pin of the invite; the key list, once there is one, holds those that followed. */
  pin: field.pin.nullable(),
  /** Signed key list, base64. */
  keyList: z.string().nullable(),
  device: field.deviceId,
  deviceName: z.string(),
  account: z.string(),
  token: z.string(),
  /** Where `up` or `server` keeps this cluster's data on this machine. */
  dataDirectory: z.string().nullable(),
});
export type Identity = z.infer<typeof identitySchema>;

/** What an unfinished introduction remembers, so that it can be finished after a lost answer or a crash. */
const joiningSchema = z.strictObject({
  version: z.literal(1),
  invite: z.string(),
  device: field.deviceId,
  secret: field.hash,
});
export type Joining = z.infer<typeof joiningSchema>;

const linkSchema = z.strictObject({ version: z.literal(1), id: field.opId, space: field.spaceId, folder: z.string() });
export type Link = z.infer<typeof linkSchema>;

export function homeDirectory(): string {
  return process.env['HOLDFAST_HOME'] || envPaths('holdfast', { suffix: '' }).data;
}

export function currentCluster(home: string): ClusterId | null {
  const text = readText(join(home, 'current'))?.trim();
  return text && field.clusterId.safeParse(text).success ? (text as ClusterId) : null;
}

/** The identity that commands use: of `cluster`, or of the one used last. */
export function readIdentity(home: string, cluster: ClusterId | null = currentCluster(home)): Identity | null {
  return cluster === null ? null : readJson(identityPath(home, cluster), identitySchema);
}

/** Every cluster that this home is a device of. */
export function readIdentities(home: string): readonly Identity[] {
  const directory = join(home, 'clusters');
  if (!existsSync(directory)) return [];
  return readdirSync(directory).flatMap((cluster) => readIdentity(home, cluster as ClusterId) ?? []);
}

export function requireIdentity(home: string): Identity {
  const identity = readIdentity(home);
  if (identity) return identity;
  throw new HoldfastError(
    'not_linked',
    `this device is not linked to any Holdfast (${home} knows none); run "holdfast join INVITE FOLDER", or "holdfast up" for a drive of your own`,
  );
}

/** Durable once it returns; makes its cluster the current one. */
export function writeIdentity(home: string, identity: Identity): void {
  replaceFile(identityPath(home, identity.cluster), `${JSON.stringify(identity, null, 2)}\n`);
  replaceFile(join(home, 'current'), `${identity.cluster}\n`);
}

export function readLinks(home: string, cluster: ClusterId): readonly Link[] {
  const directory = join(home, 'clusters', cluster, 'links');
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .sort()
    .flatMap((id) => readJson(join(directory, id, 'link.json'), linkSchema) ?? []);
}

export function writeLink(home: string, cluster: ClusterId, link: Link): void {
  replaceFile(join(linkDirectory(home, cluster, link), 'link.json'), `${JSON.stringify(link, null, 2)}\n`);
}

export function joiningPath(home: string, cluster: ClusterId): string {
  return join(home, 'clusters', cluster, 'joining.json');
}

export function readJoining(home: string, cluster: ClusterId): Joining | null {
  return readJson(joiningPath(home, cluster), joiningSchema);
}

export function writeJoining(home: string, cluster: ClusterId, joining: Joining): void {
  replaceFile(joiningPath(home, cluster), `${JSON.stringify(joining, null, 2)}\n`);
}

/** Forgets what a former identity had synced: what is linked again begins as a union. */
export function forgetLinkStates(home: string, cluster: ClusterId): void {
  for (const link of readLinks(home, cluster)) {
    for (const suffix of ['', '-wal', '-shm'])
      rmSync(`${linkStatePath(home, cluster, link)}${suffix}`, { force: true });
  }
}

export function linkDirectory(home: string, cluster: ClusterId, link: Link): string {
  return join(home, 'clusters', cluster, 'links', link.id);
}

export function linkStatePath(home: string, cluster: ClusterId, link: Link): string {
  return join(linkDirectory(home, cluster, link), 'state.db');
}

function identityPath(home: string, cluster: ClusterId): string {
  return join(home, 'clusters', cluster, 'identity.json');
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new HoldfastError('not_permitted_by_disk', `cannot read ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function readJson<T>(path: string, schema: z.ZodType<T>): T | null {
  const text = readText(path);
  if (text === null) return null;
  const json = parseJson(path, text);
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  // Each of them is of version 1 so far.
  if (Number((json as { version?: unknown } | null)?.version) > 1)
    throw new HoldfastError('newer_version', `${path} was written by a newer version of Holdfast; nothing was changed`);
  throw new HoldfastError(
    'integrity',
    `${path} is not what it should be (${parsed.error.issues[0]?.path.join('.') ?? ''}: ${parsed.error.issues[0]?.message ?? ''}); nothing was changed`,
  );
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HoldfastError('integrity', `${path} is damaged: not JSON; nothing was changed`, { cause: error });
  }
}

function replaceFile(path: string, text: string): void {
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const temporary = `${path}.new`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  const folder = openSync(directory, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
