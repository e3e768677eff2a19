import assert from 'node:assert/strict';
import test from 'node:test';
import type { SpaceId } from '#core/ids.ts';
import { mergeList, mergeSet } from '#protocol/merging.ts';
import { newId, ServerRig } from '../../test/server-rig.ts';

test('which texts a space merges: none at first, then those that were set, in place of those before', async () => {
  const rig = await ServerRig.start();
  try {
    const one = await rig.link('one');
    const two = await rig.link('two');
    const { space } = one;
    const list = async () => (await two.ask(mergeList, { space })).response.extensions;
    assert.deepEqual(await list(), []);
    await one.ask(mergeSet, { space, extensions: ['txt', 'md', 'md'] });
    assert.deepEqual(await list(), ['md', 'txt']);
    await one.ask(mergeSet, { space, extensions: ['c'] });
    assert.deepEqual(await list(), ['c']);
    await one.ask(mergeSet, { space, extensions: [] });
    assert.deepEqual(await list(), []);
    for (const extension of ['', '.md', 'MD', 'a/b'])
      await assert.rejects(one.ask(mergeSet, { space, extensions: [extension] }), { code: 'invalid_field' }, extension);
    const strange = newId<SpaceId>();
    await assert.rejects(two.ask(mergeList, { space: strange }), { code: 'not_found' });
    await assert.rejects(one.ask(mergeSet, { space: strange, extensions: ['md'] }), { code: 'not_found' });
  } finally {
    await rig.close();
  }
});
