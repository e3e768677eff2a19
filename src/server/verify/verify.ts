/**
 * The use-case `verify-step`: looks at everything, in bounded steps, and changes nothing. It judges by the formats and by the nodes'
 * answers, not by what the server's own reading would make of them: a fault of that would not find itself.
 */
import { HoldfastError } from '#core/errors.ts';
import type { SpaceId } from '#core/ids.ts';
import { allSpaces } from '#meta/spaces.ts';
import { verifyStep, type Finding, type VerifyChecked } from '#protocol/safety.ts';
import { z } from 'zod';
import { deviceRoute } from '../identity.ts';
import type { ServerContext } from '../server-context.ts';
import { verifyFiles } from './verify-files.ts';
import { verifyJournal } from './verify-journal.ts';
import { verifyRoot } from './verify-root.ts';
import { verifyTree } from './verify-tree.ts';

/** Where a verification is. It is the caller's to keep: no server remembers it. */
const place = z.strictObject({
  phase: z.enum(['journal', 'tree', 'files', 'root']),
  /** The last space that was done, or the one that is being looked at. */
  space: z.string().nullable(),
  /** In that space: as each phase likes it. Null at its beginning. */
  after: z.string().nullable(),
});
export type VerifyPlace = z.infer<typeof place>;

export type StepResult = {
  readonly findings: readonly Finding[];
  readonly checked: Partial<VerifyChecked>;
  /** Null: the space (or the root) is done. */
  readonly after: string | null;
};

const PHASES = { quick: ['files', 'root'], full: ['journal', 'tree', 'files', 'root'] } as const;
const NOTHING: VerifyChecked = { files: 0, entries: 0, journalRows: 0, metadataBlocks: 0, pools: [] };

export function verifyRoutes(context: ServerContext) {
  return [
    deviceRoute(verifyStep, async ({ full, at }, { signal }) => {
      const phases: readonly VerifyPlace['phase'][] = full ? PHASES.full : PHASES.quick;
      const from: VerifyPlace = at === null ? { phase: phases[0] ?? 'root', space: null, after: null } : parse(at);
      const { doing, result, next } = await step(context, phases, from, full, signal);
      const checked = { ...NOTHING, ...result.checked };
      const response = { at: next && JSON.stringify(next), doing, findings: [...result.findings], checked };
      return { response, parts: [] };
    }),
  ];
}

async function step(
  context: ServerContext,
  phases: readonly VerifyPlace['phase'][],
  from: VerifyPlace,
  full: boolean,
  signal: AbortSignal,
) {
  const { phase } = from;
  if (phase === 'root') {
    const result = await verifyRoot(context, from.after, full, signal);
    return { doing: phase, result, next: result.after === null ? null : { ...from, after: result.after } };
  }
  const spaces = await context.meta.read(allSpaces);
  const space = spaces.find((one) => (from.after === null ? one.space > (from.space ?? '') : one.space === from.space));
  if (!space) {
    const following = phases[phases.indexOf(phase) + 1] ?? 'root';
    return { doing: phase, result: EMPTY, next: { phase: following, space: null, after: null } };
  }
  const work = { journal: verifyJournal, tree: verifyTree, files: verifyFiles }[phase];
  const result = await work(context, space.space, from.after, full, signal);
  const next: VerifyPlace = { phase, space: space.space, after: result.after };
  const findings = result.findings.map((finding) => ({ ...finding, space: space.name }));
  return { doing: phase, result: { ...result, findings }, next };
}

const EMPTY: StepResult = { findings: [], checked: {}, after: null };

function parse(at: string): VerifyPlace {
  try {
    return place.parse(JSON.parse(at));
  } catch (error) {
    throw new HoldfastError('invalid_field', 'at: not what the step before answered', { cause: error });
  }
}

export type VerifyPhase = (
  context: ServerContext,
  space: SpaceId,
  after: string | null,
  full: boolean,
  signal: AbortSignal,
) => Promise<StepResult>;
