/**
 * Somebody who works with files on a simulated machine, by the programs that people use. What takes several system calls is a generator
 * that yields between them, so that whoever looks meanwhile sees what is there meanwhile.
 */
import { fromUtf8, utf8 } from '#core/bytes.ts';
import { nameOfRawByte } from './name-rules.ts';
import type { ProcessFiles } from './process-files.ts';

export type TreeThing =
  | { readonly kind: 'file'; readonly bytes: Uint8Array; readonly exec: boolean; readonly inode: bigint }
  | { readonly kind: 'folder'; readonly inode: bigint }
  | { readonly kind: 'symlink'; readonly target: string }
  | { readonly kind: 'other' };
/** By path below the folder that was asked for, in the order of the paths. */
export type Tree = ReadonlyMap<string, TreeThing>;

type Bytes = Uint8Array | string;
type Work = Generator<undefined, void>;
type Put = (fd: number, bytes: Uint8Array, position: number, pieceBytes: number) => Work;

export class SimUser {
  readonly files: ProcessFiles;

  constructor(files: ProcessFiles) {
    this.files = files;
  }

  /** Makes the file or writes it anew. */
  write(path: string, bytes: Bytes): void {
    finish(this.writeInPieces(path, bytes, Number.MAX_SAFE_INTEGER));
  }

