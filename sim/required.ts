/**
 * What a published run must have seen, each at least a hundred times: all faults, all that people do, the answers that a simulated world can
 * give, and the end of each role at each of its effects. What is left out, and why, is below it.
 */
import type { Counts } from './coverage.ts';
import { faults } from './faults.ts';

export const SEEN_AT_LEAST = 100;
/** From so many seeds on a run is one to publish. */
export const PUBLISHED_SEEDS = 2000;

/** Names with commas, since a line each would hide what belongs together. */
const each = (names: string): readonly string[] => names.split(', ');

const ACTS = each(
  'create, write, append, same size, save, save by backup, copy, delete and create, change kind, delete file, delete folder, make folder, delete and make folder, ' +
    'rename file, rename file over, rename folder, move file, move file over, move folder, swap, symlink, hard link, exec bit, select, deselect',
);

const ANSWERS = each(
  'applied, conflict changed, conflict gone, conflict parent_gone, conflict exists, conflict cycle, name_taken, group_failed, pool_unavailable, ' +
    'settle answered, settle void, prepare ready, prepare pool_unavailable, pull rows, pull reset epoch_changed, pull reset cursor_expired, ' +
    'attach attached, attach reconcile, contents found, contents unavailable, blocks found, blocks storage_unavailable, ' +
    'node-put stored, node-put held, node-put no_space, node-get found',
);

const CALLS = each('commit, contents, pull, settle, node-get, node-put, node-status').flatMap((verb) => [
  `lose request ${verb}`,
  `lose answer ${verb}`,
  `repeat ${verb}`,
]);
const NET = [
  ...CALLS,
  ...each('refuse timeout commit, refuse voided commit, refuse superseded commit, damage contents'),
];

const ENDS = each(
  'device folder apply, device folder flush, device folder list, device folder look, device folder seal, device files fsync, ' +
    'server meta begin, server meta committed, server serve commit, server answer commit, server serve contents, server answer contents, ' +
    'node disk append, node disk sync, node disk read, node serve node-put, node answer node-put, node serve node-get',
);

/*
 * Left out, since no world has it: `forbidden` and `invalid` (no honest client sends what is refused so), `not_empty` (other answers
 * come first), `need_blocks` and `unknown` (what is collected is named by nobody), damaged blocks on a node's disk (nothing damages what was synced). And
 * since hardly any has it: `held` (what people do here is ordinary, and nothing is older than a day).
 */

export function required(): readonly string[] {
  return [
    ...faults.map(({ name }) => `fault: ${name}`),
    ...ACTS.map((act) => `person: ${act}`),
    ...ANSWERS.map((answer) => `answer: ${answer}`),
    ...NET.map((event) => `net: ${event}`),
    ...ENDS.map((end) => `ended at: ${end}`),
    'round: alone, exactly',
    'round: all at once',
    'round: a part left out',
    'round: rules come and go',
    'round: history ended',
    'copies: of a rule',
    'round: what nobody touched',
    'people: into each other',
    'people: away as another comes',
    'people: one of two goes',
    'people: in the last moment',
    'people: while it looks',
    'people: as it is answered',
    'people: as another sends',
    'people: as it is flushed',
    'people: as the disk is pulled',
    'people: while it is down',
    'people: as the power goes',
    'people: choose in the moment',
    'people: ignore in the moment',
    'people: slowly',
    'people: a quick reply',
    'choices: all selected again',
    'cloned: a machine',
    'cloned: apart',
  ];
}

/** What was not seen often enough, with how often it was. */
export function lacking(counts: Counts): string[] {
  return required()
    .filter((what) => (counts[what] ?? 0) < SEEN_AT_LEAST)
    .map((what) => `${what}: ${counts[what] ?? 0}`);
}
