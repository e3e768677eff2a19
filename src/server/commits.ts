/** The use-cases `commit` and `settle`. */
import type { Block } from '#blocks/block-store.ts';
import { must } from '#core/assert.ts';
import { equalBytes, fromHex, toHex, utf8 } from '#core/bytes.ts';
import { CommitTree } from '#core/commit-tree.ts';
import { decideCommit, type Decision } from '#core/commit.ts';
import type { JournalRow } from '#core/entry.ts';
import { HoldfastError } from '#core/errors.ts';
import { TRASH_ENTRY, type BlockId, type DeviceId, type EntryId, type SpaceId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { findContents, findPresence, insertContents, type Presence, type StoredContent } from '#meta/contents.ts';
import { entriesWithAncestors, replaceEntries, type PooledEntry } from '#meta/entries.ts';
import type { MetaWriter } from '#meta/meta-store.ts';
import { addFolders } from '#meta/folder-queues.ts';
import { PLACING } from '#meta/placing.ts';
import { sparePresence } from '#meta/collection.ts';
import { addGarbage } from '#meta/garbage.ts';
import { findOpResult, insertOpResult, lockSpace, type OpResult, type StoredSpace } from '#meta/spaces.ts';
import { findUploads, removeUploads, type StoredUpload } from '#meta/uploads.ts';
import type { Answered } from '#protocol/call.ts';
import { commit, settle, type Answer } from '#protocol/sync.ts';
import type { z } from 'zod';
import { planBlocks, writeInline, type BlockPlan } from './commit-blocks.ts';
import { isClaim, readManifests, readOperation, staleKey, type CommitItem } from './commit-claims.ts';
import { loadCommitState, type LoadedState } from './commit-load.ts';
import { copiesOf, settleCopies } from './copies.ts';
import { judgeCommit, recordVerdict, type CommitInHand } from './hold-commit.ts';
import { allowed, checkStillLinked, deviceRoute, spaceFor, type DeviceIdentity } from './identity.ts';
import { noteCommit } from './installs.ts';
import { growJournal } from './journal-writer.ts';
import { headOf, judgeCursor } from './journal-view.ts';
import { Placement } from './placement.ts';
import { readPools } from './standing.ts';
import { isHeld, isStillSafe, recordPresence } from './presence-writer.ts';
import type { ServerContext } from './server-context.ts';
import { weigh, type Weighed } from './weigh.ts';

type CommitRequest = z.infer<typeof commit.request>;
type CommitResponse = z.infer<typeof commit.response>;
type SettleRequest = z.infer<typeof settle.request>;
type SettleResponse = z.infer<typeof settle.response>;

export function commitRoutes(context: ServerContext) {
  return [
    deviceRoute(commit, (request, { identity, parts, signal }) => runCommit(context, request, identity, parts, signal)),
    deviceRoute(settle, async (request, { identity }) => ({
      response: await settleCommit(context, request, identity),
      parts: [],
    })),
  ];
}

type Prepared = {
  readonly request: CommitRequest;
  readonly identity: DeviceIdentity;
  readonly bodyHash: Uint8Array;
  readonly items: readonly CommitItem[];
  readonly plan: BlockPlan;
  readonly uploads: readonly StoredUpload[];
  readonly keyVersion: number;
  readonly weighed: Weighed;
};

async function runCommit(
  context: ServerContext,
  request: CommitRequest,
  identity: DeviceIdentity,
  parts: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<Answered<CommitResponse>> {
  const prepared = await prepare(context, request, identity, parts);
  if ('answers' in prepared) return { response: prepared, parts: [] };
  await writeInline(context.nodes, prepared.plan, prepared.items, signal);
  const { response, grown } = await context.meta.write((writer) => apply(context, writer, prepared));
  if (grown) context.bell.ring(request.space);
  return { response, parts: [] };
}

/** Everything before the first effect. Answers at once where the same request was answered before. */
async function prepare(
  context: ServerContext,
  request: CommitRequest,
  identity: DeviceIdentity,
  parts: readonly Uint8Array[],
): Promise<Prepared | CommitResponse> {
  const { primitives } = context;
  const operations = request.groups.flat();
  if (operations.length > limits.commitOperationsMax)
    throw new HoldfastError('too_large', `a commit has ${limits.commitOperationsMax} operations at most`);
  const manifestCount = parts.length - request.blocks.length;
  if (manifestCount < 0) throw new HoldfastError('invalid_field', 'blocks: there are fewer parts than blocks');
  const inline = readInline(context, request.blocks, parts.slice(manifestCount));
  const manifests = readManifests(primitives, operations, parts.slice(0, manifestCount));
  const bodyHash = primitives.sha256(
    utf8(JSON.stringify(request)),
    ...manifests.map(({ manifestId }) => must(fromHex(manifestId), 'an id is hexadecimal')),
  );
  return context.meta.read(async (reader) => {
    const space = await spaceFor(reader, identity, request.space);
    const remembered = await findOpResult(reader, identity.device, request.op);
    if (remembered) return recall(remembered, request.space, bodyHash);
    const keyring = await context.spaceKeys.keyring(reader, space);
    const known = await findContents(
      reader,
      space.space,
      manifests.map(({ manifestId }) => manifestId),
    );
    const tools = { primitives, keyring };
    const items = operations.map((operation) => readOperation(tools, operation, manifests, known));
    const placement = await Placement.load(reader, space, context.clock.nowMs());
    const updated = operations.filter(({ kind }) => kind === 'update').map(({ entry }) => entry);
    const parents = operations.flatMap((operation) => ('parent' in operation ? [operation.parent] : []));
    const entries = await entriesWithAncestors(reader, space.space, [
      ...updated,
      ...(placement.looksAtPaths ? parents : []),
    ]);
    const uploads = [...(await findUploads(reader, request.uploads)).values()].filter(
      (upload) => upload.space === space.space && upload.device === identity.device,
    );
    const sources = { inline, uploads, placement, currentKeyVersion: space.keyVersion, entries };
    const plan = await planBlocks(reader, space.space, items, sources);
    const source = { space: space.space, device: identity.device, nowMs: context.clock.nowMs(), placement };
    const weighed = await weigh(reader, source, items);
    return { request, identity, bodyHash, items, plan, uploads, keyVersion: space.keyVersion, weighed };
  });
}

/** Every block's bytes are compared with its name before anything is done with any of them. */
function readInline(
  { primitives }: ServerContext,
  ids: readonly BlockId[],
  parts: readonly Uint8Array[],
): ReadonlyMap<BlockId, Block> {
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  if (parts.length > 1 && total > limits.batchBytesMax)
    throw new HoldfastError('too_large', `blocks in a commit have ${limits.batchBytesMax} bytes at most in all`);
  const inline = new Map<BlockId, Block>();
  for (const [index, id] of ids.entries()) {
    const bytes = must(parts[index], 'there are as many parts as blocks');
    if (bytes.length > limits.blockBytesMax)
      throw new HoldfastError('too_large', `a block has ${limits.blockBytesMax} bytes at most`);
    if (toHex(primitives.sha256(bytes)) !== id)
      throw new HoldfastError('hash_mismatch', `blocks.${index}: the bytes are not those that the id names`);
    inline.set(id, { id, bytes });
  }
  return inline;
}

function recall(remembered: OpResult, space: SpaceId, bodyHash: Uint8Array): CommitResponse {
  if (remembered.answer === null)
    throw new HoldfastError('voided', 'this operation was given up before it arrived; nothing of it was applied');
  if (remembered.space !== space || !remembered.bodyHash || !equalBytes(remembered.bodyHash, bodyHash))
    throw new HoldfastError('idempotency_conflict', 'this operation id was used for another request');
  return JSON.parse(remembered.answer) as CommitResponse;
}

/** One transaction: decided under the space's lock, from rows read under it. */
async function apply(
  context: ServerContext,
  writer: MetaWriter,
  prepared: Prepared,
): Promise<{ readonly response: CommitResponse; readonly grown: boolean }> {
  const { request, identity, bodyHash, items } = prepared;
  const space = allowed(await lockSpace(writer, request.space), identity);
  await checkStillLinked(writer, identity);
  const remembered = await findOpResult(writer, identity.device, request.op);
  if (remembered) return { response: recall(remembered, request.space, bodyHash), grown: false };
  await noteCommit(writer, identity, request);
  // Numbers of revisions and a delete's basis mean something only in the history that they were read from.
  if ((await judgeCursor(context, writer, space, request.cursor)) !== null)
    throw new HoldfastError('cursor_reset', 'the journal does not continue from where this was planned; pull first');
  const operations = items.map(({ operation }) => operation);
  const state = await loadCommitState(writer, space, identity.device, operations);
  const refusals = await checkAgain(writer, prepared, space, context.clock.nowMs());
  let next = 0;
  const groups = request.groups.map((group) => group.map(() => must(operations[next++], 'groups lie end to end')));
  const commitInHand: CommitInHand = {
    space,
    device: identity.device,
    op: request.op,
    declared: request.totals,
    operations,
    weighed: prepared.weighed,
    pools: prepared.plan.pools,
  };
  const verdict = await judgeCommit(context, writer, commitInHand, () => decideCommit(state, groups, refusals));
  const decision = decideCommit<Answer>(state, groups, new Map([...verdict.answers, ...refusals]));
  const grown = await writeDecision(context, writer, prepared, { space, state, decision });
  await recordVerdict(context, writer, commitInHand, verdict, decision.answers);
  const response: CommitResponse = { answers: [...decision.answers], head: headOf(grown) };
  await insertOpResult(
    writer,
    { device: identity.device, op: request.op, atMs: context.clock.nowMs() },
    { space: space.space, bodyHash, answer: JSON.stringify(response) },
  );
  return { response, grown: decision.rows.length > 0 };
}

/** What was true before the blocks were written may not be any more: keys change, uploads are abandoned, blocks move or are collected, nodes are lost. */
async function checkAgain(
  writer: MetaWriter,
  { request, items, plan, uploads, keyVersion }: Prepared,
  space: StoredSpace,
  nowMs: number,
): Promise<ReadonlyMap<number, Answer>> {
  const refusals = new Map(plan.refusals);
  const relied = [...plan.relied.values()].flat();
  const pools = await readPools(writer);
  const held = (await findPresence(writer, request.space, relied)).filter((row) => isHeld(pools, row));
  const present = new Set(held.map((row) => `${row.block}/${row.pool}`));
  const { lost: gone } = await settleCopies(writer, [...plan.presence.values()].flat(), { fence: plan.fence, nowMs });
  const lost = new Set(gone);
  const stillOpen = await findUploads(
    writer,
    uploads.map(({ upload }) => upload),
  );
  const closed = new Set(uploads.filter(({ upload }) => !stillOpen.has(upload)).map(({ entry }) => entry));
  for (const [position, { operation, claim }] of items.entries()) {
    if (refusals.has(position) || !isClaim(claim)) continue;
    if (!claim.known && keyVersion !== space.keyVersion) refusals.set(position, staleKey());
    const pool = plan.pools.get(position);
    const relies = plan.relied.get(position) ?? [];
    if (pool !== undefined) await sparePresence(writer, request.space, relies, pool);
    const unsafe = (plan.presence.get(position) ?? []).filter((row) => lost.has(row.block) || !isStillSafe(pools, row));
    const needed = closed.has(operation.entry)
      ? claim.blocks.map(({ id }) => id)
      : [...relies.filter((block) => !present.has(`${block}/${pool}`)), ...unsafe.map(({ block }) => block)];
    if (needed.length > 0) refusals.set(position, { kind: 'need_blocks', blocks: [...new Set(needed)] });
  }
  return refusals;
}

type Decided = {
  readonly space: StoredSpace;
  readonly state: LoadedState;
  readonly decision: Decision<Answer>;
};

async function writeDecision(
  context: ServerContext,
  writer: MetaWriter,
  prepared: Prepared,
  { space, state, decision }: Decided,
): Promise<StoredSpace> {
  const { identity, items, plan } = prepared;
  const contents = new Map<string, StoredContent>();
  const presence = new Map<string, Presence>();
  const unused: Presence[] = [];
  const pools = new Map<EntryId, string>();
  const applied = new Set<EntryId>();
  for (const [position, { operation, claim }] of items.entries()) {
    // What is held keeps its bytes: its device may be gone when it is approved.
    const kind = decision.answers[position]?.kind;
    if (kind !== 'applied' && kind !== 'held') {
      // One by one: a file may have more blocks than a call has arguments.
      for (const row of plan.presence.get(position) ?? []) unused.push(row);
      continue;
    }
    applied.add(operation.entry);
    if (!isClaim(claim)) continue;
    const { manifestId, contentId, size } = claim.content;
    // Also one that was known: it may be condemned, or gone since.
    contents.set(manifestId, { manifestId, contentId, size, bytes: claim.bytes });
    for (const row of plan.presence.get(position) ?? []) presence.set(`${row.block}/${row.pool}`, row);
    const pool = plan.pools.get(position);
    if (pool !== undefined && kind === 'applied') pools.set(operation.entry, pool);
  }
  await insertContents(writer, space.space, [...contents.values()]);
  const nowMs = context.clock.nowMs();
  const settled = await settleCopies(writer, [...presence.values()], { fence: plan.fence, nowMs });
  await recordPresence(context, writer, space.space, settled.rows);
  // Where another operation relies on one of these, it is found named when it is judged.
  await addGarbage(writer, copiesOf(unused), nowMs);
  const ended = prepared.uploads.filter(({ entry }) => applied.has(entry)).map(({ upload }) => upload);
  await removeUploads(writer, ended);
  return writeChanges(context, writer, { space, state, decision, device: identity.device, pools });
}

/** What a decision changed: entries as they are now, and the journal's rows. `pools`: where new contents were put. */
export async function writeChanges(
  context: ServerContext,
  writer: MetaWriter,
  decided: Decided & { readonly device: DeviceId; readonly pools: ReadonlyMap<EntryId, string> },
): Promise<StoredSpace> {
  const { space, state, decision, device, pools } = decided;
  const before = new Map(state.entries.map((entry) => [entry.entry, entry]));
  const atMs = context.clock.nowMs();
  const placement = await Placement.load(writer, space, atMs);
  const tree = placement.looksAtPaths ? treeAfter(state, decision) : null;
  const changed = decision.changed.map((entry): PooledEntry => {
    const known = before.get(entry.entry);
    const revisedMs = known?.revision === entry.revision ? known.revisedMs : atMs;
    const found = pools.get(entry.entry) ?? known?.pool ?? null;
    const poolWanted = entry.content ? wanted({ placement, tree, known, pool: found }, entry, revisedMs) : null;
    const pool = entry.content ? found : null;
    const pooled = known?.pool === pool ? known.pooled : null;
    return { ...entry, pool, poolWanted, madeMs: known?.madeMs ?? atMs, revisedMs, pooled };
  });
  await replaceEntries(writer, space.space, changed, (entry) => !before.has(entry));
  await addFolders(writer, PLACING, space.space, foldersToPlace(before, changed, placement));
  const common = { space: space.space, epoch: space.epoch, device, atMs };
  const rows = decision.rows.map(({ entry, base }): JournalRow => {
    return { kind: 'entry', ...common, seq: entry.seq, base, entry };
  });
  return growJournal(writer, context.primitives, space, rows);
}

function treeAfter(state: LoadedState, decision: Decision<Answer>): CommitTree {
  const tree = new CommitTree(state.entries, new Map());
  for (const entry of decision.changed) tree.put(entry);
  return tree;
}

type Standing = {
  readonly placement: Placement;
  readonly tree: CommitTree | null;
  readonly known: PooledEntry | undefined;
  readonly pool: string | null;
};

/** Where the bytes are stays what it is; where they belong follows the name and the place that the file has now. In the trash it has none. */
function wanted(
  { placement, tree, known, pool }: Standing,
  { parent, name, content }: Decision<Answer>['changed'][number],
  revisedMs: number,
): string | null {
  if (parent === TRASH_ENTRY) return known?.poolWanted ?? pool;
  return placement.find(tree, { parent, name, size: content?.size ?? 0, revisedMs }).pool;
}

/** A folder that changes its place may take files to where other rules hold. Those in the trash were judged by the rules of their time. */
function foldersToPlace(
  before: ReadonlyMap<EntryId, PooledEntry>,
  changed: readonly PooledEntry[],
  { looksAtPaths }: Placement,
): readonly EntryId[] {
  const moved = changed.filter(({ entry, kind, parent, name }) => {
    const known = before.get(entry);
    if (kind !== 'folder' || !known || parent === TRASH_ENTRY) return false;
    return known.parent === TRASH_ENTRY || (looksAtPaths && (known.parent !== parent || known.name !== name));
  });
  return moved.map(({ entry }) => entry);
}

async function settleCommit(
  context: ServerContext,
  request: SettleRequest,
  identity: DeviceIdentity,
): Promise<SettleResponse> {
  return context.meta.write(async (writer) => {
    allowed(await lockSpace(writer, request.space), identity);
    const remembered = await findOpResult(writer, identity.device, request.op);
    if (remembered && remembered.space !== request.space)
      throw new HoldfastError('idempotency_conflict', 'this operation id was used for another space');
    if (remembered?.answer) return { kind: 'answered', ...(JSON.parse(remembered.answer) as CommitResponse) };
    if (!remembered)
      await insertOpResult(
        writer,
        { device: identity.device, op: request.op, atMs: context.clock.nowMs() },
        { space: request.space, bodyHash: null, answer: null },
      );
    return { kind: 'void' };
  });
}
