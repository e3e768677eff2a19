/** A real disk of which single calls fail, as disks do: there is no way to ask a healthy one for it. */
import { HoldfastError, type ErrorCode } from '#core/errors.ts';
import type { Disk, DiskFile } from '#world/disk.ts';

export type Failing = 'append' | 'sync' | 'truncate' | 'create' | 'syncDirectory' | 'read';
export type Faults = {
  /** The next calls of that name that fail, and how. A failing append writes half of its bytes first. */
  readonly next: Map<Failing, ErrorCode[]>;
  /** Every call in order, as `name path`. */
  readonly calls: string[];
  freeBytes: number | null;
};

export function newFaults(): Faults {
  return { next: new Map(), calls: [], freeBytes: null };
}

export function failingDisk(disk: Disk, faults: Faults): Disk {
  const fail = (name: Failing, path: string): void => {
    faults.calls.push(`${name} ${path}`);
    const code = faults.next.get(name)?.shift();
    if (code) throw new HoldfastError(code, `${path}: as the test wants it`);
  };
  const wrap = (path: string, file: DiskFile): DiskFile => ({
    async append(pieces) {
      try {
        fail('append', path);
      } catch (error) {
        const whole = pieces.reduce((sum, { length }) => sum + length, 0);
        await file.append([new Uint8Array(Math.floor(whole / 2)).fill(0x55)]);
        throw error;
      }
      return file.append(pieces);
    },
    async sync() {
      fail('sync', path);
      return file.sync();
    },
    async truncate(length) {
      fail('truncate', path);
      return file.truncate(length);
    },
    async read(offset, length) {
      fail('read', path);
      return file.read(offset, length);
    },
    size: () => file.size(),
    close: () => file.close(),
  });
  return {
    ...disk,
    async create(path) {
      fail('create', path);
      return wrap(path, await disk.create(path));
    },
    open: async (path, mode) => wrap(path, await disk.open(path, mode)),
    async syncDirectory(path) {
      fail('syncDirectory', path);
      return disk.syncDirectory(path);
    },
    async space() {
      const { freeBytes, totalBytes } = await disk.space();
      return { freeBytes: faults.freeBytes ?? freeBytes, totalBytes };
    },
  };
}
