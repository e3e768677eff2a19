/**
 * Makes an index that was put back from a backup another one than it was: with a new epoch for every space, so that every device
 * unites with it and deletes nothing, and a higher incarnation, so that the server which it replaces is refused where it comes back.
 */
import { must } from '#core/assert.ts';
import { utf8 } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { id16Of, type Epoch } from '#core/ids.ts';
import { chainStart } from '#core/journal-row.ts';
import { signKeyList, verifyKeyList } from '#core/key-list.ts';
import type { Primitives } from '#core/primitives.ts';
import type { RecoveryKit } from '#core/root-key.ts';
import { dropOpenInvites } from '#meta/accounts.ts';
import { allNodes, allPools, findCluster, putIncarnation } from '#meta/clusters.ts';
import { collectionState, putCollectionState } from '#meta/collection.ts';
import { wantJobs } from './standing.ts';
import type { MetaStore, MetaWriter } from '#meta/meta-store.ts';
import { forgetRoots } from '#meta/roots.ts';
import { allSpaces, beginEpoch } from '#meta/spaces.ts';
import type { TlsIdentity } from '#world/net.ts';
import type { Random } from '#world/random.ts';
import { Vault } from './vault.ts';

/** More than any server gives out between a backup and its end, and few enough for two million restores. */
const FENCES_SKIPPED = 2 ** 32;

export type RestoreTools = { readonly meta: MetaStore; readonly primitives: Primitives; readonly random: Random };

/**
 * Throws `integrity` where the kit does not open what the index keeps under it. Resolves with the new incarnation, above `above`. With
 * `tlsIdentity` the server shows that key alone: who has the former one is refused by every node that has seen the new list.
 */
export async function beginAnew(
  tools: RestoreTools,
  kit: RecoveryKit,
  above: number,
  tlsIdentity: TlsIdentity | null = null,
): Promise<number> {
  const { meta, primitives, random } = tools;
  return meta.write(async (writer) => {
    const stored = must(await findCluster(writer), 'the index was looked at before');
    if (stored.cluster !== kit.cluster) throw new HoldfastError('wrong_cluster', 'the root key is of another cluster');
    const vault = new Vault(primitives, random, kit.root, stored.cluster);
    const [seed] = await vault.versions(writer, 'cluster_identity_seed');
    const list = verifyKeyList(primitives, stored.keyList, stored.cluster);
    if (!seed || !list) throw new HoldfastError('integrity', 'the index holds no identity of its cluster');
    const incarnation = Math.max(stored.incarnation, list.incarnation, above) + 1;
    const pins = tlsIdentity ? [tlsIdentity.pin] : list.pins;
    const keyList = signKeyList(primitives, seed.bytes, { ...list, incarnation, seq: list.seq + 1, pins });
    if (tlsIdentity) await replaceTlsKey(writer, vault, tlsIdentity);
    await putIncarnation(writer, incarnation, keyList);
    // Nodes know fences and orders that the backup does not.
    const collection = await collectionState(writer);
    await putCollectionState(writer, { ...collection, fence: collection.fence + FENCES_SKIPPED });
    // What the nodes hold is not what it was: each is asked, and then what is owed and where it belongs.
    for (const { node, standing } of await allNodes(writer))
      if (standing === 'in' || standing === 'draining') await wantJobs(tools, writer, [['adopt', node]]);
    for (const { pool } of await allPools(writer))
      await wantJobs(tools, writer, [
        ['recount', pool],
        ['rebalance', pool],
      ]);
    // One that was used since would be open again, to whoever finds it.
    await dropOpenInvites(writer);
    // What it says of pools may be long gone from them.
    await forgetRoots(writer);
    for (const { space, headSeq, headChain } of await allSpaces(writer)) {
      const epoch = id16Of<Epoch>(random.bytes(16));
      const chain = headSeq === 0 ? chainStart(primitives, space, epoch) : headChain;
      await beginEpoch(writer, space, { epoch, headChain: chain, horizonSeq: headSeq });
    }
    return incarnation;
  });
}

async function replaceTlsKey(writer: MetaWriter, vault: Vault, identity: TlsIdentity): Promise<void> {
  const purpose = 'server_tls_key';
  const old = await vault.versions(writer, purpose);
  await vault.put(writer, purpose, (old.at(-1)?.version ?? 0) + 1, utf8(JSON.stringify(identity)));
  for (const { version } of old) await vault.remove(writer, purpose, version);
}

/** Throws `integrity` where the kit does not open the index. */
export async function proveOpens({ meta, primitives, random }: RestoreTools, kit: RecoveryKit): Promise<void> {
  await meta.read(async (reader) => {
    const vault = new Vault(primitives, random, kit.root, kit.cluster);
    const found = await vault.versions(reader, 'cluster_identity_seed');
    for (const { space } of await allSpaces(reader))
      for (const purpose of ['space_identity_key', 'space_key'] as const)
        if ((await vault.versions(reader, purpose, space)).length === 0)
          throw new HoldfastError('integrity', 'the index lacks keys of a space');
    if (found.length === 0) throw new HoldfastError('integrity', 'the index holds no identity of its cluster');
  });
}
