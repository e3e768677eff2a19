/** What every `Folder` must do, whatever disk is under it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { contentIdOf, openChunk, openManifest, sealManifest, type Manifest } from '#core/manifest.ts';
import { makeKeyring, type SealKeys } from '#core/keyring.ts';
import type { ContentId } from '#core/ids.ts';
import { MIB } from '#core/limits.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Folder, FolderStep, ListedEntry, Listing, Sealed, SealedBlock, Stat, StepOutcome } from './folder.ts';

/** Another program on the same disk. Paths are below `outside/..`: the root is `root`, and what must never be reached is `outside`. */
export type OtherProgram = {
  write(path: string, bytes: Uint8Array | string): void;
  /** Null where there is nothing. Follows symlinks. */
  read(path: string): string | null;
  readBytes(path: string): Uint8Array | null;
  makeFolder(path: string): void;
  makeSymlink(target: string, path: string): void;
  rename(from: string, to: string): void;
  remove(path: string): void;
  names(path: string): readonly string[];
};

export type FolderUnderTest = {
  readonly other: OtherProgram;
  readonly primitives: Primitives;
  /** Where there are none, a link is a copy. */
  readonly hasHardLinks?: boolean;
  /** Opens `root`, also again after it was closed, as another process would. */
  open(): Folder;
  cleanUp(): void;
};

const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const keys: SealKeys = {
  identityKey: key(1),
  current: { version: 2, key: key(3) },
  versions: [
    { version: 1, key: key(2) },
    { version: 2, key: key(3) },
  ],
};
const signal = new AbortController().signal;
const ID = 'a'.repeat(32);
const MTIME_US = 1_700_000_000_123_457;

