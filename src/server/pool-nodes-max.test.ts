/** A pool has as many nodes as a layout can name: who asks for one more is told so, and nothing breaks. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test from 'node:test';
import { id32Of, type NodeId, type Pin } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { insertNode } from '#meta/clusters.ts';
import { newId, RigNode, ServerRig } from '../../test/server-rig.ts';

test('one node more than a layout can name is refused, and may join another pool', async () => {
  const rig = await ServerRig.start({ nodes: [] });
  try {
    await rig.meta.write(async (writer) => {
      for (let number = 1; number <= limits.poolNodesMax; number++)
        await insertNode(writer, {
          node: newId<NodeId>(),
          number,
          name: 'one of many',
          pool: 'txt',
          pin: id32Of<Pin>(randomBytes(32)),
          addresses: ['http://127.0.0.1:9000'],
          domain: '127.0.0.1',
          weight: 1,
          lastSeenMs: null,
          standing: 'in',
          boot: 0,
          run: '',
        });
    });
    await assert.rejects(rig.join(new RigNode('txt')), {
      code: 'invalid_field',
      message: /"txt" has 4096 storage nodes, as many as a pool may have/,
    });
    await rig.join(new RigNode('mp3'));
  } finally {
    await rig.close();
  }
});
