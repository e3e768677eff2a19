/** The simulated file system against the real one: the same calls, the same answers, the same errors, the same tree afterwards. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, constants, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { isSameInode } from '../real/folder/stat.ts';
import { realFileSystem } from '../real/file-system.ts';
import type { FileSystem, OpenHow } from '../file-system.ts';
import type { Stat } from '../folder.ts';
import { SimFileSystem } from './sim-file-system.ts';

const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;

/** So many folders, which nobody may write to, that no `..` leads out of them. */
const ABOVE = `${'/up'.repeat(20)}/top`;

/** Paths are lists of names below the top; with `by`, below what that descriptor holds. */
type Where = { readonly names: readonly string[]; readonly by: number | null };
type Call =
  | { readonly call: 'open'; readonly at: Where; readonly how: OpenHow; readonly mode: number }
  | { readonly call: 'rewrite' | 'lstat' | 'stat' | 'rmdir' | 'unlink' | 'readdir' | 'readlink'; readonly at: Where }
  | { readonly call: 'mkdir'; readonly at: Where; readonly mode: number }
  | { readonly call: 'symlink'; readonly at: Where; readonly target: string }
  | { readonly call: 'link' | 'rename'; readonly at: Where; readonly to: Where }
  | { readonly call: 'close' | 'fstat' | 'reopen' | 'fsync' | 'modeOf'; readonly fd: number }
  | { readonly call: 'read'; readonly fd: number; readonly length: number; readonly position: number }
  | { readonly call: 'write'; readonly fd: number; readonly text: string; readonly position: number }
  | { readonly call: 'ftruncate'; readonly fd: number; readonly length: number }
  | { readonly call: 'fchmod'; readonly fd: number; readonly mode: number }
  | { readonly call: 'futimes'; readonly fd: number; readonly mtimeUs: number };

const name = fc.constantFrom('a', 'b', 'c', 'ä', 'A', '..', 'x'.repeat(256));
const mostlyShort = fc.oneof({ weight: 20, arbitrary: fc.constantFrom('a', 'b', 'c') }, { weight: 1, arbitrary: name });
const fd = fc.nat(4);
const where: fc.Arbitrary<Where> = fc.record({
  names: fc.array(mostlyShort, { minLength: 1, maxLength: 3 }),
  by: fc.option(fd, { freq: 3 }),
});
const mode = fc.constantFrom(0o777, 0o777, 0o666, 0o600, 0o500, 0o300, 0o000);
const position = fc.constantFrom(0, 1, 5, 4095, 4096, 9000);
const target = fc.constantFrom('a', 'b', '../a', '../b/c', 'c/b', '.', '..', './a/..', 'a/b/c', '/nowhere');
const how: fc.Arbitrary<OpenHow> = fc.constantFrom(
  'read',
  'write',
  'create',
  'create',
  'list',
  'hold',
  'hold_directory',
  'hold_directory',
  'hold_root',
);
const call: fc.Arbitrary<Call> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ call: fc.constant('open' as const), at: where, how, mode }) },
  {
    weight: 6,
    arbitrary: fc.record({
      call: fc.constantFrom(
        'rewrite' as const,
        'rewrite' as const,
        'lstat',
        'stat',
        'rmdir',
        'unlink',
        'readdir',
        'readlink',
      ),
      at: where,
    }),
  },
  { weight: 5, arbitrary: fc.record({ call: fc.constant('mkdir' as const), at: where, mode }) },
  { weight: 2, arbitrary: fc.record({ call: fc.constant('symlink' as const), at: where, target }) },
  {
    weight: 6,
    arbitrary: fc.record({ call: fc.constantFrom('link' as const, 'rename', 'rename'), at: where, to: where }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ call: fc.constantFrom('close' as const, 'fstat', 'reopen', 'fsync', 'modeOf'), fd }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ call: fc.constant('read' as const), fd, length: fc.constantFrom(0, 3, 5000), position }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      call: fc.constant('write' as const),
      fd,
      text: fc.constantFrom('', 'hello', 'y'.repeat(5000)),
      position,
    }),
  },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('ftruncate' as const), fd, length: position }) },
  { weight: 2, arbitrary: fc.record({ call: fc.constant('fchmod' as const), fd, mode }) },
  {
    weight: 1,
    arbitrary: fc.record({
      call: fc.constant('futimes' as const),
      fd,
      mtimeUs: fc.constantFrom(-5_000_000, 0, 1, 1_700_000_000_123_457, 4_000_000_000_999_999),
    }),
  },
);

