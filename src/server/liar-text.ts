/** What people are told of a storage node that was caught lying. */
import type { NodeRow } from '#protocol/cluster.ts';

const WHAT = {
  wrong_proof: 'it proved other bytes than it was given',
  wrong_bytes: 'it sent other bytes than it was given',
  not_there: 'it claims to hold some that it cannot show',
} as const;

/** Null: nothing is held against it. */
export function liarText({ name, pool, standing, lies }: NodeRow): string | null {
  if (standing !== 'distrusted' && lies === null) return null;
  const what = lies
    ? ` about ${lies.blocks} blocks, ${timesText(lies.firstMs, lies.lastMs)} (${lies.what.map((one) => WHAT[one]).join('; ')})`
    : '';
  if (standing === 'distrusted')
    return `the storage node ${name} (pool ${pool}) is out of service, since its answers were wrong${what}. Its copies are made anew on others; "holdfast nodes trust ${name}" takes it back, "holdfast nodes remove ${name}" is for ever`;
  return `the answers of the storage node ${name} (pool ${pool}) were wrong${what}. It stays in service only while it has blocks that lie nowhere else: add a storage node with "holdfast invite --node --pool ${pool}"`;
}

function timesText(firstMs: number, lastMs: number): string {
  const [first, last] = [minuteText(firstMs), minuteText(lastMs)];
  return first === last ? `at ${first}` : `from ${first} to ${last}`;
}

function minuteText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
