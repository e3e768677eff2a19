/** What a crash or a power cut may have left half done on the disk, settled before anything on it is believed. */
import type { ContentId, EntryId, UploadId } from '#core/ids.ts';
import { MIB } from '#core/limits.ts';
import { nameHere } from '#core/plan.ts';
import { abandon } from '#protocol/sync.ts';
import type { ListedEntry, Stat } from '#world/folder.ts';
import type { Device } from './device.ts';
import { forgetLocal } from './gone.ts';
import { BATCH_PLAIN_BYTES_MAX } from './reader.ts';
import type { LocalRow } from './rows.ts';
import { mtimeUsOf, parseStat } from './stat-text.ts';

const TRASH_DAYS_MAX = 30;
const PATHS_PER_STEP = 500;

type Placing = {
  readonly path: string;
  readonly entry: EntryId;
  readonly content: ContentId;
  readonly mtimeUs: number;
  /** What it is called, whatever the disk is to call it. */
  readonly name: string;
};

export async function recover(device: Device): Promise<void> {
  await bringBackParked(device);
  await checkPlaced(device);
  await checkUnflushed(device);
  await dropAbandoned(device);
  const stages = device.state.sql.prepare('SELECT stage FROM staging').all();
  await device.folder.sweep(
    stages.map((row) => row['stage'] as string),
    TRASH_DAYS_MAX,
  );
}

/** Transfers that were begun for what is not to be transferred any more. */
async function dropAbandoned({ state, line, space, signal }: Device): Promise<void> {
  const rest = 'NOT IN (SELECT entry FROM dirty)';
  const uploads = state.sql.prepare(`SELECT upload FROM uploads WHERE subject ${rest} LIMIT 100`).all();
  if (uploads.length > 0) {
    const ids = uploads.map((row) => row['upload'] as UploadId);
    await line.ask(abandon, { space, uploads: ids }, signal);
    const drop = state.sql.prepare('DELETE FROM uploads WHERE upload = ?');
    state.transaction(() => {
      for (const id of ids) drop.run(id);
    });
  }
  state.transaction(() => state.sql.exec(`DELETE FROM staging WHERE entry ${rest}`));
}

/** To where they were: the next plan starts from there. */
async function bringBackParked({ state, folder, keys, trees, log }: Device): Promise<void> {
  for (const row of state.sql.prepare('SELECT * FROM parking').all()) {
    const slot = row['slot'] as string;
    const path = row['path'] as string;
    let [outcome] = await folder.apply([{ kind: 'unpark', slot, path }], keys());
    const taken = outcome?.kind === 'stale' && trees.local(row['entry'] as EntryId)?.parked;
    if (taken) [outcome] = await folder.apply([{ kind: 'unpark', slot, path: `${path} (${slot})` }], keys());
    if (outcome?.kind === 'failed') log.warn('something parked could not be brought back', { path });
    if (outcome?.kind === 'failed') continue;
    state.transaction(() => {
      trees.parkLocal(row['entry'] as EntryId, null);
      state.sql.prepare('DELETE FROM parking WHERE slot = ?').run(slot);
    });
  }
}

/** Files that were being placed and may not have reached the disk whole. Wrong bytes under our own time are ours: fetched again, never uploaded. */
async function checkPlaced(device: Device): Promise<void> {
  const { state, folder } = device;
  const rows = state.sql.prepare('SELECT * FROM placing').all().map(placingOf);
  for (let at = 0; at < rows.length; at += PATHS_PER_STEP) {
    const some = rows.slice(at, at + PATHS_PER_STEP);
    const seen = await folder.look(some.map(({ path }) => path));
    const suspects: { readonly placing: Placing; readonly stat: Stat }[] = [];
    some.forEach((placing, index) => {
      const found = seen[index] ?? null;
      if (isOurs(found, placing)) suspects.push({ placing, stat: found.stat });
    });
    await judgeSuspects(device, suspects);
    const forget = state.sql.prepare('DELETE FROM placing WHERE path = ?');
    state.transaction(() => {
      for (const { path } of some) forget.run(path);
    });
  }
}

async function judgeSuspects(
  device: Device,
  suspects: readonly { readonly placing: Placing; readonly stat: Stat }[],
): Promise<void> {
  let batch: (typeof suspects)[number][] = [];
  let bytes = 0;
  const flush = async () => {
    await judgeBatch(device, batch);
    batch = [];
    bytes = 0;
  };
  for (const suspect of suspects) {
    if (bytes + suspect.stat.size > BATCH_PLAIN_BYTES_MAX && batch.length > 0) await flush();
    batch.push(suspect);
    bytes += suspect.stat.size;
  }
  if (batch.length > 0) await flush();
}

async function judgeBatch(
  device: Device,
  batch: readonly { readonly placing: Placing; readonly stat: Stat }[],
): Promise<void> {
  const { folder, keys, state, trees, dirty } = device;
  for (const { placing, stat } of batch) {
    const content = await contentOf(device, placing.path, stat);
    if (content === placing.content || content === 'unreadable') {
      await folder.flush([placing.path]);
      if (content === placing.content) agreeOnPlaced(device, placing, stat);
      continue;
    }
    await folder.apply([{ kind: 'remove', path: placing.path, expect: stat }], keys());
    state.transaction(() => {
      // Without a base it is not a deletion, but a file that is not here yet.
      const row = trees.local(placing.entry);
      if (row) trees.dropLocal(row);
      trees.dropSynced(placing.entry);
      dirty.add(placing.entry, 'file');
    });
    device.log.warn('a file had not reached the disk whole; it is fetched again', { path: placing.path });
  }
}

