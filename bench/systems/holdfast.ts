import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bin, checkout, freePorts, runJson, service, type Service } from '../../test/holdfast.ts';
import { firstEnded, type Running, type System } from './system.ts';

/** Three processes: the server with its four storage nodes, device A, device B. */
export const holdfast: System = {
  id: 'holdfast',
  title: 'Holdfast',
  version() {
    if (!existsSync(bin) || !existsSync(join(checkout, 'src', 'main.ts'))) return { missing: 'not built' };
    const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string };
    return { version: `${version}${commit()}` };
  },
  async start({ a, b, state }) {
    const surroundings = (name: string): { home: string; cwd: string } => {
      const home = join(state, name);
      mkdirSync(home, { recursive: true });
      return { home, cwd: state };
    };
    const started: { name: string; child: Service['process']; log(): string }[] = [];
    const serve = async (name: string, args: readonly string[]): Promise<void> => {
      // Nothing to do afterwards: every process below this one is killed when the session ends.
      const running = await service({ after: () => undefined }, args, surroundings(name));
      started.push({ name, child: running.process, log: running.stderr });
    };
    const [port, ...nodePorts] = await freePorts(5);
    const ports = ['--port', String(port), '--node-ports', nodePorts.join(',')];
    await serve('server', ['up', '--data', join(state, 'data'), ...ports]);
    for (const [name, folder] of [
      ['device-a', a],
      ['device-b', b],
    ] as const) {
      const { invite } = await runJson<{ invite: string }>(['invite'], surroundings('server'));
      await serve(name, ['join', invite, folder]);
    }
    return { tell: async () => undefined, trouble: () => firstEnded(started) } satisfies Running;
  },
};

function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', ['-C', checkout, ...args], { encoding: 'utf8', stdio: 'pipe' }).trim();
    const changed = git('status', '--porcelain', '--untracked-files=no', 'src', 'bin') === '' ? '' : ' with changes';
    return ` (${git('rev-parse', '--short', 'HEAD')}${changed})`;
  } catch {
    return '';
  }
}
