/** What the server does unasked: heartbeats of the storage nodes, key lists, forgetting what nobody needs any more. */
import { hasCode, HoldfastError } from '#core/errors.ts';
import { noteDeviceSeen } from '#meta/accounts.ts';
import { noteNodeSeen } from '#meta/clusters.ts';
import { forgetHolds } from '#meta/holds.ts';
import { forgetOpResults } from '#meta/spaces.ts';
import { expiredUploads, removeUploads } from '#meta/uploads.ts';
import type { DeviceId } from '#core/ids.ts';
import type { KnownNode } from './node-book.ts';
import type { NodeWatch } from './node-watch.ts';
import { NodeWeights } from './node-weights.ts';
import type { NodeConnection, NodeStatus } from './node-connection.ts';
import type { ServerContext } from './server-context.ts';

const STATUS_MS_MAX = 3000;
const REST_MS_MAX = 1000;
/** Times in lists of devices and nodes are this exact: writing them down more often would keep the disk awake. */
const NOTE_MS = 60_000;
const TIDY_MS = 3_600_000;
/** Answers are kept for devices that were away for long. */
const OP_RESULT_MS = 30 * 24 * 3_600_000;
const TIDY_ROWS_MAX = 1000;
/** A device that was away for longer finds out by itself that nobody knows the hold any more. */
const HOLD_MS = 365 * 24 * 3_600_000;

export class Care {
  readonly #context: ServerContext;
  readonly #watch: NodeWatch;
  readonly #weights: NodeWeights;
  readonly #devicesSeen = new Map<DeviceId, number>();
  readonly #acknowledged = new Map<string, number>();
  #nextNoteMs = 0;
  #nextTidyMs = 0;

  constructor(context: ServerContext, watch: NodeWatch) {
    this.#context = context;
    this.#watch = watch;
    this.#weights = new NodeWeights(context);
  }

  noteSeen(device: DeviceId): void {
    this.#devicesSeen.set(device, this.#context.clock.nowMs());
  }

  /** Runs until the server closes. `step`: further work in bounded steps, done between two beats. */
  async run(step: () => Promise<'busy' | 'idle'>): Promise<void> {
    const { clock, closing, log, care } = this.#context;
    while (!closing.aborted) {
      const nextBeatMs = clock.monotonicMs() + care.beatMs;
      try {
        await this.beat();
        while (!closing.aborted && clock.monotonicMs() < nextBeatMs && (await this.#throttled(step)) === 'busy');
      } catch (error) {
        if (closing.aborted) return;
        if (!(error instanceof HoldfastError)) throw error;
        log.warn('a background task failed; it is tried again', { code: error.code, detail: error.message });
      }
      await clock.sleep(Math.max(0, nextBeatMs - clock.monotonicMs()), closing);
    }
  }

  /** Half of the time is left to people: a step is followed by a rest as long as itself. */
  async #throttled(step: () => Promise<'busy' | 'idle'>): Promise<'busy' | 'idle'> {
    const { clock, closing } = this.#context;
    const begunMs = clock.monotonicMs();
    const outcome = await step();
    if (outcome === 'busy') await clock.sleep(Math.min(clock.monotonicMs() - begunMs, REST_MS_MAX), closing);
    return outcome;
  }

  async beat(): Promise<void> {
    const { nodes, clock, tlsKeys } = this.#context;
    await nodes.reload();
    await Promise.all(nodes.all().map((known) => this.#greet(known)));
    await this.#watch.judgeSilence();
    await this.#weights.judge();
    if (tlsKeys.rotating() && this.waitingFor().length === 0) await tlsKeys.changeOver();
    const nowMs = clock.monotonicMs();
    if (nowMs >= this.#nextNoteMs) {
      this.#nextNoteMs = nowMs + NOTE_MS;
      await this.note();
    }
    if (nowMs >= this.#nextTidyMs) {
      this.#nextTidyMs = nowMs + TIDY_MS;
      await this.#tidy();
    }
  }

  /** Nodes that have not confirmed the present key list to this process. */
  waitingFor(): readonly KnownNode[] {
    const { seq } = this.#context.tlsKeys.keyList().list;
    return this.#context.nodes.all().filter((known) => (this.#acknowledged.get(known.stored.node) ?? 0) < seq);
  }

  /** A node that does not answer, or answers as another, is out until a later beat finds it well. */
  async #greet(known: KnownNode): Promise<void> {
    const { nodes, closing, log, clock, cluster, tlsKeys } = this.#context;
    const answeredBefore = known.answering;
    try {
      const status = await nodes.call(known, closing, (node, signal) => this.#askStatus(node, signal), STATUS_MS_MAX);
      if (status.node !== known.stored.node || status.cluster !== cluster.cluster)
        throw new HoldfastError('wrong_cluster', 'another storage node answers at its address');
      await this.#watch.judge(known, status);
      known.status = status;
      known.answering = true;
      known.silentSinceMs = null;
      known.lastSeenMs = clock.nowMs();
      // What could not be done without it may be done now.
      if (!answeredBefore) this.#context.wakeJobs();
      const { bytes, list } = tlsKeys.keyList();
      if ((this.#acknowledged.get(known.stored.node) ?? 0) < list.seq) {
        const held = await nodes.call(known, closing, (node, signal) => node.pushKeys(bytes, signal), STATUS_MS_MAX);
        if (held.incarnation === list.incarnation && held.seq >= list.seq)
          this.#acknowledged.set(known.stored.node, held.seq);
      }
    } catch (error) {
      if (closing.aborted || !(error instanceof HoldfastError)) throw error;
      nodes.takeOut(known);
      known.silentSinceMs ??= clock.monotonicMs();
      if (answeredBefore)
        log.warn('a storage node does not answer', {
          node: known.stored.name,
          code: error.code,
          detail: error.message,
        });
    }
  }

  /** A server that was made anew shows a key that its nodes have not heard of: the signed list vouches for it. */
  async #askStatus(node: NodeConnection, signal: AbortSignal): Promise<NodeStatus> {
    try {
      return await node.status(signal);
    } catch (error) {
      if (!hasCode(error, 'unknown_pin')) throw error;
      await node.pushKeys(this.#context.tlsKeys.keyList().bytes, signal);
      return node.status(signal);
    }
  }

  /** Writes down when devices and nodes were last seen. */
  async note(): Promise<void> {
    const devices = [...this.#devicesSeen];
    this.#devicesSeen.clear();
    const seen = this.#context.nodes.all().filter((known) => known.answering);
    if (devices.length + seen.length === 0) return;
    await this.#context.meta.write(async (writer) => {
      for (const [device, atMs] of devices) await noteDeviceSeen(writer, device, atMs);
      for (const { stored, lastSeenMs } of seen)
        if (lastSeenMs !== null) await noteNodeSeen(writer, stored.node, lastSeenMs);
    });
  }

  /** Bounded, so that a clock which jumps ahead takes little with it at a time. */
  async #tidy(): Promise<void> {
    const nowMs = this.#context.clock.nowMs();
    await this.#context.meta.write(async (writer) => {
      await forgetOpResults(writer, nowMs - OP_RESULT_MS, TIDY_ROWS_MAX);
      await forgetHolds(writer, nowMs - HOLD_MS);
      await removeUploads(writer, await expiredUploads(writer, nowMs, TIDY_ROWS_MAX));
    });
  }
}
