/** What others do in the moment between a look and the system call that follows it: here that moment is held still. */
import assert from 'node:assert/strict';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { must } from '#core/assert.ts';
import { makeKeyring } from '#core/keyring.ts';
import type { FolderStep, Stat } from '../../folder.ts';
import { writeFully } from './file.ts';
import { Grip, spotIn, type Spot } from './grip.ts';
import { movedWhereNothingIs, Moving } from './move.ts';
import { openFolderWork } from './open-work.ts';
import { OwnNames } from './own-names.ts';
import { placeMade, type Made } from './place.ts';
import { SmallFiles } from './seal.ts';
import { drained } from './slices.ts';
import { Taking } from './take.ts';
import { Unflushed } from './unflushed.ts';
import type { FolderWork } from './work.ts';
import { realFileSystem } from '../file-system.ts';
import { nodePrimitives } from '../primitives.ts';

describe('races', () => {
  let root: string;
  let grip: Grip;
  let unflushed: Unflushed;
  let taking: Taking;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'holdfast-races-'));
    grip = Grip.open(realFileSystem, root);
    unflushed = new Unflushed(realFileSystem, root);
    taking = new Taking(grip, unflushed, new OwnNames('test', Date.now));
  });
  afterEach(() => {
    grip.close();
    unflushed.close();
    rmSync(root, { recursive: true, force: true });
  });

  const path = (name: string): string => join(root, name);
  const text = (name: string): string => readFileSync(path(name), 'utf8');
  const stat = (name: string): Stat => must(realFileSystem.lstat(path(name)), `nothing at ${name}`);
  const spot = (name: string): Spot => must(grip.spot(name), 'its directory is there');
  /** A spot whose path is asked for `calls` times before `meanwhile` happens, just before it is used again. */
  const interrupted = (name: string, calls: number, meanwhile: () => void): Spot => {
    let left = calls;
    const plain = spot(name);
    return {
      ...plain,
      get at() {
        if (left-- === 0) meanwhile();
        return plain.at;
      },
    };
  };
  const made = (bytes: string): Made => {
    const at = spotIn(grip.own('tmp'), `made-${bytes}`);
    const fd = realFileSystem.open(at.at, 'create', 0o666);
    writeFully(realFileSystem, fd, Buffer.from(bytes), 0);
    return { spot: at, fd, keep: false };
  };
  const place = (to: Spot, expect: Stat | null) =>
    placeMade({ taking, unflushed }, made('theirs'), to, 'file', { expect, mtimeUs: 1_000_000, exec: false });
  const trash = (): readonly string[] => {
    if (!existsSync(path('.holdfast/trash'))) return [];
    return readdirSync(path('.holdfast/trash'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
  };
  const tmp = (): readonly string[] => readdirSync(path('.holdfast/tmp'));

  test('bytes written to a file as it is replaced are kept in the trash and reported', () => {
    writeFileSync(path('file'), 'mine');
    const to = interrupted('file', 2, () => writeFileSync(path('file'), 'mine, edited'));
    const outcome = place(to, stat('file'));
    assert(outcome.kind === 'done' && outcome.recovered !== undefined, outcome.kind);
    assert.equal(text('file'), 'theirs');
    assert.equal(text(outcome.recovered), 'mine, edited');
  });

  test('a file that is edited before the last look is not replaced', () => {
    writeFileSync(path('file'), 'mine');
    const to = interrupted('file', 1, () => writeFileSync(path('file'), 'mine, edited'));
    assert.deepEqual(place(to, stat('file')), { kind: 'stale' });
    assert.equal(text('file'), 'mine, edited');
    assert.deepEqual(tmp(), []);
  });

  test('a file that appears before the link is not replaced', () => {
    const to = interrupted('file', 0, () => writeFileSync(path('file'), 'mine'));
    assert.deepEqual(place(to, null), { kind: 'stale' });
    assert.equal(text('file'), 'mine');
    assert.deepEqual(tmp(), []);
  });

  test('an edit right after placing shows as a difference from what was placed', () => {
    const file = made('theirs');
    const meanwhile = { ...file, spot: { ...file.spot } };
    let left = 1;
    Object.defineProperty(meanwhile.spot, 'at', {
      get: () => {
        // The second use is the unlink of the temporary name: the file is at its path by then.
        if (left-- === 0) writeFileSync(path('file'), 'mine');
        return file.spot.at;
      },
    });
    const step = { expect: null, mtimeUs: 1_000_000, exec: false };
    const outcome = placeMade({ taking, unflushed }, meanwhile, spot('file'), 'file', step);
    assert(outcome.kind === 'done');
    assert.equal(text('file'), 'mine');
    assert.notEqual(outcome.stat?.mtimeNs, stat('file').mtimeNs);
  });

  test('another file saved over one that is being removed is put back', () => {
    writeFileSync(path('file'), 'old');
    writeFileSync(path('other'), 'new');
    const from = interrupted('file', 1, () => renameSync(path('other'), path('file')));
    assert.equal(taking.take(from, stat('file'), taking.trashSpot('file')), false);
    assert.equal(text('file'), 'new');
    assert.deepEqual(trash(), []);
  });

  test('where it cannot be put back it lies in the trash', () => {
    writeFileSync(path('file'), 'old');
    const expect = stat('file');
    let uses = 0;
    const plain = spot('file');
    const from: Spot = {
      ...plain,
      get at() {
        uses += 1;
        if (uses === 2) writeFileSync(path('file'), 'edited');
        // By the time it is given back the name is taken.
        if (uses === 3) writeFileSync(path('file'), 'third');
        return plain.at;
      },
    };
    assert.equal(taking.take(from, expect, spotIn(grip.own('tmp'), 'parked-1')), false);
    assert.equal(text('file'), 'third');
    assert.deepEqual(trash(), ['edited']);
    assert.deepEqual(tmp(), []);
  });

  test('a file saved over the old name of one that just moved stays', () => {
    writeFileSync(path('from'), 'moved');
    writeFileSync(path('other'), 'new');
    const from = interrupted('from', 2, () => renameSync(path('other'), path('from')));
    const moving = new Moving(taking, unflushed);
    assert.equal(moving.move(from, stat('from'), spot('to')), true);
    assert.equal(text('to'), 'moved');
    assert.equal(text('from'), 'new');
    assert.deepEqual(tmp(), []);
  });

  test('another file that comes to the old name before the link is not moved', () => {
    writeFileSync(path('from'), 'old');
    writeFileSync(path('other'), 'new');
    const from = interrupted('from', 1, () => renameSync(path('other'), path('from')));
    const moving = new Moving(taking, unflushed);
    assert.equal(moving.move(from, stat('from'), spot('to')), false);
    assert.equal(text('from'), 'new');
    assert.equal(existsSync(path('to')), false);
    assert.deepEqual(tmp(), []);
  });

  test('the last name of a file is never dropped for good', () => {
    writeFileSync(path('file'), 'only');
    assert.equal(taking.dropName(spot('file'), stat('file')), true);
    assert.deepEqual(trash(), ['only']);
    writeFileSync(path('file'), 'twice');
    linkSync(path('file'), path('second'));
    assert.equal(taking.dropName(spot('file'), stat('file')), true);
    assert.equal(text('second'), 'twice');
    assert.deepEqual(trash(), ['only']);
  });

  test('without hard links nothing is replaced either, and no empty file stays behind', () => {
    writeFileSync(path('from'), 'moved');
    writeFileSync(path('taken'), 'mine');
    assert.equal(movedWhereNothingIs(realFileSystem, spot('from'), spot('taken')), false);
    assert.equal(text('taken'), 'mine');
    assert.equal(movedWhereNothingIs(realFileSystem, spot('from'), spot('to')), true);
    assert.equal(text('to'), 'moved');
    writeFileSync(path('from'), 'again');
    const vanishing = interrupted('from', 0, () => unlinkSync(path('from')));
    assert.equal(movedWhereNothingIs(realFileSystem, vanishing, spot('third')), false);
    assert.deepEqual(readdirSync(root).sort(), ['taken', 'to']);
  });

  test('a file that is written to while it is read is changed, whatever was read', () => {
    const keyring = makeKeyring(nodePrimitives, {
      identityKey: new Uint8Array(32).fill(1),
      current: { version: 1, key: new Uint8Array(32).fill(2) },
      versions: [],
    });
    const files = new SmallFiles(nodePrimitives, Date.now);
    writeFileSync(path('file'), 'one');
    const expect = stat('file');
    const seal = (of: Stat) => drained(files.seal(grip, { path: 'file', expect: of }, keyring), () => undefined).kind;
    assert.equal(seal(expect), 'sealed');
    let uses = 0;
    const interrupting: Stat = {
      ...expect,
      get size() {
        // The first use compares it with the opened file, the second comes before reading.
        uses += 1;
        if (uses === 2) writeFileSync(path('file'), 'two');
        return expect.size;
      },
    };
    assert.equal(seal(interrupting), 'changed');
  });

  test('a folder above that becomes a symlink after it was opened leads nowhere', {
    skip: process.platform !== 'linux',
  }, () => {
    const outside = mkdtempSync(join(tmpdir(), 'holdfast-outside-'));
    mkdirSync(path('sub'));
    const to = spot('sub/file');
    renameSync(path('sub'), path('moved'));
    symlinkSync(outside, path('sub'));
    assert.equal(place(to, null).kind, 'done');
    assert.deepEqual(readdirSync(outside), []);
    assert.equal(text('moved/file'), 'theirs');
    rmSync(outside, { recursive: true });
  });
});

