/** What a crash or a power cut may have left half done on the disk, settled before anything on it is believed. */
import type { EntryId, UploadId } from '#core/ids.ts';
import { abandon } from '#protocol/sync.ts';
import type { Stat, StepOutcome } from '#world/folder.ts';
import { compareUnflushed } from './compare-unflushed.ts';
import { contentOf } from './content-on-disk.ts';
import type { Device } from './device.ts';
import { BATCH_PLAIN_BYTES_MAX } from './reader.ts';
import { isCoarse, isRacyPlaced, keepsBirths, mayBeTime } from './stat-text.ts';
import { takePlaced, type Placed } from './take-placed.ts';
import type { Trees } from './trees.ts';
import { nameOf } from './path.ts';

const TRASH_DAYS_MAX = 30;
const PATHS_PER_STEP = 500;

type Placing = Placed & { readonly mtimeUs: number };
/** `timed`: it says the time that it was to be given. */
type Suspect = { readonly placing: Placing; readonly stat: Stat; readonly timed: boolean };

/** `root`: of the folder. */
export async function recover(device: Device, root: Stat): Promise<void> {
  const { boot, state, trees } = device;
  // It may have been mounted anew. By their numbers things would be taken for others that look alike, and their bytes for known.
  if (!keepsBirths(root)) state.transaction(() => trees.forgetNumbers());
  const ranOn = boot !== null && boot === state.meta('boot');
  await bringBackParked(device);
  // A client that was killed took nothing from the disk: what differs, somebody did.
  if (!ranOn) await compareUnflushed(device);
  await checkPlaced(device, ranOn);
  // Not before all is judged: whoever ends halfway has to know at the next start that the power was gone.
  state.transaction(() => state.setMeta('boot', boot));
  await dropAbandoned(device);
  const stages = device.state.sql.prepare('SELECT stage FROM staging').all();
  await device.folder.sweep(
    stages.map((row) => row['stage'] as string),
    TRASH_DAYS_MAX,
  );
}

/** Transfers that were begun for what is not to be transferred any more. */
export async function dropAbandoned({ state, line, space, signal }: Device): Promise<void> {
  const isDirty = (column: string) => `EXISTS (SELECT 1 FROM dirty WHERE dirty.entry = ${column})`;
  const uploads = state.sql.prepare(`SELECT upload FROM uploads WHERE NOT ${isDirty('subject')} LIMIT 100`).all();
  if (uploads.length > 0) {
    const ids = uploads.map((row) => row['upload'] as UploadId);
    await line.ask(abandon, { space, uploads: ids }, signal);
    const drop = state.sql.prepare('DELETE FROM uploads WHERE upload = ?');
    state.transaction(() => {
      for (const id of ids) drop.run(id);
    });
  }
  const abandoned = `FROM staging WHERE NOT ${isDirty('staging.entry')}`;
  // Asked after every change, and almost never so: without a write where there is nothing to be written.
  if (state.sql.prepare(`SELECT 1 ${abandoned} LIMIT 1`).get() === undefined) return;
  state.transaction(() => state.sql.exec(`DELETE ${abandoned}`));
}

/** To where they were, or near it, or where there is a folder in any case: the next plan starts from there. */
async function bringBackParked({ state, folder, keys, trees, log }: Device): Promise<void> {
  for (const row of state.sql.prepare('SELECT * FROM parking').all()) {
    const slot = row['slot'] as string;
    const path = row['path'] as string;
    let outcome: StepOutcome | undefined;
    for (const to of [path, `${path} (${slot})`, `${nameOf(path)} (${slot})`]) {
      [outcome] = await folder.apply([{ kind: 'unpark', slot, path: to }], keys());
      if (outcome?.kind !== 'stale') break;
    }
    if (outcome?.kind === 'failed') log.warn('something parked could not be brought back', { path });
    if (outcome?.kind === 'failed') continue;
    state.transaction(() => {
      trees.parkLocal(row['entry'] as EntryId, null);
      state.sql.prepare('DELETE FROM parking WHERE slot = ?').run(slot);
    });
  }
}

/**
 * What was being placed. Files may not have reached the disk whole: wrong bytes under our own time - which the disk keeps to the microsecond, or
 * to what it keeps of times - are ours, and fetched again, never uploaded. An edit would have given them another. The right bytes are ours under any
 * time: the power may have taken that alone. Where the machine `ranOn` nothing was torn that was not on a disk that somebody pulled, and an edit in
 * the very tick of that time looks the same: both are kept then. So they are where that tick is a long one, and where nobody can read what is there.
 */
