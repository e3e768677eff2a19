import { randomBytes } from 'node:crypto';
import type { Random } from '../random.ts';

/** Copied out of Node.js's shared pool: callers may transfer the whole buffer to another thread. */
export const realRandom: Random = {
  bytes: (length) => new Uint8Array(randomBytes(length)),
};
