/** One step on the disk at a time, each judged by itself against the state that its plan was made from. */
import { unreachable } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import { limits } from '#core/limits.ts';
import type { FileSystem } from '../../file-system.ts';
import type { FolderStep, Stat, StepOutcome } from '../../folder.ts';
import { failureOf, hasErrno } from './failure.ts';
import { closing, readFully, writeFully } from './file.ts';
import { spotIn, type Grip, type Spot } from './grip.ts';
import { Moving } from './move.ts';
import { parkedName, type OwnNames } from './own-names.ts';
import { dropMade, makeFile, openExpectedManifest, placeMade, type Made, type Opener } from './place.ts';
import type { Stage } from './stage.ts';
import { isUnchanged } from './stat.ts';
import { Taking } from './take.ts';
import type { Unflushed } from './unflushed.ts';

const STALE: StepOutcome = { kind: 'stale' };
const STALE_WITHIN: StepOutcome = { kind: 'stale', within: true };
const COPY_BYTES = 256 * 1024;
/** Somebody was faster: what the plan counted on is not there, or something else is. */
const NOT_AS_EXPECTED = ['ENOENT', 'ENOTDIR', 'ELOOP', 'EEXIST', 'EISDIR', 'ENOTEMPTY'];

type StepOf<Kind extends FolderStep['kind']> = Extract<FolderStep, { kind: Kind }>;
/** Hands out the finished file that `stage` and `stageBlocks` made of this content. */
export type StagedFiles = (id: string, step: StepOf<'place'>) => Stage;

export class Applying {
  readonly #fs: FileSystem;
  readonly #grip: Grip;
  readonly #opener: Opener;
  readonly #unflushed: Unflushed;
  readonly #staged: StagedFiles;
  readonly #taking: Taking;
  readonly #moving: Moving;
  /** Folders that this batch made, by their paths. */
  readonly #made = new Map<string, Stat>();
  /** Folders that it could not make: whatever stands there is another. */
  readonly #notMade = new Set<string>();

  constructor(grip: Grip, opener: Opener, unflushed: Unflushed, names: OwnNames, staged: StagedFiles) {
    this.#fs = grip.fs;
    this.#grip = grip;
    this.#opener = opener;
    this.#unflushed = unflushed;
    this.#staged = staged;
    this.#taking = new Taking(grip, unflushed, names);
    this.#moving = new Moving(this.#taking, unflushed);
  }

  apply(step: FolderStep): StepOutcome {
    const path = step.kind === 'move' || step.kind === 'link' ? step.to : step.path;
    const outcome = this.#try(step, path);
    if (step.kind === 'make_folder' && outcome.kind !== 'done') this.#notMade.add(path);
    return outcome;
  }

