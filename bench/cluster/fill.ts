/**
 * Fills a storage node's log and the server's index, both of which nobody else has open, by the very code that writes them: blocks by the
 * store's own puts in full batches, rows by the index's own writing queries, many in a transaction. A tree of files, {@link BLOCKS_PER_FILE}
 * small blocks each; every {@link GARBAGE_EVERY}th belongs to no entry and to no row of the journal, as after its history has ended.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Block } from '#blocks/block-store.ts';
import { openDiskBlockStore } from '#blocks/disk/disk-block-store.ts';
import { must } from '#core/assert.ts';
import { toHex } from '#core/bytes.ts';
import type { Entry, JournalRow } from '#core/entry.ts';
import { id32Of, ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import { makeKeyring, type SealKeys } from '#core/keyring.ts';
import { sealManifest, type ManifestChunk } from '#core/manifest.ts';
import { blockIdOf, sealData } from '#core/seal.ts';
import { allNodes } from '#meta/clusters.ts';
import { collectionState, putCollectionState } from '#meta/collection.ts';
import { insertContents, putPresence, type Presence, type StoredContent } from '#meta/contents.ts';
import { replaceEntries } from '#meta/entries.ts';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { lockSpace, type StoredSpace } from '#meta/spaces.ts';
import { growJournal } from '#server/journal-writer.ts';
import { readNodeIdentity } from '#storage/node-identity.ts';
import { realChecksum } from '#world/real/checksum.ts';
import { realDisk } from '#world/real/disk.ts';
import { stderrLog } from '#world/real/log.ts';
import { nodePrimitives as primitives } from '#world/real/primitives.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { BLOCKS_PER_FILE, GARBAGE_EVERY, type FillPlan } from './filling.ts';

const PLAIN_BYTES = 256;
const FILES_PER_TURN = 1000;
const BATCH_BLOCKS = 256;
const { signal } = new AbortController();

const plan = JSON.parse(process.argv[2] as string) as FillPlan;
const keyring = makeKeyring(primitives, sealKeys(plan));
const log = stderrLog('warn');
const disk = realDisk(plan.nodeData);
const identity = must(await readNodeIdentity(disk, primitives), 'the directory is a node’s');
const meta = await openSqliteMetaStore(sqliteOpener, join(plan.serverData, 'server', 'meta.db'));
const store = await openDiskBlockStore({
  disk,
  sql: sqliteOpener,
  indexPath: join(plan.nodeData, 'index.db'),
  node: identity.node,
  log,
  checksum: realChecksum,
  primitives,
});
const number = must(
  (await meta.read(allNodes)).find(({ node }) => node === identity.node),
  'the server knows the node',
).number;

const presence: Presence[] = [];
const files = Math.ceil(plan.blocks / BLOCKS_PER_FILE);
for (let first = 0; first < files; first += FILES_PER_TURN)
  await fillTurn(first, Math.min(FILES_PER_TURN, files - first));
// In the order of the key, so that the table grows at its end.
presence.sort((left, right) => (left.block < right.block ? -1 : 1));
for (let first = 0; first < presence.length; first += 10_000)
  await meta.write((writer) => putPresence(writer, plan.space, presence.slice(first, first + 10_000)));
// Collections begin when time has passed, not when the server starts.
await meta.write(async (writer) =>
  putCollectionState(writer, { ...(await collectionState(writer)), markedMs: Date.now() }),
);
await meta.close();
await store.close();

/** A folder of files: their blocks first, then everything that names them. */
async function fillTurn(first: number, count: number): Promise<void> {
  const blocks: Block[] = [];
  const contents = Array.from({ length: count }, (_, index) => {
    const length = Math.min(BLOCKS_PER_FILE, plan.blocks - (first + index) * BLOCKS_PER_FILE);
    return sealFile(length, blocks);
  });
  await Promise.all(batches(blocks).map(putAll));
  for (const { id, bytes } of blocks)
    presence.push({ block: id, pool: plan.pool, length: bytes.length, holders: [number], owed: 0 });
  await meta.write(async (writer) => {
    await insertContents(writer, plan.space, contents);
    const space = must(await lockSpace(writer, plan.space), 'the owner has a space');
    const named = contents.filter((_, index) => (first + index) % GARBAGE_EVERY !== GARBAGE_EVERY - 1);
    const entries = entriesOf(space, `folder ${first}`, named);
    const atMs = Date.now();
    const rows = entries.map((entry): JournalRow => {
      const { epoch } = space;
      return { kind: 'entry', space: plan.space, epoch, seq: entry.seq, base: 0, device: plan.device, atMs, entry };
    });
    await growJournal(writer, primitives, space, rows);
    const stored = entries.map((entry) => {
      const pool = entry.kind === 'file' ? plan.pool : null;
      const by = { revisedBy: plan.device, placedBy: plan.device };
      return { ...entry, ...by, pool, poolWanted: pool, madeMs: atMs, revisedMs: atMs, pooled: null };
    });
    await replaceEntries(writer, plan.space, stored, () => true);
  });
}

function sealFile(length: number, blocks: Block[]): StoredContent {
  const chunks = Array.from({ length }, (): ManifestChunk => {
    const plain = randomBytes(PLAIN_BYTES);
    const bytes = sealData(primitives, keyring.currentSealKey('data'), plain);
    const id = blockIdOf(primitives, bytes);
    blocks.push({ id, bytes });
    return {
      blockId: id,
      storedLength: bytes.length,
      keyVersion: keyring.currentVersion,
      chunkHash: id32Of(primitives.sha256(plain)),
      plainLength: plain.length,
    };
  });
  const size = length * PLAIN_BYTES;
  return { ...sealManifest(primitives, keyring, { size, chunker: 'cdc-512k', chunks }), size };
}

function entriesOf(space: StoredSpace, folder: string, contents: readonly StoredContent[]): readonly Entry[] {
  let seq = space.headSeq;
  const made = (entry: Pick<Entry, 'parent' | 'name' | 'kind' | 'content'>): Entry => {
    seq += 1;
    const id = toHex(randomBytes(16)) as EntryId;
    const common = { target: null, mtimeUs: 1, exec: false, trashedFrom: null };
    return { entry: id, revision: seq, placed: seq, seq, ...common, ...entry };
  };
  const parent = made({ parent: ROOT_ENTRY, name: folder, kind: 'folder', content: null });
  const below = contents.map(({ contentId, manifestId, size }, index) =>
    made({ parent: parent.entry, name: `${index}.bin`, kind: 'file', content: { contentId, manifestId, size } }),
  );
  return [parent, ...below];
}

async function putAll(batch: readonly Block[]): Promise<void> {
  const results = await store.put(batch, 0, signal);
  if (results.some((result) => result !== 'stored')) throw new Error('the node did not take every block');
}

function batches(blocks: readonly Block[]): readonly (readonly Block[])[] {
  const count = Math.ceil(blocks.length / BATCH_BLOCKS);
  return Array.from({ length: count }, (_, index) => blocks.slice(index * BATCH_BLOCKS, (index + 1) * BATCH_BLOCKS));
}

function sealKeys({ keys }: FillPlan): SealKeys {
  const current = { version: keys.version, key: Buffer.from(keys.current, 'hex') };
  return { identityKey: Buffer.from(keys.identity, 'hex'), current, versions: [current] };
}
