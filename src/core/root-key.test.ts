import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { readGolden } from '../../test/golden.ts';
import { must } from './assert.ts';
import { fromHex, utf8 } from './bytes.ts';
import { hasCode } from './errors.ts';
import type { ClusterId } from './ids.ts';
import { encodeKit, parseKit, type RecoveryKit } from './root-key.ts';

type Golden = { identity: { cluster: ClusterId }; rootKey: string; kits: { generation: number; text: string }[] };
const golden = readGolden<Golden>('keys');
const kitOf = (generation: number): RecoveryKit => ({
  cluster: golden.identity.cluster,
  root: { generation, key: must(fromHex(golden.rootKey), 'hexadecimal') },
});
const text = must(golden.kits[1], 'a kit').text;
const kit = kitOf(must(golden.kits[1], 'a kit').generation);

/** The line that `parseKit` blames, or null where it takes the text. */
function blamedLine(typed: string): unknown {
  try {
    parseKit(p, typed);
    return null;
  } catch (error) {
    assert(hasCode(error, 'invalid_field'), String(error));
    return error.facts.line;
  }
}

test('golden: recovery kits', () => {
  for (const { generation, text: expected } of golden.kits) {
    assert.equal(encodeKit(p, kitOf(generation)), expected);
    assert.deepEqual(parseKit(p, expected), kitOf(generation));
  }
});

test('how it is typed does not matter', () => {
  const inOneGo = text.replace(/\s/g, '');
  const lookalikes = text.replaceAll('0', 'O').replaceAll('1', 'l');
  const variants = [
    text.toLowerCase(),
    inOneGo,
    text.replaceAll(' ', '-'),
    `\r\n\n${text.replaceAll('\n', '\r\n\r\n')}`,
  ];
  for (const typed of [...variants, lookalikes, text.replaceAll('1', 'I'), `  ${text.replaceAll(' ', '\t')}`]) {
    assert.deepEqual(parseKit(p, typed), kit);
  }
});

test('every single wrong character is found on its line', () => {
  const lines = text.trimEnd().split('\n');
  for (const [index, line] of lines.entries()) {
    for (let at = 0; at < line.length; at++) {
      if (line[at] === ' ') continue;
      for (const other of '0123456789ABCDEFGHJKMNPQRSTVWXYZU?é') {
        if (other === line[at]) continue;
        const typed = [...lines];
        typed[index] = line.slice(0, at) + other + line.slice(at + 1);
        assert.equal(blamedLine(typed.join('\n')), index + 1, `line ${index + 1}, "${other}" at ${at}`);
      }
    }
  }
});

test('a missing, doubled or exchanged character is found on its line', () => {
  const lines = text.trimEnd().split('\n');
  for (const [index, line] of lines.entries()) {
    for (let at = 0; at + 1 < line.length; at++) {
      const variants = [line.slice(0, at) + line.slice(at + 1), line.slice(0, at + 1) + line.slice(at)];
      variants.push(line.slice(0, at) + line.charAt(at + 1) + line.charAt(at) + line.slice(at + 2));
      for (const variant of variants) {
        if (variant.replaceAll(' ', '') === line.replaceAll(' ', '')) continue;
        const typed = [...lines];
        typed[index] = variant;
        assert.equal(blamedLine(typed.join('\n')), index + 1);
      }
    }
  }
});

test('lines of two kits, or in another order, are no kit', () => {
  const [first, second, third] = text.trimEnd().split('\n');
  const otherKit = { ...kit, root: { ...kit.root, key: p.sha256(utf8('another root')) } };
  const [otherFirst, otherSecond] = encodeKit(p, otherKit).split('\n');
  assert.equal(otherFirst, first, 'the first line holds no byte of the key');
  assert.equal(blamedLine([first, otherSecond, third].join('\n')), 3);
  assert.equal(blamedLine([second, first, third].join('\n')), 1);
  assert.equal(blamedLine([first, third, second].join('\n')), 2);
  assert.equal(blamedLine([first, second].join('\n')), undefined);
  assert.equal(blamedLine(''), undefined);
});

test('a kit of another version asks for an update', () => {
  const bytes = new Uint8Array(51);
  bytes[0] = 2;
  const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  const lines = [1, 2, 3].map((line) => {
    const check = p.sha256(utf8('holdfast/1 kit\0'), bytes.subarray(0, 17 * line)).subarray(0, 3);
    const bits = [...bytes.subarray(17 * (line - 1), 17 * line), ...check].map((byte) =>
      byte.toString(2).padStart(8, '0'),
    );
    return (bits.join('').match(/.{5}/g) ?? []).map((five) => alphabet.charAt(Number.parseInt(five, 2))).join('');
  });
  assert.throws(() => parseKit(p, lines.join('\n')), { code: 'upgrade_required' });
});
