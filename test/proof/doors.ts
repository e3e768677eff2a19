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
import { passed, powerCuts, type Point, type UpkeepPoint } from './points.ts';

type Points = Readonly<Record<string, Point | UpkeepPoint | readonly (Point | UpkeepPoint)[]>>;

const passedAll = (points: Points[string] | undefined): void => {
  for (const point of [points ?? []].flat()) passed(point);
};

function peerPassing(peer: Peer, before: Points, after: Points): Peer {
  return {
    call: async (verbName, message, signal) => {
      passedAll(before[verbName]);
      const answer = await peer.call(verbName, message, signal);
      passedAll(after[verbName]);
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
  peerPassing(
    pinned.pinnedPeer(...given),
    {},
    {
      'node-put': [
        'server: blocks on the nodes, commit not decided',
        'server: blocks in the new pool, not written down',
      ],
      'node-delete': 'server: delete order carried out, answer not written down',
    },
  );

const ANSWERED: Points = {
  commit: 'server: answer made, not sent',
  'node-put': 'node: blocks in the index, not acknowledged',
};

export const realNet: Net = {
  ...net.realNet,
  listen: (at, handler, options) => {
    const passing: Handler = async (verbName, ...rest) => {
      const answer = await handler(verbName, ...rest);
      passedAll(ANSWERED[verbName]);
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

/** What a transaction of the server's index is about, by the statements in it; and what is passed before and after it is durable. */
const TRANSACTIONS: readonly {
  readonly has: readonly string[];
  readonly lacks?: readonly string[];
  readonly before: Point | UpkeepPoint;
  readonly after: Point | UpkeepPoint;
}[] = [
  {
    has: ['insert into "journal"'],
    before: 'server: commit decided, not durable',
    after: 'server: commit durable, not answered',
  },
  {
    has: ['delete from "rule"', 'insert into "placing_folder"'],
    before: 'server: rules changed, not durable',
    after: 'server: rules changed, not answered',
  },
  {
    has: ['delete from "placing_folder"', 'delete from "misplaced"'],
    before: 'server: files judged by new rules, not durable',
    after: 'server: files judged by new rules',
  },
  {
    has: ['delete from "misplaced"'],
    lacks: ['insert into "journal"', 'delete from "placing_folder"', 'update "placing_folder"'],
    before: 'server: move decided, not durable',
    after: 'server: move durable',
  },
  {
    has: ['insert into "collection"'],
    lacks: ['update "garbage"', 'delete from "garbage"'],
    before: 'server: mark begun, not durable',
    after: 'server: mark begun',
  },
  {
    has: ['update "presence" set "condemned_mark" = ?'],
    lacks: ['insert into "journal"', 'delete from "misplaced"'],
    before: 'server: rows condemned, not durable',
    after: 'server: rows condemned',
  },
  {
    has: ['delete from "presence"', 'insert into "garbage"'],
    before: 'server: rows removed, not durable',
    after: 'server: rows removed',
  },
  {
    has: ['update "garbage" set "state" = ?, "fence" = ?'],
    before: 'server: delete order decided, not durable',
    after: 'server: delete order decided, not sent',
  },
  {
    has: ['update "garbage" set "state" = ?, "since_ms" = ?'],
    before: 'server: answer to a delete order not durable',
    after: 'server: answer to a delete order written down',
  },
  {
    has: ['delete from "garbage"'],
    lacks: ['update "garbage"'],
    before: 'server: garbage forgotten, not durable',
    after: 'server: garbage forgotten',
  },
];

function journalling(database: SqlDatabase): SqlDatabase {
  let statements: string[] = [];
  const includes = (beginning: string): boolean => statements.some((text) => text.startsWith(beginning));
  return {
    prepare: (text) => {
      if (!text.startsWith('select')) statements.push(text);
      return database.prepare(text);
    },
    exec: (text) => {
      if (text.startsWith('begin')) statements = [];
      const about =
        text === 'commit'
          ? TRANSACTIONS.filter(({ has, lacks = [] }) => has.every(includes) && !lacks.some(includes))
          : [];
      for (const { before } of about) passed(before);
      database.exec(text);
      for (const { after } of about) passed(after);
    },
    transaction: (work) => database.transaction(work),
    close: () => database.close(),
  };
}
