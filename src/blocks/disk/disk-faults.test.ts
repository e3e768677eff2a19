import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SqlOpener } from '#world/sql.ts';
import { HoldfastError } from '#core/errors.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { randomBlock } from '../block-store.contract.ts';
import type { Block } from '../block-store.ts';
import { expectFound, newDirectory, openIn, removeIndex, segmentFiles } from './disk-block-store.contract.ts';
import type { DiskBlockStoreOptions } from './disk-block-store.ts';
import { failingDisk, newFaults } from './failing-disk.contract.ts';

const { signal } = new AbortController();

async function openFailing(directory = newDirectory(), options: Partial<DiskBlockStoreOptions> = {}) {
  const faults = newFaults();
  const opened = await openIn(directory, options, (disk) => failingDisk(disk, faults));
  return { directory, faults, ...opened };
}

/** With its index and without: the same. */
async function expectAfterRestart(directory: string, held: readonly Block[]): Promise<void> {
  for (const prepare of [() => undefined, () => removeIndex(directory)]) {
    prepare();
    const { store } = await openIn(directory);
    await expectFound(store, held);
    await store.close();
  }
}

test('the name of a new segment is durable before anything in it is acknowledged', async () => {
  const { faults, store } = await openFailing();
  const path = 'segments/seg-0000000000000001.hfs';
  faults.calls.length = 0;
  await store.put([randomBlock(10)], 0, signal);
  assert.deepEqual(faults.calls, [
    `create ${path}`,
    `append ${path}`,
    `sync ${path}`,
    'syncDirectory segments',
    `append ${path}`,
    `sync ${path}`,
  ]);
});

test('one sync serves all who wait', async () => {
  const { faults, store } = await openFailing();
  await store.put([randomBlock(10)], 0, signal);
  faults.calls.length = 0;
  await Promise.all(Array.from({ length: 100 }, () => store.put([randomBlock(10), randomBlock(20)], 0, signal)));
  const syncs = faults.calls.filter((call) => call.startsWith('sync ')).length;
  assert.ok(syncs <= 3, `${syncs} syncs for 100 puts`);
});

test('a failed sync is not tried again: what was not acknowledged goes to another segment', async () => {
  const { directory, faults, store } = await openFailing();
  const [before, during, later] = [randomBlock(10), randomBlock(20), randomBlock(30)] as const;
  await store.put([before], 0, signal);
  faults.next.set('sync', ['disk_failed']);
  faults.calls.length = 0;
  assert.deepEqual(await store.put([during], 0, signal), ['stored']);
  const [first, second] = ['segments/seg-0000000000000001.hfs', 'segments/seg-0000000000000002.hfs'];
  assert.deepEqual(
    faults.calls.filter((call) => call.startsWith('sync ')),
    [`sync ${first}`, `sync ${second}`, `sync ${second}`],
  );
  await store.put([later], 0, signal);
  await expectFound(store, [before, during, later]);
  assert.equal((await store.status()).state, 'ok');
  await store.close();
  await expectAfterRestart(directory, [before, during, later]);
});

test('a disk on which syncs go on failing is taken out of service; reads go on', async () => {
  const { directory, faults, store } = await openFailing();
  const [held, refused] = [randomBlock(10), randomBlock(20)] as const;
  await store.put([held], 0, signal);
  faults.next.set('sync', Array(10).fill('disk_failed'));
  for (let round = 0; round < 2; round++) assert.deepEqual(await store.put([refused], 0, signal), ['disk_failed']);
  faults.next.clear();
  assert.deepEqual(await store.put([refused, held], 0, signal), ['disk_failed', 'held']);
  assert.equal((await store.status()).state, 'failed');
  await expectFound(store, [held]);
  await store.close();
  await expectAfterRestart(directory, [held]);
});

test('what is no fault of the disk takes it out of service for no longer than it lasts', async () => {
  const { directory, faults, store } = await openFailing(undefined, { segmentRecordsMax: 1 });
  const held: Block[] = [];
  for (const code of ['busy', 'not_permitted_by_disk'] as const)
    for (const name of ['create', 'append', 'truncate', 'syncDirectory'] as const) {
      const block = randomBlock(10);
      for (let round = 0; round < 5; round++) {
        faults.next.set(name, [code]);
        if (name === 'truncate') faults.next.set('append', [code]);
        await store.put([block], 0, signal);
      }
      faults.next.clear();
      const [result] = await store.put([block], 0, signal);
      assert.ok(result === 'stored' || result === 'held', `${name} ${code}: ${result}`);
      held.push(block);
    }
  assert.equal((await store.status()).state, 'ok');
  await store.close();
  await expectAfterRestart(directory, held);
});