export function folderContract(name: string, make: () => FolderUnderTest): void {
  describe(`folder: ${name}`, () => {
    let under: FolderUnderTest;
    let folder: Folder;

    beforeEach(async () => {
      under = make();
      under.other.makeFolder('outside');
      under.other.write('outside/secret', 'untouched');
      folder = under.open();
      await folder.claim(ID);
    });
    afterEach(async () => {
      await folder.close();
      under.cleanUp();
    });

    const reopen = async (): Promise<void> => {
      await folder.close();
      folder = under.open();
    };
    const lookAt = async (path: string): Promise<ListedEntry | null> => {
      const [found] = await folder.look([path]);
      assert(found === null || (found !== undefined && !('kind' in found)), told(found));
      return found;
    };
    const statAt = async (path: string): Promise<Stat> => {
      const found = await lookAt(path);
      assert(found, `nothing at ${path}`);
      return found.stat;
    };
    const listing = async (path: string): Promise<Extract<Listing, { kind: 'found' }>> => {
      const [listed] = await folder.list([path]);
      assert(listed?.kind === 'found', told(listed));
      return listed;
    };
    const namesIn = async (path: string): Promise<readonly string[]> =>
      (await listing(path)).entries.map((entry) => entry.name).sort();
    const apply = async (step: FolderStep): Promise<StepOutcome> => {
      const [outcome] = await folder.apply([step], keys);
      assert(outcome);
      return outcome;
    };
    const done = async (step: FolderStep): Promise<Stat | null> => {
      const outcome = await apply(step);
      assert(outcome.kind === 'done', `${step.kind}: ${told(outcome)}`);
      return outcome.stat;
    };
    const sealed = async (path: string): Promise<Sealed> => {
      const [outcome] = await folder.seal([{ path, expect: await statAt(path) }], keys);
      assert(outcome?.kind === 'sealed', told(outcome));
      return outcome;
    };
    const sealedBytes = async (bytes: Uint8Array | string): Promise<Sealed> => {
      under.other.write('root/sealed here', bytes);
      const result = await sealed('sealed here');
      under.other.remove('root/sealed here');
      return result;
    };
    const place = (path: string, expect: Stat | null, file: Sealed, exec = false): FolderStep => ({
      kind: 'place',
      path,
      expect,
      manifest: file.manifest,
      contentId: file.content.contentId,
      bytes: file.blocks.map((block) => block.bytes),
      mtimeUs: MTIME_US,
      exec,
    });
    const tmpNames = (): readonly string[] => under.other.names('root/.holdfast/tmp');
    const trashTexts = (): readonly (string | null)[] =>
      under.other.names('root/.holdfast/trash').flatMap((day) => {
        const path = `root/.holdfast/trash/${day}`;
        return under.other.names(path).map((file) => under.other.read(`${path}/${file}`));
      });

    describe('root', () => {
      test('a root that does not exist is missing until it is claimed, with its parents', async () => {
        await folder.close();
        under.other.remove('root');
        folder = under.open();
        assert.deepEqual(await folder.root(), { kind: 'missing' });
        const claimed = await folder.claim(ID);
        assert(claimed.kind === 'found');
        assert.equal(claimed.rootId, ID);
        assert.equal(claimed.empty, true);
        assert.deepEqual(await folder.root(), claimed);
      });

      test('says whether anything is in it', async () => {
        under.other.write('root/a', 'x');
        const state = await folder.root();
        assert(state.kind === 'found');
        assert.equal(state.empty, false);
        assert.equal(state.stat.kind, 'folder');
      });

      test('claiming again gives it the new id', async () => {
        const other = 'b'.repeat(32);
        await folder.claim(other);
        const state = await folder.root();
        assert(state.kind === 'found');
        assert.equal(state.rootId, other);
      });

      test('another disk in its place is neither listed nor changed', async () => {
        under.other.write('root/a', 'x');
        const file = await sealed('a');
        const expect = await statAt('a');
        under.other.rename('root', 'elsewhere');
        under.other.makeFolder('root');
        const failures = [
          ...(await folder.list([''])),
          ...(await folder.look(['a'])),
          ...(await folder.seal([{ path: 'a', expect }], keys)),
          ...(await folder.apply([place('b', null, file)], keys)),
        ];
        for (const failure of failures) {
          assert(failure && 'kind' in failure && failure.kind === 'failed', told(failure));
          assert.equal(failure.code, 'folder_missing');
        }
        assert.deepEqual(under.other.names('root'), []);
      });
    });

    describe('list and look', () => {
      test('shows files, folders and symlinks as they are, and hides only the own directory of the root', async () => {
        under.other.write('root/file', 'four');
        under.other.makeFolder('root/sub');
        under.other.makeFolder('root/sub/.holdfast');
        under.other.makeSymlink('../outside/secret', 'root/link');
        assert.deepEqual(await namesIn(''), ['file', 'link', 'sub']);
        assert.deepEqual(await namesIn('sub'), ['.holdfast']);
        const file = await lookAt('file');
        assert.equal(file?.stat.kind, 'file');
        assert.equal(file?.stat.size, 4);
        const link = (await listing('')).entries.find((entry) => entry.name === 'link');
        assert.equal(link?.stat.kind, 'symlink');
        assert.equal(link?.target, '../outside/secret');
      });

      test('finds nothing where nothing is', async () => {
        under.other.write('root/file', 'x');
        assert.deepEqual(await folder.list(['no', 'file', 'no/deeper']), Array(3).fill({ kind: 'missing' }));
        assert.deepEqual(await folder.look(['no', 'no/deeper', 'file/deeper']), [null, null, null]);
      });

      test('a name that no entry may have is reported, escaped', async () => {
        under.other.write('root/bad\u0007name', 'x');
        under.other.write('root/good', 'x');
        const listed = await listing('');
        assert.deepEqual(await namesIn(''), ['good']);
        assert.equal(listed.unnameable.length, 1);
        assert(!listed.unnameable[0]?.includes('\u0007'));
      });

      test('names of 255 bytes work in every verb', async () => {
        const long = 'ä'.repeat(127) + 'x';
        const file = await sealedBytes('long');
        const stat = await done(place(long, null, file));
        assert.deepEqual(await namesIn(''), [long]);
        assert.equal((await sealed(long)).content.contentId, file.content.contentId);
        assert(stat);
        assert.equal(await done({ kind: 'remove', path: long, expect: stat }), null);
        assert.deepEqual(trashTexts(), ['long']);
      });

      test('paths that lead elsewhere are refused', async () => {
        for (const path of [
          '..',
          '../outside/secret',
          'a/../b',
          './a',
          'a//b',
          '/etc/passwd',
          '.holdfast',
          '.holdfast/root-id',
        ]) {
          const [found] = await folder.look([path]);
          assert(found && 'kind' in found, path);
          assert.equal(found.code, 'invalid_name', path);
        }
      });
    });

    describe('seal', () => {
      test('seals what is there, and it opens to the same bytes', async () => {
        under.other.write('root/file', 'some text '.repeat(100));
        const file = await sealed('file');
        assert.equal(opened(under.primitives, file), 'some text '.repeat(100));
        assert.equal(file.content.size, 1000);
        assert.equal(file.stat.size, 1000);
      });

      test('an empty file has no blocks', async () => {
        under.other.write('root/empty', '');
        const file = await sealed('empty');
        assert.deepEqual(file.blocks, []);
        assert.equal(file.content.size, 0);
        assert.equal(opened(under.primitives, file), '');
      });

      test('equal chunks are handed out once', async () => {
        under.other.write('root/file', new Uint8Array(4 * MIB).fill(7));
        const file = await sealed('file');
        const manifest = openManifest(under.primitives, makeKeyring(under.primitives, keys), file.manifest);
        assert(manifest && manifest.chunks.length > file.blocks.length);
        assert.equal(new Set(file.blocks.map((block) => block.id)).size, file.blocks.length);
      });

      test('tells a changed file from a missing one', async () => {
        under.other.write('root/file', 'one');
        const expect = await statAt('file');
        under.other.write('root/file', 'two!');
        assert.deepEqual(await folder.seal([{ path: 'file', expect }], keys), [{ kind: 'changed' }]);
        under.other.remove('root/file');
        assert.deepEqual(await folder.seal([{ path: 'file', expect }], keys), [{ kind: 'missing' }]);
        under.other.makeFolder('root/file');
        assert.deepEqual(await folder.seal([{ path: 'file', expect }], keys), [{ kind: 'missing' }]);
      });

      test('follows no symlink, last or above', async () => {
        under.other.write('root/file', 'one');
        under.other.makeFolder('root/sub');
        under.other.write('root/sub/secret', 'two');
        const file = await statAt('file');
        const inner = await statAt('sub/secret');
        under.other.remove('root/file');
        under.other.makeSymlink('../outside/secret', 'root/file');
        under.other.rename('root/sub', 'root/moved');
        under.other.makeSymlink('../outside', 'root/sub');
        const outcomes = await folder.seal(
          [
            { path: 'file', expect: file },
            { path: 'sub/secret', expect: inner },
          ],
          keys,
        );
        assert.deepEqual(outcomes, [{ kind: 'missing' }, { kind: 'missing' }]);
        const opening = await folder.openSealing({ path: 'sub/secret', expect: inner }, keys, null);
        assert.deepEqual(opening, { kind: 'missing' });
      });
    });

    describe('sealing of large files', () => {
      const sealLarge = async (path: string, previous: Uint8Array | null) => {
        const sealing = await folder.openSealing({ path, expect: await statAt(path) }, keys, previous);
        assert(!('kind' in sealing), told(sealing));
        const blocks: { readonly id: string; readonly bytes: Uint8Array | null }[] = [];
        try {
          for (;;) {
            const step = await sealing.next(signal);
            if (step.kind === 'end') return { ...step, blocks };
            assert(step.kind === 'blocks', told(step));
            const stepBytes: number = step.blocks.reduce((sum, block) => sum + (block.bytes?.length ?? 0), 0);
            assert(stepBytes <= 4 * MIB || step.blocks.length === 1);
            blocks.push(...step.blocks);
          }
        } finally {
          await sealing.close();
        }
      };

      test('gives the same content as sealing in one go', async () => {
        under.other.write('root/large', noise(3 * MIB));
        const inOneGo = await sealed('large');
        const inSteps = await sealLarge('large', null);
        assert.equal(inSteps.content.contentId, inOneGo.content.contentId);
        assert.deepEqual(
          inSteps.blocks.map((block) => block.id),
          inOneGo.blocks.map((block) => block.id),
        );
      });

      test('hands out bytes only of chunks that are not in the last revision', async () => {
        const bytes = noise(9 * MIB);
        under.other.write('root/large', bytes);
        const first = await sealLarge('large', null);
        assert(first.blocks.every((block) => block.bytes !== null));
        const edited = new Uint8Array(bytes.length + 1);
        edited.set(bytes, 1);
        under.other.write('root/large', edited);
        const second = await sealLarge('large', first.manifest);
        const fresh = second.blocks.filter((block) => block.bytes !== null);
        assert(fresh.length >= 1 && fresh.length <= 2, `${fresh.length} of ${second.blocks.length} are new`);
        assert.equal(second.content.size, bytes.length + 1);
        assert.notEqual(second.content.contentId, first.content.contentId);
      });

      test('an empty file ends at once', async () => {
        under.other.write('root/empty', '');
        const ended = await sealLarge('empty', null);
        assert.equal(ended.content.size, 0);
        assert.deepEqual(ended.blocks, []);
      });

      test('blocks are compressed as is said, in both ways alike; the content is the same', async () => {
        const text = 'Measured again, as ever: '.repeat(20_000);
        under.other.write('root/text', text);
        const expect = await statAt('text');
        const lengths: number[] = [];
        const contents = new Set<string>();
        for (const compression of ['none', 'usual', 'strong'] as const) {
          const [small] = await folder.seal([{ path: 'text', expect, compression }], keys);
          assert(small?.kind === 'sealed', told(small));
          const sealing = await folder.openSealing({ path: 'text', expect, compression }, keys, null);
          assert(!('kind' in sealing), told(sealing));
          let inSteps = 0;
          for (;;) {
            const step = await sealing.next(signal);
            if (step.kind === 'end') {
              contents.add(step.content.contentId).add(small.content.contentId);
              assert.equal(step.content.manifestId, small.content.manifestId);
              break;
            }
            assert(step.kind === 'blocks', told(step));
            for (const { bytes } of step.blocks) inSteps += bytes?.length ?? 0;
          }
          await sealing.close();
          assert.equal(
            small.blocks.reduce((sum, { bytes }) => sum + bytes.length, 0),
            inSteps,
          );
          lengths.push(inSteps);
        }
        assert.equal(contents.size, 1);
        const [none = 0, usual = 0, strong = 0] = lengths;
        assert(none > text.length && Math.max(usual, strong) < text.length / 10, lengths.join());
        assert.notEqual(strong, usual);
      });

      test('a file that is written to meanwhile is changed, not torn', async () => {
        under.other.write('root/large', noise(9 * MIB));
        const sealing = await folder.openSealing({ path: 'large', expect: await statAt('large') }, keys, null);
        assert(!('kind' in sealing));
        await sealing.next(signal);
        under.other.write('root/large', noise(9 * MIB, 2));
        let step = await sealing.next(signal);
        while (step.kind === 'blocks') step = await sealing.next(signal);
        assert.deepEqual(step, { kind: 'changed' });
        await sealing.close();
      });
    });

    describe('place', () => {
      test('makes a file with its bytes, time and exec bit', async () => {
        const file = await sealedBytes('hello');
        const stat = await done(place('new', null, file, true));
        assert.equal(under.other.read('root/new'), 'hello');
        assert.deepEqual(await statAt('new'), stat);
        assert.equal(stat?.exec, true);
        assert.equal(stat?.mtimeNs / 1000n, BigInt(MTIME_US));
        assert.deepEqual(tmpNames(), []);
        await folder.flush();
      });

      test('places an empty file, and one from before 1970', async () => {
        const file = await sealedBytes('');
        const stat = await done({ ...place('new', null, file), mtimeUs: -5_000_000 } as FolderStep);
        assert.equal(under.other.read('root/new'), '');
        assert.equal(stat?.mtimeNs, -5_000_000_000n);
      });

      test('replaces what is as expected, in one step', async () => {
        under.other.write('root/file', 'old');
        const file = await sealedBytes('new bytes');
        const stat = await done(place('file', await statAt('file'), file));
        assert.equal(under.other.read('root/file'), 'new bytes');
        assert.deepEqual(await statAt('file'), stat);
        assert.deepEqual(trashTexts(), []);
      });

      test('touches nothing that is not as expected', async () => {
        under.other.write('root/file', 'old');
        const expect = await statAt('file');
        const file = await sealedBytes('new');
        assert.deepEqual(await apply(place('file', null, file)), { kind: 'stale' });
        under.other.write('root/file', 'edited');
        assert.deepEqual(await apply(place('file', expect, file)), { kind: 'stale' });
        assert.equal(under.other.read('root/file'), 'edited');
        under.other.remove('root/file');
        assert.deepEqual(await apply(place('file', expect, file)), { kind: 'stale' });
        assert.deepEqual(await namesIn(''), []);
        under.other.makeFolder('root/file');
        assert.deepEqual(await apply(place('file', await statAt('file'), file)), { kind: 'stale' });
        assert.deepEqual(tmpNames(), []);
      });

      test('makes no parents', async () => {
        const file = await sealedBytes('x');
        assert.deepEqual(await apply(place('no/file', null, file)), { kind: 'stale' });
        assert.deepEqual(await namesIn(''), []);
      });

      test('refuses wrong blocks, manifests and contents with nothing written', async () => {
        const file = await sealedBytes('some bytes');
        const another = await sealedBytes('other bytes');
        const flipped = file.blocks.map(
          ({ id, bytes }): SealedBlock => ({ id, bytes: withFlip(bytes, bytes.length >> 1) }),
        );
        const wrong: readonly Sealed[] = [
          { ...file, blocks: flipped },
          { ...file, blocks: another.blocks },
          { ...file, blocks: [] },
          { ...file, blocks: [...file.blocks, ...file.blocks] },
          { ...file, manifest: withFlip(file.manifest, 20) },
          { ...file, manifest: withFlip(file.manifest, file.manifest.length - 1) },
          { ...file, manifest: another.manifest },
          { ...file, content: { ...file.content, contentId: another.content.contentId } },
        ];
        under.other.write('root/kept', 'kept');
        const expect = await statAt('kept');
        for (const [index, sealedFile] of wrong.entries()) {
          for (const step of [place('new', null, sealedFile), place('kept', expect, sealedFile)]) {
            const outcome = await apply(step);
            assert(outcome.kind === 'failed', `${index}: ${told(outcome)}`);
            assert.equal(outcome.code, 'integrity');
          }
        }
        assert.deepEqual(await namesIn(''), ['kept']);
        assert.equal(under.other.read('root/kept'), 'kept');
        assert.deepEqual(tmpNames(), []);
      });

      test('what it says is what a later look sees, so that an edit shows', async () => {
        const file = await sealedBytes('placed');
        const stat = await done(place('file', null, file));
        under.other.write('root/file', 'edited');
        assert.notDeepEqual(await statAt('file'), stat);
      });
    });

    describe('symlinks', () => {
      /** Every verb that takes a path, against a link as its last name and as a folder above it. */
      const verbs = (path: string, expect: Stat, file: Sealed): readonly FolderStep[] => [
        { kind: 'make_folder', path },
        { kind: 'make_symlink', path, target: 'x' },
        place(path, null, file),
        place(path, expect, file),
        { kind: 'move', from: path, expect, to: 'elsewhere' },
        { kind: 'move', from: 'plain', expect, to: path },
        { kind: 'link', from: path, expect, to: 'elsewhere' },
        { kind: 'link', from: 'plain', expect, to: path },
        { kind: 'remove', path, expect },
        { kind: 'set_exec', path, expect, exec: true },
        { kind: 'park', path, expect, slot: 'slot' },
      ];

      test('no step follows one, whether it leads to something or dangles', async () => {
        under.other.write('root/plain', 'plain');
        const expect = await statAt('plain');
        const file = await sealedBytes('new');
        under.other.makeSymlink('../outside/secret', 'root/last');
        under.other.makeSymlink('../outside/nothing', 'root/dangling');
        under.other.makeSymlink('../outside', 'root/above');
        under.other.makeSymlink('../nowhere', 'root/above dangling');
        const before = await namesIn('');
        for (const path of ['last', 'dangling', 'above/secret', 'above/new', 'above dangling/new']) {
          for (const step of verbs(path, expect, file)) {
            assert.deepEqual(await apply(step), { kind: 'stale' }, `${step.kind} ${path}`);
          }
        }
        assert.deepEqual(await namesIn(''), before);
        assert.deepEqual(under.other.names('outside'), ['secret']);
        assert.equal(under.other.read('outside/secret'), 'untouched');
        assert.deepEqual(tmpNames(), []);
      });

      test('a folder that was replaced by one between two calls leads nowhere', async () => {
        under.other.makeFolder('root/sub');
        under.other.write('root/sub/secret', 'inner');
        const expect = await statAt('sub/secret');
        const file = await sealedBytes('new');
        under.other.rename('root/sub', 'root/moved');
        under.other.makeSymlink('../outside', 'root/sub');
        for (const step of verbs('sub/secret', expect, file)) {
          assert.deepEqual(await apply(step), { kind: 'stale' }, step.kind);
        }
        assert.deepEqual(await folder.list(['sub']), [{ kind: 'missing' }]);
        assert.deepEqual(await folder.look(['sub/secret']), [null]);
        assert.equal(under.other.read('outside/secret'), 'untouched');
      });

      test('one in place of the own directory is not followed', async () => {
        const file = await sealedBytes('new');
        under.other.rename('root/.holdfast', 'root/moved');
        under.other.makeFolder('outside/.holdfast');
        under.other.write('outside/.holdfast/root-id', ID);
        under.other.makeSymlink('../outside/.holdfast', 'root/.holdfast');
        const outcome = await apply(place('new', null, file));
        assert(outcome.kind === 'failed');
        assert.deepEqual(under.other.names('outside/.holdfast'), ['root-id']);
      });

      test('are made, seen, moved and removed as what they are', async () => {
        const stat = await done({ kind: 'make_symlink', path: 'link', target: '../outside/secret' });
        assert.equal((await lookAt('link'))?.target, '../outside/secret');
        assert(stat);
        const moved = await done({ kind: 'move', from: 'link', expect: stat, to: 'link 2' });
        assert(moved);
        assert.deepEqual(await namesIn(''), ['link 2']);
        assert.equal(await done({ kind: 'remove', path: 'link 2', expect: moved }), null);
        assert.deepEqual(await namesIn(''), []);
        assert.equal(under.other.read('outside/secret'), 'untouched');
      });
    });

    describe('other steps', () => {
      test('what is stale is left alone by every step', async () => {
        for (const name of ['a', 'b']) under.other.write(`root/${name}`, name);
        const expect = await statAt('a');
        const gone: Stat = { ...expect, ino: expect.ino + 1n };
        const rewritten: Stat = { ...expect, mtimeNs: expect.mtimeNs - 1n };
        const touched: Stat = { ...expect, ctimeNs: expect.ctimeNs - 1n };
        const grown: Stat = { ...expect, size: 2 };
        const file = await sealedBytes('new');
        for (const wrong of [gone, rewritten, touched, grown]) {
          const steps: readonly FolderStep[] = [
            place('a', wrong, file),
            { kind: 'move', from: 'a', expect: wrong, to: 'c' },
            { kind: 'link', from: 'a', expect: wrong, to: 'c' },
            { kind: 'remove', path: 'a', expect: wrong },
            { kind: 'set_exec', path: 'a', expect: wrong, exec: true },
            { kind: 'park', path: 'a', expect: wrong, slot: 'slot' },
          ];
          for (const step of steps) assert.deepEqual(await apply(step), { kind: 'stale' }, step.kind);
        }
        const occupied: readonly FolderStep[] = [
          { kind: 'make_folder', path: 'b' },
          { kind: 'make_symlink', path: 'b', target: 'x' },
          { kind: 'move', from: 'a', expect, to: 'b' },
          { kind: 'link', from: 'a', expect, to: 'b' },
          { kind: 'unpark', slot: 'never parked', path: 'c' },
        ];
        for (const step of occupied.slice(0, 4)) assert.deepEqual(await apply(step), { kind: 'stale' }, step.kind);
        const slotless = await apply({ kind: 'unpark', slot: 'neverparked', path: 'c' });
        assert.deepEqual(slotless, { kind: 'stale' });
        assert.deepEqual(await namesIn(''), ['a', 'b']);
        assert.equal(under.other.read('root/a'), 'a');
        assert.equal(under.other.read('root/b'), 'b');
        assert.deepEqual(trashTexts(), []);
      });

      test('nothing is made in a folder that came to the place of the one that was meant', async () => {
        for (const name of ['x', 'y', 'parked']) under.other.makeFolder(`root/${name}`);
        under.other.write('root/file', 'text');
        await done({ kind: 'park', path: 'parked', expect: await statAt('parked'), slot: 'slot' });
        const expect = await statAt('file');
        const file = await sealedBytes('new');
        const within = await statAt('x');
        under.other.rename('root/x', 'root/t');
        under.other.rename('root/y', 'root/x');
        under.other.rename('root/t', 'root/y');
        const makers = (path: string): readonly FolderStep[] => [
          { kind: 'make_folder', path, within },
          { kind: 'make_symlink', path, target: 'x', within },
          { ...place(path, null, file), within } as FolderStep,
          { kind: 'link', from: 'file', expect, to: path, within },
          { kind: 'move', from: 'file', expect, to: path, within },
          { kind: 'unpark', slot: 'slot', path, within },
        ];
        for (const step of [...makers('x/new'), ...makers('gone/new')])
          assert.deepEqual(await apply(step), { kind: 'stale', within: true }, step.kind);
        assert.deepEqual(await namesIn(''), ['file', 'x', 'y']);
        assert.deepEqual([await namesIn('x'), await namesIn('y')], [[], []]);
        assert.equal(tmpNames().length, 1, 'what is parked');
      });

      test('nothing is made in a folder that stands where one was to be made before it', async () => {
        under.other.makeFolder('root/x');
        under.other.makeFolder('root/x/deep');
        const file = await sealedBytes('new');
        const outcomes = await folder.apply(
          [
            { kind: 'make_folder', path: 'x' },
            { kind: 'make_folder', path: 'x/deep' },
            place('x/new', null, file),
            place('x/deep/new', null, file),
            place('new', null, file),
          ],
          keys,
        );
        assert.deepEqual(
          outcomes.map((outcome) => ('within' in outcome ? 'within' : outcome.kind)),
          ['stale', 'within', 'within', 'within', 'done'],
        );
        assert.deepEqual([await namesIn('x'), await namesIn('x/deep')], [['deep'], []]);
        assert.deepEqual(tmpNames(), []);
      });

      test('a folder is the one that was meant wherever it came from, and whatever is in it by now', async () => {
        under.other.makeFolder('root/x');
        const within = await statAt('x');
        const file = await sealedBytes('new');
        under.other.rename('root/x', 'root/y');
        under.other.write('root/y/file', 'text');
        await done({ kind: 'make_folder', path: 'y/new', within });
        await done({ ...place('y/placed', null, file), within } as FolderStep);
        await done({ kind: 'move', from: 'y/file', expect: await statAt('y/file'), to: 'y/moved', within });
        assert.deepEqual(await namesIn('y'), ['moved', 'new', 'placed']);
      });

      test('a file moves with its inode, a folder with all that is in it', async () => {
        under.other.makeFolder('root/from');
        under.other.write('root/from/file', 'x');
        const file = await statAt('from/file');
        const moved = await done({ kind: 'move', from: 'from/file', expect: file, to: 'from/renamed' });
        assert.equal(moved?.ino, file.ino);
        assert.equal(moved?.links, 1);
        assert.deepEqual(await statAt('from/renamed'), moved);
        await done({ kind: 'move', from: 'from', expect: await statAt('from'), to: 'to' });
        assert.deepEqual(await namesIn(''), ['to']);
        assert.deepEqual(await namesIn('to'), ['renamed']);
        assert.deepEqual(tmpNames(), []);
        await folder.flush();
      });

      test('steps of a batch see what those before them did', async () => {
        const file = await sealedBytes('x');
        const outcomes = await folder.apply(
          [
            { kind: 'make_folder', path: 'a' },
            { kind: 'make_folder', path: 'a/b' },
            place('a/b/file', null, file),
            place('a/b/file', null, file),
          ],
          keys,
        );
        assert.deepEqual(
          outcomes.map((outcome) => outcome.kind),
          ['done', 'done', 'done', 'stale'],
        );
        const expect = await statAt('a');
        const moved = await folder.apply(
          [
            { kind: 'move', from: 'a', expect, to: 'c' },
            { kind: 'make_folder', path: 'a' },
            { kind: 'make_folder', path: 'a/b' },
            place('a/b/other', null, file),
          ],
          keys,
        );
        assert.deepEqual(
          moved.map((outcome) => outcome.kind),
          ['done', 'done', 'done', 'done'],
        );
        assert.deepEqual(await namesIn('a/b'), ['other']);
        assert.deepEqual(await namesIn('c/b'), ['file']);
      });

      test('a folder does not move into itself, nor over another', async () => {
        for (const name of ['a', 'b']) under.other.makeFolder(`root/${name}`);
        const expect = await statAt('a');
        assert.deepEqual(await apply({ kind: 'move', from: 'a', expect, to: 'a/c' }), { kind: 'stale' });
        assert.deepEqual(await apply({ kind: 'move', from: 'a', expect, to: 'b' }), { kind: 'stale' });
        assert.deepEqual(await namesIn(''), ['a', 'b']);
      });

      test('a second name, then the old one replaced: the recipe of a conflict', async () => {
        under.other.write('root/file', 'mine');
        const linked = await done({ kind: 'link', from: 'file', expect: await statAt('file'), to: 'copy' });
        assert(linked);
        assert.deepEqual(await statAt('copy'), linked);
        const old = await statAt('file');
        if (under.hasHardLinks !== false) assert.deepEqual(old, linked);
        await done(place('file', old, await sealedBytes('theirs')));
        assert.equal(under.other.read('root/copy'), 'mine');
        assert.equal(under.other.read('root/file'), 'theirs');
      });

      test('removed files lie in the trash under their names, even when equal', async () => {
        for (const text of ['one', 'two']) {
          under.other.write('root/file', text);
          assert.equal(await done({ kind: 'remove', path: 'file', expect: await statAt('file') }), null);
        }
        assert.deepEqual(trashTexts().toSorted(), ['one', 'two']);
        assert.deepEqual(await namesIn(''), []);
      });

      test('a folder is removed only where it is empty', async () => {
        under.other.makeFolder('root/sub');
        const expect = await statAt('sub');
        under.other.write('root/sub/new', 'x');
        assert.deepEqual(await apply({ kind: 'remove', path: 'sub', expect }), { kind: 'stale' });
        assert.equal(under.other.read('root/sub/new'), 'x');
        under.other.remove('root/sub/new');
        assert.equal(await done({ kind: 'remove', path: 'sub', expect }), null);
      });

      test('the exec bit comes and goes, and stays with a replacement', async () => {
        under.other.write('root/file', 'x');
        const on = await done({ kind: 'set_exec', path: 'file', expect: await statAt('file'), exec: true });
        assert.equal(on?.exec, true);
        assert(on);
        const replaced = await done(place('file', on, await sealedBytes('y'), true));
        assert.equal(replaced?.exec, true);
        assert(replaced);
        const off = await done({ kind: 'set_exec', path: 'file', expect: replaced, exec: false });
        assert.equal(off?.exec, false);
        assert(off);
        const linked = await done({ kind: 'link', from: 'file', expect: off, to: 'other' });
        const alone = await done({ kind: 'set_exec', path: 'file', expect: await statAt('file'), exec: true });
        assert.equal(alone?.exec, true);
        assert.deepEqual(alone, await statAt('file'));
        assert.equal(under.other.read('root/file'), 'y');
        assert.equal((await statAt('other')).exec, false, 'another name is another file');
        assert.equal((await statAt('other')).mtimeNs, linked?.mtimeNs);
      });

      test('two names change places by way of a slot', async () => {
        for (const name of ['a', 'b']) under.other.write(`root/${name}`, name);
        const a = await statAt('a');
        const b = await statAt('b');
        const parked = await done({ kind: 'park', path: 'a', expect: a, slot: 'slot-1' });
        assert.equal(parked?.ino, a.ino);
        assert.deepEqual(await namesIn(''), ['b']);
        await reopen();
        await done({ kind: 'move', from: 'b', expect: b, to: 'a' });
        assert.deepEqual(await apply({ kind: 'unpark', slot: 'slot-1', path: 'a' }), { kind: 'stale' });
        const stat = await done({ kind: 'unpark', slot: 'slot-1', path: 'b' });
        assert.equal(stat?.ino, a.ino);
        assert.equal(under.other.read('root/a'), 'b');
        assert.equal(under.other.read('root/b'), 'a');
        assert.deepEqual(tmpNames(), []);
      });

      test('folders are parked too', async () => {
        under.other.makeFolder('root/a');
        under.other.write('root/a/file', 'x');
        await done({ kind: 'park', path: 'a', expect: await statAt('a'), slot: 'slot' });
        assert.deepEqual(await namesIn(''), []);
        await done({ kind: 'unpark', slot: 'slot', path: 'b' });
        assert.equal(under.other.read('root/b/file'), 'x');
      });

      test('ids that are paths are refused', async () => {
        under.other.write('root/a', 'x');
        const expect = await statAt('a');
        for (const slot of ['../a', '', 'a/b', '.']) {
          const outcome = await apply({ kind: 'park', path: 'a', expect, slot });
          assert(outcome.kind === 'failed', slot);
        }
        assert.deepEqual(await namesIn(''), ['a']);
      });
    });

    describe('stage', () => {
      type Large = { readonly bytes: Uint8Array; readonly file: Sealed; readonly manifest: Manifest };
      const large = async (bytes: Uint8Array): Promise<Large> => {
        const file = await sealedBytes(bytes);
        const manifest = openManifest(under.primitives, makeKeyring(under.primitives, keys), file.manifest);
        assert(manifest);
        return { bytes, file, manifest };
      };
      const blockAt = (
        { file, manifest }: Large,
        index: number,
      ): { readonly index: number; readonly bytes: Uint8Array } => {
        const id = manifest.chunks[index]?.blockId;
        const block = file.blocks.find((one) => one.id === id);
        assert(block);
        return { index, bytes: block.bytes };
      };
      const stage = async (of: Large, old: { path: string; manifest: Uint8Array } | null = null) => {
        const staged = await folder.stage('id', of.file.manifest, of.file.content.contentId, old, keys);
        assert(staged.kind === 'staged', told(staged));
        return staged.missing;
      };
      const placeStaged = (of: Large, expect: Stat | null): FolderStep => ({
        ...(place('large', expect, of.file) as Extract<FolderStep, { kind: 'place' }>),
        bytes: { staged: 'id' },
      });

      test('blocks arrive in any order, then the file is placed', async () => {
        const of = await large(noise(3 * MIB));
        const missing = await stage(of);
        assert.equal(missing.length, of.manifest.chunks.length);
        assert(missing.length > 2);
        const early = await apply(placeStaged(of, null));
        assert(early.kind === 'failed');
        assert.equal(early.code, 'block_missing');
        for (const index of missing.toReversed()) {
          assert.deepEqual(await folder.stageBlocks('id', [blockAt(of, index)]), { kind: 'written' });
        }
        const stat = await done(placeStaged(of, null));
        assert.deepEqual(under.other.readBytes('root/large'), of.bytes);
        assert.deepEqual(await statAt('large'), stat);
        assert.equal(stat?.exec, false);
        assert.deepEqual(tmpNames(), []);
        await folder.flush();
      });

      test('what was there before a restart is kept as far as it verifies', async () => {
        const of = await large(noise(4 * MIB));
        const missing = await stage(of);
        await folder.stageBlocks(
          'id',
          missing.slice(0, 3).map((index) => blockAt(of, index)),
        );
        await reopen();
        await folder.root();
        assert.deepEqual(await stage(of), missing.slice(3));
        await reopen();
        const path = `root/.holdfast/tmp/${tmpNames()[0]}`;
        const torn = under.other.readBytes(path);
        assert(torn);
        under.other.write(path, withFlip(torn, 5));
        assert.deepEqual(await stage(of), [0, ...missing.slice(3)]);
      });

      test('a block that is not what the manifest says is not written; others of the call are', async () => {
        const of = await large(noise(2 * MIB));
        const [first, second] = await stage(of);
        assert(first !== undefined && second !== undefined);
        const bad = { index: first, bytes: withFlip(blockAt(of, first).bytes, 100) };
        const swapped = { index: first, bytes: blockAt(of, second).bytes };
        for (const wrong of [bad, swapped, { index: 9999, bytes: bad.bytes }]) {
          const outcome = await folder.stageBlocks('id', [wrong, blockAt(of, second)]);
          assert(outcome.kind === 'failed');
          assert.equal(outcome.code, 'integrity');
        }
        await reopen();
        const missing = await stage(of);
        assert(missing.includes(first) && !missing.includes(second));
      });

      test('chunks of the old file are copied, and only those fetched that are new', async () => {
        const bytes = noise(3 * MIB);
        const old = await large(bytes);
        under.other.write('root/large', bytes);
        const edited = new Uint8Array(bytes.length + 1);
        edited.set(bytes.subarray(0, 1000));
        edited.set(bytes.subarray(1000), 1001);
        const of = await large(edited);
        const missing = await stage(of, { path: 'large', manifest: old.file.manifest });
        assert(missing.length >= 1 && missing.length <= 2, `${missing.length} are missing`);
        await folder.stageBlocks(
          'id',
          missing.map((index) => blockAt(of, index)),
        );
        await done(placeStaged(of, await statAt('large')));
        assert.deepEqual(under.other.readBytes('root/large'), edited);
      });

      test('an old file that is no longer what its manifest says gives nothing wrong', async () => {
        const bytes = noise(2 * MIB);
        const old = await large(bytes);
        under.other.write('root/large', withFlip(bytes, 10));
        const missing = await stage(old, { path: 'large', manifest: old.file.manifest });
        assert.deepEqual(missing, [0]);
        under.other.makeSymlink('../outside/secret', 'root/link');
        under.other.write('outside/secret', bytes);
        await folder.sweep([], 30);
        assert.equal(
          (await stage(old, { path: 'link', manifest: old.file.manifest })).length,
          old.manifest.chunks.length,
        );
        under.other.write('outside/secret', 'untouched');
      });

      test('a chunk that occurs often is asked for once', async () => {
        const of = await large(new Uint8Array(4 * MIB).fill(3));
        const missing = await stage(of);
        assert.equal(missing.length, of.file.blocks.length);
        await folder.stageBlocks(
          'id',
          missing.map((index) => blockAt(of, index)),
        );
        await done(placeStaged(of, null));
        assert.deepEqual(under.other.readBytes('root/large'), of.bytes);
      });

      test('zeros arrive as zeros', async () => {
        const bytes = new Uint8Array(4 * MIB);
        bytes.set(noise(MIB), MIB);
        const of = await large(bytes);
        for (const index of await stage(of)) await folder.stageBlocks('id', [blockAt(of, index)]);
        await done(placeStaged(of, null));
        assert.deepEqual(under.other.readBytes('root/large'), bytes);
      });

      test('a stale place keeps what was staged', async () => {
        const of = await large(noise(MIB));
        for (const index of await stage(of)) await folder.stageBlocks('id', [blockAt(of, index)]);
        under.other.write('root/large', 'in the way');
        assert.deepEqual(await apply(placeStaged(of, null)), { kind: 'stale' });
        await done(placeStaged(of, await statAt('large')));
        assert.deepEqual(under.other.readBytes('root/large'), of.bytes);
      });

      test('an id means one content', async () => {
        const of = await large(noise(MIB));
        await stage(of);
        const step = { ...placeStaged(of, null), contentId: 'f'.repeat(64) as ContentId } as FolderStep;
        const outcome = await apply(step);
        assert(outcome.kind === 'failed');
        const unknown = await folder.stageBlocks('another', []);
        assert(unknown.kind === 'failed');
      });

      test('a file larger than the disk is refused before anything is written', async () => {
        const manifest = hugeManifest(under.primitives);
        const outcome = await folder.stage('id', manifest.bytes, manifest.contentId, null, keys);
        assert(outcome.kind === 'failed');
        assert.equal(outcome.code, 'no_space');
        assert.deepEqual(tmpNames(), []);
      });
    });

    describe('sweep', () => {
      test('deletes what nobody needs, and never a thing of the user', async () => {
        const of = await sealedBytes(noise(MIB));
        for (const id of ['kept', 'dropped']) await folder.stage(id, of.manifest, of.content.contentId, null, keys);
        under.other.write('root/a', 'parked');
        await done({ kind: 'park', path: 'a', expect: await statAt('a'), slot: 'slot' });
        under.other.write('root/b', 'still parked');
        await done({ kind: 'park', path: 'b', expect: await statAt('b'), slot: 'slot-2' });
        under.other.write('root/.holdfast/tmp/stranger', 'whatever it is');
        await folder.sweep(['kept', 'slot-2'], 30);
        assert.equal(tmpNames().length, 2);
        assert.deepEqual(trashTexts().toSorted(), ['parked', 'whatever it is']);
        await done({ kind: 'unpark', slot: 'slot-2', path: 'b' });
      });
    });
  });
}

