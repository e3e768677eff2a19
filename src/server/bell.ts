/** Wakes held pulls of this process when a space may have grown. A hint: who waits also looks by himself from time to time. */
import type { SpaceId } from '#core/ids.ts';

export class Bell {
  readonly #waiting = new Map<SpaceId, Set<() => void>>();

  ring(space: SpaceId): void {
    this.#wake(space);
  }

  /** Something that concerns everybody: a device was revoked, the server stops. */
  ringAll(): void {
    for (const key of this.#waiting.keys()) this.#wake(key);
  }

  /** Calls `wake` at the next ring for one of the spaces. Returns how to stop listening. */
  listen(spaces: readonly SpaceId[], wake: () => void): () => void {
    for (const space of spaces) {
      const listeners = this.#waiting.get(space) ?? new Set();
      this.#waiting.set(space, listeners.add(wake));
    }
    return () => {
      for (const space of spaces) {
        const listeners = this.#waiting.get(space);
        listeners?.delete(wake);
        if (listeners?.size === 0) this.#waiting.delete(space);
      }
    };
  }

  #wake(key: SpaceId): void {
    for (const wake of this.#waiting.get(key) ?? []) wake();
  }
}
