/**
 * Every block that a file's manifest names is where the index says. Quick: each node that should have it says so. Full: each copy
 * is read, is the block by its hash, and opens to the chunk that the manifest promises; and the manifest is the revision's.
 */
import { toHex } from '#core/bytes.ts';
import type { EntryId, SpaceId } from '#core/ids.ts';
import type { Keyring } from '#core/keyring.ts';
import {
  contentIdOf,
  manifestIdOf,
  openChunk,
  openManifest,
  parseManifestPublic,
  type ManifestBlock,
  type ManifestChunk,
} from '#core/manifest.ts';
import { findContents, findPresence, type Presence } from '#meta/contents.ts';
import type { PooledEntry } from '#meta/entries.ts';
import { purgedAmong } from '#meta/purging.ts';
import { findSpace } from '#meta/spaces.ts';
import { entriesAfter } from '#meta/surveying.ts';
import type { Finding, VerifyTally } from '#protocol/safety.ts';
import type { ServerContext } from '../server-context.ts';
import { askCopies, type Copy, type CopyState } from './ask-nodes.ts';
import type { VerifyPhase } from './verify.ts';
import { pathText, waysOf } from './verify-tree.ts';

const ENTRIES_PER_STEP = 200;
const BLOCKS_PER_STEP = 4000;
/** Of blocks, each read from every node that has it. */
const BYTES_PER_STEP = 8 * 1024 * 1024;

type Work = {
  readonly entry: PooledEntry;
  readonly path: string;
  readonly blocks: readonly ManifestBlock[];
  /** Full only: what each block must open to. */
  readonly chunks: readonly ManifestChunk[];
  readonly first: boolean;
};
type Prepared = {
  readonly work: readonly Work[];
  readonly findings: readonly Finding[];
  readonly after: string | null;
};

/** `after`: the last entry that is done, and, where one is not yet, it and how many of its blocks are. */
export const verifyFiles: VerifyPhase = async (context, space, after, full, signal) => {
  const { keyring, prepared } = await context.meta.read(async (reader) => {
    const stored = await findSpace(reader, space);
    const keyring = full && stored ? await context.spaceKeys.keyring(reader, stored) : null;
    return { keyring, prepared: await prepare(context, reader, space, after, keyring) };
  });
  const ids = prepared.work.flatMap(({ blocks }) => blocks.map(({ id }) => id));
  const presences = await context.meta.read((reader) => findPresence(reader, space, ids));
  const byBlock = new Map<string, Presence[]>();
  for (const row of presences) byBlock.set(row.block, [...(byBlock.get(row.block) ?? []), row]);
  const copies = new Map<string, Copy>();
  for (const { block, length, holders } of presences)
    for (const node of holders) copies.set(`${block} ${node}`, { id: block, storedLength: length, node });
  const states = await askCopies(context, [...copies.values()], full, signal);
  const stateOf = (block: string, node: number): CopyState => {
    const copy = copies.get(`${block} ${node}`);
    return (copy && states.get(copy)) ?? { kind: 'unasked' };
  };
  const findings = [...prepared.findings];
  const pools = new Map<string, VerifyTally>();
  for (const one of prepared.work) {
    const verdicts = one.blocks.map((block, index) =>
      judgeBlock(
        context,
        { block, chunk: one.chunks[index] ?? null, keyring },
        byBlock.get(block.id) ?? [],
        stateOf,
        pools,
      ),
    );
    findings.push(...findingsOf(one, verdicts));
  }
  const files = prepared.work.filter(({ first }) => first).length;
  return { findings, checked: { files, pools: [...pools.values()] }, after: prepared.after };
};

