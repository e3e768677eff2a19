/** What `up` and `server` are asked for alike, and what the server makes of it. */
import type { ServerPlan } from './launcher.ts';

const DAY_MS = 24 * 3_600_000;

/** Times are seconds, but for `scrubDays`. */
export type ServerOptions = {
  readonly data?: string;
  readonly listen: string;
  readonly port: number;
  readonly lostAfter: number;
  readonly scrubDays: number;
  readonly challengeEvery: number;
  readonly collectEvery: number;
  readonly rootEvery: number;
};

export function serverPlan(dataDirectory: string, options: ServerOptions): ServerPlan {
  return {
    dataDirectory,
    host: options.listen,
    port: options.port,
    lostMs: options.lostAfter * 1000,
    scrubMs: options.scrubDays * DAY_MS,
    challengeMs: options.challengeEvery * 1000,
    collectEveryMs: options.collectEvery * 1000,
    rootEveryMs: options.rootEvery * 1000,
  };
}
