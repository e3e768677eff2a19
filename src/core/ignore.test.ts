import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_RULES, judgeIgnore, parseIgnore } from './ignore.ts';

const ignored = (rules: string, path: string, isFolder = false) => judgeIgnore(parseIgnore(rules), path, isFolder);

const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['node_modules', ['node_modules', 'a/node_modules'], ['node_modules2', 'Node_modules']],
  ['*.tmp', ['.tmp', 'a.tmp', 'x/a.tmp'], ['a.tmp.txt', 'a.TMP']],
  ['/a', ['a'], ['b/a']],
  ['b/a', ['b/a'], ['a', 'c/b/a']],
  ['**/b/a', ['b/a', 'c/b/a', 'd/c/b/a'], ['xb/a']],
  ['a/**', ['a/b', 'a/b/c'], ['a', 'b/a']],
  ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b'], ['ab', 'a/xb']],
  ['a/*', ['a/b'], ['a/b/c']],
  ['a?c', ['abc', 'aäc', 'a😀c'], ['ac', 'abbc']],
  ['[a-c]x', ['ax', 'cx'], ['dx', '-x']],
  ['[!a-c]x', ['dx'], ['ax']],
  ['[[:digit:]]*', ['1a'], ['a1']],
  ['[]-]', [']', '-'], ['a']],
  ['\\#a', ['#a'], ['a']],
  ['\\!a', ['!a'], ['a']],
  ['a\\ ', ['a '], ['a']],
  ['a   ', ['a'], ['a   ']],
  ['a\r', ['a'], ['a\r']],
  ['\ufeffa', ['a'], []],
  ['# a', [], ['a', '# a']],
  ['[a', [], ['[a', 'a']],
  ['a\\', [], ['a', 'a\\']],
  ['', [], ['a']],
  ['a\n!a', [], ['a']],
  ['é', ['é'], ['e\u0301']],
];

for (const [rules, yes, no] of cases) {
  test(`${JSON.stringify(rules)}`, () => {
    for (const path of yes) assert.equal(ignored(rules, path), true, path);
    for (const path of no) assert.notEqual(ignored(rules, path), true, path);
  });
}

test('the last line that matches decides, and a slash at the end asks for a folder', () => {
  assert.equal(ignored('*.log\n!keep.log', 'keep.log'), false);
  assert.equal(ignored('!keep.log\n*.log', 'keep.log'), true);
  assert.equal(ignored('build/', 'build', true), true);
  assert.equal(ignored('build/', 'build', false), null);
});

test('locks of git are ignored at any depth, nothing else of it', () => {
  for (const path of ['.git/index.lock', 'a/.git/index.lock', 'a/.git/refs/heads/main.lock'])
    assert.equal(judgeIgnore(DEFAULT_RULES, path, false), true, path);
  for (const path of ['.git/index', 'package.lock', 'git/a.lock', '.git'])
    assert.equal(judgeIgnore(DEFAULT_RULES, path, false), null, path);
});

test('a hostile pattern costs no more than its length times that of the path', () => {
  const rules = parseIgnore(`x/${'*a'.repeat(200)}b\nx/${'**/'.repeat(200)}b`);
  assert.equal(judgeIgnore(rules, `x/${'a'.repeat(2000)}`, false), null);
});

const directory = mkdtempSync(join(tmpdir(), 'holdfast-ignore-'));
after(() => rmSync(directory, { recursive: true }));

/** What git itself says of these paths; null where there is no git. */
function askGit(rules: string, paths: readonly string[]): ReadonlySet<string> | null {
  writeFileSync(join(directory, '.gitignore'), rules);
  const args = [
    '-c',
    'core.excludesFile=',
    '-c',
    'core.ignoreCase=false',
    'check-ignore',
    '--no-index',
    '-z',
    '--stdin',
  ];
  const ran = spawnSync('git', args, { cwd: directory, input: `${paths.join('\0')}\0`, encoding: 'utf8' });
  if (ran.error) return null;
  assert.ok(ran.status === 0 || ran.status === 1, ran.stderr);
  return new Set(ran.stdout.split('\0').filter((path) => path !== ''));
}

const PIECES = [
  'a',
  'b',
  '*',
  '**',
  '?',
  '/',
  '/',
  '[ab]',
  '[!a]',
  '[a-b]',
  '[',
  ']',
  '\\',
  '!',
  '#',
  ' ',
  '-',
  '.',
  '**/',
  '/**',
  '[[:alpha:]]',
  '[]a]',
  '[^-]',
  '\\*',
  '[a-]',
  '[\\]]',
  '[[:upper:]b]',
  '\r',
  '\t',
  'ab',
];

test('any pattern means what it means to git', (context) => {
  spawnSync('git', ['init', '-q', directory]);
  if (askGit('a', ['a']) === null) return context.skip('there is no git on this machine');
  const names = ['a', 'b', 'ab', 'a.b', 'ba', '.a', '-', '!', ']', 'B', 'a b', '#'];
  const paths: { readonly path: string; readonly isFolder: boolean }[] = [];
  for (const name of names) paths.push({ path: name, isFolder: name === 'b' || name === 'ab' });
  for (const above of ['b', 'ab']) {
    for (const name of names) paths.push({ path: `${above}/${name}`, isFolder: name === 'a' });
    for (const name of names) paths.push({ path: `${above}/a/${name}`, isFolder: false });
  }
  for (const { path, isFolder } of paths) if (isFolder) mkdirSync(join(directory, path), { recursive: true });
  for (const { path, isFolder } of paths) if (!isFolder) writeFileSync(join(directory, path), '');
  const piece = fc.constantFrom(...PIECES);
  const line = fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join(''));
  // Git takes off a plain beginning before it looks at stars, so that it reads `a**/b` as `a` and `**/b`; its manual says otherwise.
  const isAsInTheManual = (text: string) => !/[^/*\n](?<!^!)\*\*/m.test(text);
  const files = fc.array(line.filter(isAsInTheManual), { minLength: 1, maxLength: 3 }).map((lines) => lines.join('\n'));
  const property = fc.property(files, (text) => {
    const rules = parseIgnore(text);
    const ours = new Set<string>();
    for (const { path, isFolder } of paths) {
      const cut = path.lastIndexOf('/');
      if ((cut > 0 && ours.has(path.slice(0, cut))) || judgeIgnore(rules, path, isFolder)) ours.add(path);
    }
    assert.deepEqual(
      [...ours].sort(),
      [
        ...(askGit(
          text,
          paths.map(({ path }) => path),
        ) ?? []),
      ].sort(),
    );
  });
  fc.assert(property, { numRuns: Number(process.env['IGNORE_CASES'] ?? 100), seed: 20300102 });
});
