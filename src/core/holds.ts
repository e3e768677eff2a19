/**
 * When a person is asked before changes are made: what counts, and how much of it is too much. Pure: the server finds out what a commit would do
 * and what its device did of late, this judges. Asked about is what looks like an accident or an attack; ordinary work passes.
 *
 * Counted are files and links older than a day, outside generated folders, that would go: deleted, at any depth below what a delete names,
 * or emptied in place. What is moved does not go. A rewrite counts where compressible content becomes incompressible, which is what encrypting does; and so does
 * a delete beside which such content appeared under the name with another extension.
 */
import { limits } from './limits.ts';
import { splitName } from './name.ts';

export type Weight = {
  /** Files and links that go, of any age, outside generated folders. */
  readonly files: number;
  /** Those of them that are older than a day. */
  readonly old: number;
  /** Changes that turn what was compressible into what is not. */
  readonly hardened: number;
};

export const NO_WEIGHT: Weight = { files: 0, old: 0, hardened: 0 };

export function addWeights(left: Weight, right: Weight): Weight {
  return { files: left.files + right.files, old: left.old + right.old, hardened: left.hardened + right.hardened };
}

export type HoldReason = 'emptied' | 'deletes' | 'encrypts';

export type HoldCase = {
  /** What this commit would do. */
  readonly commit: Weight;
  /** Updates in this commit. */
  readonly updates: number;
  /** Files that this commit makes. */
  readonly creates: number;
  /** What the device says of the whole settled batch that the commit is a part of. Only ever a reason to hold more. */
  readonly declared: { readonly deletes: number; readonly updates: number };
  /** What the same device did within the window. */
  readonly applied: Weight;
  /** Why something of the same device was held within the window, and is not decided yet: more of the same joins it. */
  readonly open: ReadonlySet<HoldReason>;
};

/** Fewer than these are no sample of what a batch is like. */
const SAMPLE = 20;
/** What still lies in a space that counts as emptied: a ransom note does not save it. */
const EMPTIED_PART = 1 / 50;

/** How much goes in all, as far as that can be known before the first of it. */
function going({ commit, declared, applied }: HoldCase): { readonly files: number; readonly old: number } {
  const rest = Math.max(0, declared.deletes - commit.files);
  // Ids are random, so that a commit is a sample of its batch: the rest is like the part that is seen.
  const isSample = commit.files > 0 && commit.files >= Math.min(SAMPLE, declared.deletes);
  const part = isSample ? Math.min(1, commit.old / commit.files) : 0;
  return {
    files: commit.files + (part > 0 ? rest : 0),
    old: commit.old + Math.round(rest * part) + applied.old,
  };
}

/**
 * How far the live files and links outside generated folders must be counted for a judgement: a large space is not counted for the sake of
 * a small delete. 0: not at all.
 */
export function populationToCount(one: HoldCase): number {
  if (one.commit.old === 0 || isJoining(one)) return 0;
  const { files, old } = going(one);
  if (old <= 1) return 0;
  const forEmptied = files + Math.floor(old * EMPTIED_PART) + 1;
  return old > limits.holdDeletes ? Math.max(forEmptied, Math.ceil(old / limits.holdDeletesPart) + 1) : forEmptied;
}

/** Empty where nobody needs to be asked. `emptied` and `deletes` concern what goes, `encrypts` what is hardened. */
export function judgeHold(one: HoldCase, population: number): ReadonlySet<HoldReason> {
  const reasons = new Set<HoldReason>();
  if (isJoining(one)) reasons.add(one.open.has('deletes') ? 'deletes' : 'emptied');
  else if (one.commit.old > 0) {
    const { files, old } = going(one);
    const remaining = Math.max(0, population + one.creates - files);
    // One file alone is no mass.
    if (old > 1 && remaining <= Math.floor(old * EMPTIED_PART)) reasons.add('emptied');
    if (old > limits.holdDeletes && old >= limits.holdDeletesPart * (population + one.applied.old))
      reasons.add('deletes');
  }
  if (one.commit.hardened > 0 && (one.open.has('encrypts') || hardenedInAll(one) >= limits.holdRewrites))
    reasons.add('encrypts');
  return reasons;
}

function isJoining({ commit, open }: HoldCase): boolean {
  return commit.old > 0 && (open.has('emptied') || open.has('deletes'));
}

function hardenedInAll({ commit, updates, declared, applied }: HoldCase): number {
  const known = commit.hardened + applied.hardened;
  const isPattern = commit.hardened >= SAMPLE && updates > 0 && commit.hardened >= updates / 2;
  if (!isPattern) return known;
  return Math.max(known, Math.round(Math.min(1, commit.hardened / updates) * declared.updates));
}

/** A clock that was set back makes nothing young for long: what seems to come from later than that is old. */
export function isOld(madeMs: number, nowMs: number): boolean {
  return madeMs <= nowMs - limits.holdYoungMs || madeMs > nowMs + limits.holdYoungMs;
}

/** `storedBytes`: of all blocks, without what the seal adds. */
export type Packed = { readonly size: number; readonly storedBytes: number };

const COMPRESSIBLE_PART = 0.85;
const HARD_PART = 0.97;
/** Nothing is compressed that is smaller. */
const SIZE_MIN = 128;

export function isCompressible({ size, storedBytes }: Packed): boolean {
  return size >= SIZE_MIN && storedBytes <= size * COMPRESSIBLE_PART;
}

export function isHard({ size, storedBytes }: Packed): boolean {
  return size >= SIZE_MIN && storedBytes >= size * HARD_PART;
}

/** Programs that pack or convert leave such beside what they replace: that is not an encryption. */
const PACKED_EXTENSIONS: ReadonlySet<string> = new Set(
  (
    '.7z .aac .apk .avi .avif .br .bz2 .cab .deb .docx .dmg .epub .flac .flv .gif .gz .heic .heif .iso .jar .jpeg .jpg .jxl .lz .lz4 .lzma ' +
    '.m4a .m4v .mkv .mov .mp3 .mp4 .odp .ods .odt .ogg .opus .pdf .png .pptx .rar .rpm .tbz .tgz .txz .webm .webp .whl .wma .wmv .xlsx .xz .z .zip .zst'
  ).split(' '),
);

/** True where `made` may be what `gone` was encrypted into: the same name with an extension more, or with another. */
export function isTwin(gone: string, made: string): boolean {
  if (made === gone || PACKED_EXTENSIONS.has(splitName(made).extension.toLowerCase())) return false;
  return made.startsWith(`${twinStem(gone)}.`);
}

/** What the names of all twins begin with, before a dot. */
export function twinStem(gone: string): string {
  return splitName(gone).stem;
}
