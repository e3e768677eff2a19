/** A person at one device: a handful of names, so that everybody meets everybody; nothing that a program would not do. */
import { SimRandom } from '#world/sim/sim-random.ts';
import type { Ledger } from './ledger.ts';
import { childOf, nameOf, parentOf, type Programs } from './programs.ts';

const FILE_NAMES = ['a', 'b', 'c.txt', 'd.mp3', 'e'];
/** Which some disks do not tell from others: by letter case, and by how an accent is written. */
const TWIN_NAMES = ['A', 'B', 'e\u0301', '\u00e9'];
const FOLDER_NAMES = ['p', 'q', 'r'];
const DEPTH_MAX = 3;
/** Larger files take another way: they go ahead of their commit. */
const LARGE_BYTES = 2 * 1024 * 1024 + 5000;

export type UserOptions = {
  readonly name: string;
  readonly ledger: Ledger;
  readonly programs: Programs;
  /** Hears of every operation that was done. */
  readonly onDone: (operation: string, path: string) => void;
  readonly largeShare: number;
  readonly twinNames: boolean;
};

type Entry = ReturnType<Programs['paths']>[number];

export class User {
  readonly #options: UserOptions;
  #count = 0;
  #done = 0;
  #random = new SimRandom('nobody has acted yet');
  /** The last operation was cut short by the disk: what the shadow has says nothing any more. */
  failed = false;
  /** A disk on which the same is done and nobody else works: what should be there in the end. Null where others work at the same time. */
  shadow: Programs | null = null;
  readonly #fileNames: readonly string[];

  constructor(options: UserOptions) {
    this.#options = options;
    this.#fileNames = options.twinNames ? [...FILE_NAMES, ...TWIN_NAMES] : FILE_NAMES;
  }

  /** One operation, done at once. */
  act(random: SimRandom): void {
    this.#random = random;
    const entries = this.#entries();
    if (entries === null) return;
    const files = entries.filter(({ kind }) => kind === 'file').map(({ path }) => path);
    const folders = entries.filter(({ kind }) => kind === 'folder').map(({ path }) => path);
    const all = entries.map(({ path }) => path);
    if (files.length < 3 && random.chance(0.6)) return this.#create(folders);
    const file = this.#onFiles(files, folders);
    const operations: readonly (() => void)[] = [
      () => this.#create(folders),
      () => this.#create(folders),
      () => this.#create(folders),
      file.write,
      file.save,
      file.saveByBackup,
      file.append,
      file.sameSize,
      () => this.#remove(files, 'delete file'),
      () => this.#remove(folders, 'delete folder'),
      () => this.#makeFolder(folders),
      () => this.#makeFolder(folders),
      file.rename,
      () => this.#rename(folders, 'rename folder'),
      file.move,
      file.move,
      () => this.#move(folders, folders, 'move folder'),
      () => this.#swap(all),
      () => this.#symlink(folders, entries),
      file.hardLink,
      file.exec,
      file.copy,
      file.changeKind,
      file.recreate,
      () => this.#onFolder(folders, (path) => this.makeAnew(path, random)),
    ];
    random.pick(operations)();
  }

