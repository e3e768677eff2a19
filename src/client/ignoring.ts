/**
 * Which things in the folder are ignored: the rules that stand in `.holdfastignore` files on this disk (`core/ignore.ts`), each for the folder
 * that it lies in and all below. They are read before anything that they may speak of is looked at, and kept in the state, so that no start and
 * no unreadable file makes everything known at once. What is ignored is in no local tree, is not listed and not watched.
 */
import { must } from '#core/assert.ts';
import { escapeForPeople } from '#core/escape.ts';
import { ROOT_ENTRY, type EntryId } from '#core/ids.ts';
import { DEFAULT_RULES, IGNORE_FILE, judgeIgnore, parseIgnore, type IgnoreRules } from '#core/ignore.ts';
import { limits } from '#core/limits.ts';
import type { ListedEntry, Sealed, Stat } from '#world/folder.ts';
import type { Device } from './device.ts';
import { tryAgain } from './names.ts';
import type { LocalRow } from './rows.ts';
import { openWhole } from './sealed-text.ts';
import { isRacy, parseStat, statText } from './stat-text.ts';

type Known = { readonly stat: string; readonly text: string; readonly rules: IgnoreRules };
type Place = { readonly parent: EntryId; readonly name: string };
export type Side = 'local' | 'remote';

const UNREAD_REST_MS = 5000;

export class Ignoring {
  readonly #device: Omit<Device, 'ignoring'>;
  readonly #known = new Map<EntryId, Known>();
  /** Rules that could not be read, and when to try again. */
  readonly #unread = new Map<EntryId, number>();
  /** Folders with rules whose file is gone before them. */
  readonly #leaving = new Set<EntryId>();
  /** The observer's: nothing in this directory is looked at any more. */
  onReleased: (path: string) => void = () => {};
  /** The observer's: there may be something to be seen below this path that was not looked at before. */
  onChanged: (path: string) => void = () => {};

  constructor(device: Omit<Device, 'ignoring'>) {
    this.#device = device;
    for (const row of device.state.sql.prepare('SELECT * FROM rules').all()) {
      const text = row['text'] as string;
      const folder = row['folder'] as EntryId;
      this.#known.set(folder, { stat: row['stat'] as string, text, rules: parseIgnore(text) });
      if (device.trees.localAt(folder, IGNORE_FILE)?.kind !== 'file') this.#leaving.add(folder);
    }
  }

