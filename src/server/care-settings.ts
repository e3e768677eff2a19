/** How fast and how patiently the server looks after its storage nodes. Tests have less time than people. */
import { MIB } from '#core/limits.ts';

export type CareSettings = {
  /** Between two greetings of all storage nodes. */
  readonly beatMs: number;
  /** A node that does not answer for so long is lost: its copies are made anew on others. */
  readonly lostMs: number;
  /** Between two looks for work, where there is none. */
  readonly lookMs: number;
  /** Before what could not be done is tried again. */
  readonly retryMs: number;
  /** What repair, moves and scrub together may carry. */
  readonly bytesPerS: number;
  /** In which every copy is read once. */
  readonly scrubMs: number;
  /** Between two rounds in which every node is asked to prove that it holds what the rows say. */
  readonly challengeMs: number;
};

export const CARE: CareSettings = {
  beatMs: 3000,
  lostMs: 15 * 60_000,
  lookMs: 3000,
  retryMs: 60_000,
  bytesPerS: 64 * MIB,
  scrubMs: 28 * 24 * 3_600_000,
  challengeMs: 60_000,
};
