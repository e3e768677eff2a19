/** The use-cases `merge-list` and `merge-set`: which files of a space devices merge. What a merge is, they alone know. */
import { mergedExtensions, putMergedExtensions } from '#meta/merging.ts';
import { mergeList, mergeSet } from '#protocol/merging.ts';
import { deviceRoute, spaceFor } from './identity.ts';
import type { ServerContext } from './server-context.ts';

export function mergeRoutes({ meta }: ServerContext) {
  return [
    deviceRoute(mergeList, async ({ space }, { identity }) => {
      const extensions = await meta.read(async (reader) => {
        await spaceFor(reader, identity, space);
        return mergedExtensions(reader, space);
      });
      return { response: { extensions: [...extensions] }, parts: [] };
    }),
    deviceRoute(mergeSet, async ({ space, extensions }, { identity }) => {
      await meta.write(async (writer) => {
        await spaceFor(writer, identity, space);
        await putMergedExtensions(writer, space, extensions);
      });
      return { response: {}, parts: [] };
    }),
  ];
}
