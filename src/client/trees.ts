/** The three trees in the state's tables: what the planner reads, and what observing and carrying out writes. */
import type { Entry, EntryKind } from '#core/entry.ts';
import { ROOT_ENTRY, type ContentId, type EntryId } from '#core/ids.ts';
import { IGNORE_FILE } from '#core/ignore.ts';
import { EXACT_NAMES, isRefused, spotOf } from '#core/name-profile.ts';
import { nameHere, type Absence, type LocalEntry, type TreesView, type Unwanted } from '#core/plan.ts';
import type { DiskProfile, Stat } from '#world/folder.ts';
import type { SqlStatement } from '#world/sql.ts';
import type { State } from './state.ts';
import { directoryOf, nameOf } from './path.ts';
import { inodeText, parseStat, statText } from './stat-text.ts';
import { entryOf, localOf, syncedOf, type LocalRow, type SyncedRow } from './rows.ts';

const FOLDER_PATHS_MAX = 50_000;

/** What something is called, and what this disk calls it. */
export type Called = { readonly name: string; readonly alias: string | null };

export class Trees implements TreesView {
  readonly #state: State;
  readonly #sql: ReturnType<typeof statements>;
  /** Paths of folders as they were last asked for; any change of a folder's place empties both. */
  readonly #pathOf = new Map<EntryId, string>();
  readonly #folderAt = new Map<string, EntryId>();
  /** Paths that the disk refused, whatever its profile says, or has given to what nobody syncs. */
  readonly #refused = new Set<string>();
  readonly #onFreed: (entry: EntryId, kind: EntryKind) => void;
  #names: DiskProfile;
  appliedSeq = 0;
  /** What the person wants kept from this device. */
  wish: (entry: Entry) => Unwanted | null = () => null;
  /** Folders whose file of rules may be another than before, or that have another id. */
  readonly rulesTouched = new Set<EntryId>();

  /**
   * `onFreed` hears of entries that may take their place now, for whoever changes the local tree: what is here under an alias and whose own name
   * may be free, what lies elsewhere and whose folder came.
   */
  constructor(state: State, onFreed: (entry: EntryId, kind: EntryKind) => void = () => {}) {
    this.#state = state;
    this.#onFreed = onFreed;
    this.#sql = statements(state);
    const kept = state.meta('names');
    this.#names = kept === null ? EXACT_NAMES : (JSON.parse(kept) as DiskProfile);
  }

  get names(): DiskProfile {
    return this.#names;
  }

  /** The disk is found to be another than it was. Call inside a transaction. */
  useNames(names: DiskProfile): void {
    this.#names = names;
    this.#state.setMeta('names', JSON.stringify(names));
    this.#refused.clear();
    let after = '';
    for (;;) {
      const rows = this.#sql.localAfter.all(after).map(localOf);
      for (const row of rows) this.#sql.setLocalSpot.run(...this.#spots(row), row.entry);
      const last = rows.at(-1);
      if (!last) return;
      after = last.entry;
    }
  }

