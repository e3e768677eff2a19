/** Verbs of text merging: which files of a space are merged where two devices edited them at once. */
import { z } from 'zod';
import { spaceId } from './fields.ts';
import { verb } from './wire.ts';

/** Without the dot, in lower case. None: nothing is merged, which is how every space begins. */
const extensions = z.array(z.string().regex(/^[^./\\A-Z]{1,64}$/)).max(256);

/** Whoever makes a conflict asks, each time: a change of it holds at once. */
export const mergeList = verb(
  'merge-list',
  'device',
  z.strictObject({ space: spaceId }),
  z.strictObject({ extensions }),
);
/** In place of those before. */
export const mergeSet = verb('merge-set', 'owner', z.strictObject({ space: spaceId, extensions }), z.strictObject({}));
