/** The use-case `files`: what there is, by path, whether or not a device syncs it. */
import { must } from '#core/assert.ts';
import { CommitTree } from '#core/commit-tree.ts';
import { ROOT_ENTRY, type EntryId, type ManifestId, type SpaceId } from '#core/ids.ts';
import { devicesOf } from '#meta/accounts.ts';
import { findPresence } from '#meta/contents.ts';
import { entriesWithAncestors, filesAfter, type PooledEntry } from '#meta/entries.ts';
import type { MetaReader } from '#meta/meta-store.ts';
import { uploadsOf, type StoredUpload } from '#meta/uploads.ts';
import { files, type FileRow } from '#protocol/cluster.ts';
import { outlines } from './contents.ts';
import { deviceRoute, spaceFor, type DeviceIdentity } from './identity.ts';
import type { ServerContext } from './server-context.ts';

const UPLOADS_MAX = 1000;

export function fileRoutes(context: ServerContext) {
  return [
    deviceRoute(files, async ({ space, after, limit }, { identity }) => ({
      response: await context.meta.read(async (reader) => {
        await spaceFor(reader, identity, space);
        return pageOfFiles(context, reader, { space, identity, after, limit });
      }),
      parts: [],
    })),
  ];
}

type Page = {
  readonly space: SpaceId;
  readonly identity: DeviceIdentity;
  readonly after: EntryId | null;
  readonly limit: number;
};

/** Empty only where there are no more: the caller goes on from the last row that it got. */
async function pageOfFiles(context: ServerContext, reader: MetaReader, page: Page) {
  const uploads = await uploadsOf(reader, page.space, UPLOADS_MAX);
  const devices = await devicesOf(reader, page.identity.account);
  const nameOf = new Map(devices.map(({ device, name }) => [device, name]));
  for (let after = page.after; ; ) {
    const stored = await filesAfter(reader, page.space, after, page.limit);
    const last = stored.length < page.limit ? null : must(stored.at(-1), 'a full page has a last row').entry;
    const within = uploads.filter(({ entry }) => (after === null || entry > after) && (last === null || entry <= last));
    const rows = await describe(context, reader, page.space, stored, within, nameOf);
    // Files that are only being uploaded come on top of a page of stored ones; what does not fit comes with the next page.
    if (rows.length > 0 || last === null)
      return { files: rows.slice(0, page.limit), done: last === null && rows.length <= page.limit };
    after = last;
  }
}

async function describe(
  context: ServerContext,
  reader: MetaReader,
  space: SpaceId,
  stored: readonly PooledEntry[],
  uploads: readonly StoredUpload[],
  nameOf: ReadonlyMap<string, string>,
): Promise<FileRow[]> {
  const parents = [...stored, ...uploads].map(({ parent }) => parent);
  const tree = new CommitTree(await entriesWithAncestors(reader, space, parents), new Map());
  const live = stored.filter(({ parent }) => tree.place(parent).live);
  const copies = await countCopies(context, reader, space, live);
  const uploadOf = new Map(uploads.map((upload) => [upload.entry, upload]));
  const known = new Set(stored.map(({ entry }) => entry));
  const deviceOf = (upload: StoredUpload) => ({
    device: upload.device,
    name: nameOf.get(upload.device) ?? 'another device',
  });
  const rows = live.map((file): FileRow => {
    const upload = uploadOf.get(file.entry);
    return {
      entry: file.entry,
      path: pathOf(tree, file.parent, file.name),
      size: file.content?.size ?? 0,
      mtimeUs: file.mtimeUs,
      revision: file.revision,
      manifest: file.content?.manifestId ?? null,
      contentId: file.content?.contentId ?? null,
      exec: file.exec,
      pool: must(file.pool, 'a file has a pool'),
      copies: copies.get(file.entry) ?? 0,
      state: upload ? 'updating' : 'stored',
      device: upload ? deviceOf(upload) : null,
    };
  });
  for (const upload of uploads) {
    if (known.has(upload.entry) || !tree.place(upload.parent).live) continue;
    rows.push({
      entry: upload.entry,
      path: pathOf(tree, upload.parent, upload.name),
      size: upload.size,
      mtimeUs: 0,
      revision: 0,
      manifest: null,
      contentId: null,
      exec: false,
      pool: upload.pool,
      copies: 0,
      state: 'updating',
      device: deviceOf(upload),
    });
  }
  return rows.sort((left, right) => (left.entry < right.entry ? -1 : 1));
}

export function pathOf(tree: CommitTree, parent: EntryId, name: string): string {
  const names = [name];
  for (let at = parent; at !== ROOT_ENTRY; ) {
    const folder = must(tree.find(at), 'what is live has a way to the root');
    names.push(folder.name);
    at = folder.parent;
  }
  return names.reverse().join('/');
}

/** Of each file, the copies of its least copied block; an empty file has nothing that could be lost. */
async function countCopies(
  context: ServerContext,
  reader: MetaReader,
  space: SpaceId,
  live: readonly PooledEntry[],
): Promise<ReadonlyMap<EntryId, number>> {
  const manifests = live.flatMap(({ content }) => content?.manifestId ?? []);
  const found = await outlines(reader, space, manifests);
  const ids = [...found.values()].flatMap(({ blocks }) => blocks.map(({ id }) => id));
  const holders = new Map<string, number>();
  for (const row of await findPresence(reader, space, ids)) holders.set(`${row.block}/${row.pool}`, row.holders.length);
  const copies = new Map<EntryId, number>();
  for (const { entry, content, pool } of live) {
    const blocks = found.get(content?.manifestId as ManifestId)?.blocks ?? [];
    let least = context.nodes.copies(pool ?? '');
    for (const { id } of blocks) least = Math.min(least, holders.get(`${id}/${pool}`) ?? 0);
    copies.set(entry, least);
  }
  return copies;
}
