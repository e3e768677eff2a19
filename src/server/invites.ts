/** Invites: making them, and redeeming them for a device or a storage node. Single use is bound to the redeemer. */
import { must } from '#core/assert.ts';
import { fromBase64url, toBase64url } from '#core/base64url.ts';
import { equalBytes, fromHex, toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { id16Of, idBytes, type DeviceId } from '#core/ids.ts';
import { encodeInvite, isLoopbackAddress } from '#core/invite.ts';
import { domainOf } from '#core/node-domain.ts';
import { limits } from '#core/limits.ts';
import { DEFAULT_POOL } from '#core/rules.ts';
import { secretHash } from '#core/token.ts';
import {
  countWrongSecret,
  findAccount,
  findDevice,
  insertDevice,
  insertInvite,
  insertToken,
  lockInvite,
  tokenOf,
  useInvite,
  type StoredInvite,
} from '#meta/accounts.ts';
import { allNodes, allPools, insertNode, moveNode, noteNodeRun } from '#meta/clusters.ts';
import type { MetaReader, MetaWriter } from '#meta/meta-store.ts';
import { inviteCreate, nodeHere, nodeJoin, redeem } from '#protocol/account.ts';
import { route } from '#protocol/call.ts';
import type { z } from 'zod';
import { deviceRoute, type Identity } from './identity.ts';
import type { KnownNode } from './node-book.ts';
import type { NodeWatch } from './node-watch.ts';
import { takeUp } from './nodes.ts';
import { weightOf } from './node-weights.ts';
import { changeStanding, jobsFor, newLayouts, wantJobs } from './standing.ts';
import type { ServerContext } from './server-context.ts';

const HOUR_MS = 3_600_000;
const VALID_MS = { device: 24 * HOUR_MS, node: HOUR_MS };
const VALID_MS_MAX = 7 * 24 * HOUR_MS;
const WRONG_SECRETS_MAX = 10;

type InviteRequest = z.infer<typeof inviteCreate.request>;
type Redeem = z.infer<typeof redeem.request>;
type NodeJoin = z.infer<typeof nodeJoin.request>;

export function inviteRoutes(context: ServerContext, watch: NodeWatch) {
  return [
    deviceRoute(inviteCreate, async (request, { identity }) => ({
      response: await createInvite(context, identity.account, request),
      parts: [],
    })),
    route<Redeem, z.infer<typeof redeem.response>, Identity>(redeem, async (request) => ({
      response: await redeemForDevice(context, request),
      parts: [],
    })),
    route<NodeJoin, z.infer<typeof nodeJoin.response>, Identity>(nodeJoin, async (request, { identity }) => {
      if (identity.kind === 'pinned' && identity.pin !== request.pin)
        throw new HoldfastError('forbidden', 'a storage node joins with the key that it shows');
      const pool = await redeemForNode(context, request);
      await takeUp(context);
      return { response: { cluster: context.cluster.cluster, pool }, parts: [context.tlsKeys.keyList().bytes] };
    }),
    route<z.infer<typeof nodeHere.request>, object, Identity>(nodeHere, async (request, { identity, signal }) => {
      const known = context.nodes.find(request.node);
      const shown = identity.kind === 'pinned' ? identity.pin : null;
      if (!known || (known.stored.pin !== shown && !(await answersThere(context, known, request.addresses, signal))))
        throw new HoldfastError('forbidden', 'only a storage node of this cluster, and itself, may say where it is');
      if (await watch.isTwice(known, request.addresses, signal))
        throw new HoldfastError(
          'conflict',
          'another process with the identity of this storage node runs already; a copied directory must be emptied and join as a new node',
        );
      await context.meta.write((writer) => moveNode(writer, request.node, request.addresses));
      await context.nodes.reload();
      return { response: {}, parts: [] };
    }),
  ];
}

/**
 * Nobody can show a key over the plain HTTP of a server that listens on its own machine alone: such a server looks for itself
 * whether the node's key is there. Any other would be sent to strangers' addresses by whoever asks.
 */
async function answersThere(
  context: ServerContext,
  known: KnownNode,
  addresses: readonly string[],
  signal: AbortSignal,
) {
  if (!context.addresses().every(isLoopbackAddress)) return false;
  return (await context.nodes.statusAt(known, addresses, signal)) !== null;
}

export async function createInvite(context: ServerContext, account: Uint8Array, request: InviteRequest) {
  const { primitives, random, clock } = context;
  const addresses = request.addresses ?? context.addresses();
  if (addresses.length === 0)
    throw new HoldfastError('invalid_field', 'addresses: this server has no address to put into an invite');
  const validMs = request.validMs ?? VALID_MS[request.kind];
  if (validMs < 1 || validMs > VALID_MS_MAX)
    throw new HoldfastError('invalid_field', `validMs: must be 1-${VALID_MS_MAX}, seven days at most`);
  const pool = request.pool ?? null;
  if (pool !== null && request.kind === 'device')
    throw new HoldfastError('invalid_field', 'pool: only a ticket for a storage node names a pool');
  const secret = random.bytes(16);
  const tokenId = toHex(random.bytes(8));
  const expiresMs = clock.nowMs() + validMs;
  const invite = encodeInvite(primitives, {
    kind: request.kind,
    publicKey: context.cluster.identityPublicKey,
    pin: addresses.every((address) => isLoopbackAddress(address)) ? null : context.tlsKeys.current().pin,
    webPki: false,
    tokenId,
    secret: toBase64url(secret),
    addresses,
  });
  await context.meta.write(async (writer) => {
    if (pool !== null) await checkPool(writer, pool);
    await insertInvite(writer, {
      invite: tokenId,
      kind: request.kind,
      account,
      secretHash: hashOf(context, secret),
      expiresMs,
      wrongCount: 0,
      redeemer: null,
      made: null,
      pool,
    });
  });
  return { invite, expiresMs, loopbackOnly: addresses.every(isOnlyThisMachine) };
}

function isOnlyThisMachine(address: string): boolean {
  return isLoopbackAddress(address.replace(/^https:/, 'http:'));
}

/** An invite that this redeemer may use, now or again. `wrong`: the reason is nobody's business. */
async function judgeInvite(
  context: ServerContext,
  writer: MetaWriter,
  kind: StoredInvite['kind'],
  shown: { readonly id: string; readonly secret: string },
  redeemer: Uint8Array,
): Promise<StoredInvite | 'refused'> {
  const stored = await lockInvite(writer, shown.id);
  if (!stored || stored.kind !== kind || stored.wrongCount >= WRONG_SECRETS_MAX) return 'refused';
  const secret = fromBase64url(shown.secret) ?? new Uint8Array();
  if (!context.primitives.equalConstantTime(hashOf(context, secret), stored.secretHash)) {
    await countWrongSecret(writer, stored.invite);
    return 'refused';
  }
  if (stored.redeemer) return equalBytes(stored.redeemer, redeemer) ? stored : 'refused';
  return stored.expiresMs > context.clock.nowMs() ? stored : 'refused';
}

function refused(): HoldfastError {
  return new HoldfastError('invite_used', 'this invite was used, has expired or was revoked; ask for a new one');
}

async function redeemForDevice(context: ServerContext, request: Redeem) {
  const redeemer = must(fromHex(request.tokenHash), 'the schema asks for hexadecimal');
  // A refusal is an outcome of the transaction, not its end: a wrong secret must be counted.
  const outcome = await context.meta.write(async (writer) => {
    const invite = await judgeInvite(context, writer, 'device', request.invite, redeemer);
    if (invite === 'refused') return null;
    const account = must(await findAccount(writer, invite.account), 'an invite belongs to an account').name;
    if (invite.made) {
      const device = id16Of<DeviceId>(invite.made);
      const tokenId = await tokenOf(writer, device);
      return tokenId === null ? null : { device, account, tokenId };
    }
    if (await findDevice(writer, request.device))
      throw new HoldfastError('conflict', 'there is a device of that id; a new link makes a new one');
    const { device, name } = request;
    const tokenId = toHex(context.random.bytes(8));
    const linkedMs = context.clock.nowMs();
    await insertDevice(writer, {
      device,
      name,
      account: invite.account,
      linkedMs,
      lastSeenMs: linkedMs,
      revokedMs: null,
    });
    await insertToken(writer, { token: tokenId, device, hash: redeemer });
    await useInvite(writer, invite.invite, { redeemer, made: idBytes(device) });
    return { device, account, tokenId };
  });
  if (!outcome) throw refused();
  context.log.info('a device was linked', { device: outcome.device });
  return outcome;
}

/** Resolves with the pool that the node belongs to. */
async function redeemForNode(context: ServerContext, request: NodeJoin): Promise<string> {
  const redeemer = idBytes(request.pin);
  const pool = await context.meta.write(async (writer) => {
    const invite = await judgeInvite(context, writer, 'node', request.ticket, redeemer);
    if (invite === 'refused') return null;
    const nodes = await allNodes(writer);
    const present = nodes.find(({ node }) => node === request.node);
    if (invite.made) return present && equalBytes(invite.made, idBytes(request.node)) ? present.pool : null;
    if (invite.pool !== null && invite.pool !== (request.pool ?? present?.pool ?? invite.pool))
      throw new HoldfastError('invalid_field', `pool: the ticket is for the pool "${invite.pool}"`);
    if (present && present.pin !== request.pin)
      throw new HoldfastError('conflict', 'there is a storage node of that id with another key');
    if (present?.standing === 'distrusted')
      throw new HoldfastError(
        'conflict',
        `the storage node ${present.name} was taken out of service for wrong answers; "holdfast nodes trust ${present.name}" puts it back`,
      );
    await useInvite(writer, invite.invite, { redeemer, made: idBytes(request.node) });
    if (present) {
      await moveNode(writer, request.node, request.addresses);
      // Whatever was held against it, it begins anew; what it holds counts as far as it says so when it is asked.
      await noteNodeRun(writer, request.node, { boot: 0, run: '' });
      if (present.standing === 'removed') await checkRoom(writer, present.pool);
      if (present.standing !== 'in') await changeStanding(context, writer, present, 'in');
      return present.pool;
    }
    return addNode(context, writer, request, request.pool ?? invite.pool ?? DEFAULT_POOL);
  });
  if (pool === null) throw refused();
  context.log.info('a storage node joined', { node: request.node, pool });
  return pool;
}

async function checkPool(reader: MetaReader, pool: string): Promise<void> {
  if (!(await allPools(reader)).some((one) => one.pool === pool))
    throw new HoldfastError(
      'invalid_field',
      `pool: there is no pool "${pool}"; "holdfast pools set ${pool} --copies N" makes it`,
    );
}

async function checkRoom(reader: MetaReader, pool: string): Promise<void> {
  const members = (await allNodes(reader)).filter((node) => node.pool === pool && node.standing !== 'removed');
  if (members.length >= limits.poolNodesMax)
    throw new HoldfastError(
      'invalid_field',
      `pool: "${pool}" has ${limits.poolNodesMax} storage nodes, as many as a pool may have; give the node to another pool`,
    );
}

async function addNode(context: ServerContext, writer: MetaWriter, request: NodeJoin, pool: string): Promise<string> {
  await checkPool(writer, pool);
  await checkRoom(writer, pool);
  const nodes = await allNodes(writer);
  const number = 1 + Math.max(0, ...nodes.map((node) => node.number));
  const host = new RegExp('^https?://(.*?)(:\\d+)?$').exec(request.addresses[0] ?? '')?.[1] ?? request.node;
  const { node, name, pin, addresses, site = null, spaceBytes } = request;
  const domain = domainOf(host, site);
  const weight = spaceBytes === undefined ? 0 : weightOf(spaceBytes);
  const unseen = { lastSeenMs: null, standing: 'in', boot: 0, run: '' } as const;
  await insertNode(writer, { node, number, name, pool, pin, addresses, domain, weight, ...unseen });
  const pools = await newLayouts(context, writer, pool);
  if (nodes.some((one) => one.pool === pool)) await wantJobs(context, writer, jobsFor('rebalance', pools));
  return pool;
}

function hashOf(context: ServerContext, secret: Uint8Array): Uint8Array {
  return must(fromHex(secretHash(context.primitives, secret)), 'a hash is hexadecimal');
}
