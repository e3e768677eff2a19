/** What kinds of file systems there are, as far as a synced folder can tell them apart. */
import type { NameRules } from './name-rules.ts';

export type DeviceProfile = NameRules & {
  /** Tick of its time stamps in milliseconds; null: each differs from the last. */
  readonly stampMs: number | null;
  readonly birthTimes: boolean;
  readonly hardLinks: boolean;
  /**
   * The number of an inode lies on the disk. Where it does not, as on FAT and exFAT, each mount counts anew in the order in which things are looked up: one
   * gets the number that another had.
   */
  readonly keepsNumbers: boolean;
  /** Files can share their room on the disk. */
  readonly clones: boolean;
  /**
   * What a power cut leaves of changes to names since the last sync. `ordered`, as ext4: those up to some moment, and a sync of anything makes
   * all before it durable. `weak`: any of them, and a sync of a file says nothing of its name.
   */
  readonly journal: 'ordered' | 'weak';
  /** After a sync that failed the next one succeeds, and what the first should have written is gone for good. */
  readonly failedSyncLoses: boolean;
  readonly capacityBytes: number;
  readonly inodesMax: number;
  /** What the system writes by itself: changes to names, and bytes, when they are so old. */
  readonly commitAgeMs: number;
  readonly writebackAgeMs: number;
};

const ext4: DeviceProfile = {
  letterCase: 'sensitive',
  unicode: 'bytes',
  stampMs: null,
  birthTimes: true,
  hardLinks: true,
  keepsNumbers: true,
  clones: false,
  journal: 'ordered',
  failedSyncLoses: true,
  capacityBytes: 64 * 1024 ** 3,
  inodesMax: 1_000_000,
  commitAgeMs: 5_000,
  writebackAgeMs: 35_000,
};

const exfat: DeviceProfile = {
  ...ext4,
  letterCase: 'fold',
  hardLinks: false,
  keepsNumbers: false,
  stampMs: 10,
  birthTimes: false,
  journal: 'weak',
};

export const deviceProfiles = {
  ext4,
  /** As kernels before 6.13 stamp. */
  ext4Coarse: { ...ext4, stampMs: 10 },
  btrfs: { ...ext4, clones: true },
  /** No birth times, and nothing promised that POSIX does not promise. */
  weak: { ...ext4, birthTimes: false, journal: 'weak' },
  hfs: { ...ext4, letterCase: 'fold', unicode: 'nfd', stampMs: 1000 },
  apfs: { ...ext4, letterCase: 'fold', unicode: 'ignored', clones: true },
  exfat,
  fat: { ...exfat, stampMs: 2000 },
} as const satisfies Record<string, DeviceProfile>;
