/** Fields that several messages share. Every string and array has a limit; unknown fields are refused (`z.strictObject`). */
import { z } from 'zod';
import type {
  BlockId,
  Chain,
  ClusterId,
  ContentId,
  DeviceId,
  EntryId,
  Epoch,
  InstallId,
  ManifestId,
  NodeId,
  OpId,
  Pin,
  SessionId,
  SpaceId,
  UploadId,
} from '#core/ids.ts';

const id16 = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 lower-case hexadecimal digits');
const id32 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits');
const branded = <Id>(schema: z.ZodString) => schema as unknown as z.ZodType<Id>;

export const spaceId = branded<SpaceId>(id16);
export const entryId = branded<EntryId>(id16);
export const deviceId = branded<DeviceId>(id16);
export const nodeId = branded<NodeId>(id16);
export const opId = branded<OpId>(id16);
export const uploadId = branded<UploadId>(id16);
export const installId = branded<InstallId>(id16);
export const sessionId = branded<SessionId>(id16);
export const clusterId = branded<ClusterId>(id16);
export const epoch = branded<Epoch>(id16);
export const blockId = branded<BlockId>(id32);
export const manifestId = branded<ManifestId>(id32);
export const contentId = branded<ContentId>(id32);
export const chain = branded<Chain>(id32);
export const pin = branded<Pin>(id32);
export const hash = id32;

/** A whole number that JSON and every database here hold exactly. */
export const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
export const seq = count;
export const sizeBytes = count;
export const timeMs = count;
/** May lie before 1970. */
export const timeUs = z.number().int().min(Number.MIN_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER);
export const partIndex = z.number().int().min(0).max(10_000);
/** Judged in full by `core/name.ts`; the schema only bounds it. */
export const name = z.string().max(1024);
export const label = z.string().min(1).max(255);
/** Of a pool that storage nodes belong to. */
export const poolName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be a-z, 0-9 and -, 63 characters at most');
/** What a person calls a place where storage nodes may fail together. */
export const siteName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be a-z, 0-9 and -, 63 characters at most');
/** Of any pool that bytes may lie in: also of those that rules which ask for a number of copies have on another's nodes (`core/pool-name.ts`). */
export const placedPool = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}(\*[1-9][0-9]?)?$/);
export const holdId = z.string().regex(/^[0-9a-f]{16}$/, 'must be 16 lower-case hexadecimal digits');
/** `https://host:port` or `http://host:port`. */
export const address = z.string().regex(/^https?:\/\/[^\s/]{1,255}$/, 'must be http(s)://host:port');
/** 32 random bytes or a hash, as base64url. */
export const secret = z.string().regex(/^[A-Za-z0-9_-]{16,64}$/);

export const cursor = z.strictObject({ epoch, seq, chain });
export const empty = z.strictObject({});
