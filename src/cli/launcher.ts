/**
 * What `main` hands to the commands: roles, started on threads of this process, and connections. The commands decide what
 * runs and where; how it is wired stands in `main` and beside it.
 */
import type { ClusterId, NodeId, Pin } from '#core/ids.ts';
import type { Peer } from '#protocol/wire.ts';
import type { Folder } from '#world/folder.ts';
import type { Identity, Link } from './home.ts';

export type ServerPlan = {
  readonly dataDirectory: string;
  readonly host: string;
  readonly port: number;
  /** How long a storage node is out of reach before it counts as lost. */
  readonly lostMs: number;
  /** In which every copy is read and verified once. */
  readonly scrubMs: number;
  /** Between two rounds in which every storage node proves that it holds what it says. */
  readonly challengeMs: number;
  /** Between two marks of what is named. */
  readonly collectEveryMs: number;
  /** How often, at most, what changed of the metadata goes into the pools. */
  readonly rootEveryMs: number;
};

/** A role that runs on a thread of this process. */
export interface Running {
  /** Resolves when the role ended by itself: with what ended it. Never resolves after `close`. */
  readonly failed: Promise<Error>;
  close(): Promise<void>;
}

export interface RunningServer extends Running {
  readonly cluster: ClusterId;
  readonly url: string;
  /** What other machines may call, best first. */
  readonly addresses: readonly string[];
  /** Null on loopback, where it speaks plain HTTP. */
  readonly pin: Pin | null;
  /** A one-time invite, minted by the process that holds the cluster's key: how the owner's own device begins. */
  mintInvite(kind: 'device' | 'node'): Promise<string>;
  /** Puts into the pools what a rescue would lack, before the nodes are closed; some seconds at most. */
  settle(): Promise<void>;
  /** A connection that stays inside this process. */
  peer(credential: string | null): Peer;
}

export type NodePlan = {
  readonly dataDirectory: string;
  readonly host: string;
  readonly port: number;
  /** Null: as the node's directory says; for a new one, `others`. */
  readonly pool: string | null;
  /** Where it is; null: nowhere in particular. */
  readonly site: string | null;
  readonly name: string;
  /** Needed once, for a new directory. */
  readonly ticket: string | null;
  /** Where it is known beforehand: a directory of another cluster is refused. */
  readonly cluster: ClusterId | null;
};

export type StartedNode = {
  readonly node: NodeId;
  readonly pool: string;
  readonly port: number;
  readonly cluster: ClusterId;
};
export interface RunningNodes extends Running {
  readonly nodes: readonly StartedNode[];
}

/** What a linked folder's sync engine says of itself. */
export type DeviceState = {
  /** False: the rest is what it said when it last ran. */
  readonly running: boolean;
  readonly inSync: boolean;
  /** Entries that are not yet the same on both sides. */
  readonly waiting: number;
  /** Files of the space that are not on this disk, by the reason. */
  readonly notHere: Readonly<Record<string, number>>;
  readonly problems: readonly { readonly path: string; readonly code: string; readonly message: string }[];
  /** Copies that conflicts left. */
  readonly conflicts: readonly {
    readonly path: string;
    readonly of: string;
    readonly device: string;
    readonly date: string;
  }[];
};

export type NotSelected = { readonly path: string; readonly kind: string; readonly selected: 'none' | 'part' };

export interface RunningDevice extends Running {
  untilInSync(): Promise<void>;
}

export type BackupMade = { readonly cluster: ClusterId; readonly files: number; readonly bytes: number };
/** `opened`: its keys were opened with the root key; false where there was none of its cluster. */
export type BackupChecked = BackupMade & {
  readonly createdMs: number;
  readonly spaces: number;
  readonly opened: boolean;
};
/** `aside`: where the index lies that was there before. */
export type BackupRestored = {
  readonly cluster: ClusterId;
  readonly files: number;
  readonly spaces: number;
  readonly incarnation: number;
  readonly aside: string | null;
};

