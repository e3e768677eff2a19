/**
 * Time and order of a simulated world. Everything that one process does to anything outside itself is a task; one at a time is picked by the
 * seed among those that are due, its effect happens, and whoever waited for it goes on until all of them wait again. Nothing else decides
 * what comes first, so the same seed gives the same history. The clock stands still while tasks are due, and jumps when none is.
 */
import { assert } from '#core/assert.ts';
import type { SimRandom } from './sim-random.ts';

/** One run of one role. Killed, it never hears of anything again: what it waited for does not come. */
export class SimProcess {
  readonly name: string;
  readonly #onEnd: (() => void)[] = [];
  #alive = true;
  /** Effects that this process has had so far. */
  effects = 0;
  doom: Doom | null = null;
  /** Called before each of its effects: what happens just before one. */
  before: ((effect: string) => void) | null = null;
  /** Stopped as by SIGSTOP until this time. */
  stoppedUntilMs = 0;

  constructor(name: string) {
    this.name = name;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Called once, in the order of asking, when the process ends. */
  onEnd(ended: () => void): void {
    this.#onEnd.push(ended);
  }

  end(): void {
    if (!this.#alive) return;
    this.#alive = false;
    for (const ended of this.#onEnd) ended();
  }
}

/** A process ends at an effect of its own. */
export type Doom = {
  readonly atEffect: number;
  /** From there on at the first of these; left out: at that very one. */
  readonly where?: (effect: string) => boolean;
  /** The effect still happens, and the process does not learn of it. */
  readonly applied: boolean;
  /** Called then. */
  readonly ended: () => void;
};

type Task = {
  readonly actor: SimProcess | null;
  readonly name: string;
  dueMs: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
};

export type Timer = { cancel(): void };

export type SchedulerOptions = {
  readonly random: SimRandom;
  /** Resolves when everybody waits: no promise is left that would go on by itself. */
  readonly settle: () => Promise<void>;
  /** Hears of every effect that was applied, and of a process that ended by its doom at one. */
  readonly onEffect?: (actor: SimProcess | null, name: string, doomed: boolean) => void;
};

const COST_MS_MAX = 0.2;

export class Scheduler {
  readonly #random: SimRandom;
  readonly #settle: () => Promise<void>;
  readonly #onEffect: NonNullable<SchedulerOptions['onEffect']>;
  readonly #ready: Task[] = [];
  readonly #later = new TaskHeap();
  #order = 0;
  #nowMs = 0;
  #count = 0;
  readonly trace = new Trace();

  constructor(options: SchedulerOptions) {
    this.#random = options.random;
    this.#settle = options.settle;
    this.#onEffect = options.onEffect ?? (() => {});
  }

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Tasks that were run. */
  get count(): number {
    return this.#count;
  }

  /** Applies `effect` when its turn comes, and resolves with what it returned. Never where the process ends before. */
  step<T>(actor: SimProcess, name: string, effect: () => T, delayMs = 0): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#add(actor, name, delayMs, () => {
        actor.before?.(name);
        actor.effects++;
        const { doom } = actor;
        const doomed = doom !== null && actor.effects >= doom.atEffect && (doom.where?.(name) ?? true);
        this.#onEffect(actor, name, doomed);
        if (doomed) return this.#meetDoom(actor, doom, effect);
        let result: T;
        try {
          result = effect();
        } catch (error) {
          return reject(error);
        }
        resolve(result);
      });
    });
  }

  /** Runs `run` after that time, if the process lives; `null`: whoever lives. */
  after(actor: SimProcess | null, delayMs: number, name: string, run: () => void): Timer {
    const task = this.#add(actor, name, delayMs, run);
    return {
      cancel: () => {
        task.cancelled = true;
      },
    };
  }

  /** Runs tasks until `done` says so, asked between two of them. False where the time or the number of tasks ran out before. */
  async run(done: () => boolean, limits: { readonly untilMs: number; readonly tasksMax: number }): Promise<boolean> {
    const last = this.#count + limits.tasksMax;
    await this.#settle();
    while (!done()) {
      if (this.#count >= last || this.#nowMs > limits.untilMs) return false;
      const task = this.#next();
      if (!task) return false;
      this.#count++;
      this.#nowMs += (this.#random.below(1000) / 1000) * COST_MS_MAX;
      this.trace.add(task.actor?.name ?? 'world', task.name, this.#nowMs);
      task.run();
      await this.#settle();
    }
    return true;
  }

  #meetDoom(actor: SimProcess, doom: Doom, effect: () => unknown): void {
    try {
      if (doom.applied) effect();
    } catch {
      // Nobody is left to hear of it.
    }
    actor.end();
    doom.ended();
  }

  #add(actor: SimProcess | null, name: string, delayMs: number, run: () => void): Task {
    const dueMs = this.#nowMs + Math.max(0, delayMs);
    const task: Task = { actor, name, dueMs, order: this.#order++, run, cancelled: false };
    if (delayMs <= 0) this.#ready.push(task);
    else this.#later.push(task);
    return task;
  }

  #next(): Task | null {
    for (;;) {
      for (let due = this.#later.peek(); due && due.dueMs <= this.#nowMs; due = this.#later.peek()) {
        this.#later.pop();
        this.#ready.push(due);
      }
      if (this.#ready.length === 0) {
        const next = this.#later.peek();
        if (!next) return null;
        this.#nowMs = Math.max(this.#nowMs, next.dueMs);
        continue;
      }
      const at = this.#random.below(this.#ready.length);
      const task = this.#ready[at];
      assert(task !== undefined, 'a number below the length names a task');
      const last = this.#ready.pop();
      if (last && last !== task) this.#ready[at] = last;
      if (task.cancelled || task.actor?.alive === false) continue;
      const stoppedUntilMs = task.actor?.stoppedUntilMs ?? 0;
      if (stoppedUntilMs > this.#nowMs) {
        task.dueMs = stoppedUntilMs;
        this.#later.push(task);
        continue;
      }
      return task;
    }
  }
}