  /** Whether a file is executable: as the disk shows it, or `known` where the disk has nothing to show. */
  isExec(stat: Stat, known: boolean): boolean {
    return stat.kind === 'file' && (this.#names.lacksExec ? known : stat.exec);
  }

  refuses(parent: EntryId, name: string): boolean {
    if (isRefused(this.#names, parent, name)) return true;
    const path = this.#refused.size === 0 ? null : this.pathIn(parent, name);
    return path !== null && this.#refused.has(path);
  }

  /**
   * The disk has refused it, be it for the length of the whole path or for what lies there and is in no tree: as long as what is above it stays as it is. Known until the client ends:
   * then it is tried again. Where the folder above is not there, it was that which was refused.
   */
  refuse(parent: EntryId, name: string): void {
    const path = this.pathIn(parent, name);
    if (path !== null) this.#refused.add(path);
  }

  forgetRefused(): void {
    this.#refused.clear();
  }

  remote(entry: EntryId): Entry | null {
    const row = this.#sql.remote.get(entry);
    return row ? entryOf(row) : null;
  }

  local(entry: EntryId): LocalRow | null {
    const row = this.#sql.local.get(entry);
    return row ? localOf(row) : null;
  }

  synced(entry: EntryId): SyncedRow | null {
    const row = this.#sql.synced.get(entry);
    return row ? syncedOf(row) : null;
  }

  remoteAt(parent: EntryId, name: string): Entry | null {
    const row = this.#sql.remoteAt.get(parent, name);
    return row ? entryOf(row) : null;
  }

  localAt(parent: EntryId, name: string): LocalRow | null {
    const row = this.#sql.localAt.get(parent, spotOf(this.#names, name), name);
    return row ? localOf(row) : null;
  }

  /** What the disk calls exactly so. */
  localListed(parent: EntryId, name: string): LocalRow | null {
    const row = this.localAt(parent, name);
    return row && nameHere(row) === name ? row : null;
  }

  /** More than one where something was put in the place of what had left it and is not yet known to be gone. */
  localAllListed(parent: EntryId, name: string): readonly LocalRow[] {
    const rows = this.#sql.localAllAt.all(parent, spotOf(this.#names, name)).map(localOf);
    return rows.filter((row) => nameHere(row) === name);
  }

  remoteChildren(parent: EntryId): readonly EntryId[] {
    return ids(this.#sql.remoteChildren.all(parent));
  }

  localChildren(parent: EntryId): readonly EntryId[] {
    return ids(this.#sql.localChildren.all(parent));
  }

  syncedChildren(parent: EntryId): readonly EntryId[] {
    return ids(this.#sql.syncedChildren.all(parent));
  }

  unwanted(entry: Entry): Unwanted | null {
    return this.wish(entry);
  }

  localChildRows(parent: EntryId): LocalRow[] {
    return this.#sql.localChildRows.all(parent).map(localOf);
  }

  /** What makes a folder the one that it is; undefined of the root, which has no row, and of what is not on the disk. */
  folderStat(folder: EntryId): Stat | undefined {
    const row = this.local(folder);
    return row ? parseStat(row.stat) : undefined;
  }

  /** Nothing is known again by its number until it was seen where it is known to be. Call inside a transaction. */
  forgetNumbers(): void {
    this.#sql.forgetNumbers.run();
  }

  localByInode(inode: string): LocalRow[] {
    return this.#sql.localByInode.all(inode).map(localOf);
  }

  /** Both sides agreed on these bytes for another one. Of no bytes at all that says nothing. */
  isAnothers(entry: EntryId, content: ContentId): boolean {
    return this.#sql.anothers.get(content, entry) !== undefined;
  }

  /** Path on the disk by the local tree, '' for the root; null where an ancestor is not in it. */
  localPath(entry: EntryId): string | null {
    if (entry === ROOT_ENTRY) return '';
    const known = this.#pathOf.get(entry);
    if (known !== undefined) return known;
    const row = this.local(entry);
    if (!row || row.parked) return null;
    const path = this.pathIn(row.parent, nameHere(row));
    if (path !== null && row.kind === 'folder') this.#keepPath(entry, path);
    return path;
  }

  /** `name`: what the disk calls it. */
  pathIn(parent: EntryId, name: string): string | null {
    const above = this.localPath(parent);
    if (above === null) return null;
    return above === '' ? name : `${above}/${name}`;
  }

  /** The folder that the local tree has at a path. */
  localFolderAt(path: string): EntryId | null {
    if (path === '') return ROOT_ENTRY;
    const known = this.#folderAt.get(path);
    if (known !== undefined) return known;
    const parent = this.localFolderAt(directoryOf(path));
    if (parent === null) return null;
    const row = this.localListed(parent, nameOf(path));
    if (row?.kind !== 'folder') return null;
    this.#keepPath(row.entry, path);
    return row.entry;
  }

  /** For messages: where a person would look for it. */
  pathForPeople(entry: EntryId): string {
    const names: string[] = [];
    let at = entry;
    while (at !== ROOT_ENTRY && names.length < 300) {
      const local = this.local(at);
      const node = local ?? this.remote(at) ?? this.synced(at);
      if (!node) break;
      names.unshift(local ? nameHere(local) : node.name);
      at = node.parent;
    }
    return names.join('/');
  }

  /** Children of a folder before those below them. The folder itself is not in it. */
  *localSubtree(folder: EntryId): Iterable<LocalRow> {
    const waiting = [folder];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      for (const row of this.localChildRows(at)) {
        yield row;
        if (row.kind === 'folder') waiting.push(row.entry);
      }
    }
  }

  /** Each once, also where the tree goes round: between two rows of one group, whose moves are judged together, it may. */
  *remoteSubtree(folder: EntryId): Iterable<EntryId> {
    const waiting = [folder];
    const seen = new Set<EntryId>();
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      const children = this.remoteChildren(at);
      if (children.length === 0 || seen.has(at)) continue;
      seen.add(at);
      for (const child of children) {
        if (child === folder) continue;
        yield child;
        waiting.push(child);
      }
    }
  }

  /** Whether the folder, put into that one, would lie in itself, or in what goes round already. */
  goesRound(folder: EntryId, parent: EntryId): boolean {
    const passed = new Set([folder]);
    for (let at = parent; at !== ROOT_ENTRY; ) {
      if (passed.has(at)) return true;
      passed.add(at);
      const row = this.remote(at);
      if (!row) return false;
      at = row.parent;
    }
    return false;
  }

  putRemote(entry: Entry): void {
    this.#sql.putRemote.run(...entryValues(entry));
  }

  dropRemote(entry: EntryId): void {
    this.#sql.dropRemote.run(entry);
  }

  /** Not for what changes its place: that is `moveLocal`. */
  putLocal(row: Omit<LocalEntry, 'parked'>, stat: Stat, racy: boolean): void {
    if (row.name === IGNORE_FILE) this.rulesTouched.add(row.parent);
    const comes = row.kind === 'folder' && this.local(row.entry) === null;
    this.#sql.putLocal.run(
      row.entry,
      row.parent,
      row.name,
      row.alias,
      ...this.#spots(row),
      row.kind,
      row.contentId,
      row.target,
      row.exec ? 1 : 0,
      statText(stat),
      inodeText(stat),
      racy ? 1 : 0,
    );
    if (comes) this.#tellFreed(this.#sql.belonging.all(row.entry));
  }

  /** New stat of the same thing; the content stays what is known of it. */
  setLocalStat(entry: EntryId, stat: Stat): void {
    const exec = this.isExec(stat, this.local(entry)?.exec ?? false);
    this.#sql.setLocalStat.run(statText(stat), inodeText(stat), exec ? 1 : 0, entry);
  }

  setLocalContent(entry: EntryId, contentId: ContentId, racy: boolean): void {
    this.#sql.setLocalContent.run(contentId, racy ? 1 : 0, entry);
  }

  moveLocal(entry: EntryId, parent: EntryId, { name, alias }: Called): void {
    this.#touchRules(entry);
    if (name === IGNORE_FILE) this.rulesTouched.add(parent);
    this.forgetPaths();
    const freed = this.#waitingFor(entry);
    this.#sql.moveLocal.run(parent, name, alias, ...this.#spots({ name, alias }), entry);
    this.#tellFreed(freed);
  }

  parkLocal(entry: EntryId, slot: string | null): void {
    this.forgetPaths();
    this.#tellFreed(this.#waitingFor(entry));
    this.#sql.parkLocal.run(slot, entry);
  }

  /** The folder that it was parked out of is not there any more. */
  orphanParked({ entry, name, alias, slot }: LocalRow): void {
    this.moveLocal(entry, ROOT_ENTRY, { name, alias });
    this.parkLocal(entry, slot);
  }

  /** The same thing under another id, its children with it. */
  renameLocalId(from: EntryId, to: EntryId): void {
    this.#touchRules(from);
    if (this.rulesTouched.has(from)) this.rulesTouched.add(to);
    this.forgetPaths();
    this.#sql.renameLocalId.run(to, from);
    this.#sql.reparentLocal.run(to, from);
    this.#tellFreed(this.#sql.belonging.all(to));
  }

  dropLocal(row: { readonly entry: EntryId; readonly kind: EntryKind }): void {
    this.#touchRules(row.entry);
    if (row.kind === 'folder') this.forgetPaths();
    const freed = this.#waitingFor(row.entry);
    this.#sql.dropLocal.run(row.entry);
    this.#tellFreed(freed);
  }

  /** Where it is on the disk, and the spot of its own name where that is another. */
  #spots(called: Called): [string, string | null] {
    const spot = spotOf(this.#names, nameHere(called));
    const own = called.alias === null ? spot : spotOf(this.#names, called.name);
    return [spot, own === spot ? null : own];
  }

  #waitingFor(entry: EntryId): ReturnType<SqlStatement['all']> {
    return this.#sql.waitingFor.all(entry);
  }

  #tellFreed(rows: ReturnType<SqlStatement['all']>): void {
    for (const row of rows) this.#onFreed(row['entry'] as EntryId, row['kind'] as EntryKind);
  }

  putSynced(from: Entry, presence: 'here' | Absence = 'here'): void {
    this.#sql.putSynced.run(
      from.entry,
      from.parent,
      from.name,
      from.kind,
      from.content?.contentId ?? null,
      from.content?.manifestId ?? null,
      from.content?.size ?? 0,
      from.target,
      from.exec ? 1 : 0,
      from.revision,
      from.placed,
      presence,
    );
  }

  /** The merge base of a file's bytes and exec bit alone; which manifest held them is not known. */
  setSyncedContent(entry: EntryId, contentId: ContentId, exec: boolean): void {
    this.#sql.setSyncedContent.run(contentId, exec ? 1 : 0, entry);
  }

  setSyncedTarget(entry: EntryId, target: string): void {
    this.#sql.setSyncedTarget.run(target, entry);
  }

  moveSynced(entry: EntryId, parent: EntryId, name: string, placed: number): void {
    this.#sql.moveSynced.run(parent, name, placed, entry);
  }

  /** What was agreed on stays. */
  setPresence(entry: EntryId, presence: 'here' | Absence): void {
    this.#sql.setPresence.run(presence, entry);
  }

  dropSynced(entry: EntryId): void {
    this.#sql.dropSynced.run(entry);
  }

  /** Before a local row changes its place or its id. */
  #touchRules(entry: EntryId): void {
    const row = this.local(entry);
    if (row?.name === IGNORE_FILE) this.rulesTouched.add(row.parent);
    if (row?.kind === 'folder') this.rulesTouched.add(row.entry);
  }

