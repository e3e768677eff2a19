/** The walls of the house that the type check cannot hold: private sub-folders, and what a room may not name. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
const isTest = (path: string): boolean => /\.(test|contract)\.ts$/.test(path);
const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && path !== 'ambient.d.ts')
  .map((path) => ({
    path,
    room: path.includes('/') ? (path.split('/')[0] as string) : 'main',
    text: readFileSync(join(root, path), 'utf8'),
  }));

/** Left to right, as the arrows of the architecture point: a room may import those of its list. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  core: [],
  protocol: ['core'],
  world: ['core', 'protocol'],
  blocks: ['core', 'protocol', 'world'],
  meta: ['core', 'world'],
  server: ['core', 'protocol', 'world', 'blocks', 'meta'],
  storage: ['core', 'protocol', 'world', 'blocks'],
  client: ['core', 'protocol', 'world', 'blocks'],
  rescue: ['core', 'world', 'blocks', 'meta', 'server'],
  cli: ['core', 'protocol', 'world', 'client', 'server', 'storage'],
  main: ['core', 'protocol', 'world', 'blocks', 'meta', 'server', 'storage', 'client', 'rescue', 'cli'],
};

const importsOf = (text: string): readonly string[] =>
  [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] as string);

test('every room is known, and imports only rooms to its left', () => {
  for (const { path, room, text } of sources) {
    assert.ok(mayImport[room], `${path}: a room that the architecture does not name`);
    if (isTest(path)) continue;
    for (const name of importsOf(text)) {
      const other = /^#([a-z]+)\//.exec(name)?.[1];
      if (other && other !== room) assert.ok(mayImport[room].includes(other), `${path} may not import ${name}`);
      if (name.startsWith('.') && room !== 'main') {
        const target = relative(root, join(root, dirname(path), name));
        assert.equal(target.split('/')[0], room, `${path}: ${name} leaves its room; import by #room/`);
      }
    }
  }
});

test('the sub-folders of a family of doors are private: only main and tests name adapters', () => {
  for (const { path, room, text } of sources) {
    if (isTest(path) || room === 'main') continue;
    for (const name of importsOf(text)) {
      const family = /^#(world|blocks|meta)\/[^/]+\//.exec(name)?.[1];
      assert.ok(!family || path.startsWith(`${family}/`), `${path} names the adapter ${name}; ask for its door`);
    }
  }
});

test('clock, randomness, timers and the host come in through doors', () => {
  const host = ['world/real/', 'cli/'];
  const banned = [
    /\bDate\.now\b/,
    /\bnew Date\(\)/,
    /\bMath\.random\b/,
    /\bset(Timeout|Interval|Immediate)\b/,
    /'node:/,
    /\bperformance\./,
    /\bprocess\./,
    /\bcrypto\./,
  ];
  for (const { path, room, text } of sources) {
    if (isTest(path) || room === 'main' || host.some((prefix) => path.startsWith(prefix))) continue;
    const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
    for (const pattern of banned) assert.ok(!pattern.test(code), `${path} names ${pattern.source}`);
  }
});

test('no file is called after nothing in particular', () => {
  for (const { path } of sources)
    assert.doesNotMatch(basename(path), /^(utils?|helpers?|common|manager|misc|index)\b/, path);
});
