/** A directory that this process alone works in, for as long as it lives. */
export interface DirectoryLock {
  release(): void;
}
