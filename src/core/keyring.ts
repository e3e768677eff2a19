/** The keys of one space, as devices and the gateway hold them. */
import type { Bytes } from './bytes.ts';

export type SealKeys = {
  /** Key version 0 (K0): names contents, seals nothing, never rotates. */
  readonly identityKey: Bytes;
  /** The version that new data takes. */
  readonly current: { readonly version: number; readonly key: Bytes };
  /** All versions from 1, to open with. */
  readonly versions: readonly { readonly version: number; readonly key: Bytes }[];
};
