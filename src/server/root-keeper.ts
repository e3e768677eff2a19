import type { RecoveryKit } from '#core/root-key.ts';

/**
 * Where the root key lies: outside the database, readable by the owner alone. In two steps, because neither the key nor
 * the first thing wrapped under it may exist durably without the other: a staged key counts only once it is confirmed, and
 * a key that never was confirmed wrapped nothing.
 */
export interface RootKeeper {
  /** Null where there is none. Throws `integrity` or `not_permitted_by_disk` where it cannot be trusted. */
  read(): Promise<{ readonly kit: RecoveryKit; readonly confirmed: boolean } | null>;
  /** Durable when it resolves. Replaces what was staged before, never what was confirmed. */
  stage(kit: RecoveryKit): Promise<void>;
  /** The staged key is the root key from here on; durable when it resolves. */
  confirm(): Promise<void>;
}
