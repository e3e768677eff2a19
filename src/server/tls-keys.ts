/** The server's TLS key, the signed list that vouches for it, and its rotation. */
import { assert, must } from '#core/assert.ts';
import { fromUtf8, utf8 } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Pin } from '#core/ids.ts';
import { signKeyList, verifyKeyList, type KeyList } from '#core/key-list.ts';
import type { Primitives } from '#core/primitives.ts';
import { findCluster, putKeyList } from '#meta/clusters.ts';
import type { MetaReader, MetaWriter } from '#meta/meta-store.ts';
import type { TlsIdentity } from '#world/net.ts';
import type { Cluster, ClusterTools } from './cluster-start.ts';

export type SignedKeyList = { readonly bytes: Uint8Array; readonly list: KeyList };

/**
 * A new key is announced before it is shown: first the list names both pins, and only when every storage node has that list does the
 * server change over. Where two versions of the key are stored, a rotation is under way; a restart takes it up.
 */
export class TlsKeys {
  readonly #cluster: Cluster;
  readonly #tools: ClusterTools;
  readonly #listeners = new Set<(identity: TlsIdentity) => void | Promise<void>>();
  #identities: readonly (readonly [version: number, identity: TlsIdentity])[] = [];
  #keyList: SignedKeyList;

  static async open(cluster: Cluster, tools: ClusterTools): Promise<TlsKeys> {
    const [identities, keyList] = await tools.meta.read(
      async (reader) =>
        [await loadIdentities(reader, cluster), await loadKeyList(reader, cluster, tools.primitives)] as const,
    );
    return new TlsKeys(cluster, tools, identities, keyList);
  }

  private constructor(
    cluster: Cluster,
    tools: ClusterTools,
    identities: readonly (readonly [number, TlsIdentity])[],
    keyList: SignedKeyList,
  ) {
    this.#cluster = cluster;
    this.#tools = tools;
    this.#identities = identities;
    this.#keyList = keyList;
  }

  /** The key to show. */
  current(): TlsIdentity {
    return must(this.#identities[0], 'a server has a TLS key')[1];
  }

  keyList(): SignedKeyList {
    return this.#keyList;
  }

  rotating(): boolean {
    return this.#identities.length > 1;
  }

  /** Called with each key that is to be shown from now on. */
  onChange(listener: (identity: TlsIdentity) => void | Promise<void>): void {
    this.#listeners.add(listener);
  }

  /** Makes and announces a new key, where none is announced yet. */
  async announce(): Promise<void> {
    if (this.rotating()) return;
    const next = await this.#tools.makeTlsIdentity(`holdfast ${this.#cluster.cluster.slice(0, 8)}`);
    await this.#update(async (writer, identities) => {
      const last = must(identities.at(-1), 'a server has a TLS key');
      if (identities.length === 1)
        await this.#cluster.vault.put(writer, 'server_tls_key', last[0] + 1, utf8(JSON.stringify(next)));
    });
  }

  /** Shows the announced key from now on. Only when every storage node knows the list that names it. */
  async changeOver(): Promise<void> {
    if (!this.rotating()) return;
    await this.#update(async (writer, identities) => {
      for (const [version] of identities.slice(0, -1))
        await this.#cluster.vault.remove(writer, 'server_tls_key', version);
    });
    for (const listener of this.#listeners) await listener(this.current());
  }

  async #update(
    change: (writer: MetaWriter, identities: readonly (readonly [number, TlsIdentity])[]) => Promise<void>,
  ): Promise<void> {
    const { meta, primitives } = this.#tools;
    [this.#identities, this.#keyList] = await meta.write(async (writer) => {
      await change(writer, await loadIdentities(writer, this.#cluster));
      const identities = await loadIdentities(writer, this.#cluster);
      const present = (await loadKeyList(writer, this.#cluster, primitives)).list;
      const pins: readonly Pin[] = identities.map(([, identity]) => identity.pin);
      const list = { ...present, seq: present.seq + 1, pins };
      const [seed] = await this.#cluster.vault.versions(writer, 'cluster_identity_seed');
      const bytes = signKeyList(primitives, must(seed, 'a cluster has an identity').bytes, list);
      await putKeyList(writer, bytes);
      return [identities, { bytes, list }] as const;
    });
  }
}

async function loadIdentities(reader: MetaReader, cluster: Cluster) {
  const secrets = await cluster.vault.versions(reader, 'server_tls_key');
  assert(secrets.length > 0, 'a server has a TLS key');
  return secrets.map(({ version, bytes }) => {
    const identity = JSON.parse(must(fromUtf8(bytes), 'the stored key is text')) as TlsIdentity;
    return [version, identity] as const;
  });
}

async function loadKeyList(reader: MetaReader, cluster: Cluster, primitives: Primitives): Promise<SignedKeyList> {
  const bytes = must(await findCluster(reader), 'the cluster exists').keyList;
  const list = verifyKeyList(primitives, bytes, cluster.cluster);
  if (!list) throw new HoldfastError('integrity', 'the key list in the database is not signed by its cluster');
  return { bytes, list };
}
