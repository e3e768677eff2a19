import { crc32 } from 'node:zlib';
import type { Checksum } from '../checksum.ts';

export const realChecksum: Checksum = { crc32: (bytes, previous = 0) => crc32(bytes, previous) };
