/**
 * A commit's blocks: which pool each file's bytes belong to, which blocks are there already, and those that came with the request
 * put on the storage nodes. Nothing of it is acknowledged before it is durable there; bytes never rest on the server.
 */
import type { Block } from '#blocks/block-store.ts';
import { ROOT_ENTRY, type BlockId, type SpaceId } from '#core/ids.ts';
import type { PooledEntry } from '#meta/entries.ts';
import { findPresence, type Presence } from '#meta/contents.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { findUploadBlocks, type StoredUpload } from '#meta/uploads.ts';
import type { Answer } from '#protocol/sync.ts';
import { writeBlocks, type WriteFailure, type WrittenBlock } from './block-writer.ts';
import { isClaim, staleKey, wrong, type Claim, type CommitItem } from './commit-claims.ts';
import { currentFence } from './copies.ts';
import type { NodeBook } from './node-book.ts';
import type { Folders, Placement } from './placement.ts';
import { readPools } from './standing.ts';
import { isHeld, isStillSafe } from './presence-writer.ts';

export type BlockPlan = {
  /** By position of the operation; only those that claim a content. */
  readonly pools: ReadonlyMap<number, string>;
  /** Operations that cannot be applied for the sake of their bytes. */
  readonly refusals: Map<number, Answer>;
  /** Blocks that came with the request and that a pool needs. */
  readonly toWrite: ReadonlyMap<string, ReadonlyMap<BlockId, Block>>;
  /** Rows that make the blocks of an operation part of the space, once it is applied. */
  readonly presence: Map<number, Presence[]>;
  /** Blocks that an operation relies on and that must still be there when it is applied. */
  readonly relied: ReadonlyMap<number, readonly BlockId[]>;
  /** What the blocks are put under. */
  readonly fence: number;
};

export type BlockSources = {
  readonly inline: ReadonlyMap<BlockId, Block>;
  readonly uploads: readonly StoredUpload[];
  readonly placement: Placement;
  readonly currentKeyVersion: number;
  /** As they are before the commit: what is updated and, where the placement looks at paths, what is above new files. */
  readonly entries: readonly PooledEntry[];
};

export async function planBlocks(
  reader: MetaReader,
  space: SpaceId,
  items: readonly CommitItem[],
  sources: BlockSources,
): Promise<BlockPlan> {
  const claims = items.flatMap(({ claim }) => (isClaim(claim) ? claim.blocks.map(({ id }) => id) : []));
  const pools = await readPools(reader);
  const held = (await findPresence(reader, space, claims)).filter((row) => isHeld(pools, row));
  const present = byPoolAndBlock(held);
  const uploadOf = new Map(sources.uploads.map((upload) => [upload.entry, upload]));
  const places = placesOf(items, sources.entries);
  const plan = {
    fence: await currentFence(reader),
    pools: new Map<number, string>(),
    refusals: new Map<number, Answer>(),
    toWrite: new Map<string, Map<BlockId, Block>>(),
    presence: new Map<number, Presence[]>(),
    relied: new Map<number, BlockId[]>(),
  };
  for (const [position, { operation, claim }] of items.entries()) {
    if (claim && !isClaim(claim)) plan.refusals.set(position, claim);
    if (!isClaim(claim)) continue;
    const upload = uploadOf.get(operation.entry) ?? null;
    const { parent, name } = places.find(operation.entry) ?? { parent: ROOT_ENTRY, name: '' };
    const file = { parent, name, size: claim.content.size, revisedMs: null };
    const pool = upload?.pool ?? sources.placement.find(places, file).pool;
    plan.pools.set(position, pool);
    const ids = claim.blocks.map(({ id }) => id);
    const uploaded = upload ? await findUploadBlocks(reader, upload, ids) : [];
    const brought = uploaded.filter((row) => isStillSafe(pools, row));
    const judged = judgeBlocks(claim, pool, present, byPoolAndBlock(brought), upload, sources);
    if (judged.refusal) plan.refusals.set(position, judged.refusal);
    else {
      plan.presence.set(position, judged.brought);
      plan.relied.set(position, judged.relied);
      const writes = plan.toWrite.get(pool) ?? new Map<BlockId, Block>();
      for (const block of judged.inline) writes.set(block.id, block);
      plan.toWrite.set(pool, writes);
    }
  }
  return plan;
}

