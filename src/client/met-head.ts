/**
 * The head of the journal that the last answer to a commit told of. What that commit made is in the trees at once, before the cursor comes to it: an
 * index that is put back to between the two continues from the cursor, and lacks it all the same.
 */
import type { Cursor } from '#core/entry.ts';
import type { State } from './state.ts';

export function metHead(state: State): Cursor | null {
  const kept = state.meta('met');
  return kept === null ? null : (JSON.parse(kept) as Cursor);
}

/** Call in the transaction that takes the answer. */
export function noteMetHead(state: State, head: Cursor): void {
  const met = metHead(state);
  if (met === null || met.epoch !== head.epoch || head.seq > met.seq) state.setMeta('met', JSON.stringify(head));
}
