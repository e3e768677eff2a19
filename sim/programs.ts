/** What people and their programs do to files, in the system calls that they do it by. Text is latin-1, so that bytes compare as strings. */
import type { FileSystem } from '#world/file-system.ts';

export type Tree = ReadonlyMap<string, TreeNode>;
export type TreeNode =
  | { readonly kind: 'folder' }
  /** `inode`: equal where two names lead to one file. */
  | { readonly kind: 'file'; readonly text: string; readonly exec: boolean; readonly inode: string }
  | { readonly kind: 'symlink'; readonly target: string }
  | { readonly kind: 'other' };

export function parentOf(path: string): string {
  const cut = path.lastIndexOf('/');
  return cut < 0 ? '' : path.slice(0, cut);
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function childOf(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`;
}

/** A folder as programs see it, by paths below its root. `.holdfast` is not theirs. */
export class Programs {
  readonly files: FileSystem;
  readonly root: string;

  constructor(files: FileSystem, root: string) {
    this.files = files;
    this.root = root;
  }

  at(path: string): string {
    return path === '' ? this.root : `${this.root}/${path}`;
  }

  kindAt(path: string): 'file' | 'folder' | 'symlink' | 'other' | null {
    return this.files.lstat(this.at(path))?.kind ?? null;
  }

  read(path: string): string {
    return this.readAt(this.at(path));
  }

  readAt(path: string): string {
    const fd = this.files.open(path, 'read');
    try {
      const { size } = this.files.fstat(fd);
      const bytes = new Uint8Array(size);
      let done = 0;
      while (done < size) {
        const count = this.files.read(fd, bytes, done, size - done, done);
        if (count === 0) break;
        done += count;
      }
      return Buffer.from(bytes.buffer, 0, done).toString('latin1');
    } finally {
      this.files.close(fd);
    }
  }

  /** As a shell's `>` does: the same inode, emptied and written. */
  write(path: string, text: string): void {
    const fd = this.#openForWriting(path);
    try {
      this.files.ftruncate(fd, 0);
      this.#writeAll(fd, text, 0);
    } finally {
      this.files.close(fd);
    }
  }

  /** Over the first bytes of what is there, synced: what survives a power cut without its time nobody could tell from what was there before. */
  overwrite(path: string, text: string): void {
    const fd = this.files.open(this.at(path), 'write');
    try {
      this.#writeAll(fd, text, 0);
      this.files.fsync(fd);
    } finally {
      this.files.close(fd);
    }
  }

  append(path: string, text: string): void {
    const fd = this.files.open(this.at(path), 'write');
    try {
      this.#writeAll(fd, text, this.files.fstat(fd).size);
    } finally {
      this.files.close(fd);
    }
  }

  /** As careful programs save: a new file, synced, renamed over the old one. */
  save(path: string, text: string): void {
    const fresh = childOf(parentOf(path), `.${nameOf(path)}.new`);
    const fd = this.files.open(this.at(fresh), 'create', 0o666);
    try {
      this.#writeAll(fd, text, 0);
      this.files.fsync(fd);
    } finally {
      this.files.close(fd);
    }
    this.files.rename(this.at(fresh), this.at(path));
  }

  /** As vim saves: the old file becomes a backup, a new one is written in its place, the backup goes. */
  saveByBackup(path: string, text: string): void {
    this.files.rename(this.at(path), this.at(`${path}~`));
    this.write(path, text);
    this.files.unlink(this.at(`${path}~`));
  }

  makeFolder(path: string): void {
    this.files.mkdir(this.at(path), 0o777);
  }

  remove(path: string): void {
    if (this.kindAt(path) === 'folder') this.files.removeTree(this.at(path));
    else this.files.unlink(this.at(path));
  }

  rename(from: string, to: string): void {
    this.files.rename(this.at(from), this.at(to));
  }

  symlink(target: string, path: string): void {
    this.files.symlink(target, this.at(path));
  }

  hardLink(from: string, to: string): void {
    this.files.link(this.at(from), this.at(to));
  }

  setExec(path: string, exec: boolean): void {
    const fd = this.files.open(this.at(path), 'read');
    try {
      this.files.fchmod(fd, exec ? 0o755 : 0o644);
    } finally {
      this.files.close(fd);
    }
  }

  /** What stands below `from`, in the order of paths. */
  tree(from = ''): Map<string, TreeNode> {
    const found = new Map<string, TreeNode>();
    const walk = (folder: string) => {
      for (const name of this.files.readdir(this.at(folder)).sort()) {
        const path = childOf(folder, name);
        if (path === '.holdfast') continue;
        const stat = this.files.lstat(this.at(path));
        if (stat === null) continue;
        if (stat.kind === 'folder') {
          found.set(path, { kind: 'folder' });
          walk(path);
        } else if (stat.kind === 'file')
          found.set(path, { kind: 'file', text: this.read(path), exec: stat.exec, inode: String(stat.ino) });
        else if (stat.kind === 'symlink') found.set(path, { kind: 'symlink', target: this.#target(path) });
        else found.set(path, { kind: 'other' });
      }
    };
    walk(from);
    return found;
  }

  /** Paths and kinds alone. */
  paths(): { readonly path: string; readonly kind: TreeNode['kind'] }[] {
    const found: { path: string; kind: TreeNode['kind'] }[] = [];
    const walk = (folder: string) => {
      for (const name of this.files.readdir(this.at(folder)).sort()) {
        const path = childOf(folder, name);
        if (path === '.holdfast') continue;
        const kind = this.kindAt(path);
        if (kind === null) continue;
        found.push({ path, kind });
        if (kind === 'folder') walk(path);
      }
    };
    walk('');
    return found;
  }

  #target(path: string): string {
    return Buffer.from(this.files.readlink(this.at(path))).toString('utf8');
  }

  #openForWriting(path: string): number {
    if (this.files.lstat(this.at(path))?.kind === 'file') return this.files.open(this.at(path), 'write');
    return this.files.open(this.at(path), 'create', 0o666);
  }

  #writeAll(fd: number, text: string, position: number): void {
    const bytes = Buffer.from(text, 'latin1');
    let done = 0;
    while (done < bytes.length) done += this.files.write(fd, bytes, done, bytes.length - done, position + done);
  }
}

/** For people: how two trees differ, in a few lines. */
/** Of the file there, or of all files below. */
export function textsAt(tree: Tree, path: string): string[] {
  return [...tree].flatMap(([at, node]) =>
    node.kind === 'file' && (at === path || at.startsWith(`${path}/`)) ? [node.text] : [],
  );
}

export function difference(left: Tree, right: Tree): string[] {
  const lines: string[] = [];
  const say = (node: TreeNode | undefined): string => {
    if (!node) return 'nothing';
    if (node.kind === 'file') return `${JSON.stringify(node.text.slice(0, 24))}${node.exec ? ' (exec)' : ''}`;
    return node.kind === 'symlink' ? `-> ${node.target}` : node.kind;
  };
  for (const path of [...new Set([...left.keys(), ...right.keys()])].sort()) {
    const [one, other] = [left.get(path), right.get(path)];
    if (isSameNode(one, other)) continue;
    lines.push(`${path}: ${say(one)} | ${say(other)}`);
  }
  return lines;
}

export function sameTree(left: Tree, right: Tree): boolean {
  if (left.size !== right.size) return false;
  for (const [path, one] of left) if (!isSameNode(one, right.get(path))) return false;
  return true;
}

/** Whether two names lead to one file is no device's business but its own. */
function isSameNode(one: TreeNode | undefined, other: TreeNode | undefined): boolean {
  if (!one || !other) return one === other;
  if (one.kind === 'file') return other.kind === 'file' && one.text === other.text && one.exec === other.exec;
  if (one.kind === 'symlink') return other.kind === 'symlink' && one.target === other.target;
  return one.kind === other.kind;
}