/** Of what is new, and of the rest as it is before the commit: a file that exists keeps the place that the space knows it by. */
export function placesOf(items: readonly CommitItem[], entries: readonly PooledEntry[]): Folders {
  const places = new Map(entries.map(({ entry, parent, name }) => [entry, { parent, name }]));
  for (const { operation } of items) if (operation.kind === 'create') places.set(operation.entry, operation);
  return { find: (entry) => places.get(entry) ?? null };
}

type Judged = {
  readonly refusal: Answer | null;
  readonly inline: Block[];
  readonly brought: Presence[];
  readonly relied: BlockId[];
};

function judgeBlocks(
  claim: Claim,
  pool: string,
  present: ReadonlyMap<string, Presence>,
  brought: ReadonlyMap<string, Presence>,
  upload: StoredUpload | null,
  sources: BlockSources,
): Judged {
  const judged = { refusal: null, inline: [] as Block[], brought: [] as Presence[], relied: [] as BlockId[] };
  const missing = new Set<BlockId>();
  const refuse = (refusal: Answer): Judged => ({ ...judged, refusal });
  for (const { id, storedLength, keyVersion } of claim.blocks) {
    const key = presenceKey(pool, id);
    const there = present.get(key);
    const uploaded = brought.get(key);
    const inline = sources.inline.get(id);
    const length = there?.length ?? uploaded?.length ?? inline?.bytes.length;
    if (length === undefined) {
      missing.add(id);
      continue;
    }
    if (length !== storedLength) return refuse(wrong('a block has another length than its manifest says'));
    if (there) {
      judged.relied.push(id);
      continue;
    }
    // A revoked device must not be able to open what is written after it: old keys only where the upload began under them.
    const oldestKeyVersion = uploaded && upload ? upload.keyVersion : sources.currentKeyVersion;
    if (keyVersion < oldestKeyVersion || keyVersion > sources.currentKeyVersion) return refuse(staleKey());
    if (uploaded) judged.brought.push(uploaded);
    else if (inline) judged.inline.push(inline);
  }
  return missing.size > 0 ? refuse({ kind: 'need_blocks', blocks: [...missing] }) : judged;
}

/** All pools in parallel; a pool that cannot take its blocks refuses its own operations alone. */
export async function writeInline(
  nodes: NodeBook,
  plan: BlockPlan,
  items: readonly CommitItem[],
  signal: AbortSignal,
): Promise<void> {
  const written = new Map<string, ReadonlyMap<BlockId, WrittenBlock>>();
  await Promise.all(
    [...plan.toWrite].map(async ([pool, blocks]) => {
      if (blocks.size > 0) written.set(pool, await writeBlocks(nodes, pool, [...blocks.values()], plan.fence, signal));
    }),
  );
  for (const [position, rows] of plan.presence) {
    const pool = plan.pools.get(position);
    const claim = items[position]?.claim;
    if (pool === undefined || !claim || !isClaim(claim)) continue;
    const results = written.get(pool);
    for (const { id, storedLength } of claim.blocks) {
      const result = results?.get(id);
      if (!result) continue;
      if (result.kind === 'failed') plan.refusals.set(position, refusalOf(pool, result.why));
      else rows.push({ block: id, pool, length: storedLength, holders: result.holders, owed: result.owed });
    }
  }
}

export function refusalOf(pool: string, why: WriteFailure): Answer {
  if (why === 'hash_mismatch') return wrong('a storage node found other bytes than the block’s name says');
  const detail = {
    no_space: `the storage nodes of pool ${pool} have no space left`,
    unavailable: `no storage node of pool ${pool} can be reached`,
    too_few: `fewer storage nodes of pool ${pool} can be reached than must hold a copy before it is safe`,
  }[why];
  return { kind: 'pool_unavailable', pool, detail };
}

function byPoolAndBlock(rows: readonly Presence[]): ReadonlyMap<string, Presence> {
  return new Map(rows.map((row) => [presenceKey(row.pool, row.block), row]));
}

function presenceKey(pool: string, block: BlockId): string {
  return `${block}/${pool}`;
}
