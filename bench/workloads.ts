/** What is done to device A, and how it shows cheaply that device B has it. */
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { KIB, MIB } from '#core/limits.ts';
import { noise } from './noise.ts';
import { hasBytes, hasNames, isGone, type Sample } from './tree.ts';

export type Place = {
  /** The synced folder of device A, and that of device B. */
  readonly a: string;
  readonly b: string;
  /** Beside them on the same file system and seen by nobody: what is made here is renamed into A, whole and in an instant. */
  readonly aside: string;
  /** Where the system keeps its own things. */
  readonly state: string;
};

export type Change = {
  /** Changes A. The clock starts when it begins. */
  make(): void;
  /**
   * Looks at B that all have to hold in the end, each cheap. They are asked in order and a look that held is not asked
   * again, so that waiting costs one look at a time however many files there are.
   */
  readonly looks: readonly (() => boolean)[];
};

export type Workload = {
  readonly id: string;
  readonly title: string;
  /** Prepares changes outside of the clock. What they need of the workloads before them in the session stands already. */
  prepare(place: Place, scale: number): readonly Change[];
};

/** Workloads that build upon one another, in one life of a system. */
export type Session = {
  readonly name: string;
  readonly workloads: readonly Workload[];
  /** Disk that it needs at its fullest: A, B, what the system keeps, and what is made aside. */
  diskBytes(scale: number): number;
};

const FILES_PER_FOLDER = 50;
const LARGE = 'large.bin';

function folderCount(scale: number): number {
  return Math.max(1, Math.round(200 * scale));
}

function largeBytes(scale: number): number {
  return Math.max(4 * MIB, Math.round(2048 * MIB * scale));
}

function numbered(index: number): string {
  return String(index).padStart(3, '0');
}

const firstSync: Workload = {
  id: 'W1',
  title: '10,000 files of 1-16 KiB in 200 folders (84 MB)',
  prepare({ a, b, aside }, scale) {
    const bytes = noise('W1');
    const looks: (() => boolean)[] = [];
    for (let folder = 0; folder < folderCount(scale); folder++) {
      const path = join(aside, 'tree', numbered(folder));
      mkdirSync(path, { recursive: true });
      const sizes = new Map<string, number>();
      for (let file = 0; file < FILES_PER_FOLDER; file++) {
        const size = KIB + (bytes(4).readUInt32LE() % (15 * KIB + 1));
        sizes.set(`${numbered(file)}.bin`, size);
        writeFileSync(join(path, `${numbered(file)}.bin`), bytes(size));
      }
      looks.push(() => hasNames(join(b, 'tree', numbered(folder)), sizes));
    }
    return [{ make: () => renameSync(join(aside, 'tree'), join(a, 'tree')), looks }];
  },
};

const folderRename: Workload = {
  id: 'W5',
  title: 'rename a folder that holds 10,000 files',
  prepare({ a, b }, scale) {
    // Sizes are not asked: renamed files keep theirs, and looking at ten thousand takes longer than a rename should.
    const sizes = new Map(Array.from({ length: FILES_PER_FOLDER }, (_, file) => [`${numbered(file)}.bin`, null]));
    const looks = Array.from({ length: folderCount(scale) }, (_, folder) => () => {
      return hasNames(join(b, 'renamed', numbered(folder)), sizes);
    });
    looks.push(() => isGone(join(b, 'tree')));
    return [{ make: () => renameSync(join(a, 'tree'), join(a, 'renamed')), looks }];
  },
};

function largeFileArrives(place: Place, size: number, samples: readonly Sample[]): readonly (() => boolean)[] {
  return [() => hasBytes(join(place.b, LARGE), size, samples)];
}

