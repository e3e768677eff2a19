/** Nodes that cannot be trusted, with real processes: damage behind a node's back is repaired and held against nobody; a node that lies is taken out. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openDiskBlockStore } from '#blocks/disk/disk-block-store.ts';
import type { NodeBlockStore } from '#blocks/node-block-store.ts';
import { startStorageNode } from '#storage/storage-node.ts';
import { realChecksum } from '#world/real/checksum.ts';
import { lockDirectory } from '#world/real/directory-lock.ts';
import { realDisk } from '#world/real/disk.ts';
import { stderrLog } from '#world/real/log.ts';
import { realNet } from '#world/real/net.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { nodeKeyFile, tlsIdentityOf } from '../src/node-key-file.ts';
import { CopiesPlace } from './copies-place.ts';
import { run, runJson, until } from './holdfast.ts';

type Liar = { lies: { blocks: number; what: string[] } | null };

test('damage behind a node’s back is repaired and nobody’s fault; a node that serves other bytes is taken out until it is trusted', {
  timeout: 300_000,
}, async (context) => {
  const place = await CopiesPlace.start(context, 2, ['--challenge-every', '0.3']);
  place.write(40, 'file', () => randomInt(1000, 60_000));
  await place.inSync();
  await place.untilWhole();

  // The disk of one loses the end of its log while it runs.
  const segments = join(place.dataOf('a'), 'segments');
  const segment = join(segments, readdirSync(segments).sort()[0] as string);
  truncateSync(segment, Math.floor(statSync(segment).size / 3));
  await until(
    'the damage is found, though nobody reads',
    () => place.server.stderr(),
    (log) => log.includes('copies were found missing or damaged'),
    30_000,
  );
  await place.untilWhole();
  await place.checkFetch(2);
  const honest = (await place.row('a')) as unknown as Liar & { standing: string };
  assert.deepEqual([honest.standing, honest.lies], ['in', null]);

  // Another process with the directory and the key of a node, which gives out other bytes than it was given.
  const { port } = place.nodes.get('b') as { port: number };
  await place.node('b').stop();
  const close = await startLiar(context, place.dataOf('b'), port);
  const found = await until(
    'the liar is taken out',
    () => place.status(),
    ({ nodes }) => nodes.find(({ name }) => name === 'b')?.standing === 'distrusted',
    30_000,
  );
  const told = (
    await until(
      'status says so',
      () => place.status(),
      ({ problems }) => problems.some(({ code }) => code === 'node_lies'),
    )
  ).problems.find(({ code }) => code === 'node_lies');
  assert.match(told?.message ?? '', /storage node b \(pool safe\) is out of service/);
  const row = found.nodes.find(({ name }) => name === 'b') as unknown as Liar;
  assert.ok((row.lies?.blocks ?? 0) >= 3);
  await place.untilWhole();
  await place.checkFetch(2);
  const listed = await run(['nodes', 'list'], place.owner);
  assert.match(listed.stdout, /distrusted/);
  assert.match(listed.stdout, /b gave wrong answers about \d+ blocks?/);

  // Its disk never lied: with the real program it can be trusted again.
  await close();
  await place.startNode('b');
  await until(
    'it answers',
    () => place.row('b'),
    (one) => one?.state === 'ok',
  );
  assert.equal((await place.row('b'))?.standing, 'distrusted');
  await runJson(['nodes', 'trust', 'b'], place.owner);
  assert.equal((await run(['nodes', 'trust', 'b'], place.owner)).code, 5);
  await place.untilWhole();
  assert.equal((await place.row('b'))?.standing, 'in');
  await place.checkFetch(2);
});

/** Resolves with what stops it. */
async function startLiar(context: TestContext, directory: string, port: number): Promise<() => Promise<void>> {
  const disk = realDisk(directory);
  const key = await nodeKeyFile(directory, realNet, null);
  const storage = await startStorageNode({
    disk,
    lock: () => lockDirectory(directory),
    openBlocks: async ({ node }): Promise<NodeBlockStore> => {
      const blocks = await openDiskBlockStore({
        disk,
        sql: sqliteOpener,
        indexPath: join(directory, 'index.db'),
        node,
        log: stderrLog('silent'),
        checksum: realChecksum,
        primitives: nodePrimitives,
      });
      return {
        put: blocks.put.bind(blocks),
        has: blocks.has.bind(blocks),
        lengths: blocks.lengths.bind(blocks),
        status: blocks.status.bind(blocks),
        delete: blocks.delete.bind(blocks),
        compact: blocks.compact.bind(blocks),
        close: blocks.close.bind(blocks),
        get: async (ids, signal) =>
          (await blocks.get(ids, signal)).map((one) =>
            one.kind === 'found' ? { kind: 'found', bytes: Uint8Array.from(one.bytes, (byte) => byte ^ 1) } : one,
          ),
      };
    },
    primitives: nodePrimitives,
    random: realRandom,
    log: stderrLog('silent'),
    version: 'a liar',
  });
  const listening = await realNet.listen({ host: '127.0.0.1', port }, storage.handler, {
    identity: tlsIdentityOf(key),
  });
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    await listening.close();
    await storage.close();
  };
  context.after(close);
  return close;
}
