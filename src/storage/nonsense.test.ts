import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { randomBlock } from '#blocks/block-store.contract.ts';
import { RemoteBlockStore } from '#blocks/remote-block-store.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { Caller } from '#protocol/wire.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { RandomMessages } from '../../test/random-messages.ts';
import { nodeVerbs } from '../../test/verbs.ts';
import { deleteOrder, keyList, newNode, peerOf, serverPin } from './storage-node.contract.ts';

const SEED = process.env['NONSENSE_SEED'] ?? String(Math.floor(Math.random() * 1e9));
const MESSAGES = Number(process.env['NONSENSE_MESSAGES'] ?? 3000);
const { signal } = new AbortController();

test(`no request makes a defect, whatever is in it, and no block is lost (seed ${SEED})`, async () => {
  const node = await newNode();
  const held = Array.from({ length: 5 }, () => randomBlock(100));
  const store = new RemoteBlockStore(peerOf(node), nodePrimitives);
  await store.put(held, 1, signal);
  const messages = new RandomMessages(
    SEED,
    held.map(({ id }) => id),
  );
  // Signed, but for another time of the cluster.
  const bytes = [
    ...held.map((block) => block.bytes),
    keyList(1, 1),
    deleteOrder({ number: 1, blocks: held.map(({ id }) => id) }),
  ];
  let answered = 0;
  for (let count = 0; count < MESSAGES; count++) {
    const verb = messages.pick(nodeVerbs);
    const caller: Caller = messages.chance(9)
      ? { kind: 'pinned', pin: serverPin, address: 'here' }
      : messages.pick([
          { kind: 'anonymous', address: 'here' },
          { kind: 'bearer', token: serverPin, address: 'here' },
        ] as const);
    const parts = Array.from(
      { length: messages.pick([0, 0, 1, 1, 2, 3]) },
      () => new Uint8Array(messages.chance(7) ? messages.pick(bytes) : randomBytes(messages.pick([0, 1, 64, 300]))),
    );
    const body = messages.of(verb);
    try {
      await node.handler(verb.name, { body, parts }, caller, signal);
      answered++;
    } catch (error) {
      assert.ok(
        error instanceof HoldfastError && !hasCode(error, 'defect'),
        `${verb.name} ${JSON.stringify(body)} with parts of ${parts.map(({ length }) => length).join(', ')}: ${error instanceof Error ? error.stack : error}`,
      );
    }
  }
  assert.ok(answered > MESSAGES / 10, `${answered} got anywhere`);
  assert.deepEqual(
    (
      await store.get(
        held.map(({ id }) => id),
        signal,
      )
    ).map(({ kind }) => kind),
    held.map(() => 'found'),
  );
  assert.equal((await node.status()).state, 'ok');
});
