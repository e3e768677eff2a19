/**
 * Every step of a folder, cut off at each of its system calls, and disturbed at each of them by somebody at the same machine: whatever a
 * person wrote is somewhere afterwards.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SealKeys } from '#core/keyring.ts';
import type { FileSystemTraits } from '../file-system.ts';
import type { FolderStep, Sealed, Stat, StepOutcome } from '../folder.ts';
import { FolderWork } from '../real/folder/work.ts';
import { nodePrimitives } from '../real/primitives.ts';
import {
  deviceProfiles,
  ProcessEnded,
  SimFileSystem,
  SystemError,
  type Chance,
  type DeviceProfile,
  type ProcessFiles,
  type SimUser,
} from './sim-file-system.ts';

const ID = 'a'.repeat(32);
const keys: SealKeys = {
  identityKey: new Uint8Array(32).fill(1),
  current: { version: 1, key: new Uint8Array(32).fill(2) },
  versions: [{ version: 1, key: new Uint8Array(32).fill(2) }],
};

type Kind = { readonly name: string; readonly profile: DeviceProfile; readonly traits?: FileSystemTraits };
const linux: Kind = { name: 'on Linux', profile: deviceProfiles.ext4 };
const mac: Kind = {
  name: 'on a Mac',
  profile: deviceProfiles.apfs,
  traits: { holds: false, syncsDirectories: true, linksSymlinks: false, windowsNames: false },
};
const stick: Kind = { name: 'without hard links', profile: { ...deviceProfiles.exfat, stampMs: null } };

/** Sealed once: it is the same in every scene. */
let theirs: Sealed | null = null;

/** A folder with a file, a folder and a symlink in it, and what is to be placed there. */
class Scene {
  readonly machine: SimFileSystem;
  readonly user: SimUser;
  readonly theirs: Sealed;
  #nowMs = 1_700_000_000_000;
  #processes = 0;

  constructor({ profile, traits }: Kind) {
    const clock = (): number => this.#nowMs;
    this.machine = new SimFileSystem({
      profile,
      nowMs: clock,
      elapsedMs: clock,
      ...(traits === undefined ? {} : { traits }),
    });
    this.user = this.machine.user;
    this.user.makeFolder('/root');
    const { work } = this.open();
    work.claim(ID);
    this.theirs = theirs ??= this.#seal(work);
    this.user.write('/root/file', 'mine');
    this.user.makeFolder('/root/folder');
    this.user.write('/root/folder/inner', 'inner');
    this.user.symlink('file', '/root/link');
    this.user.sync('/root');
  }

  open(before: ((syscall: string) => void) | null = null): { readonly work: FolderWork; readonly files: ProcessFiles } {
    this.#nowMs += 1000;
    const files = this.machine.openProcess({ before, obeysModes: false });
    const work = new FolderWork({
      rootPath: '/root',
      primitives: nodePrimitives,
      fileSystem: files,
      instance: `process-${++this.#processes}`,
      nowMs: () => this.#nowMs,
      wait: () => undefined,
    });
    return { work, files };
  }

  namesOf(path: string): readonly string[] {
    return this.user.exists(path) ? this.user.names(path) : [];
  }

  #seal(work: FolderWork): Sealed {
    this.user.write('/root/theirs', 'theirs');
    const file = sealed(work, 'theirs');
    this.user.remove('/root/theirs');
    return file;
  }

  /** Texts of all files below the root, the door's own included, each as often as it has names. */
  texts(): readonly string[] {
    const texts: string[] = [];
    for (const [path, thing] of this.user.tree('/root')) {
      if (thing.kind === 'file' && !path.endsWith('/root-id')) texts.push(Buffer.from(thing.bytes).toString());
    }
    return texts;
  }
}

function sealed(work: FolderWork, path: string): Sealed {
  const [outcome] = work.seal([{ path, expect: statOf(work, path) }], keys);
  assert(outcome?.kind === 'sealed');
  return outcome;
}

function statOf(work: FolderWork, path: string): Stat {
  const [entry] = work.look([path]);
  assert(entry && !('kind' in entry));
  return entry.stat;
}

