/**
 * When to look at what a watcher hinted at. Pure but for its own memory: times are handed in (monotonic milliseconds).
 * A name is looked at when it was quiet for its delay; a directory with many such names is listed as a whole instead.
 */
const QUIET_MS = 25;
const DELAY_MS_MAX = 2000;
/**
 * Changes belong to one piece of work where they come within a second of each other, or within a few times the wait that the work has earned
 * by then. Longer, and a person who saves every other second would wait as a log file does.
 */
const MEMORY_MS_MIN = 1000;
const MEMORY_DELAYS = 4;
/** However busy, it is looked at after this. */
const PATIENCE_MS = 10_000;
const BUSY_MS = 500;
export const NAMES_LOOKED_AT_MAX = 64;
/** A listing that nothing but caution asks for. */
const CAUTION_MS = 1000;
/** A directory may be listed again after this many times what its last listing took: a tenth of a core. */
const REST_FACTOR = 9;

type PendingName = { dueMs: number; readonly firstMs: number };
type PendingList = { dueMs: number; readonly cautious: boolean };
type Directory = {
  readonly names: Map<string, PendingName>;
  list: PendingList | null;
  /** Rises with every directory that becomes dirty: tells which were dirty at some moment. */
  readonly generation: number;
  readonly firstMs: number;
};

export type Due = {
  readonly lists: readonly string[];
  readonly looks: readonly { readonly directory: string; readonly names: readonly string[] }[];
};

export class Settling {
  readonly #directories = new Map<string, Directory>();
  /** Delay that the last change of a path got, and when. */
  readonly #recent = new Map<string, { delayMs: number; atMs: number }>();
  readonly #rests = new Map<string, number>();
  #generation = 0;

  /** Something about `name` in `directory`. */
  hintName(directory: string, name: string, nowMs: number): void {
    const at = this.#at(directory, nowMs);
    const pending = at.names.get(name);
    const dueMs = nowMs + this.#delay(directory === '' ? name : `${directory}/${name}`, nowMs);
    if (pending) pending.dueMs = Math.min(dueMs, pending.firstMs + PATIENCE_MS);
    else at.names.set(name, { dueMs, firstMs: nowMs });
    if (at.names.size > NAMES_LOOKED_AT_MAX)
      at.list = { dueMs: Math.min(nowMs + BUSY_MS, at.firstMs + PATIENCE_MS), cautious: false };
  }

  /** A name to look at again at a known time, of which no new hint came. */
  lookAgain(directory: string, name: string, dueMs: number, nowMs: number): void {
    const at = this.#at(directory, nowMs);
    const pending = at.names.get(name);
    if (pending) pending.dueMs = Math.min(pending.dueMs, dueMs);
    else at.names.set(name, { dueMs, firstMs: nowMs });
  }

  hintDirectory(directory: string, nowMs: number): void {
    this.listSoon(directory, nowMs + QUIET_MS, nowMs);
  }

  listSoon(directory: string, dueMs: number, nowMs: number): void {
    const at = this.#at(directory, nowMs);
    const soonestMs = Math.max(dueMs, this.#rests.get(directory) ?? 0);
    if (!at.list || at.list.cautious || at.list.dueMs > soonestMs) at.list = { dueMs: soonestMs, cautious: false };
  }

  /** After single names were looked at: the whole once it is quiet, since hints may have been lost. */
  listWhenQuiet(directory: string, nowMs: number): void {
    const at = this.#at(directory, nowMs);
    const dueMs = Math.max(nowMs + CAUTION_MS, this.#rests.get(directory) ?? 0);
    if (!at.list || at.list.cautious) at.list = { dueMs, cautious: true };
  }

  /** How long the last listing took: the next may not come at once where it was long. */
  listed(directory: string, tookMs: number, nowMs: number): void {
    if (tookMs > 10) this.#rests.set(directory, nowMs + REST_FACTOR * tookMs);
    else this.#rests.delete(directory);
  }

  /** What is due now, and from now on no longer pending. */
  take(nowMs: number): Due {
    const lists: string[] = [];
    const looks: { directory: string; names: string[] }[] = [];
    for (const [directory, at] of this.#directories) {
      if (at.list && at.list.dueMs <= nowMs) {
        lists.push(directory);
        at.list = null;
        for (const [name, pending] of at.names) if (pending.dueMs <= nowMs) at.names.delete(name);
      } else if (!at.list || at.list.cautious) {
        const names = [...at.names].filter(([, pending]) => pending.dueMs <= nowMs).map(([name]) => name);
        if (names.length > 0) looks.push({ directory, names });
        for (const name of names) at.names.delete(name);
      }
      if (!at.list && at.names.size === 0) this.#directories.delete(directory);
    }
    this.#forget(nowMs);
    return { lists, looks };
  }

  /** Whether a change of this name is still being waited for. */
  isWaiting(directory: string, name: string): boolean {
    return this.#directories.get(directory)?.names.has(name) ?? false;
  }

  /** Names that something was hinted of less than this ago, and that are not looked at yet. */
  *waiting(sinceMsMax: number, nowMs: number): Iterable<{ readonly directory: string; readonly name: string }> {
    for (const [directory, { names }] of this.#directories)
      for (const [name, { firstMs }] of names) if (nowMs - firstMs < sinceMsMax) yield { directory, name };
  }

  /** A mark of now, to ask `settledSince` with. */
  get mark(): number {
    return this.#generation;
  }

  /** True where no directory that was dirty at the mark is still unlisted. Listings asked for by caution alone do not count. */
  settledSince(mark: number): boolean {
    for (const at of this.#directories.values())
      if (at.generation <= mark && (at.names.size > 0 || (at.list && !at.list.cautious))) return false;
    return true;
  }

  /** Nothing is pending but caution. */
  get quiet(): boolean {
    return this.settledSince(this.#generation);
  }

  nextDueMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const at of this.#directories.values()) {
      if (at.list) nextMs = Math.min(nextMs, at.list.dueMs);
      if (!at.list || at.list.cautious)
        for (const pending of at.names.values()) nextMs = Math.min(nextMs, pending.dueMs);
    }
    return nextMs;
  }

  #at(directory: string, nowMs: number): Directory {
    let at = this.#directories.get(directory);
    if (at && at.names.size === 0 && at.list?.cautious) {
      // Only caution kept it: it becomes dirty now.
      at = { ...at, generation: ++this.#generation, firstMs: nowMs };
      this.#directories.set(directory, at);
    }
    if (!at) {
      at = { names: new Map(), list: null, generation: ++this.#generation, firstMs: nowMs };
      this.#directories.set(directory, at);
    }
    return at;
  }

  #delay(path: string, nowMs: number): number {
    const recent = this.#recent.get(path);
    // Several hints of one write come together: they are one change.
    if (recent && nowMs - recent.atMs < QUIET_MS) {
      recent.atMs = nowMs;
      return recent.delayMs;
    }
    const same = recent !== undefined && nowMs - recent.atMs < memoryMs(recent.delayMs);
    const delayMs = same ? Math.min(DELAY_MS_MAX, recent.delayMs * 2) : QUIET_MS;
    this.#recent.set(path, { delayMs, atMs: nowMs });
    return delayMs;
  }

  #forget(nowMs: number): void {
    if (this.#recent.size < 4096) return;
    for (const [path, { atMs, delayMs }] of this.#recent)
      if (nowMs - atMs >= memoryMs(delayMs)) this.#recent.delete(path);
  }
}

function memoryMs(delayMs: number): number {
  return Math.max(MEMORY_MS_MIN, MEMORY_DELAYS * delayMs);
}
