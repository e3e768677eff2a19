/** The use-cases `contents` and `blocks`: sealed bytes on their way to a device. The server reads only the public part of manifests. */
import { must } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId, ManifestId, SpaceId } from '#core/ids.ts';
import { limits } from '#core/limits.ts';
import { parseManifestPublic, type ManifestBlock } from '#core/manifest.ts';
import { findContents } from '#meta/contents.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import type { Answered } from '#protocol/call.ts';
import { blocks, contents } from '#protocol/contents.ts';
import type { z } from 'zod';
import { readBlocks, type ReadBlock } from './block-reader.ts';
import { deviceRoute, spaceFor, type DeviceIdentity } from './identity.ts';
import type { ServerContext } from './server-context.ts';

/** Parts of one answer: below `limits.messagePartsMax`, which counts manifests too. */
const PARTS_MAX = 2000;

type ContentsRequest = z.infer<typeof contents.request>;
type ContentsResponse = z.infer<typeof contents.response>;
type Item = ContentsResponse['items'][number];
type BlocksRequest = z.infer<typeof blocks.request>;

export function contentRoutes(context: ServerContext) {
  return [
    deviceRoute(contents, (request, { identity, signal }) => sendContents(context, request, identity, signal)),
    deviceRoute(blocks, (request, { identity, signal }) => sendBlocks(context, request, identity, signal)),
  ];
}

type Outline = {
  readonly bytes: Uint8Array;
  readonly blocks: readonly ManifestBlock[];
  readonly storedBytes: number;
};

export async function outlines(
  reader: MetaReader,
  space: SpaceId,
  manifests: readonly ManifestId[],
): Promise<ReadonlyMap<ManifestId, Outline>> {
  const found = new Map<ManifestId, Outline>();
  for (const [id, { bytes }] of await findContents(reader, space, manifests)) {
    const parsed = parseManifestPublic(bytes);
    if (!parsed) throw new HoldfastError('integrity', `manifest ${id} in the database is damaged`);
    const storedBytes = parsed.blocks.reduce((sum, block) => sum + block.storedLength, 0);
    found.set(id, { bytes, blocks: parsed.blocks, storedBytes });
  }
  return found;
}

async function sendContents(
  context: ServerContext,
  request: ContentsRequest,
  identity: DeviceIdentity,
  signal: AbortSignal,
): Promise<Answered<ContentsResponse>> {
  const found = await context.meta.read(async (reader) => {
    const space = await spaceFor(reader, identity, request.space);
    return outlines(reader, space.space, request.manifests);
  });
  const sent = new Set(chooseWithin(request, found));
  const wanted = [...sent].flatMap((id) => must(found.get(id), 'it was chosen from those').blocks);
  const read = await readBlocks(context, request.space, wanted, signal);
  const parts: Uint8Array[] = [];
  const partOf = new Map<BlockId | ManifestId, number>();
  const partIndexOf = (id: BlockId | ManifestId, bytes: Uint8Array): number => {
    const known = partOf.get(id);
    if (known !== undefined) return known;
    partOf.set(id, parts.length);
    return parts.push(bytes) - 1;
  };
  const items = request.manifests.map((id): Item => {
    const outline = found.get(id);
    if (!outline) return { kind: 'unknown' };
    const manifest = partIndexOf(id, outline.bytes);
    if (!sent.has(id)) return { kind: 'found', manifest, blocks: null, storedBytes: outline.storedBytes };
    const own = outline.blocks.map((block) => ({ id: block.id, result: must(read.get(block.id), 'all were read') }));
    const bad = own.find(({ result }) => result.kind !== 'found');
    if (bad && bad.result.kind !== 'found') return { kind: 'unavailable', manifest, ...fault(bad.id, bad.result) };
    const indexes = own.map(({ id: block, result }) =>
      partIndexOf(block, result.kind === 'found' ? result.bytes : new Uint8Array()),
    );
    return { kind: 'found', manifest, blocks: indexes, storedBytes: outline.storedBytes };
  });
  return { response: { items }, parts };
}

/** In the order asked, as long as the budget lasts; the first file that has any bytes always fits where a batch would hold it. */
function chooseWithin(request: ContentsRequest, found: ReadonlyMap<ManifestId, Outline>): readonly ManifestId[] {
  const chosen: ManifestId[] = [];
  let bytesLeft = request.budgetBytes;
  let partsLeft = PARTS_MAX - request.manifests.length;
  let nothingYet = request.budgetBytes > 0;
  for (const id of new Set(request.manifests)) {
    const outline = found.get(id);
    if (!outline || outline.blocks.length > partsLeft) continue;
    const alone = nothingYet && outline.storedBytes <= limits.batchBytesMax;
    if (outline.storedBytes > bytesLeft && !alone) continue;
    bytesLeft = Math.max(0, bytesLeft - outline.storedBytes);
    partsLeft -= outline.blocks.length;
    if (outline.storedBytes > 0) nothingYet = false;
    chosen.push(id);
  }
  return chosen;
}

function fault(block: BlockId, result: Exclude<ReadBlock, { kind: 'found' }>) {
  const details = {
    storage_unavailable: 'no storage node that holds it can be reached',
    block_missing: `block ${block} is on no storage node that should hold it`,
    block_corrupt: `block ${block} is damaged on every storage node that holds it`,
  };
  return { code: result.kind, detail: details[result.kind] };
}

async function sendBlocks(
  context: ServerContext,
  request: BlocksRequest,
  identity: DeviceIdentity,
  signal: AbortSignal,
): Promise<Answered<z.infer<typeof blocks.response>>> {
  const outline = await context.meta.read(async (reader) => {
    const space = await spaceFor(reader, identity, request.space);
    return (await outlines(reader, space.space, [request.manifest])).get(request.manifest);
  });
  if (!outline) throw new HoldfastError('not_found', 'there is no such manifest in this space');
  const wanted: ManifestBlock[] = [];
  let bytesLeft: number = limits.batchBytesMax;
  for (const index of request.indexes) {
    const block = outline.blocks[index];
    if (!block) throw new HoldfastError('invalid_field', `indexes: the manifest has no block ${index}`);
    bytesLeft -= block.storedLength;
    if (bytesLeft < 0 && wanted.length > 0) break;
    wanted.push(block);
  }
  const read = await readBlocks(context, request.space, wanted, signal);
  const parts: Uint8Array[] = [];
  const results = wanted.map(({ id }) => {
    const result = must(read.get(id), 'all were read');
    if (result.kind === 'found') parts.push(result.bytes);
    return result.kind;
  });
  return { response: { results }, parts };
}
