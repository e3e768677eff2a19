/**
 * The server's own garbage collection, in a process of its own, over the index of a server that has stopped and its storage nodes, which run: three
 * rounds, between which more than a day passes by this process's clock. Prints a line of JSON for each. In service the server rests after each step
 * for as long as the step took; here it does not.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSqliteMetaStore } from '#meta/sqlite/sqlite-meta-store.ts';
import { countPresence } from '#meta/copies.ts';
import { nodeConnectionOf } from '#server/node-connection.ts';
import { startServer } from '#server/server.ts';
import type { Clock } from '#world/clock.ts';
import { realClock } from '#world/real/clock.ts';
import { stderrLog } from '#world/real/log.ts';
import { realNet } from '#world/real/net.ts';
import { nodePrimitives as primitives } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { peerOverNetwork } from '../../src/role-server.ts';
import { rootKeyFile } from '../../src/root-key-file.ts';
import type { Round } from './collection.ts';

const ROUNDS = 3;
const BETWEEN_MS = 25 * 3_600_000;

let passedMs = 0;
/** The server does nothing by itself after its first look around: whatever it would wait for does not come. */
const clock: Clock = {
  nowMs: () => realClock.nowMs() + passedMs,
  monotonicMs: () => realClock.monotonicMs() + passedMs,
  sleep: (_ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    }),
};
// Nothing else keeps this process alive.
const alive = setInterval(() => undefined, 60_000);

const directory = join(process.argv[2] as string, 'server');
const meta = await openSqliteMetaStore(sqliteOpener, join(directory, 'meta.db'));
const server = await startServer({
  version: '0',
  meta,
  primitives,
  clock,
  random: realRandom,
  log: stderrLog('warn'),
  net: realNet,
  rootKeeper: rootKeyFile(join(directory, 'root.key'), primitives),
  connectNode: (reach, show) => nodeConnectionOf(peerOverNetwork(reach, show), primitives),
  addresses: () => [],
  rootsPace: null,
});
await server.greetNodes();
await realClock.sleep(1000, new AbortController().signal);

for (let round = 0; round < ROUNDS; round++) {
  passedMs += BETWEEN_MS;
  await server.greetNodes();
  writeFileSync('/proc/self/clear_refs', '5');
  const before = await meta.read(countPresence);
  const cpu = process.cpuUsage();
  const begun = performance.now();
  await server.collectGarbage();
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const removed = before - (await meta.read(countPresence));
  const line: Round = { seconds, cpuSeconds: (user + system) / 1e6, rows: before, removed };
  // Whoever reads this looks at the memory before the next round begins: it waits for a word.
  process.stdout.write(`${JSON.stringify(line)}\n`);
  await new Promise((resolve) => process.stdin.once('data', resolve));
}
await server.close();
clearInterval(alive);
process.exit(0);
