import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { concat, fromHex, toHex, utf8 } from '#core/bytes.ts';
import { nodePrimitives as p } from './primitives.ts';

const hex = (text: string): Uint8Array => {
  const bytes = fromHex(text);
  assert(bytes);
  return bytes;
};

test('hashes match published vectors, in one piece and in several', () => {
  assert.equal(toHex(p.sha256(utf8('abc'))), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  assert.deepEqual(p.sha256(utf8('a'), utf8(''), utf8('bc')), p.sha256(utf8('abc')));
  assert.equal(toHex(p.sha256()), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  // RFC 4231, test case 2.
  const expected = '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843';
  assert.equal(toHex(p.hmacSha256(utf8('Jefe'), utf8('what do ya '), utf8('want for nothing?'))), expected);
});

test('results are plain arrays, not Buffers', () => {
  for (const bytes of [p.sha256(utf8('a')), p.sha256(utf8('a'), utf8('b')), p.zstdCompress(utf8('aaaa'), 1)]) {
    assert.equal(Object.getPrototypeOf(bytes), Uint8Array.prototype);
  }
});

test('GCM opens what it sealed, from pieces too, and nothing else', () => {
  const key = randomBytes(32);
  const nonce = new Uint8Array(12);
  const plain = utf8('some plain text');
  const sealed = p.aes256GcmSeal(key, nonce, utf8('a'), [plain.subarray(0, 3), plain.subarray(3)]);
  assert.deepEqual(sealed, p.aes256GcmSeal(key, nonce, utf8('a'), [plain]));
  assert.deepEqual(p.aes256GcmSeal(key, nonce, utf8('a'), [plain], utf8('head')), concat(utf8('head'), sealed));
  assert.deepEqual(p.aes256GcmOpen(key, nonce, utf8('a'), sealed), plain);
  assert.equal(p.aes256GcmOpen(key, nonce, utf8('b'), sealed), null);
  for (let length = 0; length < sealed.length; length++) {
    assert.equal(p.aes256GcmOpen(key, nonce, utf8('a'), sealed.subarray(0, length)), null);
  }
  for (let index = 0; index < sealed.length; index++) {
    const changed = sealed.slice();
    changed[index] = (changed[index] as number) ^ 1;
    assert.equal(p.aes256GcmOpen(key, nonce, utf8('a'), changed), null);
  }
});

test('GCM of long pieces is that of the whole', () => {
  const key = randomBytes(32);
  const plain = new Uint8Array(randomBytes(300_000));
  const whole = p.aes256GcmSeal(key, new Uint8Array(12), utf8('a'), [plain]);
  const pieces = [plain.subarray(0, 5), plain.subarray(5, 200_000), plain.subarray(200_000)];
  assert.deepEqual(p.aes256GcmSeal(key, new Uint8Array(12), utf8('a'), pieces), whole);
  assert.deepEqual(p.aes256GcmOpen(key, new Uint8Array(12), utf8('a'), whole), plain);
});

test('results lie in memory of their own', () => {
  const frame = p.zstdCompress(utf8('a'.repeat(100)), 1);
  const opened = p.zstdDecompress(frame, 100);
  assert(opened);
  for (const bytes of [frame, opened, p.sha256(frame), p.hmacSha256(frame), p.ed25519PublicKey(p.sha256(frame))]) {
    assert.equal(bytes.buffer.byteLength, bytes.length);
  }
});

test('zstd round trip', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), fc.constantFrom(1 as const, 3 as const), (bytes, level) => {
      const doubled = concat(bytes, bytes);
      const frame = p.zstdCompress(doubled, level);
      assert.deepEqual(p.zstdDecompress(frame, doubled.length), doubled);
      if (doubled.length > 0) assert.equal(p.zstdDecompress(frame, doubled.length - 1), null);
    }),
  );
});

test('zstd of every header size', () => {
  for (const length of [1, 255, 256, 65_791, 65_792, 300_000, 3_000_000]) {
    const bytes = new Uint8Array(length).fill(7);
    for (const level of [1, 3, 12] as const) {
      assert.deepEqual(p.zstdDecompress(p.zstdCompress(bytes, level), length), bytes);
    }
  }
});

test('zstd refuses what is not exactly one whole frame', () => {
  const bytes = utf8('holdfast '.repeat(400));
  const frame = p.zstdCompress(bytes, 3);
  for (let length = 0; length < frame.length; length++) {
    assert.equal(p.zstdDecompress(frame.subarray(0, length), 1 << 20), null, `cut at ${length}`);
  }
  assert.equal(p.zstdDecompress(concat(frame, frame), 1 << 20), null);
  assert.equal(p.zstdDecompress(concat(frame, Uint8Array.of(0)), 1 << 20), null);
  const skippable = hex('502a4d180400000000000000');
  assert.equal(p.zstdDecompress(concat(frame, skippable), 1 << 20), null);
  assert.equal(p.zstdDecompress(concat(skippable, frame), 1 << 20), null);
});

test('zstd refuses a frame without a content size, or with a false one', () => {
  const bytes = utf8('holdfast '.repeat(400));
  const unsized = zstdCompressSync(bytes, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } });
  assert.equal(p.zstdDecompress(unsized, 1 << 20), null);
  const frame = p.zstdCompress(bytes, 3);
  assert.equal(frame[4], 0x60, 'a single segment with a content size of two bytes');
  for (const change of [-1, 1]) {
    const lying = frame.slice();
    lying[5] = (lying[5] as number) + change;
    assert.equal(p.zstdDecompress(lying, 1 << 20), null);
  }
});

test('zstd refuses a bomb without making it', () => {
  const bomb = p.zstdCompress(new Uint8Array(200 << 20), 1);
  assert(bomb.length < 1 << 20);
  assert.equal(p.zstdDecompress(bomb, 16 << 20), null);
});

test('zstd with a frame checksum is read, and the checksum counts', () => {
  const bytes = utf8('holdfast '.repeat(400));
  const frame = zstdCompressSync(bytes, {
    pledgedSrcSize: bytes.length,
    params: { [constants.ZSTD_c_checksumFlag]: 1 },
  });
  assert.deepEqual(p.zstdDecompress(frame, bytes.length), bytes);
  frame[frame.length - 1] = (frame[frame.length - 1] as number) ^ 1;
  assert.equal(p.zstdDecompress(frame, bytes.length), null);
});

test('Ed25519 matches RFC 8032, test 2', () => {
  const seed = hex('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb');
  const publicKey = p.ed25519PublicKey(seed);
  assert.equal(toHex(publicKey), '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c');
  const signature = p.ed25519Sign(seed, Uint8Array.of(0x72));
  assert.equal(
    toHex(signature),
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
      '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  );
  assert.equal(p.ed25519Verify(publicKey, Uint8Array.of(0x72), signature), true);
  assert.equal(p.ed25519Verify(publicKey, Uint8Array.of(0x73), signature), false);
  assert.equal(p.ed25519Verify(publicKey, Uint8Array.of(0x72), signature.subarray(1)), false);
  assert.equal(p.ed25519Verify(new Uint8Array(32).fill(255), Uint8Array.of(0x72), signature), false);
});

test('constant-time comparison', () => {
  assert.equal(p.equalConstantTime(utf8('ab'), utf8('ab')), true);
  assert.equal(p.equalConstantTime(utf8('ab'), utf8('ac')), false);
  assert.equal(p.equalConstantTime(utf8('ab'), utf8('abc')), false);
});
