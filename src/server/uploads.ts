/** Uploads of files that are too large for one commit: `prepare`, `need`, `put`, `abandon`. Bytes stream through to the nodes. */
import type { Block } from '#blocks/block-store.ts';
import { must } from '#core/assert.ts';
import { CommitTree } from '#core/commit-tree.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId, SpaceId, UploadId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { judgeName } from '#core/name.ts';
import { isAnyCondemned, sparePresence } from '#meta/collection.ts';
import { findPresence, type Presence } from '#meta/contents.ts';
import { entriesWithAncestors } from '#meta/entries.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import {
  findUploadBlocks,
  findUploads,
  insertUploads,
  putUploadBlocks,
  removeUploads,
  renewUploads,
  type StoredUpload,
} from '#meta/uploads.ts';
import { abandon, need, prepare, put } from '#protocol/sync.ts';
import type { z } from 'zod';
import { writeBlocks, type WriteFailure } from './block-writer.ts';
import { refusalOf } from './commit-blocks.ts';
import { currentFence, settleCopies } from './copies.ts';
import { checkStillLinked, deviceRoute, spaceFor, type DeviceIdentity } from './identity.ts';
import { Placement } from './placement.ts';
import { readPools } from './standing.ts';
import { isHeld, isStillSafe } from './presence-writer.ts';
import type { ServerContext } from './server-context.ts';

const LEASE_MS = 24 * 3_600_000;

type PrepareRequest = z.infer<typeof prepare.request>;
type NeedRequest = z.infer<typeof need.request>;
type PutRequest = z.infer<typeof put.request>;
type Prepared = z.infer<typeof prepare.response>['files'][number];

export function uploadRoutes(context: ServerContext) {
  return [
    deviceRoute(prepare, async (request, { identity }) => ({
      response: { files: await prepareUploads(context, request, identity) },
      parts: [],
    })),
    deviceRoute(need, async (request, { identity }) => ({
      response: {
        missing: await neededBlocks(context, request, identity),
      },
      parts: [],
    })),
    deviceRoute(put, async (request, { identity, parts, signal }) => {
      await putBlocks(context, request, identity, parts, signal);
      return { response: {}, parts: [] };
    }),
    deviceRoute(abandon, async (request, { identity }) => {
      await context.meta.write(async (writer) => {
        await spaceFor(writer, identity, request.space);
        const found = [...(await findUploads(writer, request.uploads)).values()];
        const own = found.filter((upload) => upload.space === request.space && upload.device === identity.device);
        await removeUploads(
          writer,
          own.map(({ upload }) => upload),
        );
      });
      return { response: {}, parts: [] };
    }),
  ];
}

async function prepareUploads(
  context: ServerContext,
  request: PrepareRequest,
  identity: DeviceIdentity,
): Promise<Prepared[]> {
  for (const { name } of request.files) {
    const why = judgeName(name);
    if (why !== null) throw new HoldfastError('invalid_name', why);
  }
  const leaseMs = context.clock.nowMs() + LEASE_MS;
  const uploads = await context.meta.write(async (writer) => {
    const space = await spaceFor(writer, identity, request.space);
    await checkStillLinked(writer, identity);
    const ids = request.files.map(({ upload }) => upload);
    if (new Set(ids).size !== ids.length) throw new HoldfastError('invalid_field', 'files: an upload is named twice');
    const known = await findUploads(writer, ids);
    const placement = await Placement.load(writer, space, context.clock.nowMs());
    const above = request.files.flatMap(({ entry, parent }) => (placement.looksAtPaths ? [entry, parent] : [entry]));
    const tree = new CommitTree(await entriesWithAncestors(writer, space.space, above), new Map());
    const opened = request.files.map(({ upload, entry, parent, name, size }): StoredUpload => {
      const open = known.get(upload);
      if (!open) {
        // An existing file keeps the name that the space knows it by, also where the device has renamed it meanwhile.
        const place = tree.find(entry) ?? { parent, name };
        const { pool } = placement.find(tree, { parent: place.parent, name: place.name, size, revisedMs: null });
        const { device } = identity;
        const keyVersion = space.keyVersion;
        return { upload, space: space.space, device, entry, parent, name, size, pool, keyVersion, leaseMs };
      }
      if (open.space !== space.space || open.device !== identity.device || open.entry !== entry)
        throw new HoldfastError('conflict', `upload: ${upload} is the upload of another file`);
      return open;
    });
    await renewUploads(writer, [...known.keys()], leaseMs);
    await insertUploads(
      writer,
      opened.filter(({ upload }) => !known.has(upload)),
    );
    return opened;
  });
  return uploads.map(({ pool }): Prepared => {
    if (context.nodes.members(pool).some((node) => !context.nodes.isDown(node))) return { kind: 'ready', pool };
    return { kind: 'pool_unavailable', pool, detail: `no storage node of pool ${pool} can be reached` };
  });
}

