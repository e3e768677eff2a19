/** The bytes of a simulated file: in pages, of which those never written to are holes and those of two versions alike are shared. */

export const PAGE_BYTES = 4096;

/** `bytes` may be shorter than a page: the rest is zeros. A page with a `shared` mark belongs to several files, and is copied before a write. */
export type Page = { bytes: Uint8Array; shared: boolean };

/** What a file was at some time. */
export type Version = { readonly size: number; readonly pages: readonly (Page | undefined)[] };

export class Pages {
  size = 0;
  pages: (Page | undefined)[] = [];
  /** Pages that are no holes. */
  count = 0;

  version(): Version {
    return { size: this.size, pages: this.pages.slice() };
  }

  /** As it was then. */
  restore({ size, pages }: Version): void {
    this.size = size;
    this.pages = pages.slice();
    this.count = 0;
    for (const page of pages) if (page !== undefined) this.count++;
  }

  read(into: Uint8Array, offset: number, length: number, position: number): number {
    const count = Math.max(0, Math.min(length, this.size - position));
    for (let done = 0; done < count; ) {
      const at = position + done;
      const within = at % PAGE_BYTES;
      const piece = Math.min(PAGE_BYTES - within, count - done);
      const bytes = this.pages[(at - within) / PAGE_BYTES]?.bytes;
      const end = bytes === undefined ? within : Math.max(within, Math.min(bytes.length, within + piece));
      if (bytes !== undefined && end > within) into.set(bytes.subarray(within, end), offset + done);
      if (end < within + piece) into.fill(0, offset + done + (end - within), offset + done + piece);
      done += piece;
    }
    return count;
  }

  /**
   * Writes up to the end of a page, or less where `take` refuses the room for a new one: 0 then. `kept` is a version that must not
   * change with this one.
   */
  writeSome(bytes: Uint8Array, position: number, kept: Version | null, take: () => boolean): number {
    const within = position % PAGE_BYTES;
    const index = (position - within) / PAGE_BYTES;
    const count = Math.min(PAGE_BYTES - within, bytes.length);
    if (this.pages[index] === undefined) {
      if (!take()) return 0;
      this.count++;
    }
    const page = this.#pageToWrite(index, within + count, kept);
    page.bytes.set(count === bytes.length ? bytes : bytes.subarray(0, count), within);
    if (position + count > this.size) this.size = position + count;
    return count;
  }

  /** Answers with the number of pages that it gave up. */
  truncate(size: number, kept: Version | null): number {
    const before = this.count;
    if (size < this.size) {
      const last = Math.ceil(size / PAGE_BYTES);
      for (let index = last; index < this.pages.length; index++) if (this.pages[index] !== undefined) this.count--;
      if (this.pages.length > last) this.pages.length = last;
      const within = size % PAGE_BYTES;
      const bytes = within === 0 ? undefined : this.pages[last - 1]?.bytes;
      if (bytes !== undefined && bytes.length > within) this.#pageToWrite(last - 1, within, kept).bytes.fill(0, within);
    }
    this.size = size;
    return before - this.count;
  }

  /** Everything of it at once. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.size);
    this.read(bytes, 0, this.size, 0);
    return bytes;
  }

  #pageToWrite(index: number, end: number, kept: Version | null): Page {
    const page = this.pages[index];
    if (page === undefined) return (this.pages[index] = { bytes: new Uint8Array(end), shared: false });
    const isKept = page.shared || (kept !== null && kept.pages[index] === page);
    if (!isKept && page.bytes.length >= end) return page;
    // Doubled, since what grows once will grow again.
    const length =
      page.bytes.length >= end ? page.bytes.length : Math.min(PAGE_BYTES, Math.max(end, 2 * page.bytes.length));
    const bytes = new Uint8Array(length);
    bytes.set(page.bytes);
    if (!isKept) {
      page.bytes = bytes;
      return page;
    }
    return (this.pages[index] = { bytes, shared: false });
  }
}
