/** Sends commits, one at a time, and brings their answers into the trees. A timeout means unknown, never failed: the op id tells. */
import { unreachable } from '#core/assert.ts';
import { hasCode, HoldfastError, type ErrorCode } from '#core/errors.ts';
import type { EntryId, OpId, UploadId } from '#core/ids.ts';
import type { Cursor } from '#core/entry.ts';
import { commit, settle, type Answer, type Operation } from '#protocol/sync.ts';
import { freshId, type Device } from './device.ts';
import { isOutage } from './line.ts';
import { applySent, subjectOf, type Sent } from './sent.ts';

export type Totals = {
  readonly plan: OpId;
  readonly creates: number;
  readonly updates: number;
  readonly moves: number;
  readonly deletes: number;
};

/** One request: operations in groups, and beside each what the trees need to know once it is applied. */
export type Batch = {
  readonly groups: readonly (readonly { readonly operation: Operation; readonly sent: Sent }[])[];
  readonly manifests: readonly Uint8Array[];
  readonly blocks: ReadonlyMap<string, Uint8Array>;
  readonly uploads: readonly UploadId[];
};

export type Settled = { readonly applied: readonly Sent[]; readonly again: readonly EntryId[] };

type PendingOp = { readonly op: OpId; readonly sent: readonly Sent[] };

export class Commits {
  readonly #device: Device;
  readonly #cursor: () => Cursor | null;
  /** What the server does not have although it was thought to: the next upload of it sends everything. */
  readonly #onNeedBlocks: (entry: EntryId) => void;
  #headSeq = 0;
  #gateSeq = 0;
  keysAreStale = false;

  constructor(device: Device, cursor: () => Cursor | null, onNeedBlocks: (entry: EntryId) => void) {
    this.#device = device;
    this.#cursor = cursor;
    this.#onNeedBlocks = onNeedBlocks;
  }

  /** Plans wait until the journal was applied up to here: others' rows lie between ours. */
  get gateSeq(): number {
    return this.#gateSeq;
  }

  /** The highest seq that an answer told of. */
  get headSeq(): number {
    return this.#headSeq;
  }

  /** The journal was begun anew: what was known of its head says nothing any more. */
  forgetHead(): void {
    this.#headSeq = 0;
    this.#gateSeq = 0;
  }

  get pending(): boolean {
    return this.#device.state.meta('pending_op') !== null;
  }

  /** Asks what became of a commit whose answer never came. Rejects where the server cannot be asked. */
  async settlePending(): Promise<void> {
    const { state, line, space, signal } = this.#device;
    const kept = state.meta('pending_op');
    if (kept === null) return;
    const pending = JSON.parse(kept) as PendingOp;
    const { response } = await line.ask(settle, { space, op: pending.op }, signal);
    if (response.kind === 'void') state.transaction(() => state.setMeta('pending_op', null));
    else this.#take(pending.sent, response.answers, response.head);
  }

  /** Rejects only with outages: the outcome is unknown then, and `settlePending` comes first. */
  async send(batch: Batch, totals: Totals): Promise<Settled> {
    const { state, line, space, signal, random, unflushed } = this.#device;
    const sent = batch.groups.flatMap((group) => group.map((item) => item.sent));
    const op = freshId<OpId>(random);
    // Durably: after a power cut the disk must not be compared with what was agreed on before this commit.
    state.durably(() => {
      state.setMeta('pending_op', JSON.stringify({ op, sent } satisfies PendingOp));
      unflushed.noteSent(sent);
    });
    try {
      const { response } = await line.ask(
        commit,
        {
          op,
          space,
          totals,
          uploads: [...batch.uploads],
          groups: batch.groups.map((group) => group.map((item) => item.operation)),
          blocks: [...batch.blocks.keys()] as never[],
        },
        signal,
        [...batch.manifests, ...batch.blocks.values()],
      );
      return this.#take(sent, response.answers, response.head);
    } catch (error) {
      if (signal.aborted || isOutage(error)) throw error;
      if (hasCode(error, ...REFUSALS)) return this.#refused(sent, error);
      // The server failed at it: what became of it is unknown.
      if (error instanceof HoldfastError) line.reportDown(error);
      throw error;
    }
  }

  /** The whole request was refused: nothing of it was applied, nor ever will be. */
  #refused(sent: readonly Sent[], error: HoldfastError): Settled {
    const { state, deferrals, trees } = this.#device;
    const again = sent.map(subjectOf);
    state.transaction(() => {
      state.setMeta('pending_op', null);
      for (const entry of again) {
        if (error.code === 'voided' || error.code === 'idempotency_conflict') deferrals.retry(entry);
        else deferrals.failed(entry, trees.pathForPeople(entry), error.code, error.message);
      }
    });
    return { applied: [], again };
  }

  #take(sent: readonly Sent[], answers: readonly Answer[], head: Cursor): Settled {
    const { state, deferrals } = this.#device;
    const applied: Sent[] = [];
    const again: EntryId[] = [];
    state.transaction(() => {
      sent.forEach((one, index) => {
        const answer = answers[index];
        if (answer?.kind === 'applied') {
          applySent(this.#device, one, answer.seq);
          deferrals.succeeded(subjectOf(one));
          applied.push(one);
        } else {
          again.push(subjectOf(one));
          if (answer) this.#judge(subjectOf(one), answer);
        }
      });
      state.setMeta('pending_op', null);
    });
    this.#noteHead(applied, again.length > 0, head);
    return { applied, again };
  }

  #noteHead(applied: readonly Sent[], someFailed: boolean, head: Cursor): void {
    const before = Math.max(this.#headSeq, this.#cursor()?.seq ?? 0);
    const ours = head.seq === before + applied.length && applied.every((sent) => sent.kind !== 'delete');
    if (!ours || someFailed) this.#gateSeq = head.seq;
    this.#headSeq = Math.max(this.#headSeq, head.seq);
  }

  #judge(entry: EntryId, answer: Exclude<Answer, { kind: 'applied' }>): void {
    const { deferrals, trees } = this.#device;
    const failed = (code: ErrorCode, message: string) =>
      deferrals.failed(entry, trees.pathForPeople(entry), code, message);
    switch (answer.kind) {
      case 'conflict':
      case 'name_taken':
      case 'group_failed':
        return deferrals.retry(entry);
      case 'need_blocks':
        this.#onNeedBlocks(entry);
        return deferrals.retry(entry);
      case 'pool_unavailable':
        return failed('storage_unavailable', answer.detail);
      case 'held':
        return failed('forbidden', `held until somebody approves it (${answer.hold})`);
      case 'forbidden':
        return failed('forbidden', answer.detail);
      case 'invalid':
        if (answer.code !== 'key_stale') return failed(answer.code, answer.detail);
        this.keysAreStale = true;
        return deferrals.retry(entry);
      default:
        return unreachable(answer);
    }
  }
}

const REFUSALS = [
  'voided',
  'idempotency_conflict',
  'invalid_json',
  'invalid_field',
  'invalid_name',
  'too_large',
  'short_body',
  'forbidden',
  'not_found',
  'quota_exceeded',
  'hash_mismatch',
  'blocks_missing',
  'conflict',
  'cycle',
  'name_taken',
] as const;
