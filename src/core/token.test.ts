import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { readGolden } from '../../test/golden.ts';
import { must } from './assert.ts';
import { fromBase64url, toBase64url } from './base64url.ts';
import { fromHex } from './bytes.ts';
import { formatDeviceToken, parseDeviceToken, secretHash } from './token.ts';

const golden = readGolden<{ deviceToken: { id: string; secret: string; text: string; hash: string } }>('keys');

test('golden: a device token', () => {
  const { id, text, hash } = golden.deviceToken;
  const secret = must(fromHex(golden.deviceToken.secret), 'hexadecimal');
  assert.equal(formatDeviceToken({ id, secret }), text);
  assert.deepEqual(parseDeviceToken(text), { id, secret });
  assert.equal(secretHash(p, secret), hash);
});

test('what is no device token', () => {
  const { text } = golden.deviceToken;
  const wrong = [
    '',
    text.slice(1),
    `${text}A`,
    text.slice(0, -1),
    ` ${text}`,
    `${text}\n`,
    text.replace('hfd1', 'hfd2'),
  ];
  // The last character holds two spare bits: 43 characters can say more than 32 bytes.
  wrong.push(`hfd1.0123456789abcdef.${'A'.repeat(42)}B`, text.replace(/\.(.)/, '.G'));
  for (const one of wrong) assert.equal(parseDeviceToken(one), null, one);
});

test('base64url has one encoding for each array of bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const text = toBase64url(bytes);
      assert.equal(text, Buffer.from(bytes).toString('base64url'));
      assert.deepEqual(fromBase64url(text), bytes);
    }),
  );
  fc.assert(
    fc.property(fc.base64String({ maxLength: 40 }), (text) => {
      const bytes = fromBase64url(text);
      if (bytes !== null) assert.equal(toBase64url(bytes), text);
    }),
  );
  for (const wrong of ['A', 'AB', 'AAB', 'AAAAA', 'AA==', 'A+A/', 'é', 'AAAA '])
    assert.equal(fromBase64url(wrong), null, wrong);
});