function opened(primitives: Primitives, file: Sealed): string {
  const keyring = makeKeyring(primitives, keys);
  const manifest = openManifest(primitives, keyring, file.manifest);
  assert(manifest);
  assert.equal(contentIdOf(primitives, keyring, manifest), file.content.contentId);
  const pieces = manifest.chunks.map((chunk) => {
    const block = file.blocks.find((one) => one.id === chunk.blockId);
    assert(block);
    const plain = openChunk(primitives, keyring, chunk, block.bytes);
    assert(plain);
    return plain;
  });
  return pieces.map((piece) => String.fromCharCode(...piece)).join('');
}

/** Of 100,000 chunks of 8 MiB: 800 GB. */
function hugeManifest(primitives: Primitives): { readonly bytes: Uint8Array; readonly contentId: ContentId } {
  const chunk = {
    blockId: '1'.repeat(64),
    storedLength: 8 * MIB + 64,
    keyVersion: 1,
    chunkHash: '2'.repeat(64),
    plainLength: 8 * MIB,
  } as unknown as Manifest['chunks'][number];
  const chunks = Array<typeof chunk>(100_000).fill(chunk);
  const manifest: Manifest = { size: chunks.length * 8 * MIB, chunker: 'cdc-2m', chunks };
  return sealManifest(primitives, makeKeyring(primitives, keys), manifest);
}

/** The same bytes for the same seed, and none of them compress. */
function noise(length: number, seed = 1): Uint8Array {
  const words = new Uint32Array(length / 4);
  let x = seed;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return new Uint8Array(words.buffer);
}

function withFlip(bytes: Uint8Array, at: number): Uint8Array {
  const flipped = bytes.slice();
  flipped[at] = (flipped[at] as number) ^ 1;
  return flipped;
}

/** Of an outcome that was not expected; never its bytes, which would take longer to write out than to seal. */
function told(outcome: unknown): string {
  if (typeof outcome !== 'object' || outcome === null) return String(outcome);
  const { kind, code, detail } = outcome as { kind?: string; code?: string; detail?: string };
  return [kind, code, detail].filter((word) => word !== undefined).join(' ');
}
