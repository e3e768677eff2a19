import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Defect } from '#core/assert.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import { ROOT_ENTRY, TRASH_ENTRY } from '#core/ids.ts';
import { verifyStep, type Finding } from '#protocol/safety.ts';
import type { Caller } from '#protocol/wire.ts';
import { RandomMessages } from '../../test/random-messages.ts';
import { serverVerbs } from '../../test/verbs.ts';
import { folder, newId, ServerRig, type RigDevice } from '../../test/server-rig.ts';

const SEED = process.env['NONSENSE_SEED'] ?? String(Math.floor(Math.random() * 1e9));
const MESSAGES = Number(process.env['NONSENSE_MESSAGES'] ?? 3000);
/** A pull is held, a mark and a walk take their time: an answer that does not come soon is no fault here. */
const PATIENCE_MS = 100;

/** Without what would end the rest of the test, and what a rig cannot do. */
const verbs = serverVerbs.filter(({ name }) => !/^(devices-revoke|backup)/.test(name));

/** Who says it and where, as it should be, in those fields that the request has. */
async function fitting(device: RigDevice, request: object): Promise<object> {
  const standing = 'install' in request && 'cursor' in request ? await device.standing() : { space: device.space };
  return Object.fromEntries(Object.entries(standing).filter(([name]) => name in request));
}

test(`no request makes a defect, whatever is in it, and the tree stays whole (seed ${SEED})`, {
  timeout: 120_000,
}, async (context) => {
  const rig = await ServerRig.start();
  context.after(() => rig.close());
  const one = await rig.link('one');
  const other = await rig.link('other');
  const inside = newId<never>();
  await one.each([folder(ROOT_ENTRY, 'a folder', inside)]);
  const files = await one.createMany(5, 'file');
  const { rows, head } = await one.listAll();
  const known: unknown[] = [one.space, ROOT_ENTRY, TRASH_ENTRY, inside, one.install, one.session, one.device];
  known.push(other.device, head.epoch, head.chain, head.seq, 1, 'others', 'txt');
  for (const row of rows) if (row.kind === 'entry') known.push(row.entry.entry, row.entry.name);
  for (const { manifestId, content, blocks } of files)
    known.push(manifestId, content.contentId, ...blocks.map(({ id }) => id));
  for (const { node } of rig.nodes) known.push(node);
  const messages = new RandomMessages(SEED, known);
  const bytes = [
    ...files.flatMap(({ manifest, blocks }) => [manifest, ...blocks.map((block) => block.bytes)]),
    new Uint8Array(),
  ];
  const ofTheTree = verbs.filter(({ name }) => ['commit', 'prepare', 'need', 'put', 'settle', 'attach'].includes(name));
  const told = new Map<string, number>();
  for (let count = 0; count < MESSAGES; count++) {
    const verb = messages.pick(messages.chance(4) ? ofTheTree : verbs);
    const caller: Caller = messages.chance(9)
      ? { kind: 'bearer', token: one.token, address: 'here' }
      : messages.pick([
          { kind: 'anonymous', address: 'here' },
          { kind: 'pinned', pin: '0'.repeat(64), address: 'here' },
        ] as const);
    const parts = Array.from({ length: messages.pick([0, 0, 1, 1, 2, 3]) }, () =>
      messages.chance(7) ? messages.pick(bytes) : randomBytes(messages.pick([0, 1, 64, 300])),
    );
    const made = messages.of(verb);
    // Else hardly any would get as far as the tree.
    const body = messages.chance(8) ? { ...(made as object), ...(await fitting(one, made as object)) } : made;
    try {
      await rig.server.handler(
        verb.name,
        { body, parts: parts.map((part) => new Uint8Array(part)) },
        caller,
        AbortSignal.timeout(PATIENCE_MS),
      );
      told.set('answered', (told.get('answered') ?? 0) + 1);
    } catch (error) {
      const isAborted = error instanceof DOMException && error.name === 'TimeoutError';
      assert.ok(
        isAborted || (error instanceof HoldfastError && error.code !== 'defect'),
        `${verb.name} ${JSON.stringify(body)} with parts of ${parts.map(({ length }) => length).join(', ')}: ${error instanceof Error ? error.stack : error}`,
      );
      assert.ok(!(error instanceof Defect));
      const code = isAborted ? 'aborted' : (error as HoldfastError).code;
      told.set(code, (told.get(code) ?? 0) + 1);
    }
  }
  assert.ok((told.get('answered') ?? 0) > MESSAGES / 10, `too few got anywhere: ${JSON.stringify([...told])}`);
  await rig.restart();
  const findings: Finding[] = [];
  for (let at: string | null = null, more = true; more; more = at !== null) {
    const { response }: { response: { at: string | null; findings: Finding[] } } = await one.ask(verifyStep, {
      full: false,
      at,
    });
    findings.push(...response.findings);
    at = response.at;
  }
  assert.deepEqual(
    findings.filter(({ about }) => about === 'tree' || about === 'journal'),
    [],
  );
});

test('what is no object, or holds what no message has, is refused for every verb', async (context) => {
  const rig = await ServerRig.start();
  context.after(() => rig.close());
  const one = await rig.link('one');
  const texts = [
    'null',
    '1',
    '"x"',
    '[]',
    '{"__proto__":{}}',
    '{"constructor":{}}',
    `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
  ];
  const caller: Caller = { kind: 'bearer', token: one.token, address: 'here' };
  for (const { name } of verbs)
    for (const text of texts) {
      const body: unknown = JSON.parse(text);
      const answer = rig.server.handler(name, { body, parts: [] }, caller, AbortSignal.timeout(10_000));
      await assert.rejects(
        answer,
        (error) => hasCode(error, 'invalid_field', 'forbidden'),
        `${name} ${text.slice(0, 40)}`,
      );
    }
});