  /** Whether the rules ignore it, by itself: what lies in something ignored is not asked for. */
  isIgnored(side: Side, place: Place, isFolder: boolean): boolean {
    if (place.name === IGNORE_FILE && !isFolder) return false;
    if (this.#known.size === 0 && !place.name.endsWith('.lock')) return false;
    const { trees } = this.#device;
    let path = place.name;
    for (let at = place.parent; ; ) {
      const known = this.#known.get(at);
      const verdict = known ? judgeIgnore(known.rules, path, isFolder) : null;
      if (verdict !== null) return verdict;
      const row = at === ROOT_ENTRY ? null : side === 'local' ? trees.local(at) : trees.remote(at);
      if (!row) break;
      path = `${row.name}/${path}`;
      at = row.parent;
    }
    return judgeIgnore(DEFAULT_RULES, path, isFolder) === true;
  }

  /** Ignored whatever it is: a hint about it says nothing. */
  isIgnoredName(place: Place): boolean {
    return this.isIgnored('local', place, false) && this.isIgnored('local', place, true);
  }

  /** Reads the rules that a listing or a look showed, where they are not the known ones. Before anything beside them is compared. */
  async learn(folder: EntryId, path: string, seen: ListedEntry): Promise<void> {
    if (seen.stat.kind !== 'file' || this.#known.get(folder)?.stat === statText(seen.stat)) return;
    await this.#read(folder, path, seen.stat);
  }

  /** There are none in it. Those that were learnt before the tree had their file, and that went before it had, are followed by nothing else. */
  seenWithout(folder: EntryId): void {
    const { trees } = this.#device;
    if (this.#known.has(folder) && !trees.localAt(folder, IGNORE_FILE)) trees.rulesTouched.add(folder);
  }

  isKnown(folder: EntryId): boolean {
    return this.#known.has(folder);
  }

  /** No rules but those that hold everywhere. */
  get isEmpty(): boolean {
    return this.#known.size === 0;
  }

  /** A folder that stayed for what was ignored in it holds nothing any more: it may go. Call inside a transaction. */
  emptied(folder: EntryId): void {
    const { trees, dirty } = this.#device;
    if (trees.synced(folder)?.presence !== 'ignored') return;
    trees.setPresence(folder, trees.remote(folder) ? 'not_selected' : 'here');
    dirty.add(folder, 'folder');
  }

  /** The local tree has changed where rules are: they follow it. */
  async catchUp(): Promise<void> {
    const { trees, state, clock, problems } = this.#device;
    const due = [...this.#unread].filter(([, dueMs]) => dueMs <= clock.monotonicMs()).map(([folder]) => folder);
    if (trees.rulesTouched.size + this.#leaving.size + due.length === 0) return;
    const touched = new Set([...trees.rulesTouched, ...this.#leaving, ...due]);
    for (const folder of due) this.#unread.delete(folder);
    trees.rulesTouched.clear();
    this.#leaving.clear();
    for (const folder of touched) {
      const row = trees.localAt(folder, IGNORE_FILE);
      const path = row?.kind === 'file' ? trees.localPath(row.entry) : null;
      if (row && path !== null) {
        if (this.#known.get(folder)?.stat !== row.stat) await this.#read(folder, path, parseStat(row.stat));
        continue;
      }
      // What could not be read is not there any more.
      problems.clear(`rules:${folder}`);
      if (this.#known.has(folder) && this.#isLeaving(folder)) {
        // It may come to stay after all: then what it has no rules for any more is ignored no longer.
        this.#leaving.add(folder);
      } else if (this.#known.delete(folder)) {
        state.transaction(() => {
          state.sql.prepare('DELETE FROM rules WHERE folder = ?').run(folder);
          this.#reconsider(folder);
        });
      }
    }
  }

  /**
   * A folder that is to go, and is there: its rules went before it, and what they ignore may be all that is left in it. It is not to go up for
   * that; the rules go with the folder.
   */
  #isLeaving(folder: EntryId): boolean {
    const { trees, selection } = this.#device;
    if (trees.local(folder) === null) return false;
    if (trees.remote(folder) === null) return trees.synced(folder) !== null;
    return !selection.isWanted(folder);
  }

  /** Stops looking at a thing, whatever it is and with all below it: it stays on this disk, on the server, and with the others. Call inside a transaction. */
  release(row: LocalRow): void {
    const { trees } = this.#device;
    const path = trees.localPath(row.entry);
    if (row.kind === 'folder') for (const below of Array.from(trees.localSubtree(row.entry))) this.#let(below);
    this.#let(row);
    if (path !== null && row.kind === 'folder') this.onReleased(path);
  }

  #let(row: LocalRow): void {
    const { trees, dirty } = this.#device;
    trees.setPresence(row.entry, 'ignored');
    trees.dropLocal(row);
    dirty.add(row.entry, row.kind);
  }

  async #read(folder: EntryId, path: string, stat: Stat): Promise<void> {
    const { folder: disk, keys, clock, problems, state } = this.#device;
    const subject = `rules:${folder}`;
    const refused = (message: string) =>
      problems.set(subject, {
        path: escapeForPeople(path),
        code: 'invalid_field',
        message: `${message}; what it said before holds on`,
      });
    if (stat.size > limits.ignoreBytesMax) return refused(`it is longer than ${limits.ignoreBytesMax} bytes`);
    const startedMs = clock.nowMs();
    const [outcome] = await disk.seal([{ path, expect: stat }], keys());
    // Whoever moved it meanwhile has hinted at it.
    if (outcome?.kind === 'failed') {
      this.#unread.set(folder, clock.monotonicMs() + UNREAD_REST_MS);
      return refused(`it cannot be read: ${outcome.detail}`);
    }
    this.#unread.delete(folder);
    if (outcome?.kind !== 'sealed') return;
    problems.clear(subject);
    const text = new TextDecoder().decode(this.#open(outcome));
    const known = {
      stat: isRacy(outcome.stat, startedMs) ? '' : statText(outcome.stat),
      text,
      rules: parseIgnore(text),
    };
    const before = this.#known.get(folder)?.text ?? '';
    state.transaction(() => {
      this.#known.set(folder, known);
      state.sql.prepare('INSERT OR REPLACE INTO rules VALUES (?, ?, ?)').run(folder, known.stat, text);
      if (text !== before) this.#reconsider(folder);
    });
  }

  /** The door hands out sealed bytes alone. */
  #open({ manifest, blocks }: Sealed): Uint8Array {
    const { primitives, keys } = this.#device;
    const bytes = blocks.map((block) => block.bytes);
    return must(openWhole(primitives, keys(), manifest, bytes), 'what was sealed just now opens');
  }

  /** The rules for what is below `folder` are others: what they ignore now is let go, what they did is looked at again. */
  #reconsider(folder: EntryId): void {
    const { trees } = this.#device;
    const ignored: LocalRow[] = [];
    const open = [folder];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      for (const row of trees.localChildRows(at)) {
        if (row.parked) continue;
        if (this.isIgnored('local', row, row.kind === 'folder')) ignored.push(row);
        else if (row.kind === 'folder') open.push(row.entry);
      }
    }
    for (const row of ignored) this.release(row);
    this.#reconsiderAbsent(folder, false);
    // What was ignored may have been in the way.
    trees.forgetRefused();
    tryAgain(this.#device);
    const path = folder === ROOT_ENTRY ? '' : trees.localPath(folder);
    if (path !== null) this.onChanged(path);
  }

  #reconsiderAbsent(folder: EntryId, aboveIgnored: boolean): void {
    const { trees, dirty } = this.#device;
    for (const child of trees.remoteChildren(folder)) {
      const remote = must(trees.remote(child), 'a child is in the tree');
      const isFolder = remote.kind === 'folder';
      const ignored = aboveIgnored || this.isIgnored('remote', remote, isFolder);
      const wasIgnored = trees.synced(child)?.presence === 'ignored';
      if (trees.local(child) === null && ignored !== wasIgnored) dirty.add(child, remote.kind);
      if (isFolder) this.#reconsiderAbsent(child, ignored);
    }
  }
}
