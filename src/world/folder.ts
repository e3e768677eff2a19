/**
 * A synced folder's root on a real file system, in batches: each call crosses to a worker once and works there with synchronous
 * system calls. Paths are relative to the root, `/` between names, '' the root. No call follows a symlink, in any component, or
 * leaves the root. `.holdfast` at the root is the door's own (`root-id`, `tmp/`, `trash/`): never listed, never a target.
 *
 * Every batch first compares `.holdfast/root-id` with what `root` or `claim` last answered; where it differs, or the root is gone, each
 * item fails with `folder_missing`. So an unmounted disk is never taken for an emptied folder, whenever it goes.
 */
import type { ErrorCode } from '#core/errors.ts';
import type { FileContent } from '#core/entry.ts';
import type { BlockId, ContentId } from '#core/ids.ts';
import type { NameProfile } from '#core/name-profile.ts';
import type { SealKeys } from '#core/keyring.ts';
import type { Compression } from '#core/seal.ts';

export type FolderKind = 'file' | 'folder' | 'symlink' | 'other';

/**
 * `lacksExec`: files have no execute bit of their own there (FAT, exFAT, NTFS without its mapping of users), and what a look says of it means nothing. Only
 * there where it is so: devices keep a profile as a text, and one that reads otherwise is another disk.
 */
export type DiskProfile = NameProfile & { readonly lacksExec?: true };

/** What lstat said; `dev` is -1 of what is mounted in the folder. Two equal stats of a file whose mtime is not racy mean equal bytes. Integers that exceed 2^53 are bigint. */
export type Stat = {
  readonly kind: FolderKind;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly birthNs: bigint;
  readonly links: number;
  readonly exec: boolean;
};

export type Failure = { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail: string };

export type RootState =
  | { readonly kind: 'found'; readonly rootId: string | null; readonly stat: Stat; readonly empty: boolean }
  | { readonly kind: 'missing' }
  | Failure;

/** `name`: as the file system spells it. */
export type ListedEntry = { readonly name: string; readonly stat: Stat; readonly target: string | null };
export type Listing =
  /** `unnameable`: names that are not UTF-8, or that no entry may have, escaped for a person; they are reported, never synced. */
  | {
      readonly kind: 'found';
      readonly stat: Stat;
      readonly entries: readonly ListedEntry[];
      readonly unnameable: readonly string[];
    }
  | { readonly kind: 'missing' }
  | Failure;

export type SealedBlock = { readonly id: BlockId; readonly bytes: Uint8Array };
export type Sealed = {
  readonly kind: 'sealed';
  readonly content: FileContent;
  readonly manifest: Uint8Array;
  /** Distinct blocks, in order of first use. */
  readonly blocks: readonly SealedBlock[];
  /** The file as it was at the end, equal to the one at the beginning. */
  readonly stat: Stat;
};
/** `changed`: it moved under the reader (fstat, read, fstat); read it again later. `missing`: nothing, or no file, at that path. */
export type SealOutcome = Sealed | { readonly kind: 'changed' } | { readonly kind: 'missing' } | Failure;

/** A file too large for one batch, read once from front to end. At most one step is under way. */
export interface Sealing {
  /**
   * The next blocks, `limits.batchBytesMax` at most; `bytes: null` where the same chunk stands in `previous` (it need not be sealed again).
   * After the last: the end, without blocks in it.
   */
  next(signal: AbortSignal): Promise<
    | {
        readonly kind: 'blocks';
        readonly blocks: readonly { readonly id: BlockId; readonly bytes: Uint8Array | null }[];
        readonly plainBytes: number;
      }
    | { readonly kind: 'end'; readonly content: FileContent; readonly manifest: Uint8Array; readonly stat: Stat }
    | { readonly kind: 'changed' }
    | Failure
  >;
  close(): Promise<void>;
}

/**
 * Of a step that makes something: the folder above it, as the plan was made from it. Its path may lead to another by now, which others renamed to it; nothing is
 * made there. Not told of the root, which each batch knows by its id. A folder that the same batch made is known by that; where else nothing is told, the path
 * has to do.
 */
type Making = { readonly within?: Stat | undefined };

