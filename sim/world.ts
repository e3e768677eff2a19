/** A whole system: a server, storage nodes, devices with people at them, and everything that happens to them. */
import { must } from '#core/assert.ts';
import type { Invite } from '#core/invite.ts';
import { Scheduler, type SimProcess } from '#world/sim/scheduler.ts';
import { SimNet, FAIR } from '#world/sim/sim-net.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import { Acknowledged } from './acknowledged.ts';
import { Coverage } from './coverage.ts';
import { DeviceMachine } from './device-machine.ts';
import { Ledger } from './ledger.ts';
import type { Machine, Surroundings } from './machines.ts';
import { historyEnds, journalKeptIn, letHistoryEnd } from './history.ts';
import { NodeMachine } from './node-machine.ts';
import { ServerMachine } from './server-machine.ts';
import { watchAnswers } from './answers.ts';

export type WorldOptions = {
  readonly seed: string;
  readonly devices: number;
  /** Pools that have a node each. */
  readonly pools: readonly string[];
  readonly traceLines: number;
};

const RETRY_MS = 1000;
const TASKS_MAX = 3_000_000;

export class World {
  readonly options: WorldOptions;
  readonly random: SimRandom;
  readonly scheduler: Scheduler;
  readonly net: SimNet;
  readonly ledger = new Ledger();
  readonly coverage = new Coverage();
  readonly violations: string[] = [];
  /** How many holds somebody decided on. */
  decided = 0;
  readonly around: Surroundings;
  readonly server: ServerMachine;
  readonly nodes: NodeMachine[] = [];
  readonly devices: DeviceMachine[] = [];
  readonly #acknowledged = new Acknowledged();
  /** Machines that are to stay down until they are brought up. */
  readonly #heldDown = new Set<Machine>();

  constructor(options: WorldOptions) {
    this.options = options;
    this.random = new SimRandom(`${options.seed} world`);
    const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
    this.scheduler = new Scheduler({
      random: new SimRandom(`${options.seed} order`),
      settle,
      onEffect: (process, name, doomed) => {
        if (doomed && process) this.coverage.add(`ended at: ${roleOf(process)} ${name}`);
      },
    });
    this.scheduler.trace.linesMax = options.traceLines;
    const watch = watchAnswers(this.coverage);
    this.net = new SimNet({
      scheduler: this.scheduler,
      random: new SimRandom(`${options.seed} net`),
      onEvent: (event, verbName) => this.coverage.add(`net: ${event} ${verbName}`),
      onAnswer: (host, verbName, request, answer) => {
        watch(host, verbName, request, answer);
        this.#acknowledged.heard(verbName, answer);
      },
    });
    this.around = {
      seed: options.seed,
      scheduler: this.scheduler,
      net: this.net,
      largeShare: new SimRandom(`${options.seed} large`).chance(0.05) ? 0.1 : 0,
      twinNames: new SimRandom(`${options.seed} names`).chance(0.3),
      journalKept: journalKeptIn(options.seed),
      acknowledged: this.#acknowledged,
      onAct: (device, operation, path) => {
        this.coverage.add(`person: ${operation}`);
        if (options.traceLines > 0) this.scheduler.trace.lines.push(`  ${device} PERSON: ${operation} ${path}`);
      },
      onDefect: (machine, error) => this.violate(`${machine}: ${said(error)}`),
      onLog: (machine, level, message, facts) => {
        if (options.traceLines > 0)
          this.scheduler.trace.lines.push(`  ${machine} ${level}: ${message} ${JSON.stringify(facts ?? {})}`);
        this.coverage.add(`log: ${message.slice(0, 60)}`);
      },
    };
    this.server = new ServerMachine('server', this.around);
  }

  get machines(): readonly Machine[] {
    return [this.server, ...this.nodes, ...this.devices];
  }

  violate(what: string): void {
    this.violations.push(`${what} (at ${Math.round(this.scheduler.nowMs)} ms)`);
  }

  async build(): Promise<void> {
    await this.drive(this.server.start());
    for (const pool of this.options.pools) {
      const ticket = await this.drive(this.server.invite('node'));
      await this.drive(this.#startNode(`node-${pool}`, pool, ticket));
    }
    await this.drive(must(this.server.server, 'the server runs').greetNodes());
    if (historyEnds(this.options.seed)) await this.drive(letHistoryEnd(this));
    for (let number = 1; number <= this.options.devices; number++) await this.addDevice(`device${number}`);
  }

  /** While the world runs. Rejects where the server ends meanwhile. */
  async addNode(name: string, pool: string): Promise<void> {
    await this.#startNode(name, pool, await this.server.invite('node'));
  }

  async #startNode(name: string, pool: string, ticket: Invite): Promise<void> {
    const node = new NodeMachine(name, this.around, pool, ticket);
    this.nodes.push(node);
    if (!(await node.start())) this.bringUp(node);
  }

  async addDevice(name: string): Promise<DeviceMachine> {
    const invite = await this.drive(this.server.invite('device'));
    const device = new DeviceMachine(name, this.around, this.ledger, invite);
    this.devices.push(device);
    await this.drive(device.link());
    await this.drive(device.start());
    return device;
  }

  /** Runs the world until the server answers. */
  async untilServed(): Promise<void> {
    await this.scheduler.run(() => this.server.server !== null, {
      untilMs: this.scheduler.nowMs + 60_000,
      tasksMax: TASKS_MAX,
    });
  }

  /** Runs the world until the promise settles. */
  async drive<T>(promise: Promise<T>): Promise<T> {
    let outcome: { readonly value: T } | { readonly error: unknown } | null = null;
    promise.then(
      (value) => {
        outcome = { value };
      },
      (error: unknown) => {
        outcome = { error };
      },
    );
    await this.scheduler.run(() => outcome !== null, {
      untilMs: this.scheduler.nowMs + 600_000,
      tasksMax: TASKS_MAX,
    });
    const settled = must(outcome as { value: T } | { error: unknown } | null, 'what was driven ended');
    if ('error' in settled) throw settled.error;
    return settled.value;
  }

  bringDown(machine: Machine, how: 'kill' | 'powerCut'): void {
    this.#heldDown.add(machine);
    machine[how]();
  }

  bringUp(machine: Machine): void {
    this.#heldDown.delete(machine);
    if (machine.isUp) return;
    void machine.start().then((started) => {
      if (started || this.#heldDown.has(machine)) return;
      this.scheduler.after(null, RETRY_MS, `start ${machine.name} again`, () => {
        if (!this.#heldDown.has(machine)) this.bringUp(machine);
      });
    });
  }

  calm(): void {
    this.net.weather = FAIR;
  }

  end(): void {
    for (const machine of this.machines) machine.end();
  }
}

function roleOf({ name }: SimProcess): string {
  return name.startsWith('node') ? 'node' : name === 'server' ? 'server' : 'device';
}

export function said(error: unknown): string {
  return error instanceof Error ? `${error.stack ?? error.message}` : String(error);
}
