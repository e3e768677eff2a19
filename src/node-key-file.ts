/** A storage node's own key, in its directory: by it the server knows the node again, wherever it is. */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { HoldfastError } from '#core/errors.ts';
import { id16Of, type NodeId } from '#core/ids.ts';
import * as field from '#protocol/fields.ts';
import type { Net, TlsIdentity } from '#world/net.ts';

const VERSION = 1;
const schema = z.strictObject({
  version: z.literal(VERSION),
  /** Chosen before the node has joined, so that a join whose answer was lost is asked for again by the same node. */
  node: field.nodeId,
  privateKeyPem: z.string(),
  certificatePem: z.string(),
  pin: field.pin,
  /** Where the server was when the node joined; null before. */
  server: z.strictObject({ addresses: z.array(field.address), webpki: z.boolean() }).nullable(),
});
export type NodeKey = z.infer<typeof schema>;

/**
 * Read, or made at a node's first start: durable before anybody is told of it. `owner`: the node that the directory belongs to, null before it
 * is one's. Throws `integrity` where that node's key is missing or another's: with a new one the server would never find it again.
 */
export async function nodeKeyFile(directory: string, net: Net, owner: NodeId | null): Promise<NodeKey> {
  const path = join(directory, 'key.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new HoldfastError('not_permitted_by_disk', `cannot read ${path}: ${(error as Error).message}`, {
        cause: error,
      });
    if (owner !== null)
      throw new HoldfastError(
        'integrity',
        `${path} is missing, by which the server knows this storage node; put it back in its place; nothing was changed`,
        { cause: error },
      );
    const node = id16Of<NodeId>(randomBytes(16));
    const key: NodeKey = {
      version: VERSION,
      node,
      ...(await net.makeTlsIdentity(`holdfast node ${node.slice(0, 8)}`)),
      server: null,
    };
    storeNodeKey(directory, key);
    return key;
  }
  const json = jsonOf(text);
  if (Number(json?.['version']) > VERSION)
    throw new HoldfastError('newer_version', `${path} was written by a newer version of Holdfast; nothing was changed`);
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new HoldfastError('integrity', `${path} is damaged; nothing was changed`);
  if (owner !== null && parsed.data.node !== owner)
    throw new HoldfastError('integrity', `${path} is another storage node's; nothing was changed`);
  return parsed.data;
}

export function storeNodeKey(directory: string, key: NodeKey): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, 'key.json');
  const file = openSync(`${path}.new`, 'w', 0o600);
  try {
    writeSync(file, `${JSON.stringify(key, null, 2)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.new`, path);
  const opened = openSync(directory, 'r');
  try {
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}

export function tlsIdentityOf({ privateKeyPem, certificatePem, pin }: NodeKey): TlsIdentity {
  return { privateKeyPem, certificatePem, pin };
}

function jsonOf(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown> | null;
  } catch {
    return null;
  }
}
