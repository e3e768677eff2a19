import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import test from 'node:test';
import { ROOT_ENTRY } from '#core/ids.ts';
import { realRandom } from '#world/real/random.ts';
import { folder, ServerRig } from '../../test/server-rig.ts';

test('a root key of another cluster, a lost root key and a lost database are refused, and nothing is changed', async () => {
  const rig = await ServerRig.start();
  const one = await rig.link('one');
  await one.each([folder(ROOT_ENTRY, 'kept')]);
  await rig.server.close();
  const { confirmed } = rig.keeper;
  assert.ok(confirmed);

  rig.keeper.confirmed = { ...confirmed, cluster: '00'.repeat(16) as never };
  await assert.rejects(rig.open(), { code: 'wrong_cluster' });
  rig.keeper.confirmed = { ...confirmed, root: { generation: 1, key: realRandom.bytes(32) } };
  await assert.rejects(rig.open(), { code: 'integrity' });
  rig.keeper.confirmed = null;
  rig.keeper.staged = null;
  await assert.rejects(rig.open(), { code: 'integrity' });

  rig.keeper.confirmed = confirmed;
  await rig.open();
  assert.equal((await one.listAll()).rows.length, 1);
  await rig.server.close();
  for (const ending of ['', '-wal', '-shm']) rmSync(rig.metaPath + ending, { force: true });
  await assert.rejects(rig.open(), { code: 'integrity' });
  assert.equal(rig.keeper.confirmed, confirmed, 'the only key to the blocks is still there');
  rmSync(rig.directory, { recursive: true, force: true });
});

test('a first start that ends between key and database, or between database and confirmation, is taken up', async () => {
  const rig = await ServerRig.start();
  const { cluster } = rig.server;
  await rig.server.close();
  const kit = rig.keeper.confirmed;
  // The database was written, the key was not yet confirmed.
  rig.keeper.staged = kit;
  rig.keeper.confirmed = null;
  await rig.open();
  assert.equal(rig.server.cluster, cluster);
  assert.deepEqual(rig.keeper.confirmed, kit);
  await rig.server.close();
  // The key was staged, the database was not written: that key wrapped nothing and is replaced.
  for (const ending of ['', '-wal', '-shm']) rmSync(rig.metaPath + ending, { force: true });
  rig.keeper.confirmed = null;
  await rig.open();
  assert.notEqual(rig.server.cluster, cluster);
  assert.equal((rig.keeper.confirmed as typeof kit)?.cluster, rig.server.cluster);
  await rig.close();
});
