/** The program: hands the adapters to the commands, and decides nothing. */
import { exitCodeOf, lineOf } from '#cli/exit.ts';
import { homeDirectory } from '#cli/home.ts';
import { followOutput } from '#cli/output.ts';
import { runCli } from '#cli/program.ts';
import { nodePrimitives } from '#world/real/primitives.ts';
import { realRandom } from '#world/real/random.ts';
import { launcher } from './launcher.ts';
import { version } from './version.ts';

const untilWritten = followOutput();
const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // Who asks twice does not want to wait.
    if (stopping.signal.aborted) process.exit(130);
    stopping.abort();
  });
}

const surroundings = {
  launcher,
  home: homeDirectory(),
  primitives: nodePrimitives,
  randomBytes: (length: number) => realRandom.bytes(length),
  stop: stopping.signal,
};
process.exitCode = await runCli(process.argv.slice(2), surroundings, version);
// Connections that a command left open must not keep it from ending; what it said must reach whoever reads slowly.
const unwritten = await untilWritten();
if (unwritten) {
  process.stderr.write(`${lineOf(unwritten)}\n`);
  process.exitCode ||= exitCodeOf(unwritten);
}
process.exit();
