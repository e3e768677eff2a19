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
  /** A connection that stays inside this process. */
  peer(credential: string | null): Peer;
}

export type NodePlan = {
  readonly dataDirectory: string;
  readonly host: string;
  readonly port: number;
  /** Null: as the node's directory says; for a new one, `others`. */
  readonly pool: string | null;
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

export interface Launcher {
  readonly backups: IndexBackups;
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
