/** `holdfast kit`: the one text without which all is lost. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import { kitProof, parseKit } from '#core/root-key.ts';
import { kitConfirm } from '#protocol/safety.ts';
import { ask } from '#protocol/call.ts';
import { withServer } from './cluster-commands.ts';
import type { Context } from './context.ts';
import { readIdentity } from './home.ts';
import { shown } from './output.ts';

const GROUPS_ASKED = 2;

export async function kit(
  context: Context,
  options: { readonly data?: string; readonly confirm: boolean },
): Promise<void> {
  const data = dataOf(context, options.data);
  const text = await context.launcher.readKit(data);
  if (text === null)
    throw new HoldfastError(
      'not_found',
      `${shown(data)} holds no root key: name the server's data directory with --data`,
    );
  if (options.confirm) await confirm(context, text);
  else show(context, text);
}

function show(context: Context, text: string): void {
  context.output.value({ kit: text });
  for (const line of text.trimEnd().split('\n')) context.output.line(line);
  context.output.note(
    'Whoever has this can open everything that the storage nodes keep; without it, and without the server, nobody can. Write it down or print it, keep it away from this machine, then: holdfast kit --confirm',
  );
}

async function confirm(context: Context, text: string): Promise<void> {
  const lines = text.trimEnd().split('\n');
  const input = createInterface({ input: process.stdin, output: process.stderr });
  const answers = input[Symbol.asyncIterator]();
  try {
    for (const { line, group } of chosenGroups(context, lines)) {
      context.output.note(`From your copy: line ${line + 1}, group ${group + 1}?`);
      const { value, done } = await answers.next();
      const expected = must(must(lines[line], 'a line of the kit').split(' ')[group], 'a group of the line');
      if (done || normal(String(value)) !== normal(expected))
        throw new HoldfastError('invalid_field', 'that is not what the recovery kit says; nothing was noted');
    }
  } finally {
    input.close();
  }
  const proof = kitProof(context.primitives, parseKit(context.primitives, text));
  await withServer(context, (peer, signal) => ask(peer, kitConfirm, { proof }, signal));
  context.output.value({ recoveryKitConfirmed: true });
  context.output.line('Your copy of the recovery kit is good.');
}

/** One of the first half, one of the second: a copy that was cut short does not pass. */
function chosenGroups(context: Context, lines: readonly string[]): readonly { line: number; group: number }[] {
  const all = lines.flatMap((text, line) => text.split(' ').map((_, group) => ({ line, group })));
  const part = Math.floor(all.length / GROUPS_ASKED);
  return Array.from({ length: GROUPS_ASKED }, (_, index) => {
    const random = must(context.randomBytes(1)[0], 'a byte');
    return must(all[index * part + (random % part)], 'a group of the kit');
  });
}

/** As the kit itself is read (`core/root-key.ts`). */
function normal(group: string): string {
  return group
    .replace(/[\s-]+/g, '')
    .toUpperCase()
    .replace(/O/g, '0')
    .replace(/[IL]/g, '1');
}

function dataOf(context: Context, option: string | undefined): string {
  const asked = option ?? process.env['HOLDFAST_DATA'];
  if (asked) return resolve(asked);
  return readIdentity(context.home)?.dataDirectory ?? (existsSync('data') ? resolve('data') : resolve('.'));
}
