/**
 * All that a `Folder` does, as synchronous calls on one thread. It knows nothing of workers: what is long is a generator that yields where
 * others may take a turn. `seal`, `openSealing` and `apply` let nobody take one; their generators are for worlds where others do.
 */
import { must } from '#core/assert.ts';
import type { SealKeys } from '#core/keyring.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Primitives } from '#core/primitives.ts';
import type { ContentId } from '#core/ids.ts';
import { EXACT_NAMES, type NameProfile } from '#core/name-profile.ts';
import type { FileSystem } from '../../file-system.ts';
import type {
  DiskProfile,
  Failure,
  FileToSeal,
  FolderStep,
  ListedEntry,
  Listing,
  RootState,
  SealOutcome,
  StepOutcome,
} from '../../folder.ts';
import { Applying } from './apply.ts';
import { failureOf, hasErrno, holdfastErrorOf } from './failure.ts';
import { Grip } from './grip.ts';
import { Keyrings } from './keyrings.ts';
import { listDirectory } from './list.ts';
import { measureNames, Spellings } from './names.ts';
import { OwnNames } from './own-names.ts';
import { openExpectedManifest } from './place.ts';
import { checkRootId, claimRoot, rootStateOf } from './root.ts';
import { SmallFiles } from './seal.ts';
import { FileSealing, type SealingStep } from './sealing.ts';
import { drained, type Slices } from './slices.ts';
import { Stage } from './stage.ts';
import { sweepTmp, sweepTrash } from './sweep.ts';
import { Taking } from './take.ts';
import { Unflushed } from './unflushed.ts';

export type OldFile = { readonly path: string; readonly manifest: Uint8Array };
type Staged = { readonly contentId: ContentId; readonly stage: Stage };
type Opened = { readonly kind: 'open'; readonly sealing: number } | { readonly kind: 'changed' | 'missing' } | Failure;

export type FolderWorkOptions = {
  readonly rootPath: string;
  readonly primitives: Primitives;
  readonly fileSystem: FileSystem;
  /** No other process has it that works, or ever worked, on the folder. */
  readonly instance: string;
  /** The clock by which the file system stamps its files. */
  readonly nowMs: () => number;
  /** Blocks the thread for so many milliseconds. */
  readonly wait: (ms: number) => void;
};

export class FolderWork {
  readonly #rootPath: string;
  readonly #fs: FileSystem;
  readonly #primitives: Primitives;
  readonly #nowMs: () => number;
  readonly #wait: (ms: number) => void;
  readonly #names: OwnNames;
  readonly #keyrings: Keyrings;
  readonly #smallFiles: SmallFiles;
  readonly #unflushed: Unflushed;
  readonly #sealings = new Map<number, FileSealing>();
  readonly #staged = new Map<string, Staged>();
  #sealingCount = 0;
  /** What `root` or `claim` last found. Each batch checks that it is still the same disk. */
  #rootId: string | null = null;
  #nameProfile: NameProfile = EXACT_NAMES;

  constructor({ rootPath, primitives, fileSystem, instance, nowMs, wait }: FolderWorkOptions) {
    this.#rootPath = rootPath;
    this.#fs = fileSystem;
    this.#primitives = primitives;
    this.#nowMs = nowMs;
    this.#wait = wait;
    this.#names = new OwnNames(instance, nowMs);
    this.#keyrings = new Keyrings(primitives);
    this.#smallFiles = new SmallFiles(primitives, nowMs);
    this.#unflushed = new Unflushed(fileSystem, rootPath);
  }

  root(): RootState {
    return this.#noting(rootStateOf(this.#fs, this.#rootPath));
  }

  claim(rootId: string): RootState {
    return this.#noting(claimRoot(this.#fs, this.#rootPath, rootId));
  }

  list(directories: readonly string[]): readonly Listing[] {
    return this.#each(directories, (grip, path) => listDirectory(grip, path));
  }

