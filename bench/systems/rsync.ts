import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../test/holdfast.ts';
import { firstEnded, output, startCommand, untilAccepting, type System } from './system.ts';

/**
 * A daemon that receives into B; the folder A is pushed to it once for every change, beginning with the change. Times are
 * compared to the nanosecond, since a file saved twice within one second would otherwise be passed over.
 */
function rsyncWith(id: string, title: string, extra: readonly string[]): System {
  return {
    id,
    title,
    version() {
      const version = /version (\S+)/.exec(output('rsync', ['--version']) ?? '')?.[1];
      if (version === undefined) return { missing: 'not installed' };
      const help = output('rsync', ['--help']) ?? '';
      const lacking = extra.find((option) => !help.includes(option));
      return lacking === undefined ? { version } : { missing: `rsync ${version} has no ${lacking}` };
    },
    async start({ a, b, state }) {
      const [port] = (await freePorts(1)) as [number];
      const file = join(state, 'rsyncd.conf');
      const identity = process.getuid?.() === 0 ? 'uid = root\ngid = root\n' : '';
      writeFileSync(file, `log file = /dev/null\nuse chroot = no\n${identity}[b]\npath = ${b}\nread only = no\n`);
      const args = ['--daemon', '--no-detach', '--address=127.0.0.1', `--port=${port}`, `--config=${file}`];
      const daemon = { name: 'the daemon', ...startCommand('rsync', args) };
      await untilAccepting(port);
      const push = ['-a', '--delete', '--modify-window=-1', ...extra, `${a}/`, `rsync://127.0.0.1:${port}/b/`];
      return {
        async tell() {
          const run = startCommand('rsync', push);
          const code = await run.closed;
          if (code !== 0) throw new Error(`rsync ended with ${code}: ${run.log().trim()}`);
        },
        trouble: () => firstEnded([daemon]),
      };
    },
  };
}

export const rsync = rsyncWith('rsync', 'rsync to a daemon', []);
export const rsyncFsync = rsyncWith('rsync-fsync', 'rsync, fsync of every file', ['--fsync']);
