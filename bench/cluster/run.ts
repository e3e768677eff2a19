import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { requireDisk } from '../disk.ts';
import { endAll, message } from '../session.ts';
import type { ClusterWorkload, Row } from './workload.ts';

export type ClusterOutcome = { readonly rows: readonly Row[] } | { readonly failed: string };

/** Runs a workload in a directory of its own, and leaves nothing of it. */
export async function runCluster(
  workload: ClusterWorkload,
  options: { readonly scale: number; readonly secondsMax: number },
  scratch: string,
): Promise<ClusterOutcome> {
  const root = mkdtempSync(join(scratch, `${workload.id}-`));
  try {
    requireDisk(scratch, workload.diskBytes(options.scale));
    return { rows: await workload.run(root, options) };
  } catch (error) {
    return { failed: message(error) };
  } finally {
    await endAll();
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
}