test('an append that ends halfway leaves nothing behind', async () => {
  for (const code of ['no_space', 'disk_failed'] as const) {
    const { directory, faults, store } = await openFailing();
    const [before, during, later] = [randomBlock(10), randomBlock(200), randomBlock(30)] as const;
    await store.put([before], 0, signal);
    faults.next.set('append', [code]);
    assert.deepEqual(await store.put([during, before], 0, signal), [code, 'held']);
    assert.deepEqual(await store.has([during.id], signal), [false]);
    assert.deepEqual(await store.put([later], 0, signal), ['stored']);
    assert.equal(segmentFiles(directory).length, 1);
    await store.close();
    await expectAfterRestart(directory, [before, later]);
  }
});

test('where not even the half append can be taken back, the log goes on elsewhere', async () => {
  const { directory, faults, store } = await openFailing();
  const [before, during, later] = [randomBlock(10), randomBlock(200), randomBlock(30)] as const;
  await store.put([before], 0, signal);
  faults.next.set('append', ['disk_failed']);
  faults.next.set('truncate', ['disk_failed']);
  assert.deepEqual(await store.put([during], 0, signal), ['disk_failed']);
  assert.deepEqual(await store.put([during, later], 0, signal), ['stored', 'stored']);
  assert.equal(segmentFiles(directory).length, 2);
  await store.close();
  await expectAfterRestart(directory, [before, during, later]);
});

test('a segment that cannot be made is no answer, and no obstacle to the next', async () => {
  for (const name of ['create', 'append', 'sync', 'syncDirectory'] as const) {
    const { directory, faults, store } = await openFailing();
    const block = randomBlock(10);
    faults.next.set(name, ['no_space']);
    assert.deepEqual(await store.put([block], 0, signal), ['no_space'], name);
    assert.deepEqual(await store.put([block], 0, signal), ['stored'], name);
    await store.close();
    await expectAfterRestart(directory, [block]);
  }
});

test('a segment whose footer cannot be written is complete without it', async () => {
  for (const name of ['append', 'sync'] as const) {
    const { directory, faults, store } = await openFailing(undefined, { segmentRecordsMax: 2 });
    const blocks = [randomBlock(10), randomBlock(20), randomBlock(30)] as const;
    await store.put(blocks.slice(0, 2), 0, signal);
    faults.next.set(name, ['disk_failed']);
    assert.deepEqual(await store.put([blocks[2]], 0, signal), ['stored']);
    await store.close();
    await expectAfterRestart(directory, blocks);
  }
});

test('a read that fails is the disk’s failure, not the block’s', async () => {
  const { faults, store } = await openFailing();
  const block = randomBlock(10);
  await store.put([block], 0, signal);
  faults.next.set('read', ['disk_failed']);
  assert.deepEqual(await store.get([block.id], signal), [{ kind: 'disk_failed' }]);
  await expectFound(store, [block]);
  assert.equal((await store.status()).quarantined, 0);
});

test('below the reserve nothing new is taken; what is held stays held, fences rise, and space that comes back is used', async () => {
  const { faults, store } = await openFailing();
  const [held, refused] = [randomBlock(10), randomBlock(20)] as const;
  await store.put([held], 1, signal);
  faults.freeBytes = 1000;
  // The space is asked for anew at the latest when this much was written.
  const filler = randomBlock(40 << 20);
  await store.put([filler], 1, signal);
  assert.deepEqual(await store.put([randomBlock(40 << 20)], 1, signal), ['no_space']);
  assert.deepEqual(await store.put([refused, held], 1, signal), ['no_space', 'held']);
  assert.deepEqual(await store.put([held, refused, held], 2, signal), ['held', 'no_space', 'held']);
  assert.equal((await store.status()).state, 'read_only');
  await expectFound(store, [held]);
  faults.freeBytes = null;
  assert.deepEqual(await store.put([refused], 2, signal), ['stored']);
  assert.equal((await store.status()).state, 'ok');
});

test('what is in the log but could not be put into the index is put there with the next', async () => {
  let fails = false;
  const sql: SqlOpener = {
    open(path, options) {
      const database = sqliteOpener.open(path, options);
      return {
        exec: (text) => database.exec(text),
        prepare: (text) => database.prepare(text),
        transaction: (work) =>
          database.transaction(() => {
            const result = work();
            if (fails) throw new HoldfastError('no_space', 'as the test wants it');
            return result;
          }),
        close: () => database.close(),
      };
    },
  };
  for (const again of [true, false]) {
    const { directory, store } = await openFailing(undefined, { sql, segmentRecordsMax: 2 });
    const blocks = [randomBlock(10), randomBlock(20), randomBlock(30)] as const;
    await store.put([blocks[0]], 0, signal);
    fails = true;
    assert.deepEqual(await store.put([blocks[1]], 0, signal), ['no_space']);
    assert.deepEqual(await store.has([blocks[1].id], signal), [false]);
    fails = false;
    if (again) {
      assert.deepEqual(await store.put([blocks[2]], 0, signal), ['stored']);
      assert.equal((await store.status()).blocks, 3);
    }
    await store.close();
    const reopened = await openIn(directory);
    await expectFound(reopened.store, again ? blocks : blocks.slice(0, 2));
    await reopened.store.close();
  }
});
