/** One cluster, all figures. The same seed gives the same ones. */
import { SimRandom } from '#world/sim/sim-random.ts';
import { balanceOf, heldBy, type Balance } from './balance.ts';
import { changeTo, without, type Change } from './changes.ts';
import { anotherNode, makeCluster, placesOf, type DomainKind } from './cluster.ts';
import { blocksByPartition } from './draws.ts';
import { computedLoss, playLoss, windowsOf, YEAR_S, type Loss, type LossModel } from './loss.ts';
import { repairOf, typicalNode, type Rates, type Repair } from './repair.ts';

/** Stated in docs/scale.md. */
export const RATES: Rates = {
  diskBytesPerS: 100e6,
  netBytesPerS: 100e6,
  serverBytesPerS: 64 * 1024 * 1024,
  noticeS: 15 * 60,
  replaceS: 24 * 3600,
};
export const BLOCK_BYTES = 512 * 1024;
export const FAILURES_PER_YEAR = 0.04;
const BLOCKS_PER_NODE = 2_000_000;
const BLOCKS_MAX = 1e9;
/** Played with failures so much more frequent that one in so many loses something; until so many losses were seen. */
const LOSS_PER_FAILURE = 2e-3;
const LOSSES_PLAYED = 400;

export type CaseOptions = {
  readonly seed: string;
  readonly nodes: number;
  readonly kind: DomainKind;
  readonly copies: number;
};

export type Case = CaseOptions & {
  readonly blocks: number;
  readonly balance: Balance;
  readonly join: Change;
  readonly leave: Change;
  readonly double: Change;
  /** Of a node with about as much as the average one. */
  readonly repair: Repair;
  /** Part of the time in which the server repairs. */
  readonly busy: number;
  readonly throughServer: Loss;
  readonly straight: Loss;
  /** Losses that were played, over those computed for the same failure rate; null where one failure is one loss. */
  readonly played: number | null;
};

export function runCase(options: CaseOptions): Case {
  const { seed, nodes: count, kind, copies } = options;
  // One cluster for all numbers of copies.
  const random = new SimRandom(`scale ${seed} ${count} ${kind}`);
  const nodes = makeCluster(random, count, kind);
  const total = Math.min(BLOCKS_MAX, BLOCKS_PER_NODE * count);
  const blocks = blocksByPartition(random, total);
  const places = placesOf(nodes, copies);
  const before = { nodes, places };
  const held = heldBy(count, places, blocks);
  const typical = typicalNode(nodes, held);
  const joined = anotherNode(random, nodes, kind);
  const doubled = { ...(nodes[typical] as (typeof nodes)[number]) };
  doubled.weight *= 2;
  const left = nodes[typical] as (typeof nodes)[number];
  const repair = repairOf(before, typical, blocks, BLOCK_BYTES, RATES);
  const model: Omit<LossModel, 'bytesPerS'> = {
    nodes: count,
    places,
    bytes: blocks.map((one) => one * BLOCK_BYTES),
    failuresPerYear: FAILURES_PER_YEAR,
    beforeS: repair.beforeS,
  };
  const throughServer = { ...model, bytesPerS: RATES.serverBytesPerS };
  const straight = { ...model, bytesPerS: Math.max(1, repair.bytes) / Math.max(1, repair.straightS - repair.beforeS) };
  return {
    ...options,
    blocks: total,
    balance: balanceOf(nodes, places, blocks),
    join: changeTo(before, [...nodes, joined], joined, blocks),
    leave: changeTo(before, without(nodes, typical), left, blocks),
    double: changeTo(
      before,
      nodes.map((node, index) => (index === typical ? doubled : node)),
      doubled,
      blocks,
    ),
    repair,
    busy: (total * copies * BLOCK_BYTES * FAILURES_PER_YEAR) / RATES.serverBytesPerS / YEAR_S,
    throughServer: computedLoss(windowsOf(throughServer)),
    straight: computedLoss(windowsOf(straight)),
    played: copies === 1 ? null : playedOver(random, throughServer),
  };
}

/** By how much the computation is off: both with failures so frequent that losses are seen. */
export function playedOver(random: SimRandom, model: LossModel): number {
  const { perYear } = computedLoss(windowsOf(model));
  const perFailure = perYear / (model.nodes * model.failuresPerYear);
  const faster = (LOSS_PER_FAILURE / perFailure) ** (1 / (model.places.copies - 1));
  const hurried = windowsOf({ ...model, failuresPerYear: model.failuresPerYear * faster });
  const played = playLoss(random, hurried, LOSSES_PLAYED, (4 * LOSSES_PLAYED) / LOSS_PER_FAILURE);
  return played.losses / played.years / computedLoss(hurried).perYear;
}