/** What happened, as one number: two histories with the same hash were the same. FNV-1a in two lanes. */
export class Trace {
  #low = 0x811c9dc5;
  #high = 0x01234567;
  /** The last lines, for people. */
  readonly lines: string[] = [];
  linesMax = 0;

  add(who: string, what: string, atMs: number): void {
    this.#mix(who);
    this.#mix(what);
    this.#mixNumber(Math.round(atMs * 1000));
    if (this.linesMax === 0) return;
    this.lines.push(`${atMs.toFixed(2)} ${who} ${what}`);
    if (this.lines.length > 2 * this.linesMax) this.lines.splice(0, this.linesMax);
  }

  note(text: string): void {
    this.#mix(text);
    if (this.linesMax > 0) this.lines.push(text);
  }

  get hash(): string {
    const hex = (value: number) => (value >>> 0).toString(16).padStart(8, '0');
    return hex(this.#high) + hex(this.#low);
  }

  #mix(text: string): void {
    for (let at = 0; at < text.length; at++) this.#mixNumber(text.charCodeAt(at));
  }

  #mixNumber(value: number): void {
    this.#low = Math.imul(this.#low ^ (value | 0), 0x01000193);
    this.#high = Math.imul(this.#high ^ this.#low ^ (value / 0x1_0000_0000), 0x85ebca6b);
  }
}

/** By time, then by order of asking. */
class TaskHeap {
  readonly #tasks: Task[] = [];

  peek(): Task | undefined {
    return this.#tasks[0];
  }

  push(task: Task): void {
    const tasks = this.#tasks;
    let at = tasks.length;
    tasks.push(task);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = tasks[above] as Task;
      if (!isBefore(task, parent)) break;
      tasks[at] = parent;
      at = above;
    }
    tasks[at] = task;
  }

  pop(): Task | undefined {
    const tasks = this.#tasks;
    const first = tasks[0];
    const last = tasks.pop();
    if (!first || !last || tasks.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= tasks.length) break;
      if (below + 1 < tasks.length && isBefore(tasks[below + 1] as Task, tasks[below] as Task)) below++;
      if (!isBefore(tasks[below] as Task, last)) break;
      tasks[at] = tasks[below] as Task;
      at = below;
    }
    tasks[at] = last;
    return first;
  }
}

function isBefore(left: Task, right: Task): boolean {
  return left.dueMs < right.dueMs || (left.dueMs === right.dueMs && left.order < right.order);
}