for (const holds of realFileSystem.traits.holds ? [true, false] : [false])
  describe(`folders that change places, where directories are ${holds ? '' : 'not '}held open`, () => {
    const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
    const keys = { identityKey: key(1), current: { version: 1, key: key(2) }, versions: [{ version: 1, key: key(2) }] };
    let root: string;
    let work: FolderWork;
    /** What others do as soon as a file is begun to be made. */
    let meanwhile: () => void;
    beforeEach(() => {
      root = mkdtempSync(join(tmpdir(), 'holdfast-races-'));
      meanwhile = () => undefined;
      work = openFolderWork(root, {
        ...realFileSystem,
        traits: { ...realFileSystem.traits, holds },
        open: (path, how, mode) => {
          if (how === 'create') meanwhile();
          return realFileSystem.open(path, how, mode);
        },
      });
      work.claim('a'.repeat(32));
    });
    afterEach(() => {
      work.close();
      rmSync(root, { recursive: true, force: true });
    });
    const path = (name: string): string => join(root, name);
    const swap = (): void => {
      renameSync(path('x'), path('t'));
      renameSync(path('y'), path('x'));
      renameSync(path('t'), path('y'));
    };
    const placing = (at: string): Extract<FolderStep, { kind: 'place' }> => {
      writeFileSync(path('source'), 'theirs');
      const expect = must(realFileSystem.lstat(path('source')), 'it was written just now');
      const [file] = work.seal([{ path: 'source', expect }], keys);
      assert(file?.kind === 'sealed');
      const { contentId } = file.content;
      const bytes = file.blocks.map((block) => block.bytes);
      return {
        kind: 'place',
        path: at,
        expect: null,
        manifest: file.manifest,
        contentId,
        bytes,
        mtimeUs: 1_000_000,
        exec: false,
      };
    };

    test('while a file is made for one of them, it comes into that one or nowhere', () => {
      for (const name of ['x', 'y']) mkdirSync(path(name));
      const within = must(realFileSystem.lstat(path('x')), 'it was made just now');
      const step = { ...placing('x/file'), within };
      meanwhile = swap;
      const [outcome] = work.apply([step], keys);
      assert(outcome !== undefined);
      if (holds) assert.equal(outcome.kind, 'done');
      else assert.deepEqual(outcome, { kind: 'stale', within: true });
      assert.deepEqual(readdirSync(path('x')), []);
      assert.deepEqual(readdirSync(path('y')), holds ? ['file'] : []);
      assert.deepEqual(readdirSync(path('.holdfast/tmp')), []);
    });

    test('what the same batch made is known by that', () => {
      mkdirSync(path('y'));
      const steps = work.applyInTurns([{ kind: 'make_folder', path: 'x' }, placing('x/file')], keys);
      // It stops before each step.
      steps.next();
      steps.next();
      swap();
      const { value } = steps.next();
      assert(Array.isArray(value));
      assert.deepEqual(value[1], { kind: 'stale', within: true });
      assert.deepEqual([readdirSync(path('x')), readdirSync(path('y'))], [[], []]);
    });
  });
