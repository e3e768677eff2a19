/** Sends commits, one at a time, and brings their answers into the trees. A timeout means unknown, never failed: the op id tells. */
import { must, unreachable } from '#core/assert.ts';
import { hasCode, HoldfastError, type ErrorCode } from '#core/errors.ts';
import type { EntryId, OpId, UploadId } from '#core/ids.ts';
import type { Cursor } from '#core/entry.ts';
import { commit, settle, type Answer, type Operation } from '#protocol/sync.ts';
import type { Attachment } from './attachment.ts';
import { freshId, type Device } from './device.ts';
import { isOutage } from './line.ts';
import { forgetMetHead, metAbove, noteMetHead } from './met-head.ts';
import { applySent, subjectOf, type Sent } from './sent.ts';
import { applyTreeActions } from './tree-actions.ts';

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
  readonly #attachment: Attachment;
  readonly #cursor: () => Cursor | null;
  /** What the server does not have although it was thought to: the next upload of it sends everything. */
  readonly #onNeedBlocks: (entry: EntryId) => void;
  #headSeq = 0;
  #gateSeq = 0;
  keysAreStale = false;
  /** The server refuses commits from here: by what its journal is now, or by who is attached to this state. */
  refusedAs: 'cursor_reset' | 'superseded' | null = null;
  /** Creates that met their id on the server, and the head then. */
  readonly #met = new Map<EntryId, number>();

  constructor(
    device: Device,
    attachment: Attachment,
    cursor: () => Cursor | null,
    onNeedBlocks: (entry: EntryId) => void,
  ) {
    this.#device = device;
    this.#attachment = attachment;
    this.#cursor = cursor;
    this.#onNeedBlocks = onNeedBlocks;
    // What the last run was answered may lie between as well: a folder that it deleted is not "deleted here and nowhere else" any more.
    const at = cursor();
    this.#gateSeq = (at && metAbove(device.state, at)?.seq) ?? 0;
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
    this.#met.clear();
    forgetMetHead(this.#device.state);
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
    let tick = 0;
    // Durably: after a power cut the disk must not be compared with what was agreed on before this commit.
    state.durably(() => {
      state.setMeta('pending_op', JSON.stringify({ op, sent } satisfies PendingOp));
      tick = this.#attachment.raiseTick();
      unflushed.noteSent(sent);
    });
    try {
      const { response } = await line.ask(
        commit,
        {
          op,
          space,
          cursor: this.#plannedFrom(),
          install: this.#attachment.install,
          tick,
          session: this.#attachment.session,
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
      if (hasCode(error, 'cursor_reset', 'superseded')) this.refusedAs = error.code as 'cursor_reset' | 'superseded';
      if (hasCode(error, ...REFUSALS)) return this.#refused(sent, error);
      // The server failed at it: what became of it is unknown.
      if (error instanceof HoldfastError) line.reportDown(error);
      throw error;
    }
  }

  /** The latest point of the journal that is in the trees, in part at least. */
  #plannedFrom(): Cursor {
    const cursor = must(this.#cursor(), 'nothing is planned before there is a tree to plan from');
    return metAbove(this.#device.state, cursor) ?? cursor;
  }

  /** The whole request was refused: nothing of it was applied, nor ever will be. */
  #refused(sent: readonly Sent[], error: HoldfastError): Settled {
    const { state, deferrals, trees } = this.#device;
    const again = sent.map(subjectOf);
    state.transaction(() => {
      state.setMeta('pending_op', null);
      for (const entry of again) {
        if (PLANNED_AGAIN.includes(error.code)) deferrals.retry(entry);
        else deferrals.failed(entry, trees.pathForPeople(entry), error.code, error.message);
      }
    });
    return { applied: [], again };
  }

  #take(sent: readonly Sent[], answers: readonly Answer[], head: Cursor): Settled {
    const { state, deferrals, held } = this.#device;
    const applied: Sent[] = [];
    const seqs: number[] = [];
    const again: EntryId[] = [];
    let someHeld = false;
    let someLeft = false;
    state.transaction(() => {
      sent.forEach((one, index) => {
        const answer = answers[index];
        if (answer?.kind === 'applied') {
          seqs.push(answer.seq);
          if (!applySent(this.#device, one, answer.seq)) someLeft = true;
          deferrals.succeeded(subjectOf(one));
          applied.push(one);
        } else {
          again.push(subjectOf(one));
          if (answer?.kind === 'conflict' && answer.why === 'exists') this.#meet(subjectOf(one), head);
          else if (answer?.kind === 'held' && held.mark(one, answer.hold)) someHeld = true;
          else if (answer) this.#judge(subjectOf(one), answer);
        }
      });
      if (someHeld) held.tell();
      state.setMeta('pending_op', null);
      noteMetHead(state, head);
    });
    const deletes = applied.some(({ kind }) => kind === 'delete');
    this.#noteHead(seqs, deletes || someLeft || again.length > 0, head);
    return { applied, again };
  }

  /**
   * The id is taken. Seen again from a tree that has all of the journal, it lies in the trash (only a union meets that): what is here lives
   * on under a fresh id, so that nothing comes back out of the trash by itself.
   */
  #meet(entry: EntryId, head: Cursor): void {
    const { trees, deferrals } = this.#device;
    const metSeq = this.#met.get(entry);
    if (metSeq !== undefined && trees.appliedSeq >= metSeq) {
      this.#met.delete(entry);
      applyTreeActions(this.#device, [{ kind: 'renew', entry }]);
    } else this.#met.set(entry, head.seq);
    deferrals.retry(entry);
  }

  #noteHead(seqs: readonly number[], mustWait: boolean, head: Cursor): void {
    const { trees } = this.#device;
    const before = Math.max(this.#headSeq, this.#cursor()?.seq ?? 0);
    const ours = head.seq === before + seqs.length && seqs.every((seq, index) => seq === before + index + 1);
    if (!ours || mustWait) this.#gateSeq = head.seq;
    // Nothing lies between what the tree had and our own rows: a delete may be judged by the tree as it is now.
    if (ours && !mustWait && trees.appliedSeq === before) trees.appliedSeq = head.seq;
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
        return failed('held', `held until somebody approves it (${answer.hold})`);
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

/** Nothing is wrong with what was asked for. */
const PLANNED_AGAIN: readonly ErrorCode[] = ['voided', 'idempotency_conflict', 'cursor_reset', 'superseded'];

const REFUSALS = [
  'voided',
  'idempotency_conflict',
  'cursor_reset',
  'superseded',
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
