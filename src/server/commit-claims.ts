/** The contents that a commit's operations claim: manifests read strictly, seals opened, sums and content ids checked. */
import type { FileContent } from '#core/entry.ts';
import { contentIdOf, manifestIdOf, openManifest, parseManifestPublic, type ManifestBlock } from '#core/manifest.ts';
import type { Keyring } from '#core/keyring.ts';
import type { ManifestId } from '#core/ids.ts';
import type { Primitives } from '#core/primitives.ts';
import type { TreeOperation } from '#core/commit.ts';
import type { StoredContent } from '#meta/contents.ts';
import type { Answer, Operation } from '#protocol/sync.ts';
import { HoldfastError } from '#core/errors.ts';
import { unreachable } from '#core/assert.ts';

export type Claim = {
  readonly content: FileContent;
  readonly bytes: Uint8Array;
  readonly blocks: readonly ManifestBlock[];
  /** Of the manifest's own seal. */
  readonly keyVersion: number;
  /** The space has this very manifest already. */
  readonly known: boolean;
};

export type ReadManifest = { readonly manifestId: ManifestId; readonly bytes: Uint8Array };

export type CommitItem = { readonly operation: TreeOperation; readonly claim: Claim | Answer | null };

type Claimed = { readonly contentId: FileContent['contentId']; readonly size: number; readonly manifest: number };

/** Names each manifest part once. Throws `invalid_field` where an operation names a part that is not there. */
export function readManifests(
  primitives: Primitives,
  operations: readonly Operation[],
  manifests: readonly Uint8Array[],
): readonly ReadManifest[] {
  for (const operation of operations) {
    const claimed = claimedContent(operation);
    if (claimed && claimed.manifest >= manifests.length)
      throw new HoldfastError('invalid_field', `content.manifest: there is no part ${claimed.manifest}`);
  }
  return manifests.map((bytes) => ({ manifestId: manifestIdOf(primitives, bytes), bytes }));
}

export function readOperation(
  tools: { readonly primitives: Primitives; readonly keyring: Keyring },
  operation: Operation,
  manifests: readonly ReadManifest[],
  known: ReadonlyMap<ManifestId, StoredContent>,
): CommitItem {
  const claimed = claimedContent(operation);
  const manifest = claimed ? manifests[claimed.manifest] : undefined;
  if (!claimed || !manifest) return { operation: treeOperation(operation, null), claim: null };
  const content = { contentId: claimed.contentId, manifestId: manifest.manifestId, size: claimed.size };
  const claim = judgeClaim(tools, manifest.bytes, content, known.get(manifest.manifestId));
  return { operation: treeOperation(operation, content), claim };
}

function judgeClaim(
  { primitives, keyring }: { readonly primitives: Primitives; readonly keyring: Keyring },
  bytes: Uint8Array,
  content: FileContent,
  stored: StoredContent | undefined,
): Claim | Answer {
  const outline = parseManifestPublic(bytes);
  if (!outline) return wrong('the manifest is malformed');
  const { blocks, keyVersion } = outline;
  if (stored) {
    const same = stored.contentId === content.contentId && stored.size === content.size;
    return same ? { content, bytes, blocks, keyVersion, known: true } : wrong('the content is not the manifest’s');
  }
  if (blocks.some((block) => block.keyVersion === 0))
    return { kind: 'forbidden', detail: 'blocks of other spaces cannot be used here' };
  if (keyVersion !== keyring.currentVersion) return staleKey();
  const manifest = openManifest(primitives, keyring, bytes);
  if (!manifest) return wrong('the manifest does not open');
  if (manifest.size !== content.size || contentIdOf(primitives, keyring, manifest) !== content.contentId)
    return wrong('the content is not the manifest’s');
  return { content, bytes, blocks, keyVersion, known: false };
}

export function wrong(detail: string): Answer {
  return { kind: 'invalid', code: 'integrity', detail };
}

export function staleKey(): Answer {
  return { kind: 'invalid', code: 'key_stale', detail: 'the space has a newer key; seal the file again' };
}

export function isClaim(claim: Claim | Answer | null): claim is Claim {
  return claim !== null && 'blocks' in claim && 'bytes' in claim;
}

function claimedContent(operation: Operation): Claimed | null {
  if (operation.kind === 'create') return operation.state.kind === 'file' ? operation.state.content : null;
  return operation.kind === 'update' ? operation.content : null;
}

function treeOperation(operation: Operation, content: FileContent | null): TreeOperation {
  switch (operation.kind) {
    case 'create': {
      const { kind, entry, parent, name, state } = operation;
      if (state.kind !== 'file') return { kind, entry, parent, name, state };
      if (!content) throw new HoldfastError('invalid_field', 'state.content: a file has one');
      return { kind, entry, parent, name, state: { ...state, content } };
    }
    case 'update':
      return { ...operation, content };
    case 'move':
    case 'delete':
      return operation;
    default:
      return unreachable(operation);
  }
}
