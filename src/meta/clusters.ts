/** The cluster: its identity, wrapped secrets, pools, rules, storage nodes and layouts. */
import { id16Of, id32Of, idBytes, type ClusterId, type NodeId, type Pin } from '#core/ids.ts';
import type { Criteria, Rule } from '#core/rules.ts';
import type { Standing } from '#core/copies.ts';
import type { MetaReader, MetaWriter } from './meta-store.ts';
import { SCHEMA_VERSION } from './schema.ts';
import { insertSlices } from './slices.ts';

export type StoredCluster = {
  readonly cluster: ClusterId;
  readonly identityPublicKey: Uint8Array;
  readonly incarnation: number;
  readonly keyList: Uint8Array;
  readonly kitConfirmed: boolean;
  readonly createdMs: number;
};

export async function insertCluster({ db }: MetaWriter, cluster: StoredCluster): Promise<void> {
  await db
    .insertInto('cluster')
    .values({
      one: 1,
      schema_version: SCHEMA_VERSION,
      cluster: idBytes(cluster.cluster),
      identity_public_key: cluster.identityPublicKey,
      incarnation: cluster.incarnation,
      key_list: cluster.keyList,
      kit_confirmed: cluster.kitConfirmed ? 1 : 0,
      created_ms: cluster.createdMs,
    })
    .execute();
}

export async function findCluster({ db }: MetaReader): Promise<StoredCluster | null> {
  const row = await db.selectFrom('cluster').selectAll().executeTakeFirst();
  if (!row) return null;
  return {
    cluster: id16Of(row.cluster),
    identityPublicKey: row.identity_public_key,
    incarnation: row.incarnation,
    keyList: row.key_list,
    kitConfirmed: row.kit_confirmed === 1,
    createdMs: row.created_ms,
  };
}

export async function putKeyList({ db }: MetaWriter, keyList: Uint8Array): Promise<void> {
  await db.updateTable('cluster').set({ key_list: keyList }).execute();
}

export async function putIncarnation({ db }: MetaWriter, incarnation: number, keyList: Uint8Array): Promise<void> {
  await db.updateTable('cluster').set({ incarnation, key_list: keyList }).execute();
}

export async function putKitConfirmed({ db }: MetaWriter): Promise<void> {
  await db.updateTable('cluster').set({ kit_confirmed: 1 }).execute();
}

export type SecretKey = { readonly purpose: string; readonly object: Uint8Array; readonly version: number };

export async function putSecret({ db }: MetaWriter, key: SecretKey, wrapped: Uint8Array): Promise<void> {
  await db
    .insertInto('secret')
    .values({ ...key, wrapped })
    .onConflict((conflict) => conflict.columns(['purpose', 'object', 'version']).doUpdateSet({ wrapped }))
    .execute();
}

/** All versions, ascending. */
export async function findSecrets({ db }: MetaReader, purpose: string, object: Uint8Array) {
  return db
    .selectFrom('secret')
    .select(['version', 'wrapped'])
    .where('purpose', '=', purpose)
    .where('object', '=', object)
    .orderBy('version')
    .execute();
}

export async function removeSecret({ db }: MetaWriter, key: SecretKey): Promise<void> {
  await db
    .deleteFrom('secret')
    .where('purpose', '=', key.purpose)
    .where('object', '=', key.object)
    .where('version', '=', key.version)
    .execute();
}

export type StoredPool = { readonly pool: string; readonly copies: number };

export async function insertPools({ db }: MetaWriter, pools: readonly StoredPool[]): Promise<void> {
  await db
    .insertInto('pool')
    .values([...pools])
    .execute();
}

/** Made, or its copies changed. */
export async function putPool({ db }: MetaWriter, { pool, copies }: StoredPool): Promise<void> {
  await db
    .insertInto('pool')
    .values({ pool, copies })
    .onConflict((conflict) => conflict.column('pool').doUpdateSet({ copies }))
    .execute();
}

export async function allPools({ db }: MetaReader): Promise<readonly StoredPool[]> {
  return db.selectFrom('pool').selectAll().orderBy('pool').execute();
}

export async function insertRules({ db }: MetaWriter, rules: readonly Rule[]): Promise<void> {
  for (const slice of insertSlices(rules))
    await db
      .insertInto('rule')
      .values(
        slice.map(({ rule, position, pool, ...criteria }) => ({
          rule,
          position,
          pool,
          criteria: JSON.stringify(criteria),
        })),
      )
      .execute();
}

export async function removeRule({ db }: MetaWriter, rule: string): Promise<void> {
  await db.deleteFrom('rule').where('rule', '=', rule).execute();
}

/** These and no others. */
export async function replaceRules(writer: MetaWriter, rules: readonly Rule[]): Promise<void> {
  await writer.db.deleteFrom('rule').execute();
  await insertRules(writer, rules);
}

/** Their order stays. */
export async function shiftRules({ db }: MetaWriter, by: number): Promise<void> {
  await db
    .updateTable('rule')
    .set((eb) => ({ position: eb('position', '+', by) }))
    .execute();
}