  look(paths: readonly string[]): readonly (ListedEntry | null | Failure)[] {
    const spellings = new Spellings(this.#nameProfile);
    return this.#each(paths, (grip, path) => spellings.look(grip, path));
  }

  names(): DiskProfile | Failure {
    return this.#inFolder((grip) => {
      const profile = measureNames(grip, this.#names);
      this.#nameProfile = profile;
      return profile;
    }, '');
  }

  seal(files: readonly FileToSeal[], keys: SealKeys): readonly SealOutcome[] {
    return drained(this.sealInTurns(files, keys), this.#wait);
  }

  *sealInTurns(files: readonly FileToSeal[], keys: SealKeys): Slices<readonly SealOutcome[]> {
    const keyring = this.#keyrings.of(keys);
    return yield* this.#eachInTurn(files, (grip, file) => this.#smallFiles.seal(grip, file, keyring));
  }

  openSealing(file: FileToSeal, keys: SealKeys, previous: Uint8Array | null): Opened {
    return drained(this.openSealingInTurns(file, keys, previous), this.#wait);
  }

  *openSealingInTurns(file: FileToSeal, keys: SealKeys, previous: Uint8Array | null): Slices<Opened> {
    const { compression = 'usual' } = file;
    const sealer = { primitives: this.#primitives, keyring: this.#keyrings.of(keys), compression };
    const [opened] = yield* this.#eachInTurn([file], (grip) =>
      FileSealing.open(grip, file, sealer, previous, this.#nowMs),
    );
    if (!(opened instanceof FileSealing)) return must(opened, 'one file, one answer');
    const sealing = ++this.#sealingCount;
    this.#sealings.set(sealing, opened);
    return { kind: 'open', sealing };
  }

  nextOfSealing(sealing: number): SealingStep {
    const open = this.#sealings.get(sealing);
    if (open === undefined) return { kind: 'failed', code: 'stopping', detail: 'the file is closed' };
    return open.next();
  }

  closeSealing(sealing: number): void {
    this.#sealings.get(sealing)?.close();
    this.#sealings.delete(sealing);
  }

  *stage(
    id: string,
    manifest: Uint8Array,
    contentId: ContentId,
    old: OldFile | null,
    keys: SealKeys,
  ): Slices<{ readonly kind: 'staged'; readonly missing: readonly number[] } | Failure> {
    let grip: Grip | null = null;
    try {
      grip = this.#open();
      const opener = { primitives: this.#primitives, keyring: this.#keyrings.of(keys) };
      this.#staged.delete(id);
      const stage = new Stage(opener, id, openExpectedManifest(opener, manifest, contentId));
      yield* stage.begin(grip, old);
      this.#staged.set(id, { contentId, stage });
      return { kind: 'staged', missing: stage.missing() };
    } catch (error) {
      return failureOf(error, '');
    } finally {
      grip?.close();
    }
  }

  stageBlocks(
    id: string,
    blocks: readonly { readonly index: number; readonly bytes: Uint8Array }[],
  ): { readonly kind: 'written' } | Failure {
    return this.#inFolder((grip) => {
      const stage = this.#stageOf(id);
      const fd = stage.openToWrite(grip);
      const failure = writeAll(this.#fs, stage, fd, blocks);
      return failure ?? { kind: 'written' };
    }, '');
  }

  apply(steps: readonly FolderStep[], keys: SealKeys): readonly StepOutcome[] {
    return drained(this.applyInTurns(steps, keys), this.#wait);
  }

  *applyInTurns(steps: readonly FolderStep[], keys: SealKeys): Slices<readonly StepOutcome[]> {
    const opener = { primitives: this.#primitives, keyring: this.#keyrings.of(keys) };
    let applying: Applying | null = null;
    const inGrip = (grip: Grip): Applying =>
      (applying ??= new Applying(grip, opener, this.#unflushed, this.#names, (id, place) =>
        this.#stagedAs(id, place.contentId),
      ));
    return yield* this.#eachInTurn(steps, (grip, step) => this.#applyInTurn(inGrip(grip), step));
  }

  *#applyInTurn(applying: Applying, step: FolderStep): Slices<StepOutcome> {
    yield;
    const outcome = applying.apply(step);
    if (outcome.kind === 'done' && step.kind === 'place' && 'staged' in step.bytes) {
      this.#staged.delete(step.bytes.staged);
    }
    return outcome;
  }

  async flush(alsoAt: readonly string[] = []): Promise<void> {
    if (alsoAt.length > 0) this.#noteUnflushed(alsoAt);
    await this.#unflushed.flush();
  }

  sweep(keepStaged: readonly string[], trashDaysMax: number): void {
    const keep = new Set(keepStaged);
    for (const id of this.#staged.keys()) if (!keep.has(id)) this.#staged.delete(id);
    let grip: Grip | null = null;
    try {
      grip = this.#open();
      const taking = new Taking(grip, this.#unflushed, this.#names);
      sweepTmp(grip, taking, keep);
      sweepTrash(grip, taking, trashDaysMax);
    } catch (error) {
      throw holdfastErrorOf(error, '.holdfast');
    } finally {
      grip?.close();
    }
  }

  close(): void {
    for (const sealing of this.#sealings.values()) sealing.close();
    this.#sealings.clear();
    this.#unflushed.close();
  }

  #noteUnflushed(paths: readonly string[]): void {
    let grip: Grip | null = null;
    try {
      grip = this.#open();
      for (const path of paths) {
        this.#unflushed.madeByOthers(grip, path);
        grip.trim();
      }
    } catch (error) {
      throw holdfastErrorOf(error, '');
    } finally {
      grip?.close();
    }
  }

  #noting(state: RootState): RootState {
    if (state.kind === 'found') this.#rootId = state.rootId;
    return state;
  }

  #open(): Grip {
    let grip: Grip;
    try {
      grip = Grip.open(this.#fs, this.#rootPath);
    } catch (error) {
      if (!hasErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
      throw new HoldfastError('folder_missing', 'the folder is not there');
    }
    try {
      checkRootId(grip, this.#rootId);
      return grip;
    } catch (error) {
      grip.close();
      throw error;
    }
  }

  #inFolder<T>(work: (grip: Grip) => T, what: string): T | Failure {
    let grip: Grip | null = null;
    try {
      grip = this.#open();
      return work(grip);
    } catch (error) {
      return failureOf(error, what);
    } finally {
      grip?.close();
    }
  }

  #each<Item, Result>(items: readonly Item[], work: (grip: Grip, item: Item) => Result): (Result | Failure)[] {
    const results = this.#inFolder((grip) => {
      return items.map((item) => {
        const result = work(grip, item);
        grip.trim();
        return result;
      });
    }, '');
    return Array.isArray(results) ? results : items.map(() => results);
  }

  *#eachInTurn<Item, Result>(
    items: readonly Item[],
    work: (grip: Grip, item: Item) => Slices<Result>,
  ): Slices<(Result | Failure)[]> {
    let grip: Grip | null = null;
    try {
      grip = this.#open();
      const results: Result[] = [];
      for (const item of items) {
        results.push(yield* work(grip, item));
        grip.trim();
      }
      return results;
    } catch (error) {
      const failure = failureOf(error, '');
      return items.map(() => failure);
    } finally {
      grip?.close();
    }
  }

  #stageOf(id: string): Stage {
    const staged = this.#staged.get(id);
    if (staged !== undefined) return staged.stage;
    throw new HoldfastError('not_found', 'no file is being staged under this id');
  }

  #stagedAs(id: string, contentId: ContentId): Stage {
    const staged = this.#staged.get(id);
    if (staged?.contentId === contentId) return staged.stage;
    throw new HoldfastError('not_found', 'no file of this content is staged under this id');
  }
}

/** One block that is wrong keeps no other from being written. */
function writeAll(
  fs: FileSystem,
  stage: Stage,
  fd: number,
  blocks: readonly { readonly index: number; readonly bytes: Uint8Array }[],
): Failure | null {
  let failure: Failure | null = null;
  try {
    for (const { index, bytes } of blocks) {
      try {
        stage.write(fs, fd, index, bytes);
      } catch (error) {
        failure ??= failureOf(error, '');
      }
    }
    return failure;
  } finally {
    fs.close(fd);
  }
}