/**
 * The bytes stand where they were to be placed, and nobody had the time to say so: this is what both sides last agreed on. Without that a revision
 * that came meanwhile would meet a file that seems to be somebody's own, and make a conflict of it.
 */
function agreeOnPlaced({ state, trees, dirty }: Device, placing: Placing, stat: Stat): void {
  const { entry, content, path } = placing;
  const cut = path.lastIndexOf('/');
  const parent = trees.localFolderAt(cut < 0 ? '' : path.slice(0, cut));
  const here = path.slice(cut + 1);
  const remote = trees.remote(entry);
  const known = trees.local(entry);
  // It was moved since, or is another thing there: that is for the scan to find out.
  if (parent === null || remote?.kind !== 'file') return;
  if (known ? known.parent !== parent || nameHere(known) !== here : trees.localAt(parent, here) !== null) return;
  const { name } = known ?? placing;
  const alias = name === here ? null : here;
  const { exec } = stat;
  state.transaction(() => {
    trees.putLocal({ entry, parent, name, alias, kind: 'file', contentId: content, target: null, exec }, stat, false);
    if (!trees.synced(entry)) trees.putSynced({ ...remote, parent, name });
    trees.setSyncedContent(entry, content, exec);
    dirty.add(entry, 'file');
  });
}

/**
 * What people's programs had made before the power went, and the disk may not have kept. Bytes that changed under a time that did not are torn, and a name
 * that went with the power was not deleted by anybody.
 */
async function checkUnflushed(device: Device): Promise<void> {
  const { state, trees, unflushed, folder } = device;
  const powerWent = device.boot === null || device.boot !== state.meta('boot');
  const known = unflushed.entries().map((entry) => ({ entry, path: trees.localPath(entry), row: trees.local(entry) }));
  for (let at = 0; at < known.length; at += PATHS_PER_STEP) {
    const some = known.slice(at, at + PATHS_PER_STEP).filter(({ path, row }) => path !== null && row !== null);
    const seen = await folder.look(some.map(({ path }) => path ?? ''));
    for (const [index, { entry, path, row }] of some.entries()) {
      const found = seen[index] ?? null;
      if (path === null || row === null || (found !== null && 'kind' in found)) continue;
      if (found === null) {
        if (powerWent) fetchAgain(device, entry, path);
      } else if (await isTorn(device, row, path, found.stat)) {
        await folder.apply([{ kind: 'remove', path, expect: found.stat }], device.keys());
        fetchAgain(device, entry, path);
      }
    }
  }
  state.transaction(() => state.setMeta('boot', device.boot));
}

/** A file whose bytes are others than those that were agreed on, under the very time that they were read at. One that grew was written to. */
async function isTorn(device: Device, row: LocalRow, path: string, stat: Stat): Promise<boolean> {
  const agreed = device.trees.synced(row.entry)?.contentId ?? null;
  if (stat.kind !== 'file' || agreed === null || row.contentId !== agreed) return false;
  const before = parseStat(row.stat);
  if (before.mtimeNs !== stat.mtimeNs || before.size < stat.size) return false;
  const content = await contentOf(device, path, stat);
  return content !== agreed && content !== 'unreadable';
}

/** Without a base it is not a deletion, but something that is not here yet; with all that was below it. */
function fetchAgain(device: Device, entry: EntryId, path: string): void {
  const { state, trees } = device;
  state.transaction(() => {
    const row = trees.local(entry);
    for (const gone of row ? forgetLocal(device, row) : []) trees.dropSynced(gone.entry);
  });
  device.log.warn('something had not reached the disk when the power went; it is fetched again', { path });
}

async function contentOf(device: Device, path: string, stat: Stat): Promise<ContentId | 'torn' | 'unreadable'> {
  const { folder, keys, signal } = device;
  if (stat.size <= MIB) {
    const [outcome] = await folder.seal([{ path, expect: stat }], keys());
    return outcome?.kind === 'sealed' ? outcome.content.contentId : 'unreadable';
  }
  const sealing = await folder.openSealing({ path, expect: stat }, keys(), null);
  if (!('next' in sealing)) return 'unreadable';
  try {
    for (;;) {
      const step = await sealing.next(signal);
      if (step.kind === 'end') return step.content.contentId;
      if (step.kind !== 'blocks') return 'unreadable';
    }
  } finally {
    await sealing.close();
  }
}

/** By its time to the microsecond, which the placing gave it: an edit would have given it another. */
function isOurs(found: unknown, placing: Placing): found is ListedEntry {
  if (typeof found !== 'object' || found === null || !('stat' in found)) return false;
  const { stat } = found as ListedEntry;
  return stat.kind === 'file' && mtimeUsOf(stat) === placing.mtimeUs;
}

function placingOf(row: Readonly<Record<string, unknown>>): Placing {
  return {
    path: row['path'] as string,
    entry: row['entry'] as EntryId,
    content: row['content'] as ContentId,
    mtimeUs: row['mtime_us'] as number,
    name: row['name'] as string,
  };
}
