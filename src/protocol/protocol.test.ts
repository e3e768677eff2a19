/**
 * Pins every message. A change that fails here changes the protocol: old devices, nodes and servers meet it. Only additions that both
 * sides of the previous version can live without may keep the version; anything else raises PROTOCOL_VERSION. Then write the new
 * hashes down: HOLDFAST_WRITE_GOLDEN=1 node --test src/protocol/protocol.test.ts
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { z } from 'zod';
import { nodeVerbs, serverVerbs } from '../../test/verbs.ts';
import * as account from './account.ts';

const allVerbs = [...serverVerbs, ...nodeVerbs];

type Pinned = Readonly<Record<string, { callers: string; request: string; response: string }>>;

const golden = new URL('../../test/golden/protocol.json', import.meta.url);

function hashOf(schema: z.ZodType<unknown>): string {
  const text = JSON.stringify(z.toJSONSchema(schema, { io: 'input' }), (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)))
      : value,
  );
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

function pinned(): Pinned {
  const verbs = allVerbs.toSorted((left, right) => (left.name < right.name ? -1 : 1));
  return Object.fromEntries(
    verbs.map(({ name, callers, request, response }) => [
      name,
      { callers, request: hashOf(request), response: hashOf(response) },
    ]),
  );
}

test('no message changes without a new version of the protocol', () => {
  const present = { version: account.PROTOCOL_VERSION, verbs: pinned() };
  if (process.env['HOLDFAST_WRITE_GOLDEN'] === '1') writeFileSync(golden, `${JSON.stringify(present, null, 2)}\n`);
  const stored = JSON.parse(readFileSync(golden, 'utf8')) as typeof present;
  assert.deepEqual(present, stored, 'the messages are not those that were pinned: see the head of this file');
});

test('every verb has a name of its own, and is written in the documentation', () => {
  const names = allVerbs.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  const documentation = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');
  for (const { name, callers } of allVerbs)
    assert.ok(documentation.includes(`| \`${name}\` | ${callers} |`), `docs/protocol.md lists ${name} for ${callers}`);
});

test('every request and every answer refuses fields that nobody knows', () => {
  for (const { name, request } of allVerbs) {
    const parsed = request.safeParse({ somethingElse: 1 });
    assert.ok(!parsed.success, name);
    assert.ok(JSON.stringify(parsed.error.issues).includes('somethingElse'), name);
  }
});
