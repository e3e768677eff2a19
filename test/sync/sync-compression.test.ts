/** Rules that say how the blocks of files are compressed: small files, and large ones that go ahead of their commit. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { ask } from '#protocol/call.ts';
import { rulesAdd } from '#protocol/cluster.ts';
import { why } from '#protocol/why.ts';
import { spaces } from '#protocol/account.ts';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import { converged, SyncWorld } from './sync-world.ts';

const never = new AbortController().signal;
/** Words of a small language, in no order. */
const textOf = (bytes: number, salt: string): string => {
  const words = Array.from({ length: 600 }, (_, at) =>
    createHash('sha256')
      .update(`${at}`)
      .digest('hex')
      .slice(0, 3 + (at % 6)),
  );
  const drawn: string[] = [salt];
  let state = salt.length;
  for (let length = 0; length < bytes; ) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const word = words[(state >>> 16) % (1 + ((state >>> 8) % words.length))] ?? '';
    drawn.push(word);
    length += word.length + 1;
  }
  return drawn.join(' ').slice(0, bytes);
};

test('small and large files are sealed as the first rule that matches says; every device reads them all', async () => {
  const world = await SyncWorld.start();
  try {
    const [a, b] = [await world.device('a'), await world.device('b')];
    const peer = a.peer();
    for (const [extension, compression] of [
      ['log', 'strong'],
      ['key', 'none'],
    ] as const)
      await ask(peer, rulesAdd, { extensions: [extension], pool: 'others', compression, first: true }, never);
    const { response } = await ask(peer, spaces, {}, never);
    const { space } = must(response.spaces[0], 'a space of its own');
    const sizes = { small: 60_000, large: 5_000_000 };
    for (const [size, bytes] of Object.entries(sizes))
      for (const extension of ['log', 'dat', 'key'])
        writeFileSync(a.path(`${size}.${extension}`), textOf(bytes, `${size} of ${extension}`));
    for (const device of [a, b]) device.start();
    await converged([a, b]);
    const stored = async (path: string) =>
      must((await ask(peer, why, { space, path }, never)).response.placed, 'it is stored').storedBytes;
    for (const [size, bytes] of Object.entries(sizes)) {
      const [log, dat, key] = [await stored(`${size}.log`), await stored(`${size}.dat`), await stored(`${size}.key`)];
      assert.ok(key >= bytes && key < 1.01 * bytes, `${size}: ${key} of ${bytes}, not compressed`);
      assert.ok(dat < 0.7 * bytes && log < dat, `${size}: ${log} strong, ${dat} as usual`);
    }
    // Without the server's word there is the last one, and files go up all the same.
    a.gate.before = async (verb) => {
      if (verb === 'rules-list') throw new HoldfastError('not_found', 'an older server');
    };
    await a.stop();
    a.start();
    writeFileSync(a.path('late.key'), 'late');
    await converged([a, b]);
    for (const device of [a, b]) await device.stop();
  } finally {
    await world.end();
  }
});
