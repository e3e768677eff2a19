/** What every simulated machine has: a process that may end, a clock of its own, databases and a log. */
import type { Log } from '#world/log.ts';
import type { Net } from '#world/net.ts';
import { hasCode } from '#core/errors.ts';
import { id32Of, type Pin } from '#core/ids.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import type { Acknowledged } from './acknowledged.ts';
import { sqliteImages } from './sqlite-images.ts';
import { Scheduler, SimProcess } from '#world/sim/scheduler.ts';
import { simClock, type Wall } from '#world/sim/sim-clock.ts';
import type { JournalKept } from '#server/journal-trim.ts';
import type { SimNet } from '#world/sim/sim-net.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import { SimSqlDisk } from '#world/sim/sim-sql.ts';

/** What all machines of one world share. */
export type Surroundings = {
  readonly seed: string;
  readonly scheduler: Scheduler;
  readonly net: SimNet;
  /** Hears of defects: what no world can excuse. */
  readonly onDefect: (machine: string, error: unknown) => void;
  /** Hears of what people do. */
  readonly onAct: (device: string, operation: string, path: string) => void;
  /** Of files, how many are too large for one commit. */
  readonly largeShare: number;
  /** Whether people use names that some disks do not tell apart. */
  readonly twinNames: boolean;
  /** In some worlds less than usual, and with days of seconds. */
  readonly journalKept: JournalKept;
  readonly acknowledged: Acknowledged;
  readonly onLog: (machine: string, level: 'info' | 'warn' | 'error', message: string, facts: unknown) => void;
};

export const primitives = nodePrimitives;

export abstract class Machine {
  readonly name: string;
  readonly around: Surroundings;
  readonly wall: Wall = { aheadMs: 0 };
  readonly sql = new SimSqlDisk(sqliteImages);
  /** Of the machine as a whole: what a power cut leaves, how long a disk takes. */
  readonly random: SimRandom;
  process: SimProcess | null = null;
  hasPower = true;
  #starts = 0;

  constructor(name: string, around: Surroundings) {
    this.name = name;
    this.around = around;
    this.random = new SimRandom(`${around.seed} ${name}`);
  }

  get isUp(): boolean {
    return this.process?.alive === true;
  }

  /** As `kill -9`: nothing that reached the system is lost. */
  kill(): void {
    this.process?.end();
    this.process = null;
  }

  powerCut(): void {
    this.kill();
    this.hasPower = false;
    this.sql.powerCut(this.random);
  }

  /** Starts the role; resolves when it serves. Where it cannot start, says so and leaves it down. */
  async start(): Promise<boolean> {
    const process = new SimProcess(this.name);
    this.#starts++;
    this.hasPower = true;
    this.process = process;
    try {
      await this.run(process, new SimRandom(`${this.around.seed} ${this.name} ${this.#starts}`));
      return process.alive;
    } catch (error) {
      process.end();
      if (this.process === process) this.process = null;
      this.failedToStart(error);
      return false;
    }
  }

  protected abstract run(process: SimProcess, random: SimRandom): Promise<void>;

  /** A disk that is full or fails, or is not there, is told to a person, who starts it again. */
  protected failedToStart(error: unknown): void {
    if (!hasCode(error, 'no_space', 'disk_failed', 'folder_missing')) this.around.onDefect(this.name, error);
  }

  protected clock(process: SimProcess) {
    return simClock(this.around.scheduler, process, this.wall);
  }

  protected log(): Log {
    const say = (level: 'info' | 'warn' | 'error') => (message: string, facts?: unknown) =>
      this.around.onLog(this.name, level, message, facts);
    return { info: say('info'), warn: say('warn'), error: say('error') };
  }

  /** Frees what lies outside of JavaScript's own memory. */
  end(): void {
    this.process?.end();
    this.sql.end();
  }
}

/** Connections are the network's; of the real door the roles need keys alone. */
export function keysOnly(random: SimRandom): Net {
  return {
    makeTlsIdentity: async () => ({
      privateKeyPem: 'simulated',
      certificatePem: 'simulated',
      pin: id32Of<Pin>(random.bytes(32)),
    }),
    connect: unused,
    listen: unused,
    ownAddresses: () => [],
  };
}

function unused(): never {
  throw new Error('a simulated machine reaches others by its network');
}
