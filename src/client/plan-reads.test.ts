import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EntryId } from '#core/ids.ts';
import type { Device } from './device.ts';
import { PlanReads } from './plan-reads.ts';
import type { Reader } from './reader.ts';

test('what the tree does not reach is put off, and not asked for again at once', async () => {
  const entry = 'e'.repeat(32) as EntryId;
  const putOff: EntryId[] = [];
  const device = {
    trees: { local: () => ({ entry, kind: 'file' }), localPath: () => null },
    deferrals: { retry: (which: EntryId) => putOff.push(which) },
  };
  const again = new Set<EntryId>();
  const never = () => assert.fail('there is nothing to read');
  const reads = new PlanReads(device as unknown as Device, { read: never } as unknown as Reader, never);
  await reads.carryOut([{ kind: 'read', entry }], again);
  assert.deepEqual([[...again], putOff], [[entry], [entry]]);
});