  /** First the file is empty, then it grows. */
  *writeInPieces(path: string, bytes: Bytes, pieceBytes: number): Work {
    yield* this.#withFile(path, true, function* (fd, put) {
      yield;
      yield* put(fd, bytesOf(bytes), 0, pieceBytes);
    });
  }

  /** As most editors save: beside it, then over it. */
  *save(path: string, bytes: Bytes, besidePath: string, syncs: boolean): Work {
    const { files } = this;
    yield* this.#withFile(besidePath, true, function* (fd, put) {
      yield;
      yield* put(fd, bytesOf(bytes), 0, Number.MAX_SAFE_INTEGER);
      if (syncs) files.fsync(fd);
    });
    yield;
    files.rename(besidePath, path);
  }

  saveAtOnce(path: string, bytes: Bytes): void {
    finish(this.save(path, bytes, `${path}.saving`, false));
  }

  append(path: string, bytes: Bytes): void {
    const { files } = this;
    finish(
      this.#withFile(path, false, (fd, put) => put(fd, bytesOf(bytes), files.fstat(fd).size, Number.MAX_SAFE_INTEGER)),
    );
  }

  /** Writes into the file without cutting it first: of the same length, nothing but its times tells. */
  *overwrite(path: string, bytes: Bytes, position: number, pieceBytes: number): Work {
    yield* this.#withFile(path, false, (fd, put) => put(fd, bytesOf(bytes), position, pieceBytes));
  }

  /** As programs that restore times do: only the ctime tells. */
  writeKeepingTime(path: string, bytes: Bytes): void {
    const { mtimeNs } = this.files.stat(path);
    this.write(path, bytes);
    this.setTime(path, Number(mtimeNs / 1000n));
  }

  setTime(path: string, mtimeUs: number): void {
    const fd = this.files.open(path, 'read');
    this.files.futimes(fd, mtimeUs);
    this.files.close(fd);
  }

  truncate(path: string, length: number): void {
    const fd = this.files.openToRewrite(path, false);
    this.files.ftruncate(fd, length);
    this.files.close(fd);
  }

  /** With those above it. */
  makeFolder(path: string): void {
    this.files.mkdirAll(path);
  }

  remove(path: string): void {
    finish(this.removeInPieces(path));
  }

  /** `rm -r`, a name at a time. */
  *removeInPieces(path: string): Work {
    if (this.files.lstat(path)?.kind !== 'folder') return this.files.unlink(path);
    for (const name of this.files.readdir(path)) {
      yield* this.removeInPieces(`${path}/${name}`);
      yield;
    }
    this.files.rmdir(path);
  }

  /** `cp -r`, a name at a time; follows no symlink. */
  *copyInPieces(from: string, to: string): Work {
    const stat = this.files.lstat(from);
    if (stat?.kind === 'symlink') return this.files.symlink(this.target(from), to);
    if (stat?.kind === 'file') return yield* this.writeInPieces(to, this.read(from) ?? '', Number.MAX_SAFE_INTEGER);
    if (stat?.kind !== 'folder') return;
    this.files.mkdir(to, 0o777);
    for (const name of this.files.readdir(from)) {
      yield;
      yield* this.copyInPieces(`${from}/${name}`, `${to}/${name}`);
    }
  }

  rename(from: string, to: string): void {
    this.files.rename(from, to);
  }

  symlink(target: string, path: string): void {
    this.files.symlink(target, path);
  }

  link(from: string, to: string): void {
    this.files.link(from, to);
  }

  setExec(path: string, exec: boolean): void {
    this.setMode(path, exec ? 0o755 : 0o644);
  }

  /** 0 makes a folder that others than the user cannot read. */
  setMode(path: string, mode: number): void {
    this.files.setMode(path, mode);
  }

  makeSpecial(path: string, kind: 'fifo' | 'socket'): void {
    this.files.makeSpecial(path, kind);
  }

  /** A file whose name ends with a byte that no UTF-8 has. */
  writeUnderRawName(folder: string, name: string, byte: number, bytes: Bytes): void {
    this.write(`${folder}/${name}${nameOfRawByte(byte)}`, bytes);
  }

  /** `sync`: what everybody did before is durable. */
  sync(path: string): void {
    this.files.syncAll(path);
  }

  exists(path: string): boolean {
    return this.files.lstat(path) !== null;
  }

  /** Null where there is no file. Follows symlinks. */
  read(path: string): Uint8Array | null {
    return this.files.bytesAt(path);
  }

  readText(path: string): string | null {
    const bytes = this.read(path);
    return bytes === null ? null : fromUtf8(bytes);
  }

  target(path: string): string {
    return fromUtf8(this.files.readlink(path)) ?? '';
  }

  names(path: string): readonly string[] {
    return this.files.readdir(path).sort();
  }

  /** Everything below a folder, mounted disks included. `skips`: names at its top that are left out. */
  tree(path: string, skips: readonly string[] = []): Tree {
    const tree = new Map<string, TreeThing>();
    this.#tree(path, '', skips, tree);
    return tree;
  }

  #tree(at: string, below: string, skips: readonly string[], tree: Map<string, TreeThing>): void {
    for (const name of this.names(at)) {
      if (below === '' && skips.includes(name)) continue;
      const path = `${at}/${name}`;
      const shown = below === '' ? name : `${below}/${name}`;
      const thing = this.#thing(path);
      if (thing === null) continue;
      tree.set(shown, thing);
      if (thing.kind === 'folder') this.#tree(path, shown, skips, tree);
    }
  }

  #thing(path: string): TreeThing | null {
    const stat = this.files.lstat(path);
    switch (stat?.kind) {
      case undefined:
        return null;
      case 'file':
        return { kind: 'file', bytes: this.read(path) ?? utf8(''), exec: stat.exec, inode: stat.ino };
      case 'folder':
        return { kind: 'folder', inode: stat.ino };
      case 'symlink':
        return { kind: 'symlink', target: this.target(path) };
      default:
        return { kind: 'other' };
    }
  }

  *#withFile(path: string, cuts: boolean, work: (fd: number, put: Put) => Work): Work {
    const fd = this.files.openToRewrite(path, cuts);
    try {
      yield* work(fd, (...input) => this.#put(...input));
    } finally {
      this.files.close(fd);
    }
  }

  *#put(fd: number, bytes: Uint8Array, position: number, pieceBytes: number): Work {
    for (let done = 0; done < bytes.length; ) {
      const length = Math.min(pieceBytes, bytes.length - done);
      done += this.files.write(fd, bytes, done, length, position + done);
      yield;
    }
  }
}

function bytesOf(bytes: Bytes): Uint8Array {
  return typeof bytes === 'string' ? utf8(bytes) : bytes;
}

function finish(work: Work): void {
  while (!work.next().done);
}