async function prepare(
  { primitives }: ServerContext,
  reader: Parameters<typeof findContents>[0],
  space: SpaceId,
  after: string | null,
  keyring: Keyring | null,
): Promise<Prepared> {
  const [afterEntry, partOf, doneText] = after === null ? [null] : after.split(' ');
  const lastDone = afterEntry === '-' ? null : (afterEntry as EntryId | null);
  const page = await entriesAfter(reader, space, lastDone, ENTRIES_PER_STEP);
  const files = page.filter(({ kind }) => kind === 'file');
  const ways = await waysOf(reader, space, files);
  const purged = await purgedAmong(
    reader,
    space,
    files.map(({ revision }) => revision),
  );
  // What is live has its bytes, whatever else is said of it.
  const isPurged = ({ entry, revision }: PooledEntry) => purged.has(revision) && ways.get(entry)?.end === 'trash';
  const work: Work[] = [];
  const findings: Finding[] = [];
  let blocksLeft = BLOCKS_PER_STEP;
  let bytesLeft = BYTES_PER_STEP;
  let done: EntryId | null = lastDone;
  for (const entry of page) {
    if (!entry.content || isPurged(entry)) {
      done = entry.entry;
      continue;
    }
    if (blocksLeft <= 0 || (keyring && bytesLeft <= 0)) return { work, findings, after: done ?? '-' };
    const path = pathText(ways.get(entry.entry));
    const { manifestId, contentId, size } = entry.content;
    const bytes = (await findContents(reader, space, [manifestId])).get(manifestId)?.bytes ?? null;
    const outline = bytes && parseManifestPublic(bytes);
    const manifest = keyring && bytes ? openManifest(primitives, keyring, bytes) : null;
    const isRight =
      outline !== null &&
      (keyring === null ||
        (manifest !== null &&
          manifestIdOf(primitives, bytes as Uint8Array) === manifestId &&
          manifest.size === size &&
          contentIdOf(primitives, keyring, manifest) === contentId));
    if (!isRight) {
      const message = bytes ? 'its list of blocks is not the revision’s' : 'its list of blocks is missing';
      findings.push({ about: 'file', space: '', path, code: 'integrity', message, whole: false });
    }
    const all = outline?.blocks ?? [];
    const start = partOf === entry.entry ? Number(doneText) : 0;
    let end = start;
    for (; end < all.length && blocksLeft > 0 && (!keyring || bytesLeft > 0); end++) {
      blocksLeft--;
      bytesLeft -= all[end]?.storedLength ?? 0;
    }
    const blocks = all.slice(start, end);
    work.push({ entry, path, blocks, chunks: manifest?.chunks.slice(start, end) ?? [], first: start === 0 });
    if (end < all.length) return { work, findings, after: `${done ?? '-'} ${entry.entry} ${end}` };
    done = entry.entry;
  }
  return { work, findings, after: page.length < ENTRIES_PER_STEP ? null : (done ?? '-') };
}

type Verdict = { readonly good: number; readonly missing: number; readonly corrupt: number; readonly unasked: number };

function judgeBlock(
  { primitives }: ServerContext,
  { block, chunk, keyring }: { block: ManifestBlock; chunk: ManifestChunk | null; keyring: Keyring | null },
  rows: readonly Presence[],
  stateOf: (block: string, node: number) => CopyState,
  pools: Map<string, VerifyTally>,
): Verdict {
  const verdict = { good: 0, missing: 0, corrupt: 0, unasked: 0 };
  for (const { pool, holders } of rows) {
    const tally = pools.get(pool) ?? { pool, blocks: 0, copies: 0, bytes: 0 };
    let copies = 0;
    for (const node of holders) {
      const state = stateOf(block.id, node);
      if (state.kind !== 'there') {
        verdict[state.kind]++;
        continue;
      }
      const { bytes } = state;
      const isGood =
        bytes === null ||
        (toHex(primitives.sha256(bytes)) === block.id &&
          bytes.length === block.storedLength &&
          (chunk === null || keyring === null || openChunk(primitives, keyring, chunk, bytes) !== null));
      verdict[isGood ? 'good' : 'corrupt']++;
      if (isGood) copies++;
    }
    const bytes = tally.bytes + copies * block.storedLength;
    pools.set(pool, { pool, blocks: tally.blocks + 1, copies: tally.copies + copies, bytes });
  }
  return verdict;
}

/** At most one of what is lost, one of what is lost in one copy only, one of what could not be asked. */
function findingsOf({ path, blocks }: Work, verdicts: readonly Verdict[]): readonly Finding[] {
  const count = (test: (verdict: Verdict) => boolean): number => verdicts.filter(test).length;
  const lost = count(({ good, unasked }) => good === 0 && unasked === 0);
  const corrupt = count(({ good, unasked, corrupt: bad }) => good === 0 && unasked === 0 && bad > 0);
  const hurt = count(({ good, missing, corrupt: bad }) => good > 0 && missing + bad > 0);
  const unasked = count(({ good, unasked: none }) => good === 0 && none > 0);
  const common = { about: 'file', space: '', path } as const;
  const findings: Finding[] = [];
  if (lost > 0)
    findings.push({
      ...common,
      code: corrupt > 0 ? 'block_corrupt' : 'block_missing',
      message: `${lost} of ${blocks.length} blocks are on no storage node as they should be`,
      whole: false,
    });
  if (hurt > 0)
    findings.push({
      ...common,
      code: 'block_corrupt',
      message: `${hurt} of ${blocks.length} blocks lack a copy that the index names; others are good`,
      whole: true,
    });
  if (unasked > 0)
    findings.push({
      ...common,
      code: 'storage_unavailable',
      message: `${unasked} of ${blocks.length} blocks could not be asked for: a storage node does not answer`,
      whole: true,
    });
  return findings;
}