/** In the order in which they are tried. */
export async function allRules({ db }: MetaReader): Promise<readonly Rule[]> {
  const rows = await db.selectFrom('rule').selectAll().orderBy('position').orderBy('rule').execute();
  return rows.map(({ criteria, ...row }) => ({ ...(JSON.parse(criteria) as Criteria), ...row }));
}

export type StoredNode = {
  readonly node: NodeId;
  /** Short name in rows that say who holds a block; never given twice. */
  readonly number: number;
  readonly name: string;
  readonly pool: string;
  readonly pin: Pin;
  readonly addresses: readonly string[];
  /** `HOST`, or `SITE/HOST` where a site was named (`core/node-domain.ts`). */
  readonly domain: string;
  /** GiB that its disk has for blocks, as last judged; 0: not known yet. */
  readonly weight: number;
  readonly lastSeenMs: number | null;
  readonly standing: Standing;
  /** Which start of the node answered last, and which process; 0 and empty before the first answer. */
  readonly boot: number;
  readonly run: string;
};

export async function insertNode({ db }: MetaWriter, node: StoredNode): Promise<void> {
  await db
    .insertInto('node')
    .values({
      node: idBytes(node.node),
      number: node.number,
      name: node.name,
      pool: node.pool,
      pin: idBytes(node.pin),
      addresses: JSON.stringify(node.addresses),
      domain: node.domain,
      weight: node.weight,
      last_seen_ms: node.lastSeenMs,
      standing: node.standing,
      boot: node.boot,
      run: node.run,
    })
    .execute();
}

export async function allNodes({ db }: MetaReader): Promise<readonly StoredNode[]> {
  const rows = await db.selectFrom('node').selectAll().orderBy('number').execute();
  return rows.map((row) => ({
    node: id16Of(row.node),
    number: row.number,
    name: row.name,
    pool: row.pool,
    pin: id32Of(row.pin),
    addresses: JSON.parse(row.addresses) as string[],
    domain: row.domain,
    weight: row.weight,
    lastSeenMs: row.last_seen_ms,
    standing: row.standing as Standing,
    boot: row.boot,
    run: row.run,
  }));
}

export async function moveNode({ db }: MetaWriter, node: NodeId, addresses: readonly string[]): Promise<void> {
  await db
    .updateTable('node')
    .set({ addresses: JSON.stringify(addresses) })
    .where('node', '=', idBytes(node))
    .execute();
}

export async function putWeight({ db }: MetaWriter, node: NodeId, weight: number): Promise<void> {
  await db.updateTable('node').set({ weight }).where('node', '=', idBytes(node)).execute();
}

export async function putDomain({ db }: MetaWriter, node: NodeId, domain: string): Promise<void> {
  await db.updateTable('node').set({ domain }).where('node', '=', idBytes(node)).execute();
}

export async function noteNodeSeen({ db }: MetaWriter, node: NodeId, atMs: number): Promise<void> {
  await db.updateTable('node').set({ last_seen_ms: atMs }).where('node', '=', idBytes(node)).execute();
}

export async function putStanding({ db }: MetaWriter, node: NodeId, standing: Standing): Promise<void> {
  await db.updateTable('node').set({ standing }).where('node', '=', idBytes(node)).execute();
}

/** Which of its processes answered. */
export async function noteNodeRun(
  { db }: MetaWriter,
  node: NodeId,
  { boot, run }: Pick<StoredNode, 'boot' | 'run'>,
): Promise<void> {
  await db.updateTable('node').set({ boot, run }).where('node', '=', idBytes(node)).execute();
}

export type StoredLayout = {
  readonly pool: string;
  readonly number: number;
  readonly nodes: readonly NodeId[];
  readonly table: Uint8Array;
};

export async function insertLayout({ db }: MetaWriter, layout: StoredLayout): Promise<void> {
  const nodes = new Uint8Array(16 * layout.nodes.length);
  layout.nodes.forEach((node, index) => nodes.set(idBytes(node), 16 * index));
  await db
    .insertInto('layout')
    .values({ pool: layout.pool, number: layout.number, nodes, placement: layout.table })
    .execute();
}

/** Newest first, by pool. */
export async function allLayouts({ db }: MetaReader): Promise<readonly StoredLayout[]> {
  const rows = await db.selectFrom('layout').selectAll().orderBy('pool').orderBy('number', 'desc').execute();
  return rows.map((row) => {
    const nodes: NodeId[] = [];
    for (let offset = 0; offset < row.nodes.length; offset += 16)
      nodes.push(id16Of(row.nodes.subarray(offset, offset + 16)));
    return { pool: row.pool, number: row.number, nodes, table: row.placement };
  });
}

/** 0 where the pool has none yet. */
export async function newestLayout({ db }: MetaReader, pool: string): Promise<number> {
  const row = await db
    .selectFrom('layout')
    .select((eb) => eb.fn.max<number | null>('number').as('number'))
    .where('pool', '=', pool)
    .executeTakeFirst();
  return row?.number ?? 0;
}

/** Nothing lies where only they say any more. */
export async function dropLayoutsBelow({ db }: MetaWriter, pool: string, number: number): Promise<void> {
  await db.deleteFrom('layout').where('pool', '=', pool).where('number', '<', number).execute();
}
