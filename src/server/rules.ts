/** Placement rules: which pool a file's bytes go to. */
import { toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { poolOf } from '#core/rules.ts';
import { allPools, allRules, insertRules, removeRule, shiftRules, type StoredRule } from '#meta/clusters.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import { rulesAdd, rulesList, rulesRemove, rulesTest, type RuleRow } from '#protocol/cluster.ts';
import { deviceRoute } from './identity.ts';
import type { ServerContext } from './server-context.ts';

const RULES_MAX = 1000;
/** Between two renumberings this many rules can be put first. */
const ROOM = 1000;

export function ruleRoutes({ meta, random }: ServerContext) {
  return [
    deviceRoute(rulesList, async () => {
      const rules = await meta.read(allRules);
      return { response: { rules: rules.map(rowOf) }, parts: [] };
    }),
    deviceRoute(rulesAdd, async ({ extensions, pool, first }) => {
      const added = await meta.write(async (writer) => {
        if (!(await allPools(writer)).some((known) => known.pool === pool))
          throw new HoldfastError('invalid_field', `pool: there is no pool "${pool}"`);
        if (first) await makeRoom(writer);
        const rules = await allRules(writer);
        if (rules.length >= RULES_MAX) throw new HoldfastError('too_large', `there are ${RULES_MAX} rules at most`);
        const rule = { rule: toHex(random.bytes(4)), position: positionFor(rules, first), extensions, pool };
        await insertRules(writer, [rule]);
        return rule;
      });
      return { response: { rule: added }, parts: [] };
    }),
    deviceRoute(rulesRemove, async ({ rule }) => {
      await meta.write(async (writer) => {
        if (!(await allRules(writer)).some((known) => known.rule === rule))
          throw new HoldfastError('not_found', `there is no rule "${rule}"`);
        await removeRule(writer, rule);
      });
      return { response: {}, parts: [] };
    }),
    deviceRoute(rulesTest, async (file) => {
      const found = poolOf(await meta.read(allRules), file);
      return { response: { pool: found.pool, rule: found.rule ? rowOf(found.rule) : null }, parts: [] };
    }),
  ];
}

/** Positions are not below 0: where the first place is taken, all rules move up. */
async function makeRoom(writer: MetaWriter): Promise<void> {
  const rules = await allRules(writer);
  if (rules[0]?.position === 0) await shiftRules(writer, ROOM);
}

function positionFor(rules: readonly StoredRule[], first: boolean): number {
  const positions = rules.map(({ position }) => position);
  if (positions.length === 0) return ROOM;
  return first ? Math.min(...positions) - 1 : Math.max(...positions) + 1;
}

function rowOf({ rule, position, extensions, pool }: StoredRule): RuleRow {
  return { rule, position, extensions: [...extensions], pool };
}
