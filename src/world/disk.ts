/**
 * A directory on a disk, as a storage node uses it: append-only files, explicit durability. Paths are relative to the
 * directory, `/` between names. Every error is a `HoldfastError`: `no_space`, `disk_failed`, `not_permitted_by_disk`, `not_found`.
 */
export interface Disk {
  /** Creates an empty file (fails where it exists: `conflict`) and opens it. Not durable before `sync` and `syncDirectory`. */
  create(path: string): Promise<DiskFile>;
  /** Opens an existing file. */
  open(path: string, mode: 'read' | 'append'): Promise<DiskFile>;
  /** Writes temp, syncs, renames, syncs the directory: after it resolves the file is durably old or durably new, never torn. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
  /** Null where it does not exist. */
  read(path: string): Promise<Uint8Array | null>;
  /** Names in a directory, sorted; empty where it does not exist. */
  list(directory: string): Promise<readonly string[]>;
  makeDirectory(path: string): Promise<void>;
  remove(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
}

export interface DiskFile {
  /** Appends at the end in one go; after a rejection the tail's content is unknown. Returns the offset of the first byte. */
  append(pieces: readonly Uint8Array[]): Promise<number>;
  /** Fewer bytes than asked only at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** fdatasync. Once it rejected, nothing about unsynced bytes is known and it must not be tried again. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}
