/** The use-case `backup-create`: the index, copied by the process that has it open. */
import type { ClusterId } from '#core/ids.ts';
import { backupCreate } from '#protocol/cluster.ts';
import { deviceRoute } from './identity.ts';
import type { ServerContext } from './server-context.ts';

/** Longer is asked for again: no connection is held for as long as a large index takes. */
const HELD_MS = 20_000;
const REMEMBERED_MAX = 16;

export type BackedUp = { readonly cluster: ClusterId; readonly files: number; readonly bytes: number };

/**
 * Writes a backup into a directory that holds nothing but `.request` with this proof in it; durable when it resolves. Throws `forbidden` where
 * there is no such directory, or another proof.
 */
export type BackUp = (directory: string, proof: string) => Promise<BackedUp>;

export function backupRoutes({ clock, log }: ServerContext, backUp: BackUp) {
  const jobs = new Map<string, Promise<BackedUp>>();
  return [
    deviceRoute(backupCreate, async ({ directory, proof }, { signal }) => {
      const name = `${proof} ${directory}`;
      const job = jobs.get(name) ?? backUp(directory, proof);
      jobs.set(name, job);
      if (jobs.size > REMEMBERED_MAX) for (const oldest of [...jobs.keys()].slice(0, 1)) jobs.delete(oldest);
      job.catch((error: unknown) => {
        jobs.delete(name);
        log.warn('a backup failed', { error: String(error) });
      });
      const done = await Promise.race([job, clock.sleep(HELD_MS, signal).then(() => null)]);
      return { response: done ? { state: 'done', ...done } : { state: 'running' }, parts: [] };
    }),
  ];
}
