import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { readGolden } from '../../test/golden.ts';
import { must } from './assert.ts';
import { fromBase64url, toBase64url } from './base64url.ts';
import { concat, fromHex, utf8 } from './bytes.ts';
import { hasCode } from './errors.ts';
import type { ClusterId, Pin } from './ids.ts';
import { encodeInvite, isLoopbackAddress, parseInvite, type InviteContent } from './invite.ts';

type Golden = {
  identity: { cluster: ClusterId };
  invites: { invite: Omit<InviteContent, 'publicKey'> & { publicKey: string }; text: string }[];
};
const golden = readGolden<Golden>('keys');
const invites = golden.invites.map(({ invite, text }) => ({
  content: { ...invite, publicKey: must(fromHex(invite.publicKey), 'hexadecimal') } as InviteContent,
  text,
}));
const device = must(invites[0], 'a device link');
const node = must(invites[3], 'a node ticket');

test('golden: invites', () => {
  for (const { content, text } of invites) {
    assert.equal(encodeInvite(p, content), text);
    assert.deepEqual(parseInvite(p, text), { ...content, cluster: golden.identity.cluster });
  }
});

test('how it was pasted does not matter', () => {
  const expected = parseInvite(p, device.text);
  const broken = `${device.text.slice(0, 60)}\r\n   ${device.text.slice(60)}`;
  for (const text of [` ${device.text}\n`, `"${device.text}"`, `<${device.text}>`, broken]) {
    assert.deepEqual(parseInvite(p, text), expected);
  }
});

test('every wrong, missing or additional character is found', () => {
  for (const { text } of [device, node]) {
    const from = text.startsWith('hfn1.') ? 5 : text.indexOf('#') + 1;
    for (let index = from; index < text.length; index++) {
      const other = text[index] === 'A' ? 'B' : 'A';
      const wrong = [
        text.slice(0, index) + other + text.slice(index + 1),
        text.slice(0, index) + text.slice(index + 1),
        text.slice(0, index) + other + text.slice(index),
        text.slice(0, index),
      ];
      for (const one of wrong) {
        assert.throws(
          () => parseInvite(p, one),
          (error) => hasCode(error, 'invalid_usage'),
        );
      }
    }
  }
});

test('what is no invite at all says so', () => {
  for (const text of [
    '',
    'hello',
    'https://example.org/',
    'hfn1.',
    'hfd1.0123456789abcdef.x',
    `hfn1.${'A'.repeat(300)}`,
  ]) {
    assert.throws(() => parseInvite(p, text), { code: 'invalid_usage' });
  }
});

test('an invite of one kind is not taken for the other', () => {
  const encoded = device.text.slice(device.text.indexOf('#') + 1);
  assert.throws(() => parseInvite(p, `hfn1.${encoded}`), { code: 'invalid_usage' });
  assert.throws(() => parseInvite(p, `https://host/join#${node.text.slice(5)}`), { code: 'invalid_usage' });
});

/** An invite with right check bytes over changed content. */
function rechecked(text: string, change: (bytes: Uint8Array) => void): string {
  const start = text.indexOf('#') + 1;
  const bytes = must(fromBase64url(text.slice(start)), 'base64url').slice(0, -4);
  change(bytes);
  const check = p.sha256(utf8('holdfast/1 invite\0'), bytes).subarray(0, 4);
  return text.slice(0, start) + toBase64url(concat(bytes, check));
}

test('another version, kind or flag asks for an update', () => {
  assert.deepEqual(
    parseInvite(
      p,
      rechecked(device.text, () => {}),
    ),
    parseInvite(p, device.text),
  );
  for (const [offset, value] of [
    [0, 2],
    [1, 3],
    [2, 2],
  ] as const) {
    const changed = rechecked(device.text, (bytes) => bytes.set([value], offset));
    assert.throws(() => parseInvite(p, changed), { code: 'upgrade_required' });
  }
  assert.throws(() => parseInvite(p, 'hfn2.AAAA'), { code: 'upgrade_required' });
});

test('no secret is sent unprotected to another machine, nor to a server that nothing proves', () => {
  const pin = 'ab'.repeat(32) as Pin;
  const refused: Partial<InviteContent>[] = [
    { addresses: ['http://192.168.1.20:12345'] },
    { addresses: ['http://127.0.0.1.example.org:12345'] },
    { addresses: ['http://localhost@example.org'] },
    { addresses: ['https://host:1', 'http://example.org'] },
    { addresses: ['https://host/path'] },
    { addresses: ['ftp://host'] },
    { addresses: [] },
    { addresses: ['https://host:1'], pin: null },
  ];
  for (const change of refused) {
    assert.throws(() => encodeInvite(p, { ...device.content, pin, ...change }), { code: 'invalid_field' });
  }
  const toOther = rechecked(device.text, (bytes) => bytes.set(utf8('http:///'), 93));
  assert.throws(() => parseInvite(p, toOther), { code: 'invalid_usage' });
  const unproven = rechecked(device.text, (bytes) => bytes.fill(0, 35, 67));
  assert.throws(() => parseInvite(p, unproven), { code: 'invalid_usage' });
});

test('loopback addresses', () => {
  for (const yes of ['http://127.0.0.1:1', 'http://127.8.9.10', 'http://localhost:80', 'http://[::1]:9']) {
    assert.equal(isLoopbackAddress(yes), true, yes);
  }
  for (const no of ['https://127.0.0.1:1', 'http://127.0.0.1:1/x', 'http://10.0.0.1', 'http://localhost.example.org']) {
    assert.equal(isLoopbackAddress(no), false, no);
  }
});
