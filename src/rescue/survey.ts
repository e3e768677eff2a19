/** What of every live file can be brought back, judged from what was found and from nothing else. */
import { must } from '#core/assert.ts';
import { fromHex, toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { ROOT_ENTRY, TRASH_ENTRY, type EntryId, type SpaceId } from '#core/ids.ts';
import { chainNext, chainStart, parseRow } from '#core/journal-row.ts';
import { makeKeyring, type Keyring } from '#core/keyring.ts';
import { contentIdOf, manifestIdOf, openManifest, type Manifest } from '#core/manifest.ts';
import type { Primitives } from '#core/primitives.ts';
import type { ListedHead } from '#core/root-index.ts';
import type { RecoveryKit } from '#core/root-key.ts';
import { unwrapSecret, type WrapPurpose } from '#core/wrap.ts';
import { findSecrets } from '#meta/clusters.ts';
import { findContents } from '#meta/contents.ts';
import type { PooledEntry } from '#meta/entries.ts';
import type { MetaReader, MetaStore } from '#meta/meta-store.ts';
import type { StoredSpace } from '#meta/spaces.ts';
import { chainedRows, entriesAfter } from '#meta/surveying.ts';
import type { FoundBlocks } from './found-blocks.ts';

const PAGE = 500;

export type SpaceKeysFound = { readonly keyring: Keyring } | { readonly why: string };
export type FileState =
  | { readonly kind: 'whole'; readonly manifest: Manifest }
  | { readonly kind: 'missing'; readonly manifest: Manifest; readonly blocks: number }
  | { readonly kind: 'damaged'; readonly why: string };
/** `path`: the names from the root on. */
export type SurveyedEntry = { readonly entry: PooledEntry; readonly path: readonly string[]; readonly live: boolean };

export async function openSpaceKeys(
  primitives: Primitives,
  kit: RecoveryKit,
  reader: MetaReader,
  space: StoredSpace,
): Promise<SpaceKeysFound> {
  const object = must(fromHex(space.space), 'an id is hexadecimal');
  const open = async (purpose: WrapPurpose) =>
    (await findSecrets(reader, purpose, object)).map(({ version, wrapped }) => {
      const place = { cluster: kit.cluster, purpose, object: space.space, version };
      return { version, key: unwrapSecret(primitives, kit.root, place, wrapped) };
    });
  const [identity] = await open('space_identity_key');
  const versions = (await open('space_key')).flatMap(({ version, key }) => (key ? [{ version, key }] : []));
  const current = versions.find(({ version }) => version === space.keyVersion);
  if (!identity?.key || !current) return { why: 'the keys of its space do not open' };
  return { keyring: makeKeyring(primitives, { identityKey: identity.key, current, versions }) };
}

/** As `judgeJournal`; rows that are none are a fault as well. */
export async function checkJournal(
  primitives: Primitives,
  meta: MetaStore,
  space: StoredSpace,
  listed: ListedHead | undefined,
): Promise<readonly string[]> {
  try {
    return await judgeJournal(primitives, meta, space, listed);
  } catch (error) {
    if (error instanceof HoldfastError) return [error.message];
    throw error;
  }
}

/** Sentences for a person: what is wrong with a space's journal; none where it is whole and ends where the root says. */
async function judgeJournal(
  primitives: Primitives,
  meta: MetaStore,
  space: StoredSpace,
  listed: ListedHead | undefined,
): Promise<readonly string[]> {
  const { headSeq, headChain, horizonSeq } = space;
  if (listed?.headSeq !== headSeq || listed.headChain !== headChain || listed.epoch !== space.epoch)
    return ['its journal does not end where the root says'];
  let seq = horizonSeq;
  let chain: string | null = null;
  for (;;) {
    const rows = await meta.read((reader) => chainedRows(reader, space.space, Math.max(seq, 1), PAGE));
    for (const row of rows) {
      const stored = toHex(row.chain);
      // The row at the horizon is where the chain begins: those before it may be gone.
      const before = row.seq === 1 ? chainStart(primitives, space.space, parseRow(row.row).epoch) : chain;
      if (row.seq !== Math.max(seq, 1)) return [`its journal lacks rows from ${Math.max(seq, 1)} on`];
      if (before !== null && chainNext(primitives, before as never, row.row) !== stored)
        return [`the chain of its journal breaks at ${row.seq}`];
      chain = stored;
      seq = row.seq + 1;
    }
    if (rows.length < PAGE) break;
  }
  if (headSeq > 0 && (seq !== headSeq + 1 || chain !== headChain)) return ['its journal ends before its head'];
  return [];
}

/** Folders of a space by their id: few beside the files, and what makes paths of names. */
export class FolderPaths {
  readonly #folders = new Map<EntryId, { readonly parent: EntryId; readonly name: string }>();

  static async read(meta: MetaStore, space: SpaceId): Promise<FolderPaths> {
    const paths = new FolderPaths();
    for await (const entry of allEntries(meta, space))
      if (entry.kind === 'folder') paths.#folders.set(entry.entry, { parent: entry.parent, name: entry.name });
    return paths;
  }

  /** What leads nowhere is live as well, below a name that says so: it is somebody's file. */
  locate(entry: PooledEntry): SurveyedEntry {
    const path = [entry.name];
    const seen = new Set<EntryId>();
    for (let at = entry.parent; at !== ROOT_ENTRY; ) {
      if (at === TRASH_ENTRY) return { entry, path, live: false };
      const folder = this.#folders.get(at);
      if (!folder || seen.has(at)) return { entry, path: ['(without a folder)', ...path], live: true };
      seen.add(at);
      path.unshift(folder.name);
      at = folder.parent;
    }
    return { entry, path, live: true };
  }
}

/** In the order of their ids. */
export async function* allEntries(meta: MetaStore, space: SpaceId): AsyncGenerator<PooledEntry> {
  for (let after: EntryId | null = null; ; ) {
    const page: readonly PooledEntry[] = await meta.read((reader) => entriesAfter(reader, space, after, PAGE));
    yield* page;
    const last = page.at(-1);
    if (!last) return;
    after = last.entry;
  }
}

/** Whether the manifest opens and is the revision's, and which of its blocks were found. */
export async function judgeFile(
  { primitives, meta, blocks }: { primitives: Primitives; meta: MetaStore; blocks: FoundBlocks },
  space: SpaceId,
  keys: SpaceKeysFound,
  entry: PooledEntry,
): Promise<FileState> {
  if (!('keyring' in keys)) return { kind: 'damaged', why: keys.why };
  const { content } = entry;
  if (!content) throw new HoldfastError('integrity', 'a file has a content');
  const stored = (await meta.read((reader) => findContents(reader, space, [content.manifestId]))).get(
    content.manifestId,
  );
  if (!stored) return { kind: 'damaged', why: 'its list of blocks is missing' };
  if (manifestIdOf(primitives, stored.bytes) !== content.manifestId)
    return { kind: 'damaged', why: 'its list of blocks is not the revision’s' };
  const manifest = openManifest(primitives, keys.keyring, stored.bytes);
  if (!manifest) return { kind: 'damaged', why: 'its list of blocks does not open' };
  if (contentIdOf(primitives, keys.keyring, manifest) !== content.contentId || manifest.size !== content.size)
    return { kind: 'damaged', why: 'its list of blocks is of another content' };
  const missing = manifest.chunks.filter(({ blockId }) => !blocks.has(blockId)).length;
  return missing === 0 ? { kind: 'whole', manifest } : { kind: 'missing', manifest, blocks: missing };
}