async function checkPlaced(device: Device, ranOn: boolean): Promise<void> {
  const { state, folder } = device;
  const rows = state.sql.prepare('SELECT * FROM placing').all().map(placingOf);
  for (let at = 0; at < rows.length; at += PATHS_PER_STEP) {
    const some = rows.slice(at, at + PATHS_PER_STEP);
    const seen = await folder.look(some.map(({ path }) => path));
    const suspects: Suspect[] = [];
    /** Folders and links: they have no bytes that could be torn. */
    const bare: { readonly placing: Placing; readonly stat: Stat }[] = [];
    for (const [index, placing] of some.entries()) {
      const found = seen[index] ?? null;
      if (found === null) continue;
      if ('kind' in found) {
        if (device.trees.remote(placing.entry)?.kind === 'file') fetchBeside(device, placing);
        continue;
      }
      const { stat, target } = found;
      const timed = mayBeTime(stat, placing.mtimeUs);
      if (stat.kind === 'file' && (timed || !ranOn)) suspects.push({ placing, stat, timed });
      else if (stat.kind === 'folder' || (stat.kind === 'symlink' && target === placing.text))
        bare.push({ placing, stat });
    }
    if (bare.length > 0) await folder.flush(bare.map(({ placing }) => placing.path));
    for (const { placing, stat } of bare) await takePlaced(device, placing, stat);
    await judgeSuspects(device, suspects, ranOn);
    const forget = state.sql.prepare('DELETE FROM placing WHERE path = ?');
    state.transaction(() => {
      for (const { path } of some) forget.run(path);
    });
  }
}

async function judgeSuspects(device: Device, suspects: readonly Suspect[], ranOn: boolean): Promise<void> {
  let batch: Suspect[] = [];
  let bytes = 0;
  const flush = async () => {
    await judgeBatch(device, batch, ranOn);
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

async function judgeBatch(device: Device, batch: readonly Suspect[], ranOn: boolean): Promise<void> {
  const { folder, keys, trees } = device;
  await folder.flush(batch.map(({ placing }) => placing.path));
  for (const { placing, stat, timed } of batch) {
    const content = await contentOf(device, placing.path, stat);
    if (content === 'changed') continue;
    const whole = content === placing.text;
    if (!timed && !whole) continue;
    if (whole && (await takePlaced(device, placing, stat))) continue;
    // What another one's bytes are is not torn: a person put it here.
    const isSomebodys =
      content === 'unreadable' || trees.isAnothers(placing.entry, content) || mayBeAnEdit(trees, placing, stat);
    const torn = !whole && !ranOn && !isSomebodys;
    if (whole || torn) await folder.apply([{ kind: 'remove', path: placing.path, expect: stat }], keys());
    if (torn) device.log.warn('a file had not reached the disk whole; it is fetched again', { path: placing.path });
    if (whole || torn) forgetPlaced(device, placing);
    else fetchBeside(device, placing);
  }
}

/** Nobody knows what is there, or whose it is. */
function fetchBeside(device: Device, placing: Placing): void {
  forgetPlaced(device, placing);
  device.log.warn('a file may not have reached the disk whole; it is fetched again, and what is there is kept', {
    path: placing.path,
  });
}

/** Without a base it is not a deletion, but a file that is not here yet; and what lies there one that is united with it. */
function forgetPlaced({ state, trees, dirty }: Device, { entry }: Placing): void {
  state.transaction(() => {
    const row = trees.local(entry);
    if (row) trees.dropLocal(row);
    trees.dropSynced(entry);
    dirty.add(entry, 'file');
  });
}

/**
 * In the tick of its own time, where that is one of a second or two and the file was placed in it. What tears files makes most of them shorter; on a disk
 * without births it may be any other file.
 */
function mayBeAnEdit(trees: Trees, { entry, text }: Placing, stat: Stat): boolean {
  if (!isCoarse(stat) || !isRacyPlaced(stat)) return false;
  if (!keepsBirths(stat)) return stat.size > 0;
  const placed = trees.remote(entry)?.content;
  return placed?.contentId === text && placed.size === stat.size;
}

function placingOf(row: Readonly<Record<string, unknown>>): Placing {
  return {
    path: row['path'] as string,
    entry: row['entry'] as EntryId,
    text: row['content'] as string,
    mtimeUs: row['mtime_us'] as number,
    name: row['name'] as string,
  };
}
