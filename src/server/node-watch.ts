/** Judges what storage nodes answer, or that they do not: who is lost, who is back, and whether two answer in one name. */
import { hasCode, HoldfastError } from '#core/errors.ts';
import { allNodes, noteNodeRun } from '#meta/clusters.ts';
import type { KnownNode } from './node-book.ts';
import type { NodeStatus } from './node-connection.ts';
import { takeUp } from './nodes.ts';
import { changeStanding } from './standing.ts';
import type { ServerContext } from './server-context.ts';

/** Who was refused may run on unseen: a person has this long to see it. Without another one who answers in that name it is over. */
const COMPLAINT_MS = 24 * 3_600_000;
/** A node that moved does not wait long for its old place to be silent. */
const STATUS_MS_MAX = 3000;

export class NodeWatch {
  readonly #context: ServerContext;
  /** Processes that others followed: one that answers again runs beside its successor. */
  readonly #past = new Set<string>();

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /**
   * Each start of a node has a higher number and another name. Throws `conflict` where an earlier one answers than before: a copy of the
   * node's directory runs, or an old one was put back. What it holds cannot be what the rows say.
   */
  async judge(known: KnownNode, status: NodeStatus): Promise<void> {
    const { stored } = known;
    if (status.run === stored.run && status.boot === stored.boot) return;
    if (status.boot < stored.boot || this.#past.has(status.run)) {
      const message = `another process with the identity of the storage node ${stored.name} (pool ${stored.pool}) answers, or an old copy of its directory was put back: run only one; a copied directory must be emptied and join as a new node`;
      known.complaint = { message, untilMs: this.#context.clock.monotonicMs() + COMPLAINT_MS };
      throw new HoldfastError('conflict', message);
    }
    if (stored.run !== '') this.#past.add(stored.run);
    // Started anew, and the only one who answers: what was wrong is mended.
    known.complaint = null;
    try {
      await this.#context.meta.write((writer) => noteNodeRun(writer, stored.node, status));
    } catch (error) {
      // The server's full disk says nothing about the node: what it holds is served. The next greeting judges it again.
      if (hasCode(error, 'no_space')) return;
      throw error;
    }
    Object.assign(known, { stored: { ...stored, boot: status.boot, run: status.run } });
  }

  /** After a round of greetings: who was silent for too long is given up, who is back is taken back. */
  async judgeSilence(): Promise<void> {
    const { nodes, clock, care, log } = this.#context;
    const nowMs = clock.monotonicMs();
    let changed = false;
    for (const known of nodes.all()) {
      const { stored } = known;
      // Silence changes nothing for it, and to be back again is no reason for trust.
      if (stored.standing === 'distrusted') continue;
      if (stored.standing === 'lost') {
        if (!known.answering) continue;
        log.info('a storage node is back; it is asked what it holds', { node: stored.name });
        changed = (await this.#change(known, 'in')) || changed;
        continue;
      }
      if (known.silentSinceMs === null || nowMs - known.silentSinceMs < care.lostMs) continue;
      // Without another node there is nowhere to copy to; and where none answers, it is rather this server that is cut off.
      const others = nodes.members(stored.pool).filter((other) => other !== known && other.answering);
      if (others.length === 0) continue;
      log.warn('a storage node was out of reach for too long; its copies are made anew on others', {
        node: stored.name,
      });
      changed = (await this.#change(known, 'lost')) || changed;
    }
    if (changed) await takeUp(this.#context);
  }

  /** False where another server decided before. */
  async #change(known: KnownNode, standing: 'in' | 'lost'): Promise<boolean> {
    return this.#context.meta.write(async (writer) => {
      const present = (await allNodes(writer)).find(({ node }) => node === known.stored.node);
      if (present?.standing !== known.stored.standing) return false;
      await changeStanding(this.#context, writer, known.stored, standing);
      return true;
    });
  }

  /** Whether the node at its known addresses is another process than the one that says it is elsewhere. */
  async isTwice(known: KnownNode, addresses: readonly string[], signal: AbortSignal): Promise<boolean> {
    const { nodes } = this.#context;
    if (addresses.join() === known.stored.addresses.join()) return false;
    const [there, here] = await Promise.all([
      nodes.statusAt(known, known.stored.addresses, signal, STATUS_MS_MAX),
      nodes.statusAt(known, addresses, signal, STATUS_MS_MAX),
    ]);
    if (!there || !here || there.run === here.run) return false;
    const message = `two processes have the identity of the storage node ${known.stored.name} (pool ${known.stored.pool}), at ${known.stored.addresses[0]} and at ${addresses[0]}: the second is refused; a copied directory must be emptied and join as a new node`;
    known.complaint = { message, untilMs: this.#context.clock.monotonicMs() + COMPLAINT_MS };
    this.#context.log.error(message);
    return true;
  }
}