/** One of the two, and what was opened on it. `look` is by somebody whom no permission stops. */
type Side = {
  readonly fs: FileSystem;
  readonly top: string;
  readonly look: <T>(work: (fs: FileSystem) => T) => T;
  readonly rewrite: (path: string) => number;
  readonly bytes: (path: string) => Uint8Array;
  readonly fds: number[];
  readonly base: string;
};

function made(side: Side, one: Call): unknown {
  const path = ({ names, by }: Where): string => {
    const held = by === null ? undefined : side.fds[by];
    const top = held === undefined ? side.top : side.fs.pathOf(held);
    return [top, ...names].join('/');
  };
  const { fs } = side;
  switch (one.call) {
    case 'open':
      return side.fds.push(fs.open(path(one.at), one.how, one.mode));
    case 'rewrite':
      return side.fds.push(side.rewrite(path(one.at)));
    case 'lstat':
      return shown(fs.lstat(path(one.at)));
    case 'stat':
      return shown(fs.stat(path(one.at)));
    case 'readdir':
      return fs.readdir(path(one.at)).sort();
    case 'readlink':
      return Buffer.from(fs.readlink(path(one.at))).toString();
    case 'rmdir':
    case 'unlink':
      return fs[one.call](path(one.at));
    case 'mkdir':
      return fs.mkdir(path(one.at), one.mode);
    case 'symlink':
      return fs.symlink(one.target, path(one.at));
    case 'link':
    case 'rename':
      return fs[one.call](path(one.at), path(one.to));
    default:
      return withDescriptor(side, one);
  }
}

function withDescriptor(side: Side, one: Extract<Call, { fd: number }>): unknown {
  const { fs } = side;
  const fd = side.fds[one.fd];
  if (fd === undefined) return 'no such descriptor';
  switch (one.call) {
    case 'close':
      side.fds.splice(one.fd, 1);
      return fs.close(fd);
    case 'fstat':
      return shown(fs.fstat(fd));
    case 'modeOf':
      return fs.modeOf(fd);
    case 'reopen':
      return side.fds.push(fs.reopen(fd));
    case 'fsync':
      return fs.fsync(fd);
    case 'read': {
      const into = new Uint8Array(one.length + 2).fill(1);
      const count = fs.read(fd, into, 1, one.length, one.position);
      return { count, into: Buffer.from(into).toString('latin1') };
    }
    case 'write': {
      const bytes = Buffer.from(`?${one.text}?`);
      return fs.write(fd, bytes, 1, one.text.length, one.position);
    }
    case 'ftruncate':
      return fs.ftruncate(fd, one.length);
    case 'fchmod':
      return fs.fchmod(fd, one.mode);
    case 'futimes':
      return fs.futimes(fd, one.mtimeUs);
  }
}

function shown(stat: Stat | null): unknown {
  if (stat === null) return null;
  const { kind, size, links, exec } = stat;
  return { kind, size: kind === 'folder' ? null : size, links, exec };
}

function outcome(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    assert(error instanceof Error && 'code' in error && 'syscall' in error, String(error));
    return error.code;
  }
}

type Seen = Map<string, Stat>;

