/**
 * The named moments at which a running role can be killed. A role knows nothing of them: `preload.ts` puts `doors.ts` between the role and the
 * doors that it is given, and those say here what has just been passed. Which one kills is written in a file, by whoever runs the test.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export type Between = 'put and commit' | 'commit and reply' | 'place and database' | 'append and reply';
export type Victim = 'device' | 'server' | 'node';

/** What a kill there comes between. */
export const POINTS = {
  'device: large blocks put, commit not sent': 'put and commit',
  'device: commit written down, not sent': 'put and commit',
  'server: blocks on the nodes, commit not decided': 'put and commit',
  'server: commit decided, not durable': 'put and commit',
  'server: commit durable, not answered': 'commit and reply',
  'server: answer made, not sent': 'commit and reply',
  'device: commit answered, answer not recorded': 'commit and reply',
  'device: files placed, not recorded': 'place and database',
  'device: files recorded, not flushed': 'place and database',
  'device: files flushed, not agreed on': 'place and database',
  'node: blocks appended, not synced': 'append and reply',
  'node: blocks synced, not in the index': 'append and reply',
  'node: blocks in the index, not acknowledged': 'append and reply',
} as const satisfies Record<string, Between>;
/**
 * What a server does unasked, and a change of rules: in the order in which one follows another. They have their own proof (`upkeep.ts`), since a person's
 * work alone comes to none of them.
 */
export const UPKEEP_POINTS = [
  'server: rules changed, not durable',
  'server: rules changed, not answered',
  'server: files judged by new rules, not durable',
  'server: files judged by new rules',
  'server: blocks in the new pool, not written down',
  'server: move decided, not durable',
  'server: move durable',
  'server: mark begun, not durable',
  'server: mark begun',
  'server: rows condemned, not durable',
  'server: rows condemned',
  'server: rows removed, not durable',
  'server: rows removed',
  'server: delete order decided, not durable',
  'server: delete order decided, not sent',
  'server: delete order carried out, answer not written down',
  'server: answer to a delete order not durable',
  'server: answer to a delete order written down',
  'server: garbage forgotten, not durable',
  'server: garbage forgotten',
] as const;
export type UpkeepPoint = (typeof UPKEEP_POINTS)[number];
export type Point = keyof typeof POINTS;

export const points = Object.keys(POINTS) as Point[];
export const victimOf = (point: Point | UpkeepPoint): Victim => point.slice(0, point.indexOf(':')) as Victim;

/** The role looks into the file of this name: a point, and the how manyth passage from then on is the last. */
export const ARMED_FILE = 'HOLDFAST_TEST_KILL_AT';
/** With this, the power of the disks under these directories (`:` between them) is cut at the point, and only then does the role end. */
export const CUT_DISKS = 'HOLDFAST_TEST_CUT_DISKS';
export const CUT_POWER = fileURLToPath(new URL('./cut-power.py', import.meta.url));
/** Written beside it in the last moment. */
export const killedFile = (armed: string): string => `${armed}.killed`;

export const armedText = (point: Point | UpkeepPoint, passage: number): string => `${passage} ${point}`;

/** How often the power was cut, written beside it by whoever cuts it. */
export const cutsFile = (armed: string): string => `${armed}.cuts`;

export function powerCuts(): string {
  const armed = process.env[ARMED_FILE];
  return armed && existsSync(cutsFile(armed)) ? readFileSync(cutsFile(armed), 'utf8') : '0';
}

let text = '';
let passages = 0;

/** Ends this process, without anything more, where this passage is the one. */
export function passed(point: Point | UpkeepPoint): void {
  const armed = process.env[ARMED_FILE];
  if (!armed || !existsSync(armed)) return;
  const now = readOrEmpty(armed);
  if (now !== text) [text, passages] = [now, 0];
  const space = now.indexOf(' ');
  if (now.slice(space + 1) !== point) return;
  passages += 1;
  if (passages < Number(now.slice(0, space))) return;
  writeFileSync(killedFile(armed), now);
  const disks = process.env[CUT_DISKS];
  if (disks) execFileSync('python3', [CUT_POWER, ...disks.split(':')]);
  process.kill(process.pid, 'SIGKILL');
}

/** It may be taken away at any moment. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
