/** Puts blocks into the store in the directory it is given until it is killed; prints the ids of each put once it is acknowledged. */
import { randomBytes, randomInt } from 'node:crypto';
import { writeSync } from 'node:fs';
import { blockOf } from '../src/blocks/block-store.contract.ts';
import { openDiskBlockStore } from '../src/blocks/disk/disk-block-store.ts';
import { storeOptions } from './storage-place.ts';

const store = await openDiskBlockStore(storeOptions(process.argv[2] as string));
const { signal } = new AbortController();

async function putForEver(): Promise<never> {
  for (let fence = 0; ; fence++) {
    const blocks = Array.from({ length: randomInt(1, 8) }, () =>
      blockOf(new Uint8Array(randomBytes(randomInt(0, 40_000)))),
    );
    const results = await store.put(blocks, fence, signal);
    const held = blocks.filter((_, index) => results[index] === 'stored').map(({ id }) => id);
    // Synchronous and one write: the ledger has whole lines, and nothing that was not acknowledged before.
    writeSync(1, `${held.join(' ')}\n`);
  }
}

await Promise.all([putForEver(), putForEver(), putForEver()]);
