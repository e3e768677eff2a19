import type { Primitives } from '#core/primitives.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import type { Clock } from '#world/clock.ts';
import type { Log } from '#world/log.ts';
import type { Random } from '#world/random.ts';
import type { Bell } from './bell.ts';
import type { CareSettings } from './care-settings.ts';
import type { Cluster } from './cluster-start.ts';
import type { NodeBook } from './node-book.ts';
import type { SpaceKeys } from './space-keys.ts';
import type { TlsKeys } from './tls-keys.ts';

/** What every use-case of the server works with. */
export type ServerContext = {
  readonly version: string;
  readonly startedMs: number;
  readonly meta: MetaStore;
  readonly primitives: Primitives;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly cluster: Cluster;
  readonly tlsKeys: TlsKeys;
  readonly spaceKeys: SpaceKeys;
  readonly nodes: NodeBook;
  readonly bell: Bell;
  readonly care: CareSettings;
  /** Aborts when the server closes. */
  readonly closing: AbortSignal;
  /** Aborts when held requests are to end with what there is: some time before the server closes. */
  readonly draining: AbortSignal;
  /** There may be work for `Jobs`: a hint. */
  wakeJobs(): void;
  /** Where other machines reach this server, the best first. */
  addresses(): readonly string[];
};
