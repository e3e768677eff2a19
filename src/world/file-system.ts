/**
 * The system calls on files that a synced folder is built from: synchronous, one to one, with the names and the errors of POSIX. A call
 * that fails throws an `Error` with a `code` (`ENOENT`) and a `syscall`; `errnoOf` reads it. What is not a system call of its own (a clone,
 * a whole tree removed) is here where systems do it in different ways.
 */
import type { Stat } from './folder.ts';

/**
 * - `read`, `write` (and read): follows no symlink at the end of the path, and does not wait on a FIFO.
 * - `create`: read and write; EEXIST where anything is there, a dangling symlink included.
 * - `list`: a directory, to be listed and synced. Follows symlinks.
 * - `hold`: stands for the thing whatever becomes of its name, and can be neither read nor written; needs no permission on it. A symlink
 *   itself is held. `hold_directory`: ENOTDIR or ELOOP for everything else; `hold_root`: the same, but follows symlinks.
 */
export type OpenHow = 'read' | 'write' | 'create' | 'list' | 'hold' | 'hold_directory' | 'hold_root';

export type FileSystemTraits = {
  /** There are the ways to open that hold, and `pathOf`, as on Linux. */
  readonly holds: boolean;
  /** Directories can be opened and synced: everywhere but on Windows. */
  readonly syncsDirectories: boolean;
  /** A hard link to a symlink is one to the symlink itself, not to its target. */
  readonly linksSymlinks: boolean;
  /** Names are impossible that Windows cannot hold, and may lead elsewhere. */
  readonly windowsNames: boolean;
};

export interface FileSystem {
  readonly traits: FileSystemTraits;

  /** `mode`: of a file that is created, less what the umask takes. */
  open(path: string, how: OpenHow, mode?: number): number;
  close(fd: number): void;
  /** Names what the descriptor stands for, wherever it lies by now; what is below a directory is named by appending to it. */
  pathOf(fd: number): string;
  /** Another descriptor for a held file, to read it. */
  reopen(fd: number): number;

  fstat(fd: number): Stat;
  /** Null where there is nothing. */
  lstat(path: string): Stat | null;
  /** Follows symlinks. Throws where there is nothing. */
  stat(path: string): Stat;
  /** Permission bits: nine of them. */
  modeOf(fd: number): number;
  /** Room that it takes on the disk: less than its size where it has holes. */
  roomOf(fd: number): number;

  /** How many bytes were read from `position` to `offset` of `into`; 0 at the end, and fewer than `length` at any time. */
  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number;
  write(fd: number, bytes: Uint8Array, offset: number, length: number, position: number): number;
  ftruncate(fd: number, length: number): void;
  fchmod(fd: number, mode: number): void;
  /** The modification time to the microsecond; the access time becomes the present. */
  futimes(fd: number, mtimeUs: number): void;
  fsync(fd: number): void;
  /** `fsync` that lets others work meanwhile, then `close`, which happens in any case. */
  fsyncAndClose(fd: number): Promise<void>;

  mkdir(path: string, mode: number): void;
  /** With all that is missing above it. Answers with the directories in which names came, the deepest first; none where it was there. */
  mkdirAll(path: string): readonly string[];
  rmdir(path: string): void;
  /** Bytes that are no UTF-8 become U+FFFD. */
  readdir(path: string): string[];
  readdirAsBytes(path: string): Uint8Array[];
  readlink(path: string): Uint8Array;
  symlink(target: string, path: string): void;
  link(from: string, to: string): void;
  rename(from: string, to: string): void;
  unlink(path: string): void;
  /** With all that is below it, following no symlink. */
  removeTree(path: string): void;
  /** A new file with the bytes of an open one, sharing its room on the disk. Throws where the file system shares none. */
  clone(fd: number, to: string, mode: number): void;
  /**
   * Where below a directory something else is mounted, as paths below it. A part of the same file system that is mounted there tells the same device
   * as what it hides: this alone tells it. Empty where the system has no such list.
   */
  mountsBelow(path: string): ReadonlySet<string>;
  /** Of the file system that this lies on. */
  spaceOf(path: string): { readonly freeBytes: number; readonly totalBytes: number };
  /** Makes the whole file system durable that this lies on. False where there is no way to; rejects where the disk failed. */
  syncAll(path: string): Promise<boolean>;
}
