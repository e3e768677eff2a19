/** What a file on the disk holds, read from front to end. */
import type { ContentId } from '#core/ids.ts';
import { MIB } from '#core/limits.ts';
import type { Stat } from '#world/folder.ts';
import type { Device } from './device.ts';

export async function contentOf(device: Device, path: string, stat: Stat): Promise<ContentId | 'unreadable'> {
  const { folder, keys, signal } = device;
  if (stat.size <= MIB) {
    const [outcome] = await folder.seal([{ path, expect: stat }], keys());
    return outcome?.kind === 'sealed' ? outcome.content.contentId : 'unreadable';
  }
  const sealing = await folder.openSealing({ path, expect: stat }, keys(), null);
  if (!('next' in sealing)) return 'unreadable';
  try {
    for (;;) {
      const step = await sealing.next(signal);
      if (step.kind === 'end') return step.content.contentId;
      if (step.kind !== 'blocks') return 'unreadable';
    }
  } finally {
    await sealing.close();
  }
}
