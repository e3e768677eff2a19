/**
 * Tells the server which state this client works on, so that a copy of it, or an older one put back in its place, is noticed before it
 * acts. Such a state says of things that the disk lacks that they were here: without this they would be taken for deleted by their person.
 */
import { assert } from '#core/assert.ts';
import { toHex } from '#core/bytes.ts';
import type { InstallId, SessionId } from '#core/ids.ts';
import { attach } from '#protocol/sync.ts';
import type { Random } from '#world/random.ts';
import type { Device } from './device.ts';
import type { State } from './state.ts';

/** While there is something to do; each commit has its own, too. */
const TICK_MS = 60_000;

export class Attachment {
  readonly #device: Device;
  /** Of this very run: never written down, so that no copy has it. */
  readonly session: SessionId;
  #attached = false;
  #tickAtMs = Number.NEGATIVE_INFINITY;

  constructor(device: Device) {
    this.#device = device;
    this.session = toHex(device.random.bytes(16)) as SessionId;
  }

  get install(): InstallId {
    const install = this.#device.state.meta('install_id');
    assert(install !== null, 'a linked state has its id');
    return install as InstallId;
  }

  get attached(): boolean {
    return this.#attached;
  }

  /** False: nothing may be planned before `step`. */
  get holds(): boolean {
    return this.#attached && this.#device.clock.monotonicMs() < this.#tickAtMs;
  }

  /** Of the monotonic clock; `holds` is false from then on. */
  get holdsUntilMs(): number {
    return this.#tickAtMs;
  }

  /** The server knows no such client, or another one: it is asked again, as the same. */
  lost(): void {
    this.#attached = false;
  }

  /** Something is about to leave the disk: a state that was copied until now says that it is here, and must not be one that goes on. */
  expire(): void {
    this.#tickAtMs = Number.NEGATIVE_INFINITY;
  }

  /** In a durable transaction, before the server is told: whatever state does not have it is older than what the server knows. */
  raiseTick(): number {
    const { state } = this.#device;
    const tick = Number(state.meta('tick') ?? 0) + 1;
    state.setMeta('tick', String(tick));
    return tick;
  }

  /** `reconcile`: what this state says was agreed on is not to be believed. Rejects where the server cannot be asked. */
  async step(): Promise<'attached' | 'reconcile'> {
    const { state, clock, line, signal } = this.#device;
    const nowMs = clock.monotonicMs();
    if (nowMs >= this.#tickAtMs) {
      // Raised is not told: where the answer does not come, nothing holds until it does.
      this.#attached = false;
      state.durably(() => this.raiseTick());
      this.#tickAtMs = nowMs + TICK_MS;
    }
    const tick = Number(state.meta('tick') ?? 0);
    const { response } = await line.ask(attach, { install: this.install, tick, session: this.session }, signal);
    this.#attached = response.kind === 'attached';
    return response.kind;
  }
}

/**
 * From here on the state is another: its next listing is a union, which deletes nothing on either side, however often it is
 * interrupted. Uploads under way are begun anew, since their ids may be another client's too.
 */
export function beginReconcile(state: State, random: Random, rootMark: string | null = state.meta('root_mark')): void {
  state.durably(() => {
    state.setMeta('install_id', toHex(random.bytes(16)));
    state.setMeta('root_mark', rootMark);
    state.setMeta('reconcile', '1');
    state.sql.exec('DELETE FROM uploads');
  });
}
