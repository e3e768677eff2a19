/** A server that is killed at each step of what it does unasked: applying rules, moving bytes, collecting garbage. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scratch } from './holdfast.ts';
import { UPKEEP_POINTS } from './proof/points.ts';
import { runUpkeep } from './proof/upkeep.ts';

test('killed at each step of a change of rules, a move and a collection, the server loses nothing and ends the work', {
  timeout: 300_000,
}, async (context) => {
  // What is durable, or done elsewhere and not yet written down; `npm run prove:upkeep` kills before as well.
  const points = UPKEEP_POINTS.filter((point) => !point.endsWith('not durable'));
  const counts = await runUpkeep(context, scratch(context), [points]);
  context.diagnostic(JSON.stringify(counts));
  assert.equal(counts.kills, points.length);
});
