/**
 * The head of the journal that the last answer to a commit told of. What that commit made is in the trees at once, before the cursor comes to it: an
 * index that is put back to between the two continues from the cursor, and lacks it all the same.
 */
import type { Cursor } from '#core/entry.ts';
import type { State } from './state.ts';

/** Null where the cursor has come to it. */
export function metAbove(state: State, cursor: Cursor): Cursor | null {
  const met = metHead(state);
  return met !== null && met.epoch === cursor.epoch && met.seq > cursor.seq ? met : null;
}

/** Call in the transaction that takes the answer. */
export function noteMetHead(state: State, head: Cursor): void {
  const met = metHead(state);
  if (met === null || met.epoch !== head.epoch || head.seq > met.seq) state.setMeta('met', JSON.stringify(head));
}

/** The journal was begun anew. */
export function forgetMetHead(state: State): void {
  if (metHead(state) !== null) state.transaction(() => state.setMeta('met', null));
}

function metHead(state: State): Cursor | null {
  const kept = state.meta('met');
  return kept === null ? null : (JSON.parse(kept) as Cursor);
}