  forgetPaths(): void {
    this.#pathOf.clear();
    this.#folderAt.clear();
  }

  #keepPath(entry: EntryId, path: string): void {
    if (this.#pathOf.size >= FOLDER_PATHS_MAX) this.forgetPaths();
    this.#pathOf.set(entry, path);
    this.#folderAt.set(path, entry);
  }

  get state(): State {
    return this.#state;
  }
}

export function entryValues(entry: Entry) {
  return [
    entry.entry,
    entry.parent,
    entry.name,
    entry.kind,
    entry.revision,
    entry.placed,
    entry.seq,
    entry.content?.contentId ?? null,
    entry.content?.manifestId ?? null,
    entry.content?.size ?? 0,
    entry.target,
    entry.mtimeUs,
    entry.exec ? 1 : 0,
  ] as const;
}

function ids(rows: ReturnType<SqlStatement['all']>): EntryId[] {
  return rows.map((row) => row['entry'] as EntryId);
}

function statements({ sql }: State) {
  return {
    remote: sql.prepare('SELECT * FROM remote WHERE entry = ?'),
    local: sql.prepare('SELECT * FROM local WHERE entry = ?'),
    synced: sql.prepare('SELECT * FROM synced WHERE entry = ?'),
    remoteAt: sql.prepare('SELECT * FROM remote WHERE parent = ? AND name = ?'),
    // Some disks tell apart what has one spot: then what is called exactly so comes first.
    localAllAt: sql.prepare('SELECT * FROM local WHERE parent = ? AND spot = ? AND slot IS NULL'),
    localAt: sql.prepare(
      'SELECT * FROM local WHERE parent = ? AND spot = ? AND slot IS NULL ORDER BY coalesce(alias, name) = ? DESC LIMIT 1',
    ),
    anothers: sql.prepare('SELECT 1 FROM synced WHERE content = ? AND entry <> ? AND size > 0 LIMIT 1'),
    forgetNumbers: sql.prepare(`UPDATE local SET inode = ''`),
    localAfter: sql.prepare('SELECT * FROM local WHERE entry > ? ORDER BY entry LIMIT 1000'),
    setLocalSpot: sql.prepare('UPDATE local SET spot = ?, awaits = ? WHERE entry = ?'),
    waitingFor: sql.prepare(
      'SELECT other.entry, other.kind FROM local AS one JOIN local AS other ON other.parent = one.parent AND other.awaits = one.spot WHERE one.entry = ?',
    ),
    // What is on this disk, and not in this folder, where the space has it.
    belonging: sql.prepare(
      'SELECT local.entry, local.kind FROM remote CROSS JOIN local ON local.entry = remote.entry WHERE remote.parent = ? AND local.parent <> remote.parent',
    ),
    remoteChildren: sql.prepare('SELECT entry FROM remote WHERE parent = ?'),
    localChildren: sql.prepare('SELECT entry FROM local WHERE parent = ?'),
    syncedChildren: sql.prepare('SELECT entry FROM synced WHERE parent = ?'),
    localChildRows: sql.prepare('SELECT * FROM local WHERE parent = ?'),
    localByInode: sql.prepare('SELECT * FROM local WHERE inode = ?'),
    putRemote: sql.prepare('INSERT OR REPLACE INTO remote VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'),
    dropRemote: sql.prepare('DELETE FROM remote WHERE entry = ?'),
    putLocal: sql.prepare('INSERT OR REPLACE INTO local VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)'),
    setLocalStat: sql.prepare('UPDATE local SET stat = ?, inode = ?, exec = ? WHERE entry = ?'),
    setLocalContent: sql.prepare('UPDATE local SET content = ?, racy = ? WHERE entry = ?'),
    moveLocal: sql.prepare(
      'UPDATE local SET parent = ?, name = ?, alias = ?, spot = ?, awaits = ?, slot = NULL WHERE entry = ?',
    ),
    parkLocal: sql.prepare('UPDATE local SET slot = ? WHERE entry = ?'),
    renameLocalId: sql.prepare('UPDATE local SET entry = ? WHERE entry = ?'),
    reparentLocal: sql.prepare('UPDATE local SET parent = ? WHERE parent = ?'),
    dropLocal: sql.prepare('DELETE FROM local WHERE entry = ?'),
    putSynced: sql.prepare('INSERT OR REPLACE INTO synced VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'),
    setSyncedContent: sql.prepare('UPDATE synced SET content = ?, exec = ?, manifest = NULL WHERE entry = ?'),
    setSyncedTarget: sql.prepare('UPDATE synced SET target = ? WHERE entry = ?'),
    moveSynced: sql.prepare('UPDATE synced SET parent = ?, name = ?, placed = ? WHERE entry = ?'),
    setPresence: sql.prepare('UPDATE synced SET presence = ? WHERE entry = ?'),
    dropSynced: sql.prepare('DELETE FROM synced WHERE entry = ?'),
  };
}
