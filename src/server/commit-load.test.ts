import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { decideCommit, type TreeOperation } from '#core/commit.ts';
import { ROOT_ENTRY, type DeviceId, type SpaceId } from '#core/ids.ts';
import { replaceEntries, type PooledEntry } from '#meta/entries.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import { insertSpace, type StoredSpace } from '#meta/spaces.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { anyCommit, deviceOf, entryOf, make, sent, Space } from '../../test/commit-cases.ts';
import { newId } from '../../test/server-rig.ts';
import { loadCommitState } from './commit-load.ts';

function emptySpace(): StoredSpace {
  return {
    space: newId<SpaceId>(),
    account: new Uint8Array(16),
    name: 'own',
    epoch: newId(),
    headSeq: 0,
    headChain: '00'.repeat(32) as StoredSpace['headChain'],
    horizonSeq: 0,
    keyVersion: 1,
  };
}

/** Decides one commit from what the store loads, and compares with the decision of a model that sees everything. */
async function compare(
  store: MetaStore,
  space: StoredSpace,
  model: Space,
  device: DeviceId,
  groups: readonly (readonly TreeOperation[])[],
): Promise<void> {
  const known = new Set(model.entries.keys());
  const present = { ...space, headSeq: model.headSeq };
  const loaded = await store.read((reader) => loadCommitState(reader, present, device, groups.flat()));
  const decision = decideCommit<never>(loaded, groups, new Map<number, never>());
  const whole = model.commit(device, groups);
  assert.deepEqual(decision.answers, whole.answers);
  const withoutPools = (entries: readonly object[]) =>
    entries
      .map((entry) =>
        JSON.stringify({
          ...entry,
          pool: undefined,
          poolWanted: undefined,
          madeMs: undefined,
          revisedMs: undefined,
          pooled: undefined,
        }),
      )
      .sort();
  assert.deepEqual(withoutPools(decision.changed), withoutPools(whole.changed));
  const changed = whole.changed.map(
    (entry): PooledEntry => ({ ...entry, pool: null, poolWanted: null, madeMs: 1, revisedMs: 1, pooled: null }),
  );
  await store.write((writer) => replaceEntries(writer, space.space, changed, (entry) => !known.has(entry)));
}

test('what is loaded for a commit decides it as the whole space would', async () => {
  const store = await openSqliteMetaStore(sqliteOpener, ':memory:');
  await fc.assert(
    fc.asyncProperty(fc.array(anyCommit, { minLength: 1, maxLength: 10 }), async (commits) => {
      const model = new Space();
      const space = emptySpace();
      await store.write((writer) => insertSpace(writer, space));
      const scaffold = [make(0, ROOT_ENTRY, 'a'), make(1, entryOf(0), 'b'), make(2, entryOf(1), 'c')];
      await compare(store, space, model, deviceOf(0), [scaffold]);
      for (const { device, groups, lag } of commits)
        await compare(
          store,
          space,
          model,
          device,
          groups.map((group) => group.map((one) => sent(model, one, lag))),
        );
    }),
    { numRuns: 300 },
  );
  await store.close();
});
