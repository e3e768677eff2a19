/** Doors of a server whose nodes are behind other lines than they say (`bad-line.ts`), and of a node whose disk is slow while a file is there. */
import { existsSync } from 'node:fs';
import type { Disk, DiskFile } from '../../src/world/disk.ts';
import type { Net } from '../../src/world/net.ts';
import * as disk from '../../src/world/real/disk.ts';
import * as net from '../../src/world/real/net.ts';

/** `9001=9101,9002=9102`: who asks for the first port gets the second one. */
export const DETOURS = 'HOLDFAST_TEST_DETOURS';
/** While the file of this name is there, each read from the node's segments takes so long. */
export const SLOW_READS_FILE = 'HOLDFAST_TEST_SLOW_READS';
export const SLOW_READ_MS = 1000;

const detours = new Map((process.env[DETOURS] ?? '').split(',').map((pair) => pair.split('=') as [string, string]));

export const realNet: Net = {
  ...net.realNet,
  connect: (address, ...rest) => {
    const url = new URL(address);
    const port = detours.get(url.port);
    return net.realNet.connect(port ? `${url.protocol}//${url.hostname}:${port}` : address, ...rest);
  },
};

export function realDisk(root: string): Disk {
  const real = disk.realDisk(root);
  const slow = (file: DiskFile): DiskFile => ({
    append: (pieces) => file.append(pieces),
    read: async (offset, length) => {
      const path = process.env[SLOW_READS_FILE];
      if (path && existsSync(path)) await new Promise((resolve) => setTimeout(resolve, SLOW_READ_MS));
      return file.read(offset, length);
    },
    sync: () => file.sync(),
    truncate: (length) => file.truncate(length),
    size: () => file.size(),
    close: () => file.close(),
  });
  return {
    ...real,
    create: async (path) => slow(await real.create(path)),
    open: async (path, mode) => slow(await real.open(path, mode)),
  };
}
