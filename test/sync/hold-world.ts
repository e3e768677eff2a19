/** A world whose server believes that days have passed, and folders with much in them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { holdsDecide, holdsList, type HoldRow } from '#protocol/holds.ts';
import { ask } from '#protocol/call.ts';
import { limits } from '#core/limits.ts';
import { realClock } from '#world/real/clock.ts';
import { converged, eventually, SyncWorld, type Device } from './sync-world.ts';

const PATIENCE_MS = 90_000;
const never = new AbortController().signal;

export class HoldWorld {
  readonly world: SyncWorld;
  readonly one: Device;
  readonly two: Device;
  readonly #turn: (ms: number) => void;

  /** Two running devices; what `fill` puts on the first is on both, and old. */
  static async start(fill: (one: Device) => void): Promise<HoldWorld> {
    let aheadMs = 0;
    const world = await SyncWorld.start({ clock: { ...realClock, nowMs: () => realClock.nowMs() + aheadMs } });
    const made = new HoldWorld(world, await world.device('one'), await world.device('two'), (ms) => (aheadMs += ms));
    try {
      fill(made.one);
      made.one.start();
      made.two.start();
      await made.same();
    } catch (error) {
      await world.end();
      throw error;
    }
    made.pass();
    return made;
  }

  private constructor(world: SyncWorld, one: Device, two: Device, turn: (ms: number) => void) {
    this.world = world;
    this.one = one;
    this.two = two;
    this.#turn = turn;
  }

  pass(ms: number = limits.holdYoungMs + 1000): void {
    this.#turn(ms);
  }

  same(expected?: Record<string, string>): Promise<void> {
    return converged([this.one, this.two], expected, PATIENCE_MS);
  }

  async holds(): Promise<readonly HoldRow[]> {
    return (await ask(this.two.peer(), holdsList, {}, never)).response.holds;
  }

  async decide(hold: string, decision: 'approve' | 'reject'): Promise<void> {
    await ask(this.two.peer(), holdsDecide, { hold, decision }, never);
  }

  /** Waits until the first device has said that something is held and has nothing else to do. */
  async held(): Promise<HoldRow> {
    const status = () => this.one.client?.status();
    await eventually(
      () => status()?.settled === true && status()?.problems.some(({ code }) => code === 'held') === true,
      status,
      PATIENCE_MS,
    );
    const [hold, ...more] = await this.holds();
    assert.ok(hold && more.length === 0, 'there is one hold');
    return hold;
  }

  /** Makes a change on the second device, and waits until the server has it. */
  async change(work: () => void): Promise<void> {
    const commits = () => this.two.gate.calls.filter((verb) => verb === 'commit').length;
    const before = commits();
    work();
    await eventually(
      () => commits() > before && this.two.client?.status().inSync === true,
      () => this.two.client?.status(),
      PATIENCE_MS,
    );
  }

  async end(): Promise<void> {
    await this.world.end();
  }
}

export async function withHolds(fill: (one: Device) => void, work: (world: HoldWorld) => Promise<void>): Promise<void> {
  const world = await HoldWorld.start(fill);
  try {
    await work(world);
  } finally {
    await world.end();
  }
}

export function put(device: Device, path: string, bytes: string | Uint8Array): void {
  const at = device.path(path);
  mkdirSync(dirname(at), { recursive: true });
  writeFileSync(at, bytes);
}

export function fill(device: Device, count: number, pathOf: (index: number) => string, bytesOf = textOf): void {
  for (let index = 0; index < count; index++) put(device, pathOf(index), bytesOf(index));
}

export function textOf(index: number): string | Uint8Array {
  return `file ${index} says the same in every line\n`.repeat(12);
}

export function noise(): Uint8Array {
  return randomBytes(480);
}