/** What is absent and what is somebody else's are told apart by nobody. */
async function uploadFor(
  reader: MetaReader,
  identity: DeviceIdentity,
  space: SpaceId,
  upload: UploadId,
): Promise<StoredUpload> {
  await spaceFor(reader, identity, space);
  const found = (await findUploads(reader, [upload])).get(upload);
  if (!found || found.space !== space || found.device !== identity.device)
    throw new HoldfastError('not_found', 'there is no such upload; prepare it again');
  return found;
}

/** What is answered as had may be condemned: then it is spared, so that it is still had at the commit. */
async function neededBlocks(context: ServerContext, request: NeedRequest, identity: DeviceIdentity) {
  const { upload, missing, isCondemned } = await context.meta.read(async (reader) => {
    const upload = await uploadFor(reader, identity, request.space, request.upload);
    const isCondemned = await isAnyCondemned(reader, upload.space, request.blocks, upload.pool);
    return { upload, missing: await missingBlocks(reader, upload, request.blocks), isCondemned };
  });
  if (!isCondemned) return missing;
  return context.meta.write(async (writer) => {
    await sparePresence(writer, upload.space, request.blocks, upload.pool);
    return missingBlocks(writer, upload, request.blocks);
  });
}

async function missingBlocks(reader: MetaReader, upload: StoredUpload, blocks: readonly BlockId[]) {
  const present = await findPresence(reader, upload.space, blocks, upload.pool);
  const brought = await findUploadBlocks(reader, upload, blocks);
  const pools = await readPools(reader);
  const held = present.filter((row) => isHeld(pools, row));
  const safe = brought.filter((row) => isStillSafe(pools, row));
  const had = new Set([...held, ...safe].map(({ block }) => block));
  return [...new Set(blocks)].filter((block) => !had.has(block));
}

/** The nodes compare bytes and names; what one of them acknowledged is durable there before it is noted here. */
async function putBlocks(
  context: ServerContext,
  request: PutRequest,
  identity: DeviceIdentity,
  parts: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<void> {
  if (parts.length !== request.blocks.length)
    throw new HoldfastError('invalid_field', 'blocks: there must be one part for each block');
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  if (parts.length > 1 && total > limits.batchBytesMax)
    throw new HoldfastError('too_large', `a batch has ${limits.batchBytesMax} bytes at most`);
  const blocks = new Map<BlockId, Block>();
  request.blocks.forEach((id, index) => {
    const bytes = must(parts[index], 'there is one part for each block');
    if (bytes.length > limits.blockBytesMax)
      throw new HoldfastError('too_large', `a block has ${limits.blockBytesMax} bytes at most`);
    blocks.set(id, { id, bytes });
  });
  const { upload, fence } = await context.meta.read(async (reader) => ({
    upload: await uploadFor(reader, identity, request.space, request.upload),
    fence: await currentFence(reader),
  }));
  const written = await writeBlocks(context.nodes, upload.pool, [...blocks.values()], fence, signal);
  const rows: Omit<Presence, 'pool'>[] = [];
  let failed: WriteFailure | null = null;
  for (const [block, result] of written) {
    if (result.kind === 'failed') failed = result.why;
    else {
      const { length } = must(blocks.get(block), 'only these were written').bytes;
      rows.push({ block, length, holders: result.holders, owed: result.owed });
    }
  }
  await context.meta.write(async (writer) => {
    await checkStillLinked(writer, identity);
    await uploadFor(writer, identity, request.space, request.upload);
    const settled = await settleCopies(writer, rows, { fence, nowMs: context.clock.nowMs() });
    if (settled.lost.length > 0) failed = 'unavailable';
    await putUploadBlocks(writer, upload, settled.rows);
    await renewUploads(writer, [upload.upload], context.clock.nowMs() + LEASE_MS);
  });
  if (failed !== null) throw putError(upload.pool, failed);
}

function putError(pool: string, why: WriteFailure): HoldfastError {
  const refusal = refusalOf(pool, why);
  const detail = 'detail' in refusal ? refusal.detail : why;
  const code = why === 'unavailable' || why === 'too_few' ? 'storage_unavailable' : why;
  return new HoldfastError(code, detail, { facts: { pool } });
}
