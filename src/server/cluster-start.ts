/** The first start makes a cluster; every later one checks that database and root key belong together. */
import { utf8 } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { id16Of, type ClusterId, type Epoch, type SpaceId } from '#core/ids.ts';
import { chainStart } from '#core/journal-row.ts';
import { clusterIdOf, signKeyList } from '#core/key-list.ts';
import type { RootKey } from '#core/root-key.ts';
import type { Primitives } from '#core/primitives.ts';
import { DEFAULT_POOL, DEFAULT_RULES } from '#core/rules.ts';
import { insertAccount } from '#meta/accounts.ts';
import { findCluster, insertCluster, insertPools, insertRules } from '#meta/clusters.ts';
import type { MetaStore, MetaWriter } from '#meta/meta-store.ts';
import { insertSpace } from '#meta/spaces.ts';
import type { Clock } from '#world/clock.ts';
import type { TlsIdentity } from '#world/net.ts';
import type { Random } from '#world/random.ts';
import type { RootKeeper } from './root-keeper.ts';
import { Vault } from './vault.ts';

export type ClusterTools = {
  readonly meta: MetaStore;
  readonly primitives: Primitives;
  readonly clock: Clock;
  readonly random: Random;
  readonly rootKeeper: RootKeeper;
  makeTlsIdentity(commonName: string): Promise<TlsIdentity>;
};

export type Cluster = {
  readonly cluster: ClusterId;
  readonly identityPublicKey: Uint8Array;
  readonly incarnation: number;
  readonly vault: Vault;
};

const OWNER_NAME = 'owner';
const OWN_SPACE_NAME = 'Holdfast';

/** Throws `wrong_cluster` or `integrity`, having changed nothing, where the root key is not this database's. */
export async function openCluster(tools: ClusterTools): Promise<Cluster> {
  const stored = await tools.meta.read(findCluster);
  const held = await tools.rootKeeper.read();
  if (!stored) {
    if (held?.confirmed)
      throw new HoldfastError(
        'integrity',
        `there is a root key of cluster ${held.kit.cluster}, but its database is missing or empty; no changes were made`,
      );
    return makeCluster(tools);
  }
  if (!held)
    throw new HoldfastError('integrity', 'the root key of this database is missing; put root.key back in its place');
  if (held.kit.cluster !== stored.cluster)
    throw new HoldfastError(
      'wrong_cluster',
      `the root key is of cluster ${held.kit.cluster}, the database of cluster ${stored.cluster}; no changes were made`,
    );
  const vault = new Vault(tools.primitives, tools.random, held.kit.root, stored.cluster);
  const seeds = await tools.meta.read((reader) => vault.versions(reader, 'cluster_identity_seed'));
  if (seeds.length === 0) throw new HoldfastError('integrity', 'the database holds no identity of its cluster');
  // The process ended between the database's first transaction and this.
  if (!held.confirmed) await tools.rootKeeper.confirm();
  const { cluster, identityPublicKey, incarnation } = stored;
  return { cluster, identityPublicKey, incarnation, vault };
}

async function makeCluster(tools: ClusterTools): Promise<Cluster> {
  const { primitives, random } = tools;
  const seed = random.bytes(32);
  const root: RootKey = { generation: 1, key: random.bytes(32) };
  const identityPublicKey = primitives.ed25519PublicKey(seed);
  const cluster = clusterIdOf(primitives, identityPublicKey);
  const vault = new Vault(primitives, random, root, cluster);
  const tls = await tools.makeTlsIdentity(`holdfast ${cluster.slice(0, 8)}`);
  await tools.rootKeeper.stage({ cluster, root });
  const keyList = signKeyList(primitives, seed, {
    cluster,
    publicKey: identityPublicKey,
    incarnation: 1,
    seq: 1,
    ticketKeys: [],
    pins: [tls.pin],
  });
  await tools.meta.write(async (writer) => {
    await insertCluster(writer, {
      cluster,
      identityPublicKey,
      incarnation: 1,
      keyList,
      kitConfirmed: false,
      createdMs: tools.clock.nowMs(),
    });
    await vault.put(writer, 'cluster_identity_seed', 1, seed);
    await vault.put(writer, 'server_tls_key', 1, utf8(JSON.stringify(tls)));
    await insertPools(
      writer,
      [...DEFAULT_RULES.map((rule) => rule.pool), DEFAULT_POOL].map((pool) => ({ pool, copies: 1 })),
    );
    await insertRules(writer, DEFAULT_RULES);
    const account = random.bytes(16);
    await insertAccount(writer, { account, name: OWNER_NAME });
    await makeSpace(writer, tools, vault, { account, name: OWN_SPACE_NAME });
  });
  await tools.rootKeeper.confirm();
  return { cluster, identityPublicKey, incarnation: 1, vault };
}

async function makeSpace(
  writer: MetaWriter,
  { primitives, random }: ClusterTools,
  vault: Vault,
  of: { readonly account: Uint8Array; readonly name: string },
): Promise<void> {
  const space = id16Of<SpaceId>(random.bytes(16));
  const epoch = id16Of<Epoch>(random.bytes(16));
  await insertSpace(writer, {
    ...of,
    space,
    epoch,
    headSeq: 0,
    headChain: chainStart(primitives, space, epoch),
    horizonSeq: 0,
    keyVersion: 1,
  });
  await vault.put(writer, 'space_identity_key', 0, random.bytes(32), space);
  await vault.put(writer, 'space_key', 1, random.bytes(32), space);
}
