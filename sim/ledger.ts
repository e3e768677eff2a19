/**
 * What people wrote, kept outside of the system under test. A content is alive until a person overwrites or deletes it where they see it; what is
 * alive may never be lost, and what nobody wrote may never appear.
 */
export type Content = {
  readonly text: string;
  readonly by: string;
  alive: boolean;
  /** Whether a file may hold it at the end: also pieces of a file that was being written, and what a power cut left of one. */
};

export class Ledger {
  readonly #contents = new Map<string, Content>();

  /**
   * Somebody closed a file with these bytes. What somebody gave up before is not asked for again: a copy of it may count as a move of what was
   * deleted, and then belongs to whoever edited that.
   */
  wrote(text: string, by: string): void {
    if (!this.#contents.has(text)) this.#contents.set(text, { text, by, alive: true });
  }

  /** Bytes that stand on a disk by a person's or a power cut's doing, without anybody having meant them. */
  tolerate(text: string, by: string): void {
    if (!this.#contents.has(text)) this.#contents.set(text, { text, by, alive: false });
  }

  /** A person who saw it overwrote or deleted it. */
  gaveUp(text: string): void {
    const known = this.#contents.get(text);
    if (known) known.alive = false;
  }

  knows(text: string): boolean {
    return this.#contents.has(text);
  }

  *alive(): Iterable<Content> {
    for (const content of this.#contents.values()) if (content.alive) yield content;
  }
}
