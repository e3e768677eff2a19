/**
 * What was done to names and attributes on a device and is not durable yet, in the order in which it was done: what a power cut may undo.
 * Each change is one of the file system's own transactions: it survives whole or not at all.
 */
import type { Attributes, Inode } from './inode.ts';

/** A name that led to another inode before, or to none. */
export type NameChange = {
  readonly folder: Inode;
  readonly name: string;
  readonly before: Inode | null;
  readonly after: Inode | null;
};

export type Change = {
  readonly names: readonly NameChange[];
  /** Null where none changed. Attributes of folders are left out: nothing is judged by them. */
  readonly inode: Inode | null;
  before: Attributes | null;
  after: Attributes | null;
  readonly atMs: number;
};

const NO_NAMES: readonly NameChange[] = [];
/** Beyond this, changes that the system has long written are let go of. */
const LENGTH_KEPT = 512;

export class Journal {
  readonly #elapsedMs: () => number;
  readonly #ageMsMax: number;
  #changes: Change[] = [];
  #length = LENGTH_KEPT;

  /** `ageMsMax`: what is older was written by the system itself. */
  constructor(elapsedMs: () => number, ageMsMax: number) {
    this.#elapsedMs = elapsedMs;
    this.#ageMsMax = ageMsMax;
  }

  add(names: readonly NameChange[], inode: Inode | null, before: Attributes | null): void {
    const after = inode === null ? null : inode.attributes;
    this.#changes.push({ names, inode, before, after, atMs: this.#elapsedMs() });
    if (this.#changes.length > this.#length) this.#age();
  }

  /** Writes to one file in a row count as one change of its times. */
  addAttributes(inode: Inode, before: Attributes): void {
    const last = this.#changes.at(-1);
    if (last !== undefined && last.inode === inode && last.names === NO_NAMES) last.after = inode.attributes;
    else this.add(NO_NAMES, inode, before);
  }

  /** All of them are durable. */
  commit(): void {
    if (this.#changes.length > 0) this.#changes = [];
    this.#length = LENGTH_KEPT;
  }

  /** Only these are. */
  commitThose(isDurable: (change: Change) => boolean): void {
    this.#changes = this.#changes.filter((change) => !isDurable(change));
  }

  /** What is known of this inode itself is durable, whatever becomes of its names. */
  commitAttributes(inode: Inode): void {
    for (const change of this.#changes) {
      if (change.inode !== inode) continue;
      change.before = null;
      change.after = null;
    }
  }

  /** Takes those that a power cut may undo, the oldest first. */
  take(): readonly Change[] {
    this.#age();
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  #age(): void {
    const oldestMs = this.#elapsedMs() - this.#ageMsMax;
    const first = this.#changes.findIndex((change) => change.atMs >= oldestMs);
    this.#changes.splice(0, first < 0 ? this.#changes.length : first);
    this.#length = Math.max(LENGTH_KEPT, 2 * this.#changes.length);
  }
}