/** One step on the disk. Steps of a batch run in order; each is judged by itself, against the stat that its plan was made from. */
export type FolderStep =
  | ({ readonly kind: 'make_folder'; readonly path: string } & Making)
  | ({ readonly kind: 'make_symlink'; readonly path: string; readonly target: string } & Making)
  /**
   * Puts a file at `path`: temp file in `.holdfast/tmp`, verified against manifest and content id, times and exec bit set, target
   * checked again, then linked (`expect: null`: nothing may be there) or renamed over what is there. `bytes: 'staged'`: what `stage` made.
   */
  | ({
      readonly kind: 'place';
      readonly path: string;
      readonly expect: Stat | null;
      readonly manifest: Uint8Array;
      readonly contentId: ContentId;
      readonly bytes: readonly Uint8Array[] | { readonly staged: string };
      readonly mtimeUs: number;
      readonly exec: boolean;
    } & Making)
  /** Nothing may be at `to`. A file keeps its inode. */
  | ({ readonly kind: 'move'; readonly from: string; readonly expect: Stat; readonly to: string } & Making)
  /** A second name for a file (hard link; a verified copy where there are none). Nothing may be at `to`. */
  | ({ readonly kind: 'link'; readonly from: string; readonly expect: Stat; readonly to: string } & Making)
  /** Files and symlinks go to `.holdfast/trash/<day>/`; a folder is removed where it is empty, else `stale`. */
  | { readonly kind: 'remove'; readonly path: string; readonly expect: Stat }
  /** Of this name alone: a file that has others too is replaced by a copy. */
  | { readonly kind: 'set_exec'; readonly path: string; readonly expect: Stat; readonly exec: boolean }
  /** Out of the tree into `.holdfast/tmp/<slot>`, and back (`expect` null: must be free), for names that change places. */
  | { readonly kind: 'park'; readonly path: string; readonly expect: Stat; readonly slot: string }
  | ({ readonly kind: 'unpark'; readonly slot: string; readonly path: string } & Making);

/**
 * `done`: with the stat afterwards (null where nothing is there any more; of `park`: the parked thing's; of `link`: the new name's,
 * and, as both names are one inode, the old name's as well). `recovered`: somebody wrote to the file in the very moment that it was
 * replaced; those bytes lie at this path below the root, in the trash. `stale`: the disk is not as expected; nothing was changed; look again,
 * `within`: at the folder above, which is another than was meant, or not there.
 */
export type StepOutcome =
  | { readonly kind: 'done'; readonly stat: Stat | null; readonly recovered?: string }
  | { readonly kind: 'stale'; readonly within?: true }
  | Failure;

/** `compression`: of new blocks; default `usual`. */
export type FileToSeal = { readonly path: string; readonly expect: Stat; readonly compression?: Compression };

export interface Folder {
  root(): Promise<RootState>;
  /** Creates the root where it is missing and writes `.holdfast/root-id`, durably, whatever id was there: a link that had it will stop and say so. */
  claim(rootId: string): Promise<RootState>;
  list(directories: readonly string[]): Promise<readonly Listing[]>;
  /**
   * What the file system makes of names and of the execute bit, measured at its root, in `.holdfast/tmp`. Asked before anything else of a root that was found:
   * from then on `look` spells names as the file system does.
   */
  names(): Promise<DiskProfile | Failure>;
  /** Null where there is nothing. Where letter case or Unicode's forms do not count, the name of an answer may be spelled otherwise. */
  look(paths: readonly string[]): Promise<readonly (ListedEntry | null | Failure)[]>;
  /** Reads, cuts and seals small files: stable reads, `limits.batchBytesMax` of plain bytes in one call at most. */
  seal(files: readonly FileToSeal[], keys: SealKeys): Promise<readonly SealOutcome[]>;
  /** `previous`: the manifest of the entry's last revision, whose chunks need not be sealed again and whose chunker is kept. */
  openSealing(
    file: FileToSeal,
    keys: SealKeys,
    previous: Uint8Array | null,
  ): Promise<Sealing | { readonly kind: 'changed' | 'missing' } | Failure>;
  /**
   * Begins, or takes up again after a restart, a large file's staged copy `.holdfast/tmp/<id>`, reserving its space first (`no_space`). What
   * is already there and verifies, and chunks found in the local file `old`, are kept: answers with the positions still missing, of a chunk
   * that occurs more than once only the first. `stageBlocks` and `place` know of a staged file only after `stage` (else `not_found`).
   */
  stage(
    id: string,
    manifest: Uint8Array,
    contentId: ContentId,
    old: { readonly path: string; readonly manifest: Uint8Array } | null,
    keys: SealKeys,
  ): Promise<{ readonly kind: 'staged'; readonly missing: readonly number[] } | Failure>;
  /** Opens, verifies and writes blocks at their positions. `integrity` where one is not what the manifest says: nothing of it was written. */
  stageBlocks(
    id: string,
    blocks: readonly { readonly index: number; readonly bytes: Uint8Array }[],
  ): Promise<{ readonly kind: 'written' } | Failure>;
  /** Opened, verified, placed: `keys` opens the blocks of `place` steps. At most 1,000 steps. */
  apply(steps: readonly FolderStep[], keys: SealKeys): Promise<readonly StepOutcome[]>;
  /**
   * Everything that `apply` did before is durable once it resolves, and what others made at the paths `alsoAt`, as far as it is there. Rejects where the disk failed: nothing since the last flush may be called
   * durable then, and flushing again does not make it so.
   */
  flush(alsoAt?: readonly string[]): Promise<void>;
  /**
   * Removes what crashes left in `.holdfast/tmp` but for the staged files and park slots of these ids, and trash older than `trashDaysMax` days
   * by the disk's own dates. Parked things of other slots are the user's: they go to the trash.
   */
  sweep(keepStaged: readonly string[], trashDaysMax: number): Promise<void>;
  close(): Promise<void>;
}