/** Backups of the index in a data directory, as directories. */
export interface IndexBackups {
  /** A server works on it: it alone can make a backup, and none can be restored. */
  isServed(data: string): boolean;
  /** Into an empty directory. Throws `data_in_use` where a server runs. */
  create(data: string, directory: string): Promise<BackupMade>;
  /** Throws `integrity` where it is damaged. With a data directory of the same cluster also whether its root key opens it. */
  verify(directory: string, data: string | null): Promise<BackupChecked>;
  /** `rootKey`: a copy of the root key's file, where the data directory has none. */
  restore(directory: string, data: string, rootKey: string | null): Promise<BackupRestored>;
}

/** An entry as a rescue found it. `path` has `/` between names, and begins below its space. */
export type RescueRow = {
  readonly space: string;
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'symlink';
  readonly size: number;
  readonly mtimeUs: number;
  readonly state: 'whole' | 'missing' | 'damaged';
  /** Where it is not whole. */
  readonly why: string | null;
};
export type RescueExported = RescueRow & {
  /** Where its bytes are now, or those that there are of a file that is not whole; null where nothing was written. */
  readonly to: string | null;
  readonly wasThere: boolean;
};
export type RescueSummary = {
  readonly cluster: ClusterId;
  readonly directories: readonly string[];
  readonly root: { readonly incarnation: number; readonly seq: number; readonly timeMs: number };
  /** Newer roots that could not be opened. */
  readonly passed: readonly { readonly seq: number; readonly timeMs: number; readonly why: string }[];
  readonly refusedRoots: readonly string[];
  readonly damage: readonly { readonly directory: string; readonly segment: number; readonly detail: string }[];
  readonly faults: readonly { readonly space: string; readonly why: string }[];
};
export type RescuedServer = {
  readonly incarnation: number;
  readonly files: number;
  readonly absentNodes: readonly string[];
};

/** Storage nodes' directories, read through. */
export interface OpenRescue {
  readonly summary: RescueSummary;
  live(): AsyncIterable<RescueRow>;
  /** `partial`: what there is of files that are not whole, too. */
  exportTo(directory: string, partial: boolean): AsyncIterable<RescueExported>;
  /** In a data directory that has no index; the last thing that is asked for. */
  makeServer(data: string): Promise<RescuedServer>;
  close(): Promise<void>;
}

export type RescuePlan = {
  /** The text of the recovery kit. */
  readonly kit: string;
  /** Directories of storage nodes, or directories that hold some. */
  readonly directories: readonly string[];
  readonly signal: AbortSignal;
  onSize(bytes: number): void;
  onProgress(bytes: number): void;
};

export interface Launcher {
  /** Loaded with the first that is asked of it, as a rescue is: most commands need neither, and each starts faster without them. */
  backups(): Promise<IndexBackups>;
  /** Reads all logs through. Throws `not_found` where there are none, `integrity` where nothing of them opens. */
  openRescue(plan: RescuePlan): Promise<OpenRescue>;
  /** The text of the recovery kit in a data directory; null where there is none. */
  readKit(data: string): Promise<string | null>;
  startServer(plan: ServerPlan): Promise<RunningServer>;
  /** All on one thread. With `server`, they and it speak without a socket. */
  startNodes(plans: readonly NodePlan[], server: RunningServer | null): Promise<RunningNodes>;
  /** Syncs one linked folder. With `server`, without a socket. */
  startDevice(home: string, identity: Identity, link: Link, server: RunningServer | null): Promise<RunningDevice>;
  /** Null: it never ran. */
  readDeviceState(home: string, identity: Identity, link: Link): DeviceState | null;
  /** What was chosen not to be on this device; null: it never ran. */
  readNotSelected(home: string, identity: Identity, link: Link): readonly NotSelected[] | null;
  /** Durable when it returns; a client that runs takes it up at once. `path`: in the space. Throws `not_found`. */
  choose(home: string, identity: Identity, link: Link, path: string, wanted: boolean): void;
  /** A connection to the identity's server; a key list that it learns is stored in `home`. */
  connect(home: string, identity: Identity): Peer;
  /** A connection for redeeming an invite: no credential yet. */
  connectTo(
    addresses: readonly string[],
    proof: { readonly cluster: ClusterId; readonly pin: Pin | null; readonly webpki: boolean },
  ): Peer;
  openFolder(path: string): Folder;
}
