/** Every verb of the protocol, by who answers it. */
import type { Verb } from '#protocol/wire.ts';
import * as account from '#protocol/account.ts';
import * as cluster from '#protocol/cluster.ts';
import * as contents from '#protocol/contents.ts';
import * as holds from '#protocol/holds.ts';
import * as merging from '#protocol/merging.ts';
import * as node from '#protocol/node.ts';
import * as safety from '#protocol/safety.ts';
import * as sync from '#protocol/sync.ts';
import * as why from '#protocol/why.ts';

export type AnyVerb = Verb<unknown, unknown>;

const isVerb = (value: unknown): value is AnyVerb =>
  typeof value === 'object' && value !== null && 'callers' in value && 'request' in value;
const verbsOf = (...rooms: readonly object[]): readonly AnyVerb[] =>
  rooms.flatMap((room) => Object.values(room).filter(isVerb));

export const serverVerbs = verbsOf(account, cluster, contents, holds, merging, safety, sync, why);
export const nodeVerbs = verbsOf(node);