const placing = (path: string, expect: Stat | null, file: Sealed): FolderStep => ({
  kind: 'place',
  path,
  expect,
  manifest: file.manifest,
  contentId: file.content.contentId,
  bytes: file.blocks.map((block) => block.bytes),
  mtimeUs: 1_600_000_000_000_000,
  exec: false,
});

type Steps = (work: FolderWork, scene: Scene) => readonly FolderStep[];
/** `replaces`: the text that may be gone when they have been done, since another stands in its place. */
const verbs: readonly { readonly name: string; readonly replaces?: string; readonly steps: Steps }[] = [
  { name: 'place a new file', steps: (_work, { theirs }) => [placing('new', null, theirs)] },
  {
    name: 'place over a file',
    replaces: 'mine',
    steps: (work, { theirs }) => [placing('file', statOf(work, 'file'), theirs)],
  },
  { name: 'move a file', steps: (work) => [{ kind: 'move', from: 'file', expect: statOf(work, 'file'), to: 'moved' }] },
  {
    name: 'move a folder',
    steps: (work) => [{ kind: 'move', from: 'folder', expect: statOf(work, 'folder'), to: 'moved' }],
  },
  {
    name: 'link a file',
    steps: (work) => [{ kind: 'link', from: 'file', expect: statOf(work, 'file'), to: 'second' }],
  },
  { name: 'remove a file', steps: (work) => [{ kind: 'remove', path: 'file', expect: statOf(work, 'file') }] },
  {
    name: 'set the exec bit',
    steps: (work) => [{ kind: 'set_exec', path: 'file', expect: statOf(work, 'file'), exec: true }],
  },
  {
    name: 'park a file',
    steps: (work) => [{ kind: 'park', path: 'file', expect: statOf(work, 'file'), slot: 'slot' }],
  },
  {
    name: 'park a folder, and put it elsewhere',
    steps: (work) => [
      { kind: 'park', path: 'folder', expect: statOf(work, 'folder'), slot: 'slot' },
      { kind: 'unpark', slot: 'slot', path: 'elsewhere' },
    ],
  },
];

/** What somebody does with the file, and what of theirs has to be somewhere afterwards. */
type Disturbance = {
  readonly deed: string;
  readonly disturb: (user: SimUser) => void;
  readonly kept: readonly string[];
};
const ifThere =
  (path: string, work: (user: SimUser) => void) =>
  (user: SimUser): void => {
    if (user.exists(path)) work(user);
  };
const disturbances: readonly Disturbance[] = [
  { deed: 'edited in place', disturb: (user) => user.write('/root/file', 'edited'), kept: ['edited', 'inner'] },
  { deed: 'saved anew', disturb: (user) => user.saveAtOnce('/root/file', 'edited'), kept: ['edited', 'inner'] },
  {
    deed: 'renamed away',
    disturb: ifThere('/root/file', (user) => user.rename('/root/file', '/root/away')),
    kept: ['mine', 'inner'],
  },
  { deed: 'removed', disturb: ifThere('/root/file', (user) => user.remove('/root/file')), kept: ['inner'] },
  {
    deed: 'made where something is to come',
    disturb: (user) => user.write('/root/moved', 'edited'),
    kept: ['edited', 'inner'],
  },
  {
    deed: 'made where the new file is to come',
    disturb: (user) => user.write('/root/new', 'edited'),
    kept: ['edited', 'mine'],
  },
  {
    deed: 'made where the link is to come',
    disturb: (user) => user.write('/root/second', 'edited'),
    kept: ['edited'],
  },
  {
    deed: 'written into the folder',
    disturb: ifThere('/root/folder', (user) => user.write('/root/folder/more', 'edited')),
    kept: ['inner'],
  },
  {
    deed: 'exchanged the folder',
    disturb: ifThere('/root/folder', (user) => {
      user.rename('/root/folder', '/root/old');
      user.makeFolder('/root/folder');
      user.write('/root/folder/more', 'edited');
    }),
    kept: ['inner', 'mine'],
  },
];