  #try(step: FolderStep, path: string): StepOutcome {
    try {
      this.#grip.trim();
      return this.#isWithin(path, step) ? this.#apply(step) : STALE_WITHIN;
    } catch (error) {
      if (hasErrno(error, ...NOT_AS_EXPECTED)) return STALE;
      return failureOf(error, path);
    }
  }

  #apply(step: FolderStep): StepOutcome {
    switch (step.kind) {
      case 'make_folder':
        return this.#make(step.path, (at) => this.#fs.mkdir(at, 0o777));
      case 'make_symlink':
        return this.#make(step.path, (at) => this.#makeSymlink(checkedTarget(step.target), at));
      case 'place':
        return this.#place(step);
      case 'move':
        return this.#move(step);
      case 'link':
        return this.#link(step);
      case 'remove':
        return this.#remove(step);
      case 'set_exec':
        return this.#setExec(step);
      case 'park':
        return this.#park(step);
      case 'unpark':
        return this.#unpark(step);
      default:
        return unreachable(step);
    }
  }

  /** That the folder above the path is the one that was meant. One that is held open cannot become another between this and the act. */
  #isWithin(path: string, step: FolderStep): boolean {
    const above = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    const meant = ('within' in step ? step.within : undefined) ?? this.#made.get(above);
    if (meant === undefined) return !this.#notMade.has(above);
    return this.#grip.directory(above)?.is(meant) === true;
  }

  #make(path: string, make: (at: string) => void): StepOutcome {
    const spot = this.#grip.spot(path);
    if (spot === null) return STALE;
    make(spot.at);
    this.#unflushed.directory(spot.directory);
    const stat = this.#fs.lstat(spot.at);
    if (stat?.kind === 'folder') this.#made.set(path, stat);
    return { kind: 'done', stat };
  }

  /** FAT and its like refuse every link, as if it were a matter of permission. */
  #makeSymlink(target: string, at: string): void {
    try {
      this.#fs.symlink(target, at);
    } catch (error) {
      if (!hasErrno(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error;
      throw new HoldfastError('unsupported_by_disk', 'this file system holds no symbolic links', { cause: error });
    }
  }

  #place(step: StepOf<'place'>): StepOutcome {
    const spot = this.#grip.spot(step.path);
    if (spot === null || !isAsExpected(this.#fs.lstat(spot.at), step.expect)) return STALE;
    const made = this.#makeFor(step);
    // Where directories are not held open another may have come there while it was made.
    let isWithin = false;
    try {
      isWithin = this.#isWithin(step.path, step);
    } finally {
      if (!isWithin) dropMade(this.#fs, made);
    }
    if (!isWithin) return STALE_WITHIN;
    return placeMade({ taking: this.#taking, unflushed: this.#unflushed }, made, spot, step.path, step);
  }

  #makeFor(step: StepOf<'place'>): Made {
    if ('staged' in step.bytes) return this.#staged(step.bytes.staged, step).finished(this.#grip);
    const manifest = openExpectedManifest(this.#opener, step.manifest, step.contentId);
    return makeFile(this.#fs, this.#taking.madeSpot(), this.#opener, manifest, step.bytes, step.exec);
  }

  #move(step: StepOf<'move'>): StepOutcome {
    const from = this.#expected(step.from, step.expect);
    const to = this.#grip.spot(step.to);
    if (from === null || to === null || !this.#moving.move(from, step.expect, to)) return STALE;
    const stat = this.#fs.lstat(to.at);
    if (step.expect.kind === 'folder') this.#forgetPaths();
    return { kind: 'done', stat };
  }

  #link(step: StepOf<'link'>): StepOutcome {
    const from = this.#expected(step.from, step.expect);
    const to = this.#grip.spot(step.to);
    if (from === null || to === null || step.expect.kind !== 'file') return STALE;
    const linked = this.#moving.link(from, step.expect, to);
    if (linked === true) return { kind: 'done', stat: this.#fs.lstat(to.at) };
    if (linked === false) return STALE;
    // Where there are no hard links the second name gets bytes of its own.
    return this.#copy(from, step.expect, to, step.to, { expect: null, exec: step.expect.exec });
  }

  /** A second file with the bytes that are at `from`, put at `to`, where `as.expect` must be. */
  #copy(
    from: Spot,
    expect: Stat,
    to: Spot,
    path: string,
    as: { readonly expect: Stat | null; readonly exec: boolean },
  ): StepOutcome {
    const spot = this.#taking.madeSpot();
    const made = { spot, fd: this.#fs.open(spot.at, 'create', as.exec ? 0o777 : 0o666), keep: false };
    let copied = false;
    try {
      copied = copyStably(this.#fs, from, expect, made.fd);
    } finally {
      if (!copied) dropMade(this.#fs, made);
    }
    if (!copied) return STALE;
    const mtimeUs = Number(expect.mtimeNs / 1000n);
    const placing = { taking: this.#taking, unflushed: this.#unflushed };
    return placeMade(placing, made, to, path, { ...as, mtimeUs });
  }

  #remove(step: StepOf<'remove'>): StepOutcome {
    const spot = this.#expected(step.path, step.expect);
    if (spot === null) return STALE;
    if (step.expect.kind === 'folder') {
      this.#fs.rmdir(spot.at);
      this.#unflushed.directory(spot.directory);
      this.#forgetPaths();
    } else if (!this.#taking.take(spot, step.expect, this.#taking.trashSpot(spot.name))) {
      return STALE;
    }
    return { kind: 'done', stat: null };
  }

  #setExec(step: StepOf<'set_exec'>): StepOutcome {
    const spot = this.#expected(step.path, step.expect);
    if (spot === null || step.expect.kind !== 'file') return STALE;
    // Its other names are files of their own, of which nobody asked this.
    if (step.expect.links > 1) return this.#copy(spot, step.expect, spot, step.path, step);
    const fd = this.#fs.open(spot.at, 'read');
    if (!isUnchanged(step.expect, this.#fs.fstat(fd))) {
      this.#fs.close(fd);
      return STALE;
    }
    const mode = this.#fs.modeOf(fd);
    this.#fs.fchmod(fd, step.exec ? mode | ((mode & 0o444) >> 2) : mode & ~0o111);
    const stat = this.#fs.fstat(fd);
    this.#unflushed.file(step.path, fd);
    return { kind: 'done', stat };
  }

  #park(step: StepOf<'park'>): StepOutcome {
    const spot = this.#expected(step.path, step.expect);
    const slot = spotIn(this.#grip.own('tmp'), parkedName(step.slot));
    if (spot === null || this.#fs.lstat(slot.at) !== null) return STALE;
    if (!this.#taking.take(spot, step.expect, slot)) return STALE;
    const stat = this.#fs.lstat(slot.at);
    if (step.expect.kind === 'folder') this.#forgetPaths();
    return { kind: 'done', stat };
  }

  #unpark(step: StepOf<'unpark'>): StepOutcome {
    const slot = spotIn(this.#grip.own('tmp'), parkedName(step.slot));
    const parked = this.#fs.lstat(slot.at);
    const to = this.#grip.spot(step.path);
    if (parked === null || to === null || !this.#moving.move(slot, parked, to)) return STALE;
    return { kind: 'done', stat: this.#fs.lstat(to.at) };
  }

  /** Where it is, as long as it is what the plan was made from. */
  #expected(path: string, expect: Stat): Spot | null {
    const spot = this.#grip.spot(path);
    if (spot === null) return null;
    const now = this.#fs.lstat(spot.at);
    if (now === null || !isUnchanged(expect, now)) return null;
    if (spot.directory === this.#grip.root && this.#grip.isOwn(now)) {
      throw new HoldfastError('invalid_name', "the folder's own directory cannot be changed");
    }
    return spot;
  }

  #forgetPaths(): void {
    this.#made.clear();
    this.#grip.forget();
    this.#unflushed.forgetPaths();
  }
}

function isAsExpected(now: Stat | null, expect: Stat | null): boolean {
  if (now === null || expect === null) return now === null && expect === null;
  return expect.kind === 'file' && isUnchanged(expect, now);
}

function checkedTarget(target: string): string {
  const length = Buffer.byteLength(target);
  const possible = length > 0 && length <= limits.symlinkTargetBytesMax && !target.includes('\0');
  if (possible && target.isWellFormed()) return target;
  throw new HoldfastError('invalid_field', 'the target of the link is not possible');
}

/** False where `from` is not, or no longer, what was expected: then the copy is worth nothing. */
function copyStably(fs: FileSystem, from: Spot, expect: Stat, into: number): boolean {
  return closing(fs, fs.open(from.at, 'read'), (fd) => {
    if (!isUnchanged(expect, fs.fstat(fd))) return false;
    const buffer = new Uint8Array(COPY_BYTES);
    for (let position = 0; position < expect.size; ) {
      const count = readFully(fs, fd, buffer, Math.min(buffer.length, expect.size - position), position);
      if (count === 0) return false;
      writeFully(fs, into, buffer.subarray(0, count), position);
      position += count;
    }
    return isUnchanged(expect, fs.fstat(fd));
  });
}
