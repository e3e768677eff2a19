/** Power cuts, a few; `npm run prove:power` makes as many as there is time for. */
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { scratch } from './holdfast.ts';
import { lacksRoot } from './privilege.ts';
import { runCuts } from './proof/power.ts';

const CUTS = 5;
const SEED = Number(process.env['SEED'] ?? randomBytes(4).readUInt32BE());

test(`${CUTS} power cuts lose no acknowledged file, and nothing torn is uploaded`, {
  timeout: 400_000,
}, async (context) => {
  if (lacksRoot(context, 'a file system whose power can be cut')) return;
  context.diagnostic(`SEED=${SEED}`);
  const counts = await runCuts(context, { directory: scratch(context), cuts: CUTS, seed: SEED });
  context.diagnostic(JSON.stringify(counts));
});
