/** Every queue, batch and body has a named maximum here. Units are in the names; formats depend on none of them but where said. */
export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

export const limits = {
  /** FORMAT: data of one block, and of one manifest's sealed part. */
  blockDataBytesMax: 16 * MIB,
  manifestDataBytesMax: 32 * MIB,
  blockBytesMax: 17 * MIB,
  manifestChunksMax: 400_000,
  nameBytesMax: 255,
  treeDepthMax: 256,
  symlinkTargetBytesMax: 4096,
  /** One `.holdfastignore`. */
  ignoreBytesMax: 256 * KIB,
  commitOperationsMax: 1000,
  /** Blocks of one framed batch: whichever comes first. One larger block may travel alone. */
  batchBytesMax: 4 * MIB,
  batchBlocksMax: 256,
  /** One message: a commit may carry a manifest of the largest file. */
  messageJsonBytesMax: 8 * MIB,
  messageBytesMax: 40 * MIB,
  messagePartsMax: 2100,
  pullWaitMsMax: 60_000,
  pullRowsMax: 1000,
  listEntriesMax: 1000,
  /** Of a block, that a node is asked to prove at a time; and how many proofs one message asks for. */
  challengeRangeBytesMax: 64 * KIB,
  challengesMax: 256,
  segmentBytesMax: 256 * MIB,
  /** Of a block, that a pool may ask for. */
  copiesMax: 8,
  /** FORMAT: a layout names its nodes by u16. Not removed ones; more would need a finer table (docs/scale.md). */
  poolNodesMax: 4096,
  /** At least: a device that was away for longer reads the space anew. Days are those on which the server ran. */
  journalKept: { days: 90, rows: 100_000, dayMs: 24 * 3_600_000 },
  /** What lets a person be asked before a change is made (`holds.ts`): entries younger than this do not count, */
  holdYoungMs: 24 * 3_600_000,
  /** changes of a device within this time are judged as one, */
  holdWindowMs: 10 * 60_000,
  /** and it is asked where more than this many go and they are this part of all, or this many rewrites look like an encryption. */
  holdDeletes: 1000,
  holdDeletesPart: 0.25,
  holdRewrites: 200,
} as const;
