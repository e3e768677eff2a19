/** A storage node's own key, in its directory: by it the server knows the node again, wherever it is. */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { HoldfastError } from '#core/errors.ts';
import { id16Of, type NodeId } from '#core/ids.ts';
import * as field from '#protocol/fields.ts';
import type { Net, TlsIdentity } from '#world/net.ts';

const schema = z.strictObject({
  version: z.literal(1),
  /** Chosen before the node has joined, so that a join whose answer was lost is asked for again by the same node. */
  node: field.nodeId,
  privateKeyPem: z.string(),
  certificatePem: z.string(),
  pin: field.pin,
  /** Where the server was when the node joined; null before. */
  server: z.strictObject({ addresses: z.array(field.address), webpki: z.boolean() }).nullable(),
});
export type NodeKey = z.infer<typeof schema>;

/** Read, or made at a node's first start: durable before anybody is told of it. */
export async function nodeKeyFile(directory: string, net: Net): Promise<NodeKey> {
  const path = join(directory, 'key.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new HoldfastError('not_permitted_by_disk', `cannot read ${path}: ${(error as Error).message}`, {
        cause: error,
      });
    const node = id16Of<NodeId>(randomBytes(16));
    const key: NodeKey = {
      version: 1,
      node,
      ...(await net.makeTlsIdentity(`holdfast node ${node.slice(0, 8)}`)),
      server: null,
    };
    storeNodeKey(directory, key);
    return key;
  }
  const parsed = schema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw new HoldfastError('integrity', `${path} is damaged; nothing was changed`);
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

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
