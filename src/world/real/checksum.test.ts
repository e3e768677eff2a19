import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '#core/bytes.ts';
import { realChecksum } from './checksum.ts';

test('the published check value, whole and in pieces', () => {
  assert.equal(realChecksum.crc32(utf8('123456789')), 0xcbf43926);
  assert.equal(realChecksum.crc32(utf8('6789'), realChecksum.crc32(utf8('12345'))), 0xcbf43926);
});
