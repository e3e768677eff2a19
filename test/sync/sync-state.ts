/** What a device's state says of the space, read beside the client that works on it. */
import type { Cursor } from '#core/entry.ts';
import { ROOT_ENTRY } from '#core/ids.ts';
import { sqliteOpener } from '#world/real/sql.ts';
import { eventually, type Device } from './sync-world.ts';

type Sql = ReturnType<typeof sqliteOpener.open>;

export function inState<T>(device: Device, look: (sql: Sql) => T): T {
  const sql = sqliteOpener.open(device.statePath, { durability: 'normal', readOnly: true });
  try {
    return look(sql);
  } finally {
    sql.close();
  }
}

/** The same while the client does not run, to change it. */
export function changeState<T>(device: Device, work: (sql: Sql) => T): T {
  const sql = sqliteOpener.open(device.statePath, { durability: 'full' });
  try {
    return work(sql);
  } finally {
    sql.close();
  }
}

/** Id of what the space has at a path, as this device knows it; null where it has nothing there. */
export function entryAt(device: Device, path: string): string | null {
  return inState(device, (sql) => {
    let entry: string | null = ROOT_ENTRY;
    for (const name of path.split('/')) {
      const row = sql.prepare('SELECT entry FROM remote WHERE parent = ? AND name = ?').get(entry, name);
      entry = (row?.['entry'] as string | undefined) ?? null;
      if (entry === null) return null;
    }
    return entry;
  });
}

/** How far the device has applied the journal. */
export function headSeq(device: Device): number {
  return inState(device, (sql) => {
    const text = sql.prepare(`SELECT value FROM meta WHERE key = 'cursor'`).get()?.['value'];
    return (JSON.parse(text as string) as Cursor).seq;
  });
}

/** Does something on a running device's disk, and waits until the space has it. */
export async function sent(device: Device, work: () => void): Promise<void> {
  const before = headSeq(device);
  work();
  await eventually(
    () => headSeq(device) > before && device.client?.status().inSync === true,
    () => device.client?.status(),
  );
}
