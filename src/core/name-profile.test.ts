import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROOT_ENTRY, type EntryId } from './ids.ts';
import { limits } from './limits.ts';
import { judgeName } from './name.ts';
import { aliasName, EXACT_NAMES, isRefused, isSpelling, nameFound, spotOf, type NameProfile } from './name-profile.ts';
import { utf8 } from './bytes.ts';

const NFC = '\u00e9';
const NFD = 'e\u0301';
const FOLDER = 'f'.repeat(32) as EntryId;
const profile = (changes: Partial<NameProfile>): NameProfile => ({ ...EXACT_NAMES, ...changes });

test('what a disk does not tell apart has one spot', () => {
  const isOne = (names: NameProfile, left: string, right: string) => spotOf(names, left) === spotOf(names, right);
  const folding = profile({ letterCase: 'kept' });
  const normalising = profile({ forms: 'kept' });
  const both = profile({ letterCase: 'changed', forms: 'changed' });
  assert.deepEqual(
    [EXACT_NAMES, folding, normalising, both].map((names) => [
      isOne(names, 'a', 'A'),
      isOne(names, NFC, NFD),
      isOne(names, NFC, NFD.toUpperCase()),
      isOne(names, 'a', 'b'),
    ]),
    [
      [false, false, false, false],
      [true, false, false, false],
      [false, true, false, false],
      [true, true, true, false],
    ],
  );
  assert.ok(isOne(folding, 'STRASSE', 'stra\u00dfe'));
});

test('a spelling is what the disk makes of a name, and not what a person does', () => {
  const kept = profile({ letterCase: 'kept', forms: 'kept' });
  assert.ok(isSpelling(kept, NFC, NFD), 'a form is nobody’s wish');
  assert.ok(!isSpelling(kept, 'a', 'A'), 'a case is a wish, where the disk keeps it');
  assert.ok(isSpelling(profile({ letterCase: 'changed' }), 'Read.Me', 'read.me'));
  assert.ok(!isSpelling(EXACT_NAMES, NFC, NFD));
  assert.equal(nameFound(profile({ forms: 'changed' }), NFD), NFC);
  assert.equal(nameFound(profile({ forms: 'kept' }), NFD), NFD);
});

test('what Windows refuses', () => {
  const windows = profile({ refuses: 'windows' });
  const refused = [
    'con',
    'CON.txt',
    'Aux',
    'nul.tar.gz',
    'com1',
    'LPT9.x',
    'com\u00b2',
    'conin$',
    'nul .txt',
    'a.',
    'a ',
    'a:b',
    'a?',
    'a*b',
    '"a"',
    'a|b',
    'a\\b',
    '<a>',
  ];
  const allowed = ['cone', 'a.con', 'com', 'com10', 'lpt', 'nullify', '.a', ' a', 'a b', 'aux-1', '...a'];
  for (const name of [...refused, ...allowed]) {
    assert.equal(judgeName(name), null, name);
    assert.equal(isRefused(windows, FOLDER, name), refused.includes(name), name);
    assert.ok(!isRefused(EXACT_NAMES, FOLDER, name), name);
  }
});

test('nothing takes the place of the folder’s own directory', () => {
  const folding = profile({ letterCase: 'kept' });
  assert.ok(isRefused(EXACT_NAMES, ROOT_ENTRY, '.holdfast'));
  assert.ok(isRefused(folding, ROOT_ENTRY, '.HoldFast'));
  assert.ok(!isRefused(EXACT_NAMES, ROOT_ENTRY, '.HoldFast'));
  assert.ok(!isRefused(folding, FOLDER, '.holdfast'));
});

test('what is no name is refused everywhere: it could be a place in another folder', () => {
  for (const name of ['', '.', '..', 'a/b', '/a', 'a\0b']) assert.ok(isRefused(EXACT_NAMES, FOLDER, name), name);
});

test('aliases', () => {
  const free = () => false;
  assert.equal(aliasName('Plan.txt', free), 'Plan (case clash).txt');
  assert.equal(aliasName('Makefile', free), 'Makefile (case clash)');
  assert.equal(aliasName('.env', free), '.env (case clash)');
  const taken = new Set(['a (case clash).c', 'a (case clash 2).c']);
  assert.equal(
    aliasName('a.c', (name) => taken.has(name)),
    'a (case clash 3).c',
  );
  for (const name of ['x'.repeat(255), `${'\u{1f600}'.repeat(63)}.md`, `${NFD.repeat(85)}`]) {
    const alias = aliasName(name, free);
    assert.ok(utf8(alias).length <= limits.nameBytesMax && judgeName(alias) === null, alias);
    assert.ok(alias.includes(' (case clash)'));
  }
});
