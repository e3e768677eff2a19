/** What crosses between a folder's proxy and its worker. Byte arrays travel without being copied again: their buffers change hands. */
import type { ErrorCode } from '#core/errors.ts';
import type { FolderStep, SealOutcome } from '../../folder.ts';
import type { SealingStep } from './sealing.ts';
import type { Slices } from './slices.ts';
import type { FolderWork } from './work.ts';

type ResultOf<Work> = Work extends Slices<infer Result> ? Result : never;
type InTurns = 'sealInTurns' | 'openSealingInTurns' | 'applyInTurns';
type Verbs = Omit<FolderWork, 'flush' | 'close' | 'stage' | InTurns> & {
  stage(...input: Parameters<FolderWork['stage']>): ResultOf<ReturnType<FolderWork['stage']>>;
  flush(alsoAt: readonly string[]): void;
  close(): void;
};
export type VerbName = keyof Verbs;
export type Input<Name extends VerbName> = Parameters<Verbs[Name]>;
export type Output<Name extends VerbName> =
  Exclude<ReturnType<Verbs[Name]>, void> extends never ? undefined : Exclude<ReturnType<Verbs[Name]>, void>;

export type Request = { readonly call: number; readonly verb: VerbName; readonly input: readonly unknown[] };
export type Reply =
  | { readonly call: number; readonly kind: 'answer'; readonly output: unknown }
  | { readonly call: number; readonly kind: 'error'; readonly code: ErrorCode; readonly detail: string };

/** The buffers behind an answer that may change hands: those that belong to one array alone. */
export function transferable(verb: VerbName, output: unknown): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  const add = (bytes: Uint8Array | null): void => {
    if (bytes === null || bytes.byteLength !== bytes.buffer.byteLength) return;
    if (bytes.buffer instanceof ArrayBuffer) buffers.add(bytes.buffer);
  };
  if (verb === 'seal') {
    for (const outcome of output as readonly SealOutcome[]) {
      if (outcome.kind !== 'sealed') continue;
      add(outcome.manifest);
      for (const block of outcome.blocks) add(block.bytes);
    }
  } else if (verb === 'nextOfSealing') {
    const step = output as SealingStep;
    if (step.kind === 'end') add(step.manifest);
    if (step.kind === 'blocks') for (const block of step.blocks) add(block.bytes);
  }
  return [...buffers];
}

/**
 * Copies byte arrays that the caller keeps, one behind the other, into one buffer that can change hands. Arrays of a caller are often views
 * of one received frame: taking that frame away, or copying the whole of it for each, would both be wrong.
 */
export class Packing {
  #offset = 0;
  readonly #bytes: Uint8Array<ArrayBuffer>;

  constructor(length: number) {
    const unpooled = Buffer.allocUnsafeSlow(length);
    this.#bytes = new Uint8Array(unpooled.buffer, unpooled.byteOffset, length);
  }

  add(bytes: Uint8Array): Uint8Array {
    const packed = this.#bytes.subarray(this.#offset, this.#offset + bytes.length);
    packed.set(bytes);
    this.#offset += bytes.length;
    return packed;
  }

  get buffer(): ArrayBuffer {
    return this.#bytes.buffer;
  }
}

export function packSteps(steps: readonly FolderStep[]): {
  readonly steps: readonly FolderStep[];
  readonly buffer: ArrayBuffer;
} {
  let length = 0;
  for (const step of steps) {
    if (step.kind !== 'place') continue;
    length += step.manifest.length;
    if (!('staged' in step.bytes)) for (const bytes of step.bytes) length += bytes.length;
  }
  const packing = new Packing(length);
  const packed = steps.map((step): FolderStep => {
    if (step.kind !== 'place') return step;
    const manifest = packing.add(step.manifest);
    const bytes = 'staged' in step.bytes ? step.bytes : step.bytes.map((block) => packing.add(block));
    return { ...step, manifest, bytes };
  });
  return { steps: packed, buffer: packing.buffer };
}

export type IndexedBlock = { readonly index: number; readonly bytes: Uint8Array };

export function packBlocks(blocks: readonly IndexedBlock[]): {
  readonly blocks: readonly IndexedBlock[];
  readonly buffer: ArrayBuffer;
} {
  const packing = new Packing(blocks.reduce((sum, block) => sum + block.bytes.length, 0));
  const packed = blocks.map(({ index, bytes }) => ({ index, bytes: packing.add(bytes) }));
  return { blocks: packed, buffer: packing.buffer };
}
