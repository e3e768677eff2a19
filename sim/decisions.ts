/**
 * Changes that look like an accident are held until a person decides. Here somebody does, some time after a device says so: lets them go through, and so
 * gives up what would go, or rejects them, and what was there is brought back.
 */
import { HoldfastError } from '#core/errors.ts';
import { ask } from '#protocol/call.ts';
import { holdsDecide, holdsList, type HoldRow } from '#protocol/holds.ts';
import type { Peer } from '#protocol/wire.ts';
import { SimProcess } from '#world/sim/scheduler.ts';
import { SimRandom } from '#world/sim/sim-random.ts';
import type { DeviceMachine } from './device-machine.ts';
import { textsAt } from './programs.ts';
import type { World } from './world.ts';

/** Until somebody sees it. */
const SEEN_MS_MAX = 60_000;
const forever = new AbortController().signal;

export class Decisions {
  readonly #world: World;
  readonly #random: SimRandom;
  #waiting = false;

  constructor(world: World) {
    this.#world = world;
    this.#random = new SimRandom(`${world.options.seed} decisions ${world.decided}`);
  }

  /** Somebody will decide, where a device says that something is held. */
  look(): void {
    if (this.#waiting) return;
    const device = this.#world.devices.find(({ saysHeld }) => saysHeld);
    if (!device) return;
    this.#waiting = true;
    this.#world.scheduler.after(null, this.#random.below(SEEN_MS_MAX), 'person decides', () => {
      void this.#try(device);
    });
  }

  async #try(device: DeviceMachine): Promise<void> {
    try {
      await this.#decideAll(device);
    } catch (error) {
      // Where the server cannot be asked now, somebody asks again.
      if (!(error instanceof HoldfastError)) this.#world.around.onDefect(device.name, error);
    } finally {
      this.#waiting = false;
    }
  }

  async #decideAll(device: DeviceMachine): Promise<void> {
    const process = new SimProcess(`${device.name} holds`);
    const peer = device.peer(process);
    try {
      const { holds } = (await ask(peer, holdsList, {}, forever)).response;
      for (const hold of holds) await this.#decide(peer, hold);
    } finally {
      process.end();
    }
  }

  async #decide(peer: Peer, hold: HoldRow): Promise<void> {
    const world = this.#world;
    const decision = this.#random.chance(0.5) ? 'approve' : 'reject';
    // What one wants gone, and what one wants undone, need not be there any more.
    if (decision === 'approve' || hold.rewrites > 0)
      for (const path of hold.paths)
        for (const device of world.devices) for (const text of textsAt(device.tree(), path)) world.ledger.gaveUp(text);
    world.decided++;
    world.coverage.add(`held: ${decision}`);
    world.around.onAct('somebody', decision, hold.paths.join(', '));
    await ask(peer, holdsDecide, { hold: hold.hold, decision }, forever);
  }
}
