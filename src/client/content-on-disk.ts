/** What a file on the disk holds, read from front to end. `changed`: somebody writes to it, or took it away; `unreadable`: the disk does not say. */
import type { ContentId } from '#core/ids.ts';
import { MIB } from '#core/limits.ts';
import type { Stat } from '#world/folder.ts';
import type { Device } from './device.ts';

export type Held = ContentId | 'changed' | 'unreadable';

export async function contentOf(device: Device, path: string, stat: Stat): Promise<Held> {
  const { folder, keys, signal } = device;
  if (stat.size <= MIB) {
    const [outcome] = await folder.seal([{ path, expect: stat }], keys());
    return outcome?.kind === 'sealed' ? outcome.content.contentId : whyNot(outcome);
  }
  const sealing = await folder.openSealing({ path, expect: stat }, keys(), null);
  if (!('next' in sealing)) return whyNot(sealing);
  try {
    for (;;) {
      const step = await sealing.next(signal);
      if (step.kind === 'end') return step.content.contentId;
      if (step.kind !== 'blocks') return whyNot(step);
    }
  } finally {
    await sealing.close();
  }
}

function whyNot(outcome: { readonly kind: string } | undefined): 'changed' | 'unreadable' {
  return outcome?.kind === 'failed' ? 'unreadable' : 'changed';
}
