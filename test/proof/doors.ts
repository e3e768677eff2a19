/** The doors that roles are given, each wrapped so that it says which point was passed (`points.ts`). What they do is what the real ones do. */
import { basename } from 'node:path';
import * as launcher from '../../src/launcher.ts';
import type { Handler, Peer } from '../../src/protocol/wire.ts';
import type { Disk, DiskFile } from '../../src/world/disk.ts';
import type { Folder } from '../../src/world/folder.ts';
import type { Net } from '../../src/world/net.ts';
import * as pinned from '../../src/world/pinned-peer.ts';
import * as boot from '../../src/world/real/boot.ts';
import * as disk from '../../src/world/real/disk.ts';
import * as folder from '../../src/world/real/folder.ts';
import * as net from '../../src/world/real/net.ts';
import * as sql from '../../src/world/real/sql.ts';
import type { SqlDatabase, SqlOpener } from '../../src/world/sql.ts';
import { passed, powerCuts, type Point } from './points.ts';

type Points = Readonly<Record<string, Point>>;

function peerPassing(peer: Peer, before: Points, after: Points): Peer {
  return {
    call: async (verbName, message, signal) => {
      if (before[verbName]) passed(before[verbName]);
      const answer = await peer.call(verbName, message, signal);
      if (after[verbName]) passed(after[verbName]);
      return answer;
    },
    close: () => peer.close(),
  };
}

export const connectTo: typeof launcher.connectTo = (home, identity) =>
  peerPassing(
    launcher.connectTo(home, identity),
    { commit: 'device: commit written down, not sent' },
    { put: 'device: large blocks put, commit not sent', commit: 'device: commit answered, answer not recorded' },
  );

/** The machine runs on where a disk of its has its power cut: for who lives on that disk alone, it was the machine's. */
export const bootOfThisMachine: typeof boot.bootOfThisMachine = () => `${boot.bootOfThisMachine()} ${powerCuts()}`;

/** Of a server to its nodes. A node's own calls have no points. */
export const pinnedPeer: typeof pinned.pinnedPeer = (...given) =>
  peerPassing(pinned.pinnedPeer(...given), {}, { 'node-put': 'server: blocks on the nodes, commit not decided' });

const ANSWERED: Points = {
  commit: 'server: answer made, not sent',
  'node-put': 'node: blocks in the index, not acknowledged',
};

export const realNet: Net = {
  ...net.realNet,
  listen: (at, handler, options) => {
    const passing: Handler = async (verbName, ...rest) => {
      const answer = await handler(verbName, ...rest);
      const point = ANSWERED[verbName];
      if (point) passed(point);
      return answer;
    };
    return net.realNet.listen(at, passing, options);
  },
};

export function openFolder(rootPath: string): Folder {
  const real = folder.openFolder(rootPath);
  let recorded = false;
  return {
    ...real,
    apply: async (steps, keys) => {
      const outcomes = await real.apply(steps, keys);
      const placed = outcomes.some(({ kind }, index) => kind === 'done' && steps[index]?.kind === 'place');
      if (placed) passed('device: files placed, not recorded');
      recorded ||= placed;
      return outcomes;
    },
    flush: async (alsoAt) => {
      if (recorded) passed('device: files recorded, not flushed');
      await real.flush(alsoAt);
      if (recorded) passed('device: files flushed, not agreed on');
      recorded = false;
    },
  };
}

export function realDisk(root: string): Disk {
  const real = disk.realDisk(root);
  const passing = (file: DiskFile): DiskFile => {
    let appended = false;
    return {
      append: async (pieces) => {
        const offset = await file.append(pieces);
        appended = offset > 0;
        if (appended) passed('node: blocks appended, not synced');
        return offset;
      },
      sync: async () => {
        await file.sync();
        if (!appended) return;
        passed('node: blocks synced, not in the index');
      },
      read: (offset, length) => file.read(offset, length),
      truncate: (length) => file.truncate(length),
      size: () => file.size(),
      close: () => file.close(),
    };
  };
  return {
    ...real,
    create: async (path) => passing(await real.create(path)),
    open: async (path, mode) => passing(await real.open(path, mode)),
  };
}

export const sqliteOpener: SqlOpener = {
  open: (path, options) => {
    const database = sql.sqliteOpener.open(path, options);
    return basename(path) === 'meta.db' ? journalling(database) : database;
  },
};

/** The server's index: transactions that let a journal grow are commits. */
function journalling(database: SqlDatabase): SqlDatabase {
  let grows = false;
  return {
    prepare: (text) => {
      grows ||= text.startsWith('insert into "journal"');
      return database.prepare(text);
    },
    exec: (text) => {
      const commits = text === 'commit' && grows;
      if (text.startsWith('begin')) grows = false;
      if (commits) passed('server: commit decided, not durable');
      database.exec(text);
      if (commits) passed('server: commit durable, not answered');
    },
    transaction: (work) => database.transaction(work),
    close: () => database.close(),
  };
}
