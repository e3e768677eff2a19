/** What every disk promises. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, type ErrorCode } from '#core/errors.ts';
import type { Disk } from './disk.ts';

const bytes = (...values: number[]) => new Uint8Array(values);
const failsWith = (code: ErrorCode) => (error: unknown) => hasCode(error, code);

/** `makeDisk` answers with an empty directory that exists. */
export function diskContract(name: string, makeDisk: () => Promise<Disk>): void {
  test(`${name}: appends continue where the last ended, also after it is opened again`, async () => {
    const disk = await makeDisk();
    const file = await disk.create('a');
    assert.equal(await file.append([bytes(1, 2), bytes(), bytes(3)]), 0);
    assert.equal(await file.append([bytes(4)]), 3);
    await file.sync();
    await file.close();
    const again = await disk.open('a', 'append');
    assert.equal(await again.size(), 4);
    assert.equal(await again.append([bytes(5)]), 4);
    assert.deepEqual(await again.read(0, 5), bytes(1, 2, 3, 4, 5));
    await again.close();
    assert.deepEqual(await disk.read('a'), bytes(1, 2, 3, 4, 5));
  });

  test(`${name}: thousands of pieces are one append`, async () => {
    const disk = await makeDisk();
    const file = await disk.create('many');
    const pieces = Array.from({ length: 2500 }, (_, index) => bytes(index & 255, index >> 8));
    assert.equal(await file.append(pieces), 0);
    assert.equal(await file.size(), 5000);
    assert.deepEqual(await file.read(2 * 2499, 2), bytes(2499 & 255, 2499 >> 8));
    await file.close();
  });

  test(`${name}: a read is short only at the end`, async () => {
    const disk = await makeDisk();
    const file = await disk.create('a');
    await file.append([bytes(1, 2, 3)]);
    assert.deepEqual(await file.read(1, 1), bytes(2));
    assert.deepEqual(await file.read(1, 100), bytes(2, 3));
    assert.deepEqual(await file.read(3, 100), bytes());
    assert.deepEqual(await file.read(100, 1), bytes());
    await file.close();
  });

  test(`${name}: after a cut, appends continue at the cut`, async () => {
    const disk = await makeDisk();
    const file = await disk.create('a');
    await file.append([bytes(1, 2, 3)]);
    await file.truncate(1);
    assert.equal(await file.append([bytes(9)]), 1);
    assert.deepEqual(await file.read(0, 9), bytes(1, 9));
    await file.close();
  });

  test(`${name}: create makes, open does not`, async () => {
    const disk = await makeDisk();
    await assert.rejects(disk.open('a', 'append'), failsWith('not_found'));
    await assert.rejects(disk.open('a', 'read'), failsWith('not_found'));
    await (await disk.create('a')).close();
    await assert.rejects(disk.create('a'), failsWith('conflict'));
    await assert.rejects(disk.create('no/such'), failsWith('not_found'));
  });

  test(`${name}: replace leaves the new bytes and nothing else`, async () => {
    const disk = await makeDisk();
    assert.equal(await disk.read('state'), null);
    await disk.replace('state', bytes(1, 2, 3));
    await disk.replace('state', bytes(4));
    assert.deepEqual(await disk.read('state'), bytes(4));
    assert.deepEqual(await disk.list(''), ['state']);
  });

  test(`${name}: directories are made with what is above them, listed in order, empty where missing`, async () => {
    const disk = await makeDisk();
    assert.deepEqual(await disk.list('x/y'), []);
    await disk.makeDirectory('x/y');
    await disk.makeDirectory('x/y');
    for (const name of ['b', 'a', 'A']) await (await disk.create(`x/y/${name}`)).close();
    await disk.syncDirectory('x/y');
    assert.deepEqual(await disk.list('x/y'), ['A', 'a', 'b']);
    await disk.remove('x/y/a');
    assert.deepEqual(await disk.list('x/y'), ['A', 'b']);
    await assert.rejects(disk.remove('x/y/a'), failsWith('not_found'));
    await assert.rejects(disk.syncDirectory('none'), failsWith('not_found'));
  });

  test(`${name}: an open file that is removed can still be read`, async () => {
    const disk = await makeDisk();
    const file = await disk.create('a');
    await file.append([bytes(7)]);
    await disk.remove('a');
    assert.deepEqual(await file.read(0, 1), bytes(7));
    await file.close();
  });

  test(`${name}: free space is a part of the whole`, async () => {
    const { freeBytes, totalBytes } = await (await makeDisk()).space();
    assert.ok(Number.isSafeInteger(freeBytes) && freeBytes >= 0);
    assert.ok(totalBytes >= freeBytes);
  });

  test(`${name}: no path leads out of the directory`, async () => {
    const disk = await makeDisk();
    for (const path of ['../a', '/a', 'x/../../a', 'x//a', './a'])
      await assert.rejects(async () => disk.read(path), { name: 'Defect' });
  });
}
