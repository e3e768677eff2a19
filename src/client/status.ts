/** What a person, or `--once`, wants to know of a link; written into the state so that another process can read it. */
import { errorTable, type ErrorCode } from '#core/errors.ts';
import type { Absence } from '#core/plan.ts';
import type { SqlOpener } from '#world/sql.ts';
import { listConflicts, type Conflict } from './conflict-list.ts';
import type { Device } from './device.ts';
import { impossibleNames } from './names.ts';
import type { Problem } from './problems.ts';
import { openState, type State } from './state.ts';

export type NotHere = Readonly<Partial<Record<Absence, number>>>;

export type Status = {
  /** Both sides hold the same, and nothing keeps anything from it. What this disk cannot hold is left out of it, and told among the problems. */
  readonly inSync: boolean;
  /** Nothing more can be done without a person: in sync, or all that is left has a problem that waiting does not solve. */
  readonly settled: boolean;
  /** The first of them; `problemCount`: how many there are. */
  readonly problems: readonly Problem[];
  readonly problemCount: number;
  readonly counts: {
    readonly files: number;
    /** Entries that are not yet the same on both sides. */
    readonly waiting: number;
    readonly uploading: number;
    readonly downloading: number;
    /** Files that are in the space and not on this disk, by the reason. */
    readonly notHere: NotHere;
  };
  /** Milliseconds since 1970. */
  readonly atMs: number;
};

/** Of a client that has not looked yet. */
export const NOT_YET: Status = {
  inSync: false,
  settled: false,
  problems: [],
  problemCount: 0,
  counts: { files: 0, waiting: 0, uploading: 0, downloading: 0, notHere: {} },
  atMs: 0,
};

/** For other processes. Call inside a transaction. */
export function storeStatus(state: State, status: Status): void {
  state.setMeta('status', JSON.stringify(status));
}

const WRITTEN_EVERY_MS = 1000;
/** What may be over by itself, as when another program holds a file for a moment, but mostly takes somebody who changes something. It goes on being tried. */
const FOR_PEOPLE: ReadonlySet<ErrorCode> = new Set(['not_permitted_by_disk', 'no_space']);
const PATIENCE_MS = 5000;
const subjectOf = ({ code, path }: Problem): string => `${code} ${path}`;
/** Told in full; a pool that is down may concern every file. */
const PROBLEMS_TOLD_MAX = 200;

export class StatusBook {
  readonly #device: Device;
  #last: Status | null = null;
  #writtenMs = Number.NEGATIVE_INFINITY;
  /** Problems that are told, and since when (monotonic). */
  #since: ReadonlyMap<string, number> = new Map();
  /** False where the disk had no room for the last one. */
  #stored = true;

  constructor(device: Device) {
    this.#device = device;
  }

  /** `idle`: nothing is under way, and the journal was applied to its end. */
  make(idle: boolean, paused: Problem | null, running: { readonly up: number; readonly down: number }): Status {
    const { dirty, problems, line, state, trees, clock } = this.#device;
    const { all, deferred } = dirty.count();
    const told = [...problems.all()];
    if (paused) told.unshift(paused);
    if (line.down !== null) told.unshift({ path: '', code: line.down.code, message: line.down.message });
    const presences = state.sql
      .prepare(
        `SELECT CASE WHEN presence = 'held' AND EXISTS (SELECT 1 FROM local WHERE local.entry = synced.entry) THEN 'here'
           ELSE presence END AS presence, count(*) AS n FROM synced WHERE kind <> 'folder' GROUP BY 1`,
      )
      .all();
    const counted = presences.map((row) => [row['presence'] as string, Number(row['n'])] as const);
    const files = counted.find(([presence]) => presence === 'here')?.[1] ?? 0;
    const notHere = Object.fromEntries(counted.filter(([presence]) => presence !== 'here')) as NotHere;
    const stuck = this.#areStuck(told);
    const inSync = idle && all === 0 && told.length === 0;
    const shown = [...told, ...impossibleNames(state, trees)];
    return {
      inSync,
      // A server that refuses this device does so until a person links it again.
      settled:
        inSync ||
        line.down?.retry === 'never' ||
        (idle && paused === null && all === deferred && told.length > 0 && stuck),
      problems: shown.slice(0, PROBLEMS_TOLD_MAX),
      problemCount: shown.length,
      counts: { files, waiting: all, uploading: running.up, downloading: running.down, notHere },
      atMs: clock.nowMs(),
    };
  }

  /** Nothing but somebody's doing will end them. */
  #areStuck(told: readonly Problem[]): boolean {
    const nowMs = this.#device.clock.monotonicMs();
    const before = this.#since;
    this.#since = new Map(told.map((one) => [subjectOf(one), before.get(subjectOf(one)) ?? nowMs]));
    return told.every((one) => {
      const toldMs = nowMs - (this.#since.get(subjectOf(one)) ?? nowMs);
      return errorTable[one.code].retry === 'never' || (FOR_PEOPLE.has(one.code) && toldMs >= PATIENCE_MS);
    });
  }

  /** Whether it is time to make a new one. */
  isDue(idle: boolean): boolean {
    const { settled, inSync } = this.#last ?? NOT_YET;
    // What was told as stuck may have been solved in the very turn after which nothing is left to do.
    if (settled !== idle || (idle && !inSync)) return true;
    return this.#device.clock.monotonicMs() - this.#writtenMs >= WRITTEN_EVERY_MS;
  }

  write(status: Status): void {
    this.#writtenMs = this.#device.clock.monotonicMs();
    const { atMs: _, ...before } = this.#last ?? { atMs: 0 };
    const { atMs: __, ...now } = status;
    this.#last = status;
    if (this.#stored && JSON.stringify(before) === JSON.stringify(now)) return;
    const { state } = this.#device;
    this.#stored = state.ifRoom(() => state.transaction(() => storeStatus(state, status)));
  }

  /** Something happened that nobody has looked at yet: what was told does not hold any more. Null where nothing like it was told. */
  unsettle(): Status | null {
    if (!this.#last?.settled) return null;
    const status = { ...this.#last, inSync: false, settled: false, atMs: this.#device.clock.nowMs() };
    this.write(status);
    return status;
  }

  get last(): Status | null {
    return this.#last;
  }
}

/** What another process can learn of a link. */
export type LinkState = {
  /** As it was last written: a client that was killed had no time to say so, its lock tells. False: the rest is what it said when it last ran. */
  readonly running: boolean;
  /** Never of a client that ended: nobody looks at what happens in its folder. */
  readonly inSync: boolean;
  readonly waiting: number;
  readonly notHere: NotHere;
  readonly problems: readonly Problem[];
  /** Copies that conflicts left: what a person may look at, and nothing that keeps both sides from being the same. */
  readonly conflicts: readonly Conflict[];
};

/** Null where no client ever ran on this state. */
export function readState(sql: SqlOpener, statePath: string): LinkState | null {
  const state = openState(sql, statePath, { readOnly: true });
  try {
    const text = state.meta('status');
    if (text === null) return null;
    const { inSync, problems, counts } = JSON.parse(text) as Status;
    const running = state.meta('running') === '1';
    return {
      running,
      inSync: running && inSync,
      waiting: counts.waiting,
      notHere: counts.notHere,
      problems,
      conflicts: listConflicts(state),
    };
  } finally {
    state.close();
  }
}