  /** What is done with one of these files. */
  #onFiles(files: readonly string[], folders: readonly string[]) {
    return {
      write: () => this.#onFile(files, 'write', (path, text) => [(on) => on.write(path, text)]),
      save: () => this.#onFile(files, 'save', (path, text) => [(on) => on.save(path, text)]),
      saveByBackup: () => this.#saveByBackup(files),
      append: () => this.#append(files),
      sameSize: () => this.#sameSize(files),
      rename: () => this.#rename(files, 'rename file'),
      move: () => this.#move(files, folders, 'move file'),
      changeKind: () => this.#changeKind(files),
      recreate: () => this.#recreate(files),
      exec: () => this.#exec(files),
      copy: () => this.#copy(files, folders),
      hardLink: () => this.#hardLink(files, folders),
    };
  }

  swap(random: SimRandom): void {
    this.#random = random;
    this.#swap((this.#entries() ?? []).map(({ path }) => path));
  }

  /** Null where the disk does not say. */
  #entries(): Entry[] | null {
    try {
      return this.#options.programs.paths();
    } catch (error) {
      if (!isErrno(error)) throw error;
      return null;
    }
  }

  /** Deletes a folder and makes another in its place, as a build does: it may get the inode of the old one. */
  makeAnew(path: string, random: SimRandom): void {
    this.#random = random;
    const steps = [(on: Programs) => on.remove(path), (on: Programs) => on.makeFolder(path)];
    if (random.chance(0.5)) return this.#do('delete and make folder', path, this.#below(path), steps, []);
    const [inner, text] = [childOf(path, random.pick(this.#fileNames)), this.#text()];
    const write = (on: Programs) => on.write(inner, text);
    this.#do('delete and make folder', path, this.#below(path), [...steps, write], [text]);
  }

  /** False where one lies in the other. */
  replaceFolder(path: string, by: string): boolean {
    if (path === by || path.startsWith(`${by}/`) || by.startsWith(`${path}/`)) return false;
    const steps = [(on: Programs) => on.remove(path), (on: Programs) => on.rename(by, path)];
    this.#do('delete folder', path, this.#below(path), steps, []);
    return true;
  }

  delete(path: string): void {
    this.#do('delete folder', path, this.#below(path), [(on) => on.remove(path)], []);
  }

  /** A file of this person's choice, with what is in it then; null where there is none. */
  saveOne(random: SimRandom): { readonly path: string; readonly text: string } | null {
    this.#random = random;
    const files = (this.#entries() ?? []).filter(({ kind }) => kind === 'file').map(({ path }) => path);
    if (files.length === 0) return null;
    const [path, text] = [random.pick(files), this.#text()];
    this.#do('write', path, [path], [(on) => on.write(path, text)], [text]);
    return { path, text };
  }

  createOne(random: SimRandom): void {
    this.#random = random;
    this.#create([]);
  }

  /** As many bytes, in place, where these are there. */
  replaceBytes(path: string, before: string): boolean {
    const { programs } = this.#options;
    // What it lies in may be a folder no more.
    if (this.#read(programs, path) !== before || programs.kindAt(path) !== 'file') return false;
    const text = this.#text(before.length);
    this.#do('same size', path, [path], [(on) => on.overwrite(path, text)], [text]);
    return true;
  }

  /** Something with just this; false where it was nothing after all. */
  touch(path: string, kind: Entry['kind'], random: SimRandom): boolean {
    this.#random = random;
    const folders = (this.#entries() ?? []).filter((entry) => entry.kind === 'folder').map((entry) => entry.path);
    const done = this.#done;
    const withFolder: readonly (() => void)[] = [
      () => this.#rename([path], 'rename folder'),
      () => this.#move([path], folders, 'move folder'),
      () => this.makeAnew(path, random),
      () => this.#create([path]),
      () => this.#makeFolder([path]),
    ];
    const remove = () => this.#remove([path], kind === 'folder' ? 'delete folder' : 'delete file');
    const swap = () => void this.swapTwo(path, random.pick((this.#entries() ?? []).map((entry) => entry.path)));
    const own = kind === 'file' ? Object.values(this.#onFiles([path], folders)) : kind === 'folder' ? withFolder : [];
    random.pick([...own, swap, remove])();
    return this.#done > done;
  }

  /** Where the one is there, and nothing, or a file that a file replaces, at the other. */
  moveTo(operation: string, from: string, to: string): void {
    if (this.#options.programs.kindAt(from) !== null) this.#moveTo(operation, from, to);
  }

  /** A file of its own, or new bytes of the one that is there; false where neither can be. */
  writeTo(path: string, random: SimRandom): boolean {
    this.#random = random;
    const { programs } = this.#options;
    const kind = programs.kindAt(path);
    if ((kind !== null && kind !== 'file') || programs.kindAt(parentOf(path)) !== 'folder') return false;
    const text = this.#text();
    this.#do(kind === null ? 'create' : 'write', path, [path], [(on) => on.write(path, text)], [text]);
    return true;
  }

  makeFolderAt(path: string): boolean {
    const { programs } = this.#options;
    if (programs.kindAt(path) !== null || programs.kindAt(parentOf(path)) !== 'folder') return false;
    this.#do('make folder', path, [], [(on) => on.makeFolder(path)], []);
    return true;
  }

  removeFile(path: string): void {
    if (this.#options.programs.kindAt(path) === 'file') this.#remove([path], 'delete file');
  }

  moveInto(from: string, folder: string): void {
    this.#moveTo('move folder', from, childOf(folder, nameOf(from)));
  }

  #text(lengthOf?: number): string {
    const { name, largeShare } = this.#options;
    const random = this.#random;
    const head = `${name}${++this.#count}:`;
    let length = lengthOf ?? random.pick([0, 0, 1, 10, 100, 1000, 4000]);
    if (lengthOf === undefined && random.chance(largeShare)) length = LARGE_BYTES;
    if (lengthOf !== undefined) return head.length >= lengthOf ? head.slice(0, lengthOf) : head.padEnd(lengthOf, '.');
    return head + 'x'.repeat(length);
  }

  #folder(folders: readonly string[]): string {
    const near = folders.filter((path) => path.split('/').length < DEPTH_MAX);
    return this.#random.pick(['', ...near]);
  }

  #create(folders: readonly string[]): void {
    const { programs } = this.#options;
    const random = this.#random;
    const path = childOf(this.#folder(folders), random.pick(this.#fileNames));
    const kind = programs.kindAt(path);
    if (kind !== null && kind !== 'file') return;
    const text = this.#text();
    this.#do('create', path, [path], [(on) => on.write(path, text)], [text]);
  }

  #onFile(
    files: readonly string[],
    operation: string,
    steps: (path: string, text: string) => readonly ((on: Programs) => void)[],
  ): void {
    if (files.length === 0) return;
    const path = this.#random.pick(files);
    const text = this.#text();
    this.#do(operation, path, [path], steps(path, text), [text]);
  }

  /** An older backup is written over. */
  #saveByBackup(files: readonly string[]): void {
    if (files.length === 0) return;
    const [path, text] = [this.#random.pick(files), this.#text()];
    this.#do('save by backup', path, [path, `${path}~`], [(on) => on.saveByBackup(path, text)], [text]);
  }

  #append(files: readonly string[]): void {
    if (files.length === 0) return;
    const { programs } = this.#options;
    const random = this.#random;
    const path = random.pick(files);
    const more = this.#text(12);
    const text = this.#read(programs, path);
    if (text === null) return;
    this.#do('append', path, [path], [(on) => on.append(path, more)], [text + more]);
  }

  /** As many bytes as there are, in place: only a time tells that something changed. */
  #sameSize(files: readonly string[]): void {
    if (files.length === 0) return;
    const { programs } = this.#options;
    const random = this.#random;
    const path = random.pick(files);
    const before = this.#read(programs, path);
    if (before === null || before.length < 6 || before.length > 10_000) return;
    const text = this.#text(before.length);
    this.#do('same size', path, [path], [(on) => on.overwrite(path, text)], [text]);
  }

  #remove(paths: readonly string[], operation: string): void {
    if (paths.length === 0) return;
    const path = this.#random.pick(paths);
    this.#do(operation, path, this.#below(path), [(on) => on.remove(path)], []);
  }

  #onFolder(folders: readonly string[], act: (path: string) => void): void {
    if (folders.length > 0) act(this.#random.pick(folders));
  }

  #makeFolder(folders: readonly string[]): void {
    const path = childOf(this.#folder(folders), this.#random.pick(FOLDER_NAMES));
    if (this.#options.programs.kindAt(path) !== null) return;
    this.#do('make folder', path, [], [(on) => on.makeFolder(path)], []);
  }

  #rename(paths: readonly string[], operation: string): void {
    if (paths.length === 0) return;
    const random = this.#random;
    const from = random.pick(paths);
    const names = operation === 'rename folder' ? FOLDER_NAMES : this.#fileNames;
    this.#moveTo(operation, from, childOf(parentOf(from), random.pick(names)));
  }

  #move(paths: readonly string[], folders: readonly string[], operation: string): void {
    if (paths.length === 0) return;
    const from = this.#random.pick(paths);
    this.#moveTo(operation, from, childOf(this.#folder(folders), nameOf(from)));
  }

  #moveTo(operation: string, from: string, to: string): void {
    if (from === to || to.startsWith(`${from}/`)) return;
    const there = this.#options.programs.kindAt(to);
    if (there === 'folder' || (there !== null && this.#options.programs.kindAt(from) === 'folder')) return;
    this.#do(there === null ? operation : `${operation} over`, from, [to], [(on) => on.rename(from, to)], []);
  }

  #swap(all: readonly string[]): void {
    if (all.length < 2) return;
    const random = this.#random;
    this.swapTwo(random.pick(all), random.pick(all));
  }

  /** False where one lies in the other, or the third name is taken: a swap may have been left half done. */
  swapTwo(one: string, other: string): boolean {
    if (one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`)) return false;
    const aside = `${one}.swap`;
    if (this.#options.programs.kindAt(aside) !== null) return false;
    this.#do(
      'swap',
      one,
      [],
      [(on) => on.rename(one, aside), (on) => on.rename(other, one), (on) => on.rename(aside, other)],
      [],
    );
    return true;
  }

  #symlink(folders: readonly string[], entries: readonly Entry[]): void {
    const random = this.#random;
    const path = childOf(this.#folder(folders), random.pick(['l', 'm']));
    const there = entries.find((entry) => entry.path === path)?.kind ?? null;
    if (there !== null && there !== 'symlink') return;
    const target = random.pick(['a', '../b', '/etc/passwd', 'nowhere', 'p']);
    this.#do(
      'symlink',
      path,
      [],
      [...(there === null ? [] : [(on: Programs) => on.remove(path)]), (on) => on.symlink(target, path)],
      [],
    );
  }

  #hardLink(files: readonly string[], folders: readonly string[]): void {
    if (files.length === 0) return;
    const { programs } = this.#options;
    const random = this.#random;
    const from = random.pick(files);
    const to = childOf(this.#folder(folders), random.pick(this.#fileNames));
    if (programs.kindAt(to) !== null) return;
    this.#do('hard link', from, [], [(on) => on.hardLink(from, to)], []);
  }

  #exec(files: readonly string[]): void {
    if (files.length === 0) return;
    const random = this.#random;
    const path = random.pick(files);
    const exec = random.chance(0.5);
    this.#do('exec bit', path, [], [(on) => on.setExec(path, exec)], []);
  }

  #copy(files: readonly string[], folders: readonly string[]): void {
    if (files.length === 0) return;
    const { programs } = this.#options;
    const random = this.#random;
    const from = random.pick(files);
    const to = childOf(this.#folder(folders), random.pick(this.#fileNames));
    const text = this.#read(programs, from);
    if (text === null || from === to || programs.kindAt(to) === 'folder' || programs.kindAt(to) === 'symlink') return;
    // The same bytes over the same bytes are no edit to anybody.
    if (programs.kindAt(to) === 'file' && this.#read(programs, to) === text) return;
    this.#do('copy', to, [to], [(on) => on.write(to, text)], [text]);
  }

  #changeKind(files: readonly string[]): void {
    if (files.length === 0) return;
    const path = this.#random.pick(files);
    const text = this.#text();
    const inner = childOf(path, 'a');
    this.#do(
      'change kind',
      path,
      [path],
      [(on) => on.remove(path), (on) => on.makeFolder(path), (on) => on.write(inner, text)],
      [text],
    );
  }

  /** The new file gets the inode of the old one. */
  #recreate(files: readonly string[]): void {
    if (files.length === 0) return;
    const { programs } = this.#options;
    const random = this.#random;
    const path = random.pick(files);
    const to = childOf(parentOf(path), random.pick(this.#fileNames));
    const kind = programs.kindAt(to);
    if (to !== path && kind !== null) return;
    const text = this.#text();
    this.#do('delete and create', path, [path], [(on) => on.remove(path), (on) => on.write(to, text)], [text]);
  }

  /** `gone`: paths whose present bytes the person gives up. */
  #do(
    operation: string,
    path: string,
    gone: readonly string[],
    steps: readonly ((on: Programs) => void)[],
    written: readonly string[],
  ): void {
    const { programs, ledger, name, onDone } = this.#options;
    for (const one of gone) {
      const text = programs.kindAt(one) === 'file' ? this.#read(programs, one) : null;
      if (text !== null) ledger.gaveUp(text);
    }
    try {
      for (const step of steps) step(programs);
    } catch (error) {
      if (!isErrno(error)) throw error;
      this.failed = true;
      // Whatever the disk had taken by then may be seen by everybody.
      for (const text of written)
        for (let at = 0; at <= Math.min(text.length, 5000); at++) ledger.tolerate(text.slice(0, at), name);
      this.#tolerateAll();
      return;
    }
    for (const text of written) ledger.wrote(text, name);
    this.#done++;
    onDone(operation, path);
    this.#doOnShadow(steps);
  }

  #doOnShadow(steps: readonly ((on: Programs) => void)[]): void {
    if (!this.shadow) return;
    try {
      for (const step of steps) step(this.shadow);
    } catch (error) {
      if (!isErrno(error)) throw error;
      // The disk had gone back to an earlier state.
      this.failed = true;
    }
  }

  #tolerateAll(): void {
    const { programs, ledger, name } = this.#options;
    try {
      for (const node of programs.tree().values()) if (node.kind === 'file') ledger.tolerate(node.text, name);
    } catch (error) {
      if (!isErrno(error)) throw error;
    }
  }

  #below(path: string): string[] {
    const { programs } = this.#options;
    if (programs.kindAt(path) !== 'folder') return [path];
    return programs
      .paths()
      .filter((entry) => entry.path.startsWith(`${path}/`) && entry.kind === 'file')
      .map((entry) => entry.path);
  }

  #read(on: Programs, path: string): string | null {
    try {
      return on.read(path);
    } catch (error) {
      if (!isErrno(error)) throw error;
      return null;
    }
  }
}

export function isErrno(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}