/** Runs steps with `meanwhile` just before their system call of that number. Null where they have no such call. */
function disturbed(
  scene: Scene,
  steps: Steps,
  at: number,
  meanwhile: (files: ProcessFiles, syscall: string) => void,
): readonly StepOutcome[] | 'ended' | null {
  let calls = 0;
  let isCounting = false;
  let hasHappened = false;
  const { work, files } = scene.open((syscall) => {
    if (!isCounting || calls++ !== at) return;
    hasHappened = true;
    meanwhile(files, syscall);
  });
  work.root();
  const list = steps(work, scene);
  isCounting = true;
  try {
    const outcomes = work.apply(list, keys);
    return hasHappened ? outcomes : null;
  } catch (error) {
    assert(error instanceof ProcessEnded, String(error));
    return 'ended';
  }
}

/** False where the system refused it. */
function succeeds(deed: () => void): boolean {
  try {
    deed();
    return true;
  } catch (error) {
    if (error instanceof SystemError) return false;
    throw error;
  }
}

function chanceOf(seed: number): Chance {
  let state = seed;
  return {
    below: (limit) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % limit;
    },
  };
}

for (const kind of [linux, mac, stick]) {
  for (const { name, replaces, steps } of verbs) {
    describe(`${name} ${kind.name}`, () => {
      /** What the user wrote is there, once at least, and nothing is there that nobody wrote. */
      const checkKept = (scene: Scene, told: string, isTorn = false): void => {
        const texts = scene.texts();
        for (const text of ['mine', 'inner']) {
          const isReplaced = text === replaces && (isTorn || texts.includes('theirs'));
          assert(isReplaced || texts.includes(text), `${told}: ${text} is not among ${texts.join(', ')}`);
        }
      };

      const isReplaced = (text: string, texts: readonly string[]): boolean =>
        text === replaces && texts.includes('theirs');

      test('killed at any system call, it loses nothing, and the next start tidies up', () => {
        let at = 0;
        for (; ; at++) {
          const scene = new Scene(kind);
          if (disturbed(scene, steps, at, (files) => files.kill()) === null) break;
          checkKept(scene, `killed at call ${at}`);
          const { work } = scene.open();
          work.root();
          work.sweep([], 30);
          checkKept(scene, `swept after it was killed at call ${at}`);
          assert.deepEqual(scene.namesOf('/root/.holdfast/tmp'), [], `call ${at}`);
          for (const text of scene.texts()) assert(['mine', 'inner', 'theirs'].includes(text), `${at}: ${text}`);
        }
        assert(at > 3, `it made ${at} calls`);
      });

      test('a power cut at any system call loses nothing that was synced before', () => {
        for (let at = 0, ended = true; ended; at++) {
          for (let seed = 0; seed < 5 && ended; seed++) {
            const scene = new Scene(kind);
            ended = disturbed(scene, steps, at, () => scene.machine.powerCut(chanceOf(seed * 31 + at))) !== null;
            const { work } = scene.open();
            work.root();
            work.sweep([], 30);
            // What was put in the place of a file and not flushed may be torn: it is fetched again.
            checkKept(scene, `power cut at call ${at}, seed ${seed}`, true);
          }
        }
      });

      // But for the moment between the last look and a rename that replaces what is there by then: Node has no other one. Where there are hard
      // links only `place` needs it, over a file that somebody saves anew in that very moment.
      test('disturbed at any system call, it loses nothing that others write, and invents nothing', () => {
        for (const { deed, disturb, kept } of disturbances) {
          for (let at = 0; ; at++) {
            const scene = new Scene(kind);
            let isDone = true;
            let during = '';
            const outcome = disturbed(scene, steps, at, (_files, syscall) => {
              during = syscall;
              isDone = succeeds(() => disturb(scene.user));
            });
            if (outcome === null) break;
            if (!isDone || (during === 'rename' && (replaces !== undefined || !kind.profile.hardLinks))) continue;
            const texts = scene.texts();
            const kinds = outcome === 'ended' ? outcome : outcome.map((one) => one.kind).join();
            const told = `${deed} at call ${at} (${during}), ${kinds}`;
            for (const text of kept)
              assert(texts.includes(text) || isReplaced(text, texts), `${told}: ${text} is lost`);
            for (const text of texts) assert(['mine', 'inner', 'theirs', 'edited'].includes(text), `${told}: ${text}`);
          }
        }
      });
    });
  }
}
