/** Deriving keys costs more than sealing a small file: the last keyring is kept for as long as the same keys are passed. */
import { equalBytes } from '#core/bytes.ts';
import { makeKeyring, type Keyring, type SealKeys } from '#core/keyring.ts';
import type { Primitives } from '#core/primitives.ts';

export class Keyrings {
  readonly #primitives: Primitives;
  #last: { readonly keys: SealKeys; readonly keyring: Keyring } | null = null;

  constructor(primitives: Primitives) {
    this.#primitives = primitives;
  }

  of(keys: SealKeys): Keyring {
    if (this.#last === null || !isSame(this.#last.keys, keys)) {
      this.#last = { keys, keyring: makeKeyring(this.#primitives, keys) };
    }
    return this.#last.keyring;
  }
}

function isSame(left: SealKeys, right: SealKeys): boolean {
  return (
    equalBytes(left.identityKey, right.identityKey) &&
    isSameVersion(left.current, right.current) &&
    left.versions.length === right.versions.length &&
    left.versions.every((version, index) => isSameVersion(version, right.versions[index]))
  );
}

type Version = SealKeys['current'];

function isSameVersion(left: Version, right: Version | undefined): boolean {
  return right !== undefined && left.version === right.version && equalBytes(left.key, right.key);
}
