/** The keys of one space, as devices and the gateway hold them, and what is derived from them. */
import { assert } from './assert.ts';
import type { Bytes } from './bytes.ts';
import type { Primitives } from './primitives.ts';
import { deriveSealKey, type SealKey } from './seal.ts';

export type SealKeys = {
  /** Key version 0 (K0): names contents, seals nothing, never rotates. */
  readonly identityKey: Bytes;
  /** The version that new data takes. */
  readonly current: { readonly version: number; readonly key: Bytes };
  /** All versions from 1, to open with. */
  readonly versions: readonly { readonly version: number; readonly key: Bytes }[];
};

/** Derived keys, each derived once and kept: deriving costs more than sealing a small file. */
export interface Keyring {
  /** The version that new data takes. */
  readonly currentVersion: number;
  /** Keys the content ids of the space. */
  readonly contentKey: Bytes;
  /** Null for a version that is not held. */
  sealKey(kind: 'data' | 'manifest', version: number): SealKey | null;
  currentSealKey(kind: 'data' | 'manifest'): SealKey;
}

export function makeKeyring(p: Primitives, keys: SealKeys): Keyring {
  assert(keys.identityKey.length === 32, 'a key has 32 bytes');
  assert(keys.current.version >= 1, 'key version 0 seals nothing');
  const versions = new Map([...keys.versions, keys.current].map(({ version, key }) => [version, key]));
  const derived = new Map<string, SealKey>();
  const keyring: Keyring = {
    currentVersion: keys.current.version,
    contentKey: p.hkdfSha256(keys.identityKey, 'holdfast/1 content id'),
    sealKey(kind, version) {
      const name = `${kind} ${version}`;
      const known = derived.get(name);
      if (known) return known;
      const key = versions.get(version);
      if (!key || version < 1) return null;
      const made = deriveSealKey(p, key, kind);
      derived.set(name, made);
      return made;
    },
    currentSealKey(kind) {
      const key = keyring.sealKey(kind, keyring.currentVersion);
      assert(key, 'the current version is among the versions');
      return key;
    },
  };
  return keyring;
}