const largeFile: Workload = {
  id: 'W2',
  title: 'one incompressible file of 2 GiB',
  prepare(place, scale) {
    const bytes = noise('W2');
    const size = largeBytes(scale);
    const samples: Sample[] = [];
    const file = openSync(join(place.aside, LARGE), 'wx');
    for (let at = 0; at < size; at += MIB) {
      const part = bytes(Math.min(MIB, size - at));
      writeSync(file, part);
      // The first and the last kilobyte.
      if (at === 0) samples.push({ at, bytes: Buffer.from(part.subarray(0, KIB)) });
      if (at + part.length === size) samples.push({ at: size - KIB, bytes: Buffer.from(part.subarray(-KIB)) });
    }
    closeSync(file);
    const make = (): void => renameSync(join(place.aside, LARGE), join(place.a, LARGE));
    return [{ make, looks: largeFileArrives(place, size, samples) }];
  },
};

const changeMiddle: Workload = {
  id: 'W3a',
  title: 'change 1 MiB in the middle of that file, in place',
  prepare(place, scale) {
    const size = largeBytes(scale);
    const at = Math.floor(size / 2);
    const part = noise('W3a')(MIB);
    const samples = [0, MIB / 2, MIB - KIB].map((from) => ({ at: at + from, bytes: part.subarray(from, from + KIB) }));
    const make = (): void => {
      const file = openSync(join(place.a, LARGE), 'r+');
      writeSync(file, part, 0, part.length, at);
      closeSync(file);
    };
    return [{ make, looks: largeFileArrives(place, size, samples) }];
  },
};

const insertFront: Workload = {
  id: 'W3b',
  title: 'insert 1 byte at its front: a new file, renamed over the old one',
  prepare(place, scale) {
    const size = largeBytes(scale) + 1;
    const next = join(place.aside, LARGE);
    const source = openSync(join(place.a, LARGE), 'r');
    const buffer = Buffer.allocUnsafe(4 * MIB);
    writeFileSync(next, 'x', { flag: 'wx' });
    for (let read = readSync(source, buffer); read > 0; read = readSync(source, buffer)) {
      appendFileSync(next, buffer.subarray(0, read));
    }
    closeSync(source);
    const looks = largeFileArrives(place, size, [{ at: 0, bytes: Buffer.from('x') }]);
    return [{ make: () => renameSync(next, join(place.a, LARGE)), looks }];
  },
};

const save: Workload = {
  id: 'W4',
  title: 'save a file of 4 KiB, over and over',
  prepare({ a, b }, scale) {
    const bytes = noise('W4');
    return Array.from({ length: Math.max(5, Math.round(30 * scale)) }, () => {
      const content = bytes(4 * KIB);
      const make = (): void => writeFileSync(join(a, 'note.txt'), content);
      return { make, looks: [() => hasBytes(join(b, 'note.txt'), content.length, [{ at: 0, bytes: content }])] };
    });
  },
};

export const sessions: readonly Session[] = [
  {
    name: 'small files',
    workloads: [firstSync, folderRename],
    diskBytes: (scale) => (300 + 700 * scale) * MIB,
  },
  {
    name: 'large file',
    workloads: [largeFile, changeMiddle, insertFront],
    // A, B, what the nodes keep, the new file made aside, and the new file that B is receiving.
    diskBytes: (scale) => 300 * MIB + 5 * largeBytes(scale),
  },
  { name: 'saves', workloads: [save], diskBytes: () => 300 * MIB },
];

export const workloads: readonly Workload[] = sessions
  .flatMap((session) => session.workloads)
  .toSorted((a, b) => (a.id < b.id ? -1 : 1));

/** Makes the folders of a place. */
export function makePlace(root: string): Place {
  const place = { a: join(root, 'a'), b: join(root, 'b'), aside: join(root, 'aside'), state: join(root, 'state') };
  for (const path of Object.values(place)) mkdirSync(path, { recursive: true });
  return place;
}

/** A file for the time before the first workload, in the shape of a {@link Change}. */
export function greeting({ a, b }: Place, text: string): Change {
  const bytes = Buffer.from(text);
  return {
    make: () => writeFileSync(join(a, 'hello.txt'), text),
    looks: [() => hasBytes(join(b, 'hello.txt'), bytes.length, [{ at: 0, bytes }])],
  };
}
