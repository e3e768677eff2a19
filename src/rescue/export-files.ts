/** Writes what a rescue found as plain files: every live file under its path in a folder of its space. */
import { HoldfastError } from '#core/errors.ts';
import { openChunk } from '#core/manifest.ts';
import { judgeName, numberedName } from '#core/name.ts';
import { keyringOf, type Rescue, type RescuedFile } from './rescue.ts';

/**
 * Where files go. Nothing that is there is ever written over, no link is followed, and every name stays below the place it is for; errors
 * are `HoldfastError`s.
 */
export interface ExportTarget {
  /** Makes the folder where it is missing. Throws where something else has its name. */
  folder(path: readonly string[]): Promise<void>;
  /** All of `chunks`, or nothing. Resolves with where it is: under another name where that one was taken by something else. */
  file(
    path: readonly string[],
    file: { readonly chunks: AsyncIterable<Uint8Array>; readonly mtimeUs: number; readonly exec: boolean },
  ): Promise<{ readonly at: readonly string[]; readonly wasThere: boolean }>;
  link(path: readonly string[], target: string): Promise<void>;
}

export type Exported =
  | { readonly kind: 'written' | 'was_there'; readonly file: RescuedFile; readonly at: readonly string[] }
  | {
      readonly kind: 'failed';
      readonly file: RescuedFile;
      readonly code: 'block_missing' | 'integrity' | 'disk_failed';
      readonly why: string;
      /** Where what there is of it was put. */
      readonly at: readonly string[] | null;
    };

/** `partial`: files that lack blocks are written as well, with zeroes in their gaps, under names that say so. They count as failed. */
export async function* exportFiles(
  rescue: Rescue,
  target: ExportTarget,
  { partial }: { readonly partial: boolean },
): AsyncGenerator<Exported> {
  const names = spaceNames(rescue);
  const links: RescuedFile[] = [];
  for await (const file of rescue.live()) {
    // Links come last, so that nothing is ever written through one.
    if (file.entry.kind === 'symlink') links.push(file);
    else yield await exportOne(rescue, target, placeOf(names, file), file, partial);
  }
  for (const file of links) yield await exportOne(rescue, target, placeOf(names, file), file, partial);
}

async function exportOne(
  rescue: Rescue,
  target: ExportTarget,
  path: readonly string[],
  file: RescuedFile,
  partial: boolean,
): Promise<Exported> {
  const { state, entry } = file;
  if (state.kind === 'damaged') return { kind: 'failed', file, code: 'integrity', why: state.why, at: null };
  if (state.kind === 'missing')
    return {
      kind: 'failed',
      file,
      code: 'block_missing',
      why: `${state.blocks} of its ${state.manifest.chunks.length} blocks are in none of the directories`,
      at: partial ? await writeParts(rescue, target, path, file) : null,
    };
  try {
    if (entry.kind === 'folder') await target.folder(path);
    else if (entry.kind === 'symlink') await target.link(path, entry.target ?? '');
    else {
      const { mtimeUs, exec } = entry;
      const { at, wasThere } = await target.file(path, { chunks: chunksOf(rescue, file), mtimeUs, exec });
      return { kind: wasThere ? 'was_there' : 'written', file, at };
    }
    return { kind: 'written', file, at: path };
  } catch (error) {
    if (!(error instanceof HoldfastError) || rescue.tools.signal.aborted || error.code === 'no_space') throw error;
    const code = error.code === 'block_missing' || error.code === 'integrity' ? error.code : 'disk_failed';
    return { kind: 'failed', file, code, why: error.message, at: null };
  }
}

async function writeParts(rescue: Rescue, target: ExportTarget, path: readonly string[], file: RescuedFile) {
  const { mtimeUs, exec } = file.entry;
  const name = numberedName(
    path.at(-1) ?? '',
    (count) => ` (incomplete${count})`,
    () => false,
  );
  const whole = { chunks: chunksOf(rescue, file), mtimeUs, exec };
  return (await target.file([...path.slice(0, -1), name], whole)).at;
}

/** A block that was not found is as many zeroes; one that is there and does not open is an error. */
async function* chunksOf(rescue: Rescue, file: RescuedFile): AsyncGenerator<Uint8Array> {
  const { primitives, signal } = rescue.tools;
  if (file.state.kind === 'damaged') return;
  for (const chunk of file.state.manifest.chunks) {
    signal.throwIfAborted();
    if (file.state.kind === 'missing' && !rescue.blocks.has(chunk.blockId)) {
      yield new Uint8Array(chunk.plainLength);
      continue;
    }
    const block = await rescue.blocks.read(chunk.blockId);
    if (!block) throw new HoldfastError('block_missing', 'a block of it cannot be read any more');
    const plain = openChunk(primitives, keyringOf(file), chunk, block);
    if (!plain) throw new HoldfastError('integrity', 'a block of it does not open to what its list says');
    yield plain;
  }
}

/** Two spaces may have one name. */
function spaceNames(rescue: Rescue): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const { space, name } of rescue.spaces) {
    const fit = fitName(name);
    const own = taken.has(fit.toLowerCase()) ? `${fit} ${space.slice(0, 8)}` : fit;
    taken.add(own.toLowerCase());
    names.set(space, own);
  }
  return names;
}

function placeOf(names: ReadonlyMap<string, string>, file: RescuedFile): readonly string[] {
  return [names.get(file.space.space) ?? file.space.space, ...file.path.map(fitName)];
}

/** A name that could lead elsewhere is none: a damaged or hostile index must not choose what is written where. */
function fitName(name: string): string {
  if (judgeName(name) === null) return name;
  return `unfit name ${encodeURIComponent(name.toWellFormed()).replaceAll('.', '%2E').slice(0, 200)}`;
}
