import { KIB, MIB, limits } from '#core/limits.ts';

/** What a connection may cost either side. Tests narrow them; everything else runs with these. */
export const httpLimits = {
  messageBytesMax: limits.messageBytesMax,
  /** Of one request's line and headers together. */
  headerBytesMax: 16 * KIB,
  urlBytesMax: 8 * KIB,
  /** Error documents and other answers that are no message. */
  problemBytesMax: 64 * KIB,
  /** Up to this size a message is sent as one piece; a larger one in slices, each a view of the part that it belongs to. */
  joinBytesMax: 64 * KIB,
  sliceBytes: 256 * KIB,

  handshakeMsMax: 10_000,
  headersMsMax: 20_000,
  /** Of a whole request: a batch over a very slow line. A sender that pauses for `bodyPauseMsMax` is cut off long before. */
  requestMsMax: 30 * 60_000,
  bodyPauseMsMax: 30_000,
  /** Longer than `idleConnectionMsMax`, so that it is the client who closes an idle connection, never under a request. */
  keepAliveMs: 75_000,
  connectionsMax: 4096,
  /** Of all requests being received or answered at one moment, by declared length; beyond it the answer is `busy`. */
  requestBytesHeldMax: 256 * MIB,
  /** For the rest of a body whose request was already refused: closing at once would lose the refusal on its way. */
  lingerMsMax: 5_000,
  /** For requests under way when the listener closes: first to end by themselves, then to answer their aborted signals. */
  closeGraceMs: 2_000,
  closeAbortMs: 500,

  /** As long as the other side waits for a handshake: over 64 kbit/s that are busy with a batch, it takes more than five seconds. */
  connectMsMax: 10_000,
  /** Until the answer begins: longer than a pull is held. */
  answerMsMax: limits.pullWaitMsMax + 30_000,
  answerPauseMsMax: 60_000,
  idleConnectionMsMax: 30_000,
  connectionsPerPeer: 16,
  callsPerPeerMax: 1000,
} as const;

export type HttpLimits = { readonly [Name in keyof typeof httpLimits]: number };
