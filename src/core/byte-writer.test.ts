import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, toHex } from './bytes.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';

test('every kind of field may be the one that does not fit any more', () => {
  const fields: readonly ((writer: ByteWriter) => ByteWriter)[] = [
    (writer) => writer.u8(0xab),
    (writer) => writer.u16(0xabcd),
    (writer) => writer.u32(0xabcdef01),
    (writer) => writer.u64(0xabcdef012345),
    (writer) => writer.i64(-0xabcdef012345),
    (writer) => writer.bytes(Uint8Array.of(1, 2, 3)),
    (writer) => writer.id('00112233445566778899aabbccddeeff'),
    (writer) => writer.text8('äb'),
    (writer) => writer.text16('äb'),
  ];
  for (const [index, field] of fields.entries()) {
    const alone = field(new ByteWriter(64)).finish();
    for (let before = 0; before <= 16; before++) {
      const writer = new ByteWriter(16);
      for (let count = 0; count < before; count++) writer.u8(count);
      const expected = concat(
        Uint8Array.from({ length: before }, (_, at) => at),
        alone,
      );
      assert.equal(toHex(field(writer).finish()), toHex(expected), `field ${index} behind ${before} bytes`);
    }
  }
});

test('what was written is read again', () => {
  const bytes = new ByteWriter(1)
    .u8(1)
    .u16(2)
    .u32(3)
    .u64(2 ** 40)
    .i64(-5)
    .text8('a')
    .text16('b')
    .finish();
  const reader = new ByteReader(bytes, 'a test');
  const read = [reader.u8(), reader.u16(), reader.u32(), reader.u64(), reader.i64(), reader.text8(), reader.text16()];
  assert.deepEqual(read, [1, 2, 3, 2 ** 40, -5, 'a', 'b']);
  reader.end();
});
