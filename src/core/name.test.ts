import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from './bytes.ts';
import { collisionKey, conflictName, escapeName, judgeName, splitName } from './name.ts';

const by = { deviceName: 'Laptop', date: '2026-01-02' };
const free = (): boolean => false;

test('names that may be', () => {
  const allowed = [
    'a',
    '...',
    '.hidden',
    ' ',
    'CON',
    'a:b',
    'trailing.',
    'a\\b',
    'Bücher',
    '日本語',
    '👩‍👩‍👧',
    'e\u0301',
    '\u202egnp',
  ];
  for (const name of [...allowed, 'x'.repeat(255), 'é'.repeat(127)]) assert.equal(judgeName(name), null, name);
});

test('names that may not be, and why', () => {
  const refused: [string, RegExp][] = [
    ['', /empty/],
    ['.', /another place/],
    ['..', /another place/],
    ['a/b', /slash/],
    ['a\0b', /control/],
    ['a\nb', /control/],
    ['a\x7fb', /control/],
    ['a\u0085b', /control/],
    ['\ud800', /well-formed/],
    ['a\udc00b', /well-formed/],
    ['x'.repeat(256), /255 bytes/],
    ['é'.repeat(128), /255 bytes/],
  ];
  for (const [name, why] of refused) assert.match(judgeName(name) ?? '', why, JSON.stringify(name));
});

test('a refusal can be shown on any screen', () => {
  assert.equal(escapeName('a\nb\u001b[2J"\\'), '"a\\u{a}b\\u{1b}[2J\\"\\\\"');
  assert.equal(escapeName('exe\u202egnp.'), '"exe\\u{202e}gnp."');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      assert.doesNotMatch(judgeName(name) ?? '', /[\p{Cc}\p{Cf}\p{Cs}]/u);
    }),
  );
});

test('one key for names that some file systems take for one', () => {
  const same: [string, string][] = [
    ['README', 'readme'],
    ['Stra\u00dfe', 'STRASSE'],
    ['\u1e9e', '\u00df'],
    ['\u00e9', 'e\u0301'],
    ['\u00c9', 'e\u0301'],
    ['\u039f\u0394\u039f\u03a3', '\u03bf\u03b4\u03bf\u03c2'],
    ['\u03c3', '\u03c2'],
    ['\u212a', 'k'],
    ['\u017f', 's'],
    ['\u01c4', '\u01c5'],
  ];
  for (const [left, right] of same) assert.equal(collisionKey(left), collisionKey(right), `${left} ${right}`);
  for (const [left, right] of [
    ['a', 'b'],
    ['e', '\u00e9'],
    ['a ', 'a'],
  ] as const) {
    assert.notEqual(collisionKey(left), collisionKey(right));
  }
});

test('every character has the key of its other forms, and a key is its own key', () => {
  for (let code = 0; code < 0x110000; code++) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const character = String.fromCodePoint(code);
    const key = collisionKey(character);
    for (const form of [key, character.toUpperCase(), character.toLowerCase(), character.normalize('NFD')]) {
      if (form !== character) assert.equal(collisionKey(form), key, `U+${code.toString(16)}`);
    }
  }
});

test('conflict names', () => {
  assert.equal(conflictName('report.pdf', by, free), 'report (conflicted copy, Laptop, 2026-01-02).pdf');
  assert.equal(conflictName('.bashrc', by, free), '.bashrc (conflicted copy, Laptop, 2026-01-02)');
  assert.equal(conflictName('Makefile', by, free), 'Makefile (conflicted copy, Laptop, 2026-01-02)');
  const taken = new Set(['a (conflicted copy, Laptop, 2026-01-02).b', 'a (conflicted copy, Laptop, 2026-01-02 2).b']);
  assert.equal(
    conflictName('a.b', by, (name) => taken.has(name)),
    'a (conflicted copy, Laptop, 2026-01-02 3).b',
  );
  const hostile = { deviceName: ' ../a\n:*? ', date: '2026-01-02' };
  assert.equal(conflictName('a', hostile, free), 'a (conflicted copy, ..-a----, 2026-01-02)');
});

test('a conflict name is a possible name, keeps the extension, and is not taken', () => {
  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }).filter((text) => judgeName(text) === null);
  const long = fc
    .string({ unit: 'binary', minLength: 60, maxLength: 200 })
    .map((text) => [...text].slice(0, 63).join(''));
  fc.assert(
    fc.property(
      fc.oneof(name, long),
      fc.string({ unit: 'binary', maxLength: 100 }),
      fc.nat(12),
      (given, deviceName, count) => {
        fc.pre(judgeName(given) === null);
        const taken = new Set<string>();
        for (let made = 0; made <= count; made++) {
          const one = conflictName(given, { deviceName, date: '2026-01-02' }, (candidate) => taken.has(candidate));
          assert.equal(judgeName(one), null);
          assert(!taken.has(one));
          assert(one.endsWith(splitName(given).extension));
          taken.add(one);
        }
      },
    ),
  );
});

test('shortening never cuts a character', () => {
  const family = '👩‍👩‍👧';
  const made = conflictName(`${family.repeat(14)}.txt`, by, free);
  const kept = made.slice(0, made.indexOf(' ('));
  assert.equal(kept, family.repeat(kept.length / family.length));
  assert(kept.length > 0 && utf8(made).length <= 255);
});
