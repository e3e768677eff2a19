/** Placement rules: which pool a file's bytes go to. */
import { toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { judgeCriteria, type Rule } from '#core/rules.ts';
import { findAccount } from '#meta/accounts.ts';
import { allPools, allRules, insertRules, removeRule, replaceRules, shiftRules } from '#meta/clusters.ts';
import type { MetaReader, MetaWriter } from '#meta/meta-store.ts';
import { addPlacingEverywhere, placingState, putPlacingState } from '#meta/placing.ts';
import { allSpaces, spacesOf } from '#meta/spaces.ts';
import {
  rulesAdd,
  rulesApply,
  rulesList,
  rulesPurge,
  rulesRemove,
  rulesTest,
  rulesTry,
  type ProposedRule,
} from '#protocol/cluster.ts';
import { must } from '#core/assert.ts';
import { ROOT_ENTRY } from '#core/ids.ts';
import { deviceRoute } from './identity.ts';
import { Placement } from './placement.ts';
import { makePoolsOf } from './standing.ts';
import { tryPurge, tryRules } from './rules-try.ts';
import type { ServerContext } from './server-context.ts';

const RULES_MAX = 1000;
/** Between two renumberings this many rules can be put first. */
const ROOM = 1000;

export function ruleRoutes(context: ServerContext) {
  const { meta, random, clock, nodes } = context;
  const newName = () => toHex(random.bytes(4));
  return [
    deviceRoute(rulesList, async (_request, { identity }) => ({
      response: await meta.read(async (reader) => ({
        rules: (await allRules(reader)).map(rowOf),
        pending: (await placingState(reader)).pending,
        owner: must(await findAccount(reader, identity.account), 'a device has an account').name,
      })),
      parts: [],
    })),
    deviceRoute(rulesAdd, async ({ first, ...proposed }) => {
      const added = await meta.write(async (writer) => {
        await judge(writer, [proposed]);
        if (first) await makeRoom(writer);
        const rules = await allRules(writer);
        if (rules.length >= RULES_MAX) throw new HoldfastError('too_large', `there are ${RULES_MAX} rules at most`);
        const rule = { ...proposed, rule: newName(), position: positionFor(rules, first) };
        await insertRules(writer, [rule]);
        await makePoolsOf(context, writer, [rule]);
        await notePending(writer);
        return rule;
      });
      await nodes.reload();
      return { response: { rule: rowOf(added) }, parts: [] };
    }),
    deviceRoute(rulesRemove, async ({ rule }) => {
      await meta.write(async (writer) => {
        if (!(await allRules(writer)).some((known) => known.rule === rule))
          throw new HoldfastError('not_found', `there is no rule "${rule}"`);
        await removeRule(writer, rule);
        await notePending(writer);
      });
      return { response: {}, parts: [] };
    }),
    deviceRoute(rulesTest, async ({ rules, folder, name, size, ageMs }, { identity }) => {
      const found = await meta.read(async (reader) => {
        const proposed = await asRules(reader, rules ?? null, newName);
        const [own] = await spacesOf(reader, identity.account);
        const placement = await Placement.of(reader, proposed, must(own, 'an account has a space'), ageMs ?? 0);
        const path = folder === undefined ? name : `${folder}/${name}`;
        return placement.find(null, { parent: ROOT_ENTRY, name: path, size, revisedMs: 0 });
      });
      return { response: { pool: found.pool, rule: found.rule ? rowOf(found.rule) : null }, parts: [] };
    }),
    deviceRoute(rulesTry, async ({ rules, after }) => ({
      response: await meta.read(async (reader) =>
        tryRules(context, reader, await asRules(reader, rules, newName), after),
      ),
      parts: [],
    })),
    deviceRoute(rulesPurge, async ({ rules, at }) => ({
      response: await meta.read(async (reader) =>
        tryPurge(reader, await asRules(reader, rules, newName), at, clock.nowMs()),
      ),
      parts: [],
    })),
    deviceRoute(rulesApply, async ({ rules }) => {
      const applied = await meta.write(async (writer) => {
        const proposed = await asRules(writer, rules, newName);
        if (rules !== null) await replaceRules(writer, proposed);
        await makePoolsOf(context, writer, proposed);
        const spaces = await allSpaces(writer);
        await addPlacingEverywhere(
          writer,
          spaces.map(({ space }) => space),
        );
        await putPlacingState(writer, { pending: false, placedMs: clock.nowMs() });
        return proposed;
      });
      await nodes.reload();
      return { response: { rules: applied.map(rowOf) }, parts: [] };
    }),
  ];
}

/** Null: as they are. Throws `invalid_field` where they cannot be. */
async function asRules(
  reader: MetaReader,
  proposed: readonly ProposedRule[] | null,
  newName: () => string,
): Promise<readonly Rule[]> {
  if (proposed === null) return allRules(reader);
  await judge(reader, proposed);
  const names = proposed.flatMap(({ rule }) => rule ?? []);
  if (new Set(names).size !== names.length) throw new HoldfastError('invalid_field', 'rules: two have the same name');
  return proposed.map((rule, index) => ({ ...rule, rule: rule.rule ?? newName(), position: ROOM + index }));
}

async function judge(reader: MetaReader, rules: readonly ProposedRule[]): Promise<void> {
  const pools = new Set((await allPools(reader)).map(({ pool }) => pool));
  for (const rule of rules) {
    if (!pools.has(rule.pool)) throw new HoldfastError('invalid_field', `pool: there is no pool "${rule.pool}"`);
    const why = judgeCriteria(rule);
    if (why !== null) throw new HoldfastError('invalid_field', why);
  }
}

async function notePending(writer: MetaWriter): Promise<void> {
  await putPlacingState(writer, { ...(await placingState(writer)), pending: true });
}

/** Positions are not below 0: where the first place is taken, all rules move up. */
async function makeRoom(writer: MetaWriter): Promise<void> {
  const rules = await allRules(writer);
  if (rules[0]?.position === 0) await shiftRules(writer, ROOM);
}

function positionFor(rules: readonly Rule[], first: boolean): number {
  const positions = rules.map(({ position }) => position);
  if (positions.length === 0) return ROOM;
  return first ? Math.min(...positions) - 1 : Math.max(...positions) + 1;
}

function rowOf(rule: Rule) {
  return { ...rule, extensions: [...rule.extensions] };
}
