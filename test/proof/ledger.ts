/**
 * What the system was given and what it acknowledged, kept outside of it: in this process, and line by line in a file of its own. A file is
 * changed, renamed and deleted by the device that made it alone, so that at the end every folder holds exactly what is expected here.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import type { Listed } from '../cluster.ts';

export const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** `durable`: whoever wrote it had it synced to the disk. */
type Known = { readonly hash: string; readonly size: number; readonly durable: boolean; acknowledged: boolean };

export class Ledger {
  readonly #file: string;
  /** By path, what was written there last; null where it was deleted or renamed away. */
  readonly #present = new Map<string, Known | null>();
  /** By path, every content that was ever written there. */
  readonly #ever = new Map<string, Set<string>>();
  #acknowledged = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /** Contents of which a listing said that they are stored, ever. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  get paths(): readonly string[] {
    return [...this.#present].filter(([, known]) => known).map(([path]) => path);
  }

  /** Acknowledged, and not changed or deleted since by anybody's wish. */
  get standing(): ReadonlyMap<string, string> {
    return new Map([...this.#present].flatMap(([path, known]) => (known?.acknowledged ? [[path, known.hash]] : [])));
  }

  /** Nobody promised that it survives a power cut of the machine that wrote it: neither was it synced there, nor acknowledged. */
  isUncertain(path: string): boolean {
    const known = this.#present.get(path);
    return !!known && !known.acknowledged && !known.durable;
  }

  wrote(path: string, bytes: Uint8Array, durable = true): void {
    const hash = hashOf(bytes);
    this.#present.set(path, { hash, size: bytes.length, durable, acknowledged: false });
    this.#ever.set(path, (this.#ever.get(path) ?? new Set()).add(hash));
    this.note({ wrote: path, hash, durable });
  }

  /** What became of something uncertain is what is expected from now on. */
  became(path: string, bytes: Uint8Array | null): void {
    const now = bytes && { hash: hashOf(bytes), size: bytes.length, durable: true, acknowledged: true };
    this.#present.set(path, now);
    this.note({ became: path, hash: now?.hash ?? null });
  }

  renamed(from: string, to: string): void {
    const known = this.#present.get(from);
    assert(known, 'what is renamed is there');
    this.#present.set(from, null);
    this.#present.set(to, { ...known, acknowledged: false });
    this.note({ renamed: from, to });
  }

  deleted(path: string): void {
    this.#present.set(path, null);
    this.note({ deleted: path });
  }

  /** A listing in which no file of this path has been written since it was asked for. Sizes of one path's contents differ. */
  listed(rows: readonly Listed[]): void {
    for (const { path, size, state } of rows) {
      const known = this.#present.get(path);
      if (state !== 'stored' || known?.size !== size || known.acknowledged) continue;
      known.acknowledged = true;
      this.#acknowledged += 1;
      this.note({ acknowledged: path, hash: known.hash });
    }
  }

  /** A conflict's copy that holds, whole, what was once written at the path that it is a copy of. */
  isEarlierVersion(path: string, hash: string): boolean {
    const original = path.replace(/ \(conflicted copy, [^)]*\)/, '');
    return original !== path && (this.#ever.get(original)?.has(hash) ?? false);
  }

  note(line: Readonly<Record<string, unknown>>): void {
    appendFileSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  /** What is missing, wrong, or there without anybody having put it there; one line each. */
  differences(tree: ReadonlyMap<string, string>): readonly string[] {
    const wrong: string[] = [];
    for (const [path, known] of this.#present) {
      const found = tree.get(path);
      if (found === known?.hash) continue;
      const was = known?.acknowledged ? 'acknowledged' : 'written';
      wrong.push(known ? `${path}: ${was} ${known.hash}, found ${found ?? 'nothing'}` : `${path}: deleted, found`);
    }
    for (const [path, found] of tree)
      if (found !== 'folder' && !this.#present.has(path)) wrong.push(`${path}: found, and nobody wrote it`);
    return wrong;
  }
}
