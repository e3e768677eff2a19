import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { utf8 } from '#core/bytes.ts';
import { MERGED_BYTES_MAX } from '#core/merge-text.ts';
import { openFolder } from '#world/real/folder.ts';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { openWhole, sealWhole } from './sealed-text.ts';

const directory = mkdtempSync(join(tmpdir(), 'holdfast-text-'));
after(() => rmSync(directory, { recursive: true }));

const key = (byte: number) => new Uint8Array(32).fill(byte);
const current = { version: 1, key: key(2) };
const keys = { identityKey: key(1), current, versions: [current] };

test('what is sealed here is named as the folder names it, and opens again', async () => {
  const folder = openFolder(directory);
  await folder.claim('00'.repeat(16));
  for (const [index, text] of ['', 'text\n', 'x'.repeat(MERGED_BYTES_MAX)].entries()) {
    const sealed = sealWhole(p, keys, utf8(text));
    writeFileSync(join(directory, `${index}`), text);
    const [seen] = await folder.look([`${index}`]);
    assert.ok(seen && 'stat' in seen);
    const [outcome] = await folder.seal([{ path: `${index}`, expect: seen.stat }], keys);
    assert.ok(outcome?.kind === 'sealed');
    assert.equal(sealed.contentId, outcome.content.contentId);
    for (const { manifest, blocks } of [sealed, { ...outcome, blocks: outcome.blocks.map(({ bytes }) => bytes) }])
      assert.deepEqual(openWhole(p, keys, manifest, blocks), utf8(text));
  }
  await folder.close();
});

test('what is not what the manifest says does not open', () => {
  const { manifest, blocks } = sealWhole(p, keys, utf8('text\n'));
  const [block] = blocks as [Uint8Array];
  const wrong = block.slice();
  wrong[wrong.length - 1] = (wrong.at(-1) as number) ^ 1;
  assert.equal(openWhole(p, keys, manifest, [wrong]), null);
  assert.equal(openWhole(p, keys, manifest, []), null);
  assert.equal(openWhole(p, keys, manifest, [block, block]), null);
  assert.equal(openWhole(p, { ...keys, current: { version: 1, key: key(3) }, versions: [] }, manifest, blocks), null);
});
