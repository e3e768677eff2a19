/** Manifests and small contents from the server. */
import type { ManifestId, SpaceId } from '#core/ids.ts';
import { HoldfastError } from '#core/errors.ts';
import { blocks as blocksVerb, contents } from '#protocol/contents.ts';
import type { Answered } from '#protocol/call.ts';
import type { Verb } from '#protocol/wire.ts';

/** Whoever can ask the server: the engine's line, or a bare peer. */
export type Asker = {
  ask<Request, Response>(
    verb: Verb<Request, Response>,
    request: Request,
    signal: AbortSignal,
    parts?: readonly Uint8Array[],
  ): Promise<Answered<Response>>;
};

export type Fetched =
  | { readonly kind: 'found'; readonly manifest: Uint8Array; readonly blocks: readonly Uint8Array[] | null }
  | { readonly kind: 'failed'; readonly error: HoldfastError };

/** Manifests in the order asked, each with its blocks where they fit into the budget. */
export async function fetchContents(
  asker: Asker,
  space: SpaceId,
  manifests: readonly ManifestId[],
  budgetBytes: number,
  signal: AbortSignal,
): Promise<Fetched[]> {
  const { response, parts } = await asker.ask(contents, { space, manifests: [...manifests], budgetBytes }, signal);
  return manifests.map((_, index): Fetched => {
    const item = response.items[index];
    if (!item || item.kind === 'unknown')
      return { kind: 'failed', error: new HoldfastError('not_found', 'the server does not know these contents') };
    if (item.kind === 'unavailable') return { kind: 'failed', error: new HoldfastError(item.code, item.detail) };
    const manifest = parts[item.manifest];
    const found = item.blocks?.map((part) => parts[part]) ?? null;
    if (!manifest || found?.includes(undefined))
      return { kind: 'failed', error: new HoldfastError('integrity', 'the answer names parts that it does not have') };
    return { kind: 'found', manifest, blocks: found as Uint8Array[] | null };
  });
}

/** One manifest. Throws what kept it from coming. */
export async function fetchManifest(
  asker: Asker,
  space: SpaceId,
  manifest: ManifestId,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const [fetched] = await fetchContents(asker, space, [manifest], 0, signal);
  if (fetched?.kind === 'found') return fetched.manifest;
  throw fetched?.error ?? new HoldfastError('integrity', 'the answer is empty');
}

/** Blocks of a manifest by position: as many of those asked, from the first on, as one answer holds. Throws where one cannot be had. */
export async function fetchBlocks(
  asker: Asker,
  space: SpaceId,
  manifest: ManifestId,
  indexes: readonly number[],
  signal: AbortSignal,
): Promise<{ readonly index: number; readonly bytes: Uint8Array }[]> {
  const { response, parts } = await asker.ask(blocksVerb, { space, manifest, indexes: [...indexes] }, signal);
  if (response.results.length === 0) throw new HoldfastError('integrity', 'the answer holds no blocks');
  return response.results.map((result, position) => {
    if (result !== 'found') throw new HoldfastError(result, 'stored bytes of this file cannot be had now');
    const index = indexes[position];
    const bytes = parts[position];
    if (index === undefined || !bytes) throw new HoldfastError('integrity', 'the answer holds other blocks than asked');
    return { index, bytes };
  });
}
