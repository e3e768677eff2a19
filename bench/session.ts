import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { flush, requireDisk } from './disk.ts';
import { makeAndWait, measure, type Measured } from './measure.ts';
import { untilQuiet } from './meter.ts';
import { descendants, killAllBelow } from './processes.ts';
import type { Running, System } from './systems/system.ts';
import { greeting, makePlace, type Place, type Session } from './workloads.ts';

export type Outcome = Measured | { readonly failed: string };

/** Seconds that a system may take to come up and carry two small files. */
const START_SECONDS_MAX = 60;

/**
 * Runs the workloads of a session one after another with a system started anew, up to the last one wanted.
 * Resolves with what came of each that was wanted; what builds on one that failed has failed with it.
 */
export async function runSession(
  system: System,
  session: Session,
  options: { readonly wanted: ReadonlySet<string>; readonly scale: number; readonly secondsMax: number },
  scratch: string,
): Promise<ReadonlyMap<string, Outcome>> {
  const last = session.workloads.findLastIndex(({ id }) => options.wanted.has(id));
  const outcomes = new Map<string, Outcome>();
  const root = mkdtempSync(join(scratch, `${system.id}-`));
  const place = makePlace(root);
  let failed: string | null = null;
  try {
    requireDisk(scratch, session.diskBytes(options.scale));
    const running = await startSystem(system, place);
    for (const workload of session.workloads.slice(0, last + 1)) {
      if (failed !== null) {
        outcomes.set(workload.id, { failed: `not run, after ${failed}` });
        continue;
      }
      try {
        const changes = workload.prepare(place, options.scale);
        flush(root);
        await untilQuiet();
        outcomes.set(workload.id, await measure(running, place, changes, options.secondsMax));
      } catch (error) {
        failed = `${workload.id}: ${message(error)}`;
        outcomes.set(workload.id, { failed: message(error) });
      }
    }
  } catch (error) {
    for (const { id } of session.workloads.slice(0, last + 1)) outcomes.set(id, { failed: message(error) });
  } finally {
    await endAll();
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
  return new Map([...outcomes].filter(([id]) => options.wanted.has(id)));
}

/** Starts a system, and has it carry a file and then a change of it: only then is it known to be connected and watching. */
async function startSystem(system: System, place: Place): Promise<Running> {
  const running = await system.start(place);
  for (const text of ['hello', 'hello again']) await makeAndWait(running, greeting(place, text), START_SECONDS_MAX);
  return running;
}

/** Kills every process below this one. */
export async function endAll(): Promise<void> {
  killAllBelow();
  // They are gone when this process has taken note of their end, which happens between two turns of its event loop.
  while (descendants().length > 0) await sleep(10);
}

/** For a cell of a table. */
export function message(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text
    .replaceAll(/\S*holdfast-bench-\S*/g, '...')
    .replaceAll(/\s+/g, ' ')
    .slice(0, 300);
}
