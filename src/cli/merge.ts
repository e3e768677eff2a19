/** `holdfast merge`: which texts are merged where two devices edited them at once. */
import { ask } from '#protocol/call.ts';
import { mergeList, mergeSet } from '#protocol/merging.ts';
import type { SpaceId } from '#core/ids.ts';
import type { Peer } from '#protocol/wire.ts';
import { withServer } from './cluster-commands.ts';
import type { Context } from './context.ts';
import { shown } from './output.ts';
import { ownSpace } from './spaces.ts';

type Change = (before: readonly string[]) => readonly string[];

export async function listMerged(context: Context, space: string | null): Promise<void> {
  await withServer(context, async (peer, signal) => {
    const { space: id } = await ownSpace(peer, space, signal);
    tell(context, await merged(peer, id, signal));
  });
}

export function mergeOn(context: Context, extensions: readonly string[], space: string | null): Promise<void> {
  return change(context, space, (before) => [...before, ...extensions.map(plain)]);
}

export function mergeOff(context: Context, extensions: readonly string[], space: string | null): Promise<void> {
  const off = new Set(extensions.map(plain));
  return change(context, space, (before) => before.filter((one) => !off.has(one)));
}

async function change(context: Context, space: string | null, make: Change): Promise<void> {
  await withServer(context, async (peer, signal) => {
    const { space: id } = await ownSpace(peer, space, signal);
    const extensions = [...new Set(make(await merged(peer, id, signal)))].sort();
    await ask(peer, mergeSet, { space: id, extensions }, signal);
    tell(context, extensions);
  });
}

async function merged(peer: Peer, space: SpaceId, signal: AbortSignal): Promise<readonly string[]> {
  return (await ask(peer, mergeList, { space }, signal)).response.extensions;
}

/** As people write it: `.md`, `*.md`, `MD`. */
function plain(extension: string): string {
  return extension.replace(/^\*?\./, '').toLowerCase();
}

function tell(context: Context, extensions: readonly string[]): void {
  context.output.value({ extensions });
  context.output.line(
    extensions.length === 0
      ? 'Nothing is merged: two edits of one file become two files. Turn it on for some with "holdfast merge on md txt".'
      : `Merged line by line where two devices edit them at once, but never under .git: ${extensions.map((one) => `*.${shown(one)}`).join(' ')}`,
  );
}
