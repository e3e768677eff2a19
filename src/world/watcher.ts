/**
 * Hints that something below a folder changed. Hints may be lost, doubled, late or wrong: only a scan knows. Paths are
 * relative to the root, `/` between names, '' the root itself.
 */
export type Hint =
  /** Something about this name in this directory. */
  | { readonly kind: 'name'; readonly directory: string; readonly name: string }
  /** Something in this directory. */
  | { readonly kind: 'directory'; readonly directory: string }
  /** Hints were lost somewhere: scan everything. */
  | { readonly kind: 'overflow' };

export interface Watcher {
  /** Watches this very directory, not what lies below. Again for a watched path: the old watch ends first. `false`: the system's limit is reached (poll instead). */
  watch(directory: string): boolean;
  unwatch(directory: string): void;
  /** False also where the watch has ended by itself: its directory went away, if only for a moment. That was hinted. */
  isWatching(directory: string): boolean;
  /** Takes the hints that came since the last call. */
  take(): readonly Hint[];
  /** Resolves when there are hints, or the signal aborts. */
  wait(signal: AbortSignal): Promise<void>;
  close(): void;
}
