/**
 * In some worlds rules end history after a day, and days are short: older revisions and what was deleted are purged, and their bytes collected, while
 * people work and things go wrong. It changes nothing of what must hold: nothing that anybody still has is only history.
 */
import type { Rule } from '#core/rules.ts';
import { allRules, replaceRules } from '#meta/clusters.ts';
import type { JournalKept } from '#server/journal-trim.ts';
import { limits } from '#core/limits.ts';
import { must } from '#core/assert.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import type { World } from './world.ts';

/** Much shorter than a round. */
const DAY_MS = 3000;

export function historyEnds(seed: string): boolean {
  return new SimRandom(`${seed} history`).chance(0.25);
}

export function journalKeptIn(seed: string): JournalKept {
  const kept = new SimRandom(`${seed} journal`).chance(0.3)
    ? { ...limits.journalKept, days: 0, rows: 3 }
    : limits.journalKept;
  return historyEnds(seed) ? { ...kept, dayMs: DAY_MS } : kept;
}

/** Every file's, some sooner. */
export async function letHistoryEnd(world: World): Promise<void> {
  await must(world.server.meta, 'the server runs').write(async (writer) => {
    const rules = (await allRules(writer)).map((rule) => ({ ...rule, historyDays: 1 }));
    const last: Rule = { rule: 'all', position: 10_000, extensions: [], glob: '*', pool: 'others', historyDays: 2 };
    await replaceRules(writer, [...rules, last]);
  });
}

/** When all is quiet: how much was purged by then is no business of anybody's, but that something is. */
export async function noteEnded(world: World): Promise<void> {
  const { meta } = world.server;
  if (!meta) return;
  const some = await world.drive(meta.read(({ db }) => db.selectFrom('purged').select('chunk').executeTakeFirst()));
  if (some) world.coverage.add('round: history ended');
}
