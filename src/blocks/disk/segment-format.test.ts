import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, fromHex, toHex } from '#core/bytes.ts';
import type { BlockId, NodeId } from '#core/ids.ts';
import { realChecksum as checksum } from '#world/real/checksum.ts';
import { readGolden } from '../../../test/golden.ts';
import {
  bodyMatches,
  encodeFooterPayload,
  encodeRecord,
  encodeSegmentHeader,
  FOOTER_TRAILER_BYTES,
  parseFooterPayload,
  parseFooterTrailer,
  parseRecordHeader,
  parseSegmentHeader,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
  type RecordKind,
} from './segment-format.ts';

type GoldenRecord = {
  readonly kind: RecordKind;
  readonly offset: number;
  readonly group: number;
  readonly fence: number;
  readonly id: BlockId;
  readonly payload: string;
  readonly bytes: string;
};
type Golden = {
  readonly node: NodeId;
  readonly segment: number;
  readonly salt: number;
  readonly header: string;
  readonly records: readonly GoldenRecord[];
};

const golden = readGolden<Golden>('segment');
const { node, segment, salt, records } = golden;
const bytesOf = (hex: string) => fromHex(hex) as Uint8Array;

test('golden: the header of a segment', () => {
  assert.equal(toHex(encodeSegmentHeader(checksum, { segment, node, salt })), golden.header);
  assert.deepEqual(parseSegmentHeader(checksum, bytesOf(golden.header)), {
    kind: 'valid',
    header: { segment, node, salt },
  });
});

test('golden: a record of every kind', () => {
  assert.deepEqual(
    new Set(records.map(({ kind }) => kind)),
    new Set(['block', 'tombstone', 'fence', 'root', 'footer']),
  );
  for (const { kind, offset, group, fence, id, payload: hex, bytes } of records) {
    const payload = bytesOf(hex);
    const record = { kind, offset, group, fence, id, segment, salt, payloadLength: payload.length };
    assert.equal(toHex(concat(...encodeRecord(checksum, record, payload))), bytes, kind);
    const judged = parseRecordHeader(checksum, bytesOf(bytes), { segment, salt, offset });
    assert.ok(judged.kind === 'valid');
    const { payloadCrc, ...parsed } = judged.header;
    assert.deepEqual(parsed, record);
    assert.ok(bodyMatches(checksum, { ...parsed, payloadCrc }, bytesOf(bytes).subarray(RECORD_HEADER_BYTES)));
  }
});

test('golden: a footer lists what is before it', () => {
  const footer = records.at(-1) as GoldenRecord;
  const payload = bytesOf(footer.payload);
  const listed = records.slice(0, -1).map(({ kind, offset, fence, id, payload: hex }) => {
    return { kind, offset, fence, id, payloadLength: hex.length / 2 };
  });
  assert.deepEqual(parseFooterPayload(payload), listed);
  assert.deepEqual(encodeFooterPayload(listed, footer.offset), payload);
  assert.equal(parseFooterTrailer(payload.subarray(-FOOTER_TRAILER_BYTES)), footer.offset);
});

test('no flipped bit of a header passes, nor a header of another place or salt', () => {
  for (const { bytes: hex, offset } of records) {
    const bytes = bytesOf(hex);
    for (let bit = 0; bit < 8 * RECORD_HEADER_BYTES; bit++) {
      const damaged = bytes.slice();
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.equal(parseRecordHeader(checksum, damaged, { segment, salt, offset }).kind, 'bad');
    }
    for (const at of [
      { segment: segment + 1, offset, salt },
      { segment, offset: offset + 8, salt },
      { segment, offset, salt: salt + 1 },
    ])
      assert.equal(parseRecordHeader(checksum, bytes, at).kind, 'bad');
    assert.equal(parseRecordHeader(checksum, bytes.subarray(0, 79), { segment, offset, salt }).kind, 'bad');
  }
});

test('a whole header of a later version or kind is told from damage', () => {
  const header = bytesOf(golden.header);
  header[3] = 2;
  new DataView(header.buffer).setUint32(60, checksum.crc32(header.subarray(0, 60)));
  assert.equal(parseSegmentHeader(checksum, header).kind, 'newer');
  assert.equal(parseSegmentHeader(checksum, header.fill(0, 40, 41).fill(9, 41, 42)).kind, 'bad');
  assert.equal(parseSegmentHeader(checksum, header.subarray(0, SEGMENT_HEADER_BYTES - 1)).kind, 'bad');
  const record = bytesOf((records[0] as GoldenRecord).bytes);
  record[4] = 6;
  new DataView(record.buffer).setUint32(76, checksum.crc32(record.subarray(0, 76)));
  assert.equal(parseRecordHeader(checksum, record, { segment, salt, offset: 64 }).kind, 'newer');
});
