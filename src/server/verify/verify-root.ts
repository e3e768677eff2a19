/** What a rescue would need is in the pools: every block that the newest root lists. Full: each copy is read and opens. */
import { toHex } from '#core/bytes.ts';
import { limits } from '#core/limits.ts';
import { parseRootIndex } from '#core/root-index.ts';
import { openBlock } from '#core/seal.ts';
import { allRoots, findRootBlocks } from '#meta/roots.ts';
import type { Finding } from '#protocol/safety.ts';
import type { ServerContext } from '../server-context.ts';
import { askCopies, type Copy } from './ask-nodes.ts';
import type { StepResult } from './verify.ts';

const BLOCKS_PER_STEP = { quick: 1000, full: 8 };

/** `after`: of which root, and how many of its blocks are done. */
export async function verifyRoot(
  context: ServerContext,
  after: string | null,
  full: boolean,
  signal: AbortSignal,
): Promise<StepResult> {
  const [root] = await context.meta.read(allRoots);
  const index = root?.listing ? parseRootIndex(root.listing) : null;
  if (!root || !index) return { findings: [], checked: {}, after: null };
  const [seqText, doneText] = after?.split(' ') ?? [];
  // A newer root lists nearly the same: what was done is done.
  const start = seqText === undefined ? 0 : Number(doneText);
  const all = [root.index, ...index.streams.flat().map(({ id }) => id)];
  const slice = all.slice(start, start + BLOCKS_PER_STEP[full ? 'full' : 'quick']);
  const rows = await context.meta.read(async (reader) => {
    const found = [];
    for (const pool of root.pools) found.push(...(await findRootBlocks(reader, pool, slice)).values());
    return found;
  });
  const copies = rows.flatMap(({ block, length, holders }) =>
    holders.map((node): Copy => ({ id: block, storedLength: length, node })),
  );
  const states = await askCopies(context, copies, full, signal);
  const good = new Set<string>();
  const unsure = new Set<string>();
  let bad = 0;
  for (const [copy, state] of states) {
    if (state.kind === 'unasked') unsure.add(copy.id);
    else if (state.kind === 'there' && (state.bytes === null || opens(context, copy, state.bytes))) good.add(copy.id);
    else bad++;
  }
  const lost = slice.filter((id) => !good.has(id) && !unsure.has(id)).length;
  const findings: Finding[] = [];
  const common = { about: 'metadata', space: '', path: '' } as const;
  if (lost > 0)
    findings.push({
      ...common,
      code: 'block_missing',
      message: `${lost} blocks of the metadata that a rescue would need are on no storage node`,
      whole: false,
    });
  else if (bad > 0)
    findings.push({
      ...common,
      code: 'block_corrupt',
      message: `${bad} copies of the metadata that a rescue would need are not as they should be; others are good`,
      whole: true,
    });
  const done = start + slice.length;
  const checked = { metadataBlocks: slice.length };
  return { findings, checked, after: done < all.length ? `${root.seq} ${done}` : null };
}

function opens({ primitives, cluster }: ServerContext, { id }: Copy, bytes: Uint8Array): boolean {
  if (toHex(primitives.sha256(bytes)) !== id) return false;
  return openBlock(primitives, cluster.vault.metadataKey(), bytes, limits.blockDataBytesMax) !== null;
}
