/** `holdfast why PATH`: the story of one file. */
import { posix } from 'node:path';
import { poolOfNodes } from '#core/pool-name.ts';
import { ask } from '#protocol/call.ts';
import { why, type CopyFault, type Story, type StoryRow } from '#protocol/why.ts';
import { when, withServer } from './cluster-commands.ts';
import type { Context } from './context.ts';
import { bytesText, shown, table } from './output.ts';
import { criteriaText, daysCount } from './rules.ts';
import { ownSpace } from './spaces.ts';

/** A long journal is read as a whole. */
const WHY_MS_MAX = 120_000;

export async function whyCommand(context: Context, path: string, which: string | null): Promise<void> {
  const asked = posix.normalize(path).replace(/^\.?\/+/, '');
  const story = await withServer(
    context,
    async (peer, signal) => {
      const { space } = await ownSpace(peer, which, signal);
      return (await ask(peer, why, { space, path: asked }, signal)).response;
    },
    WHY_MS_MAX,
  );
  context.output.value(story);
  for (const line of storyLines(story, asked)) context.output.line(line);
}

function storyLines(story: Story, asked: string): readonly string[] {
  const { path, kind, deleted, placed, conflictOf, conflicts, held } = story;
  const lines = [`${shown(path)}: a ${kind}${placed ? ` of ${bytesText(placed.size)}` : ''}.`];
  if (path !== asked) lines.push(`It was ${shown(asked)} once.`);
  if (deleted) {
    const with_ = deleted.with === null ? '' : `, with all of ${shown(deleted.with)}`;
    const at = deleted.atMs === null ? '' : ` on ${when(deleted.atMs)}`;
    const left = deleted.purged ? 'its time in the trash is over, and it does not come back' : 'it is in the trash';
    lines.push(`Deleted by ${shown(deleted.device.name)}${at}${with_}; ${left}.`);
  }
  if (placed) lines.push(...placedLines(placed));
  if (conflictOf)
    lines.push(
      `A conflict's copy of ${shown(conflictOf.of)}${conflictOf.device ? `, from ${shown(conflictOf.device)}` : ''}, ${conflictOf.date}.`,
    );
  for (const copy of conflicts) lines.push(`A conflict left a copy beside it: ${shown(copy)}.`);
  for (const hold of held) lines.push(`A change of it waits for your yes: holdfast holds approve ${hold}, or reject.`);
  lines.push('History:');
  if (story.more) lines.push('  (older events are left out)');
  lines.push(...table(story.events.map(eventCells)));
  return lines;
}

function placedLines(placed: NonNullable<Story['placed']>): readonly string[] {
  const { pool, poolWanted, rule, moved, blocks, storedBytes, copies, copiesWanted } = placed;
  const reason = rule ? `by rule ${rule.rule} (${criteriaText(rule)})` : 'as no rule names another pool';
  const place =
    pool === poolWanted ? `In pool ${pool}, ${reason}` : `In pool ${pool}, on its way to pool ${poolWanted}, ${reason}`;
  const protection =
    copies < copiesWanted ? `${copies} of ${copiesWanted} copies` : `${copies} ${copies === 1 ? 'copy' : 'copies'}`;
  const lines = [
    `${place}: ${blocks} ${blocks === 1 ? 'block' : 'blocks'}, ${bytesText(storedBytes)} stored, ${protection}.`,
  ];
  if (rule?.historyDays !== undefined)
    lines.push(`Older versions of it are kept for ${daysCount(rule.historyDays)}, and so is what is deleted.`);
  if (moved) lines.push(`Moved there from pool ${moved.from} on ${when(moved.atMs)}.`);
  for (const node of placed.nodes)
    lines.push(
      `  node ${shown(node.name)} (${node.node.slice(0, 8)}) holds ${node.blocks} of ${blocks}${node.pool === poolOfNodes(pool) ? '' : `, left in pool ${node.pool} until they are collected`}`,
    );
  for (const { node, why: fault, blocks: count, atMs } of placed.faults)
    lines.push(`On ${when(atMs)} node ${shown(node)} ${FAULTS[fault]} ${blocksText(count)}.`);
  for (const { from, to, blocks: count, atMs } of placed.repairs)
    lines.push(
      `Repaired on ${when(atMs)}: ${blocksText(count)} copied${from.length > 0 ? ` from ${from.map(shown).join(' or ')}` : ''} to ${to.map(shown).join(', ')}.`,
    );
  return lines;
}

const FAULTS: Readonly<Record<CopyFault, string>> = {
  missing: 'had lost its copy of',
  corrupt: 'had damaged its copy of',
  wrong_bytes: 'sent other bytes for',
  wrong_proof: 'could not prove that it holds',
  not_there: 'was found without',
};

const blocksText = (count: number): string => `${count} ${count === 1 ? 'block' : 'blocks'}`;

function eventCells({ kind, atMs, device, size, path, from, kept }: StoryRow): readonly string[] {
  const what = {
    created: `created as ${shown(path)}`,
    known: `as far as is recorded: ${shown(path)}`,
    changed: 'changed',
    renamed: `renamed from ${shown(from ?? '')}`,
    moved: `moved from ${shown(from ?? '')}`,
    deleted: `deleted from ${shown(path)}`,
    restored: `brought back${from === null ? '' : ` from ${shown(from)}`}`,
  }[kind];
  const showsSize = size !== null && (kind === 'created' || kind === 'changed' || kind === 'known');
  return [
    '',
    when(atMs),
    shown(device.name),
    `${what}${showsSize ? `, ${bytesText(size)}` : ''}${showsSize && !kept ? ' (kept no more)' : ''}`,
  ];
}