/** The whole tree; with what changed of it since `last`, since times themselves differ. */
function treeOf(side: Side, last: Seen): { readonly seen: Seen; readonly lines: readonly string[] } {
  return side.look((fs) => {
    const seen: Seen = new Map();
    const lines: string[] = [];
    const list = (below: string): void => {
      for (const entry of fs.readdir(side.top + below).sort()) {
        const path = `${below}/${entry}`;
        const stat = fs.lstat(side.top + path);
        assert(stat);
        const twin = [...seen].find(([, other]) => isSameInode(other, stat))?.[0] ?? '';
        const before = last.get(path);
        const changes =
          before === undefined || !isSameInode(before, stat)
            ? ''
            : `${before.mtimeNs === stat.mtimeNs ? '' : 'm'}${before.ctimeNs === stat.ctimeNs ? '' : 'c'}`;
        seen.set(path, stat);
        const body =
          stat.kind === 'file'
            ? Buffer.from(side.bytes(side.top + path)).toString('latin1')
            : stat.kind === 'symlink'
              ? Buffer.from(fs.readlink(side.top + path)).toString()
              : '';
        lines.push(`${path} ${JSON.stringify(shown(stat))} ${twin} ${changes} ${body}`);
        if (stat.kind === 'folder') list(path);
      }
    };
    list('');
    return { seen, lines };
  });
}

describe('a simulated file system and the real one', { skip: process.platform !== 'linux' }, () => {
  before(() => {
    process.umask(0o022);
    if (isRoot) process.seteuid?.(NOBODY);
  });
  after(() => {
    if (isRoot) process.seteuid?.(0);
  });

  const asRoot = <T>(work: () => T): T => {
    if (!isRoot) return work();
    process.seteuid?.(0);
    try {
      return work();
    } finally {
      process.seteuid?.(NOBODY);
    }
  };

  const realSide = (): Side => {
    const base = asRoot(() => mkdtempSync(join(tmpdir(), 'holdfast-real-')));
    const top = base + ABOVE;
    asRoot(() => {
      mkdirSync(top, { recursive: true });
      // Of the same modes as those above the simulated one: `..` leads there.
      for (let above = top; above !== base; ) {
        above = dirname(above);
        chmodSync(above, 0o555);
      }
      if (isRoot) chownSync(top, NOBODY, NOBODY);
    });
    return {
      fs: realFileSystem,
      top,
      look: (work) => asRoot(() => work(realFileSystem)),
      rewrite: (path) => openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK, 0o666),
      bytes: (path) => readFileSync(path),
      fds: [],
      base,
    };
  };

  const simSide = (): Side => {
    const sim = new SimFileSystem({ nowMs: () => 1_700_000_000_000, elapsedMs: () => 0 });
    sim.user.makeFolder(`/base${ABOVE}`);
    for (let above = `/base${ABOVE}`; above !== ''; ) {
      above = above.slice(0, above.lastIndexOf('/'));
      sim.user.setMode(`${above}/`, 0o555);
    }
    const process = sim.openProcess({ obeysModes: true });
    return {
      fs: process,
      top: `/base${ABOVE}`,
      look: (work) => work(sim.user.files),
      rewrite: (path) => process.openToRewrite(path, false),
      bytes: (path) => sim.user.read(path) ?? new Uint8Array(0),
      fds: [],
      base: '/base',
    };
  };

  test('answer every sequence of calls alike', {
    skip: !isRoot && 'folders that nobody may read can only be looked into by root',
  }, () => {
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 40 }), (calls) => {
        const sim = simSide();
        const real = realSide();
        try {
          let seenReal: Seen = new Map();
          let seenSim: Seen = new Map();
          for (const one of calls) {
            const expected = outcome(() => made(real, one));
            const got = outcome(() => made(sim, one));
            assert.deepEqual(got, expected, JSON.stringify(one));
            const treeReal = treeOf(real, seenReal);
            const treeSim = treeOf(sim, seenSim);
            assert.deepEqual(treeSim.lines, treeReal.lines, JSON.stringify(one));
            seenReal = treeReal.seen;
            seenSim = treeSim.seen;
          }
        } finally {
          for (const fd of real.fds) realFileSystem.close(fd);
          asRoot(() => rmSync(real.base, { recursive: true, force: true }));
        }
      }),
      { numRuns: Number(process.env.HOLDFAST_RUNS ?? 300) },
    );
  });
});
