/**
 * Every storage node proves, again and again, that it has the bytes: a keyed hash over a random range of blocks drawn at random, compared with
 * what another holder answers to the same. Where the two differ, or no other holder can be asked, the block itself decides: it is read and
 * verified by its id. The pace is this process's own; what was found is in rows.
 */
import { must } from '#core/assert.ts';
import { fromHex, toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import { countsAs } from '#core/copies.ts';
import type { SpaceId } from '#core/ids.ts';
import { KIB, MIB } from '#core/limits.ts';
import type { PlacedPresence } from '#meta/copies.ts';
import type { Challenge, ChallengeAnswer } from '#protocol/node.ts';
import { noteBadCopies, type BadCopy } from './bad-copies.ts';
import { badness, readBlocks } from './block-reader.ts';
import { below, ChallengeSample } from './challenge-sample.ts';
import { askProofs } from './ask-proofs.ts';
import { Admitted, type BadCopyOf } from './admitted.ts';
import type { StandingWork } from './jobs.ts';
import { judgeLiars } from './liars.ts';
import { transferMsMax, type KnownNode } from './node-book.ts';
import type { ServerContext } from './server-context.ts';

/** Blocks that each node is asked about in a round, and what it may have to read for that: a proof reads its whole block. */
const BLOCKS_PER_NODE = 60;
const BLOCK_BYTES_PER_NODE = 32 * MIB;
const RANGE_BYTES = 4 * KIB;
/** What may cross the network in a round to find out who is right, for each node. */
const TRUTH_BYTES_PER_NODE = 4 * MIB;

/** `witness`: who is asked the same; null: nobody else can be. */
type Question = {
  readonly row: PlacedPresence;
  readonly challenge: Challenge;
  readonly asked: KnownNode;
  readonly witness: KnownNode | null;
};

export class Challenges implements StandingWork {
  readonly #context: ServerContext;
  readonly #sample: ChallengeSample;
  readonly #admitted: Admitted;
  #dueMs: number;

  constructor(context: ServerContext) {
    this.#context = context;
    this.#sample = new ChallengeSample(context);
    this.#admitted = new Admitted(context);
    this.#dueMs = context.clock.monotonicMs() + context.care.challengeMs;
  }

  wake(): void {}

  async row(): Promise<null> {
    return null;
  }

  async step(): Promise<{ readonly busy: boolean; readonly bytes: number }> {
    const nowMs = this.#context.clock.monotonicMs();
    if (nowMs < this.#dueMs) return { busy: false, bytes: 0 };
    this.#dueMs = nowMs + this.#context.care.challengeMs;
    return { busy: true, bytes: await this.round() };
  }

  /** Resolves with the bytes of blocks that were read over the network. */
  async round(): Promise<number> {
    const questions = await this.#questions();
    const asked = new Map<KnownNode, readonly Question[]>();
    for (const question of questions)
      for (const known of [question.asked, question.witness])
        if (known) asked.set(known, [...(asked.get(known) ?? []), question]);
    const answers = await askProofs(this.#context, asked);
    const answerOf = (known: KnownNode | null, question: Question) =>
      known && (answers.get(known)?.get(question) ?? null);
    const bad: BadCopyOf[] = [];
    for (const [known, own] of asked) {
      const admitting = own.flatMap((question) => {
        const answer = answerOf(known, question);
        if (answer?.kind === 'proof') this.#admitted.proved(known, question.row.block);
        return answer?.kind === 'missing' || answer?.kind === 'corrupt' ? [{ ...question, why: answer.kind }] : [];
      });
      bad.push(...(await this.#admitted.judge(known, admitting)));
    }
    this.#noteUnproven(answers);
    const doubtful = questions.filter((question) => {
      const [own, other] = [answerOf(question.asked, question), answerOf(question.witness, question)];
      const proofs = [own, other].filter((one) => one?.kind === 'proof');
      return proofs.length > 0 && (proofs.length === 1 || proofs[0]?.proof !== proofs[1]?.proof);
    });
    const probed = await this.#probe(questions);
    bad.push(...probed.bad);
    const read = await this.#readDoubtful(doubtful.filter((question) => !probed.truths.has(question)));
    for (const [question, truth] of [...probed.truths, ...read.truths])
      for (const known of [question.asked, question.witness]) {
        const answer = answerOf(known, question);
        if (!known || answer?.kind !== 'proof' || answer.proof === this.#proofOf(question.challenge, truth)) continue;
        const { block, space } = question.row;
        bad.push({ space, copy: { block, holder: known.stored.number, why: 'wrong_proof' } });
      }
    await this.#note(bad);
    await judgeLiars(this.#context);
    return probed.bytes + read.bytes;
  }

  /** Who answers everything but this is shown to people. */
  #noteUnproven(answers: ReadonlyMap<KnownNode, ReadonlyMap<Question, ChallengeAnswer>>): void {
    for (const [known, own] of answers) {
      const proved = [...own.values()].some(({ kind }) => kind === 'proof');
      known.unprovenSinceMs = proved ? null : (known.unprovenSinceMs ?? this.#context.clock.monotonicMs());
    }
  }

  async #questions(): Promise<readonly Question[]> {
    const { nodes } = this.#context;
    const able = nodes
      .all()
      .filter((known) => countsAs(known.stored.standing) && known.answering && !nodes.isDown(known));
    const numbers = able.map(({ stored }) => stored.number);
    const drawn = await this.#sample.draw(numbers, BLOCKS_PER_NODE);
    const again = await this.#admitted.held();
    const questions: Question[] = [];
    for (const known of able) {
      const { number } = known.stored;
      let bytes = 0;
      for (const row of [...(again.get(number) ?? []), ...(drawn.get(number) ?? [])]) {
        if (bytes >= BLOCK_BYTES_PER_NODE) break;
        bytes += row.length;
        const others = able.filter((other) => other !== known && row.holders.includes(other.stored.number));
        const witness = others[below(this.#context.random, others.length)] ?? null;
        questions.push({ row, challenge: this.#challengeOf(row), asked: known, witness });
      }
    }
    return questions;
  }

  #challengeOf({ block, length: blockBytes }: PlacedPresence): Challenge {
    const { random } = this.#context;
    const length = Math.min(RANGE_BYTES, blockBytes);
    const offset = below(random, blockBytes - length + 1);
    return { block, offset, length, key: toHex(random.bytes(32)) };
  }

  #proofOf({ key, offset, length }: Challenge, block: Uint8Array): string {
    const bytes = must(fromHex(key), 'it was made here');
    return toHex(this.#context.primitives.hmacSha256(bytes, block.subarray(offset, offset + length)));
  }

  /** Of each node one block is read: who proves well may serve badly, and two may agree on what is not so. */
  async #probe(questions: readonly Question[]) {
    const { nodes, closing } = this.#context;
    const truths = new Map<Question, Uint8Array>();
    const bad: BadCopyOf[] = [];
    let bytes = 0;
    const first = new Map<KnownNode, Question>();
    for (const question of questions)
      if (!first.has(question.asked) && question.row.length <= TRUTH_BYTES_PER_NODE)
        first.set(question.asked, question);
    const probe = async (known: KnownNode, question: Question): Promise<void> => {
      const { block, space, length } = question.row;
      try {
        const [result] = await nodes.call(
          known,
          closing,
          ({ store }, signal) => store.get([block], signal),
          transferMsMax(length),
        );
        const why = badness(result, { id: block, storedLength: length });
        if (why !== null) bad.push({ space, copy: { block, holder: known.stored.number, why } });
        else if (result?.kind === 'found') truths.set(question, result.bytes);
        bytes += length;
      } catch (error) {
        if (closing.aborted || !(error instanceof HoldfastError)) throw error;
      }
    };
    await Promise.all([...first].map(([known, question]) => probe(known, question)));
    return { truths, bad, bytes };
  }

  /** As many as the network may carry now; what is left out comes to another round's turn. Bad copies that are met are noted on the way. */
  async #readDoubtful(doubtful: readonly Question[]) {
    const spent = new Map<KnownNode, number>();
    const bySpace = new Map<SpaceId, Question[]>();
    for (const question of doubtful) {
      const before = spent.get(question.asked) ?? 0;
      if (before >= TRUTH_BYTES_PER_NODE) continue;
      spent.set(question.asked, before + question.row.length);
      bySpace.set(question.row.space, [...(bySpace.get(question.row.space) ?? []), question]);
    }
    const truths = new Map<Question, Uint8Array>();
    let bytes = 0;
    for (const [space, own] of bySpace) {
      const wanted = own.map(({ row }) => ({ id: row.block, storedLength: row.length }));
      const found = await readBlocks(this.#context, space, wanted, this.#context.closing);
      for (const question of own) {
        const result = found.get(question.row.block);
        if (result?.kind !== 'found') continue;
        truths.set(question, result.bytes);
        bytes += result.bytes.length;
      }
    }
    return { truths, bytes };
  }

  async #note(bad: readonly BadCopyOf[]): Promise<void> {
    const bySpace = new Map<SpaceId, BadCopy[]>();
    for (const { space, copy } of bad) bySpace.set(space, [...(bySpace.get(space) ?? []), copy]);
    for (const [space, copies] of bySpace) await noteBadCopies(this.#context, space, copies);
    this.#admitted.noted(bad);
  }
}
