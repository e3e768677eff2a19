import { toHex } from '#core/bytes.ts';
import { HoldfastError } from '#core/errors.ts';
import type { BlockId, NodeId } from '#core/ids.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Checksum } from '#world/checksum.ts';
import type { Disk, DiskFile } from '#world/disk.ts';
import type { LogItem, LogPlace, NodeLog } from '../node-log.ts';
import { listSegments, segmentPath } from './segment-files.ts';
import { parseSegmentHeader, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './segment-format.ts';
import { scanSegment } from './segment-scan.ts';

export type NodeLogOptions = {
  readonly disk: Disk;
  readonly checksum: Checksum;
  readonly primitives: Pick<Primitives, 'sha256'>;
};

/** Opens nothing for writing. */
export function readNodeLog(options: NodeLogOptions): NodeLog {
  return new DiskNodeLog(options);
}

class DiskNodeLog implements NodeLog {
  readonly #options: NodeLogOptions;

  constructor(options: NodeLogOptions) {
    this.#options = options;
  }

  async size(): Promise<number> {
    const { disk } = this.#options;
    let bytes = 0;
    for (const segment of await listSegments(disk))
      await this.#withSegment(segment, async (file) => {
        bytes += await file.size();
      }).catch(ignoreUnreadable);
    return bytes;
  }

  async *scan(): AsyncGenerator<LogItem> {
    for (const segment of await listSegments(this.#options.disk)) {
      let file: DiskFile | null = null;
      let offset = 0;
      try {
        file = await this.#options.disk.open(segmentPath(segment), 'read');
        for await (const item of this.#scanFile(segment, file)) {
          if ('offset' in item) ({ offset } = item);
          yield item;
        }
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        yield { kind: 'damaged', segment, offset, detail: error.message };
      } finally {
        await file?.close();
      }
    }
  }

  async *#scanFile(segment: number, file: DiskFile): AsyncGenerator<LogItem> {
    const { checksum, primitives } = this.#options;
    const judged = parseSegmentHeader(checksum, await file.read(0, SEGMENT_HEADER_BYTES));
    // What a later version wrote is not what it seems to be.
    if (judged.kind === 'newer') throw new HoldfastError('newer_version', 'a newer version of Holdfast wrote it');
    const header = judged.kind === 'valid' && judged.header.segment === segment ? judged.header : null;
    if (!header) yield { kind: 'damaged', segment, offset: 0, detail: 'its header' };
    const range = { from: SEGMENT_HEADER_BYTES, to: await file.size() };
    for await (const item of scanSegment(file, checksum, { segment, salt: header?.salt ?? null }, range)) {
      if (item.kind === 'bad') {
        yield { kind: 'damaged', segment, offset: item.offset, detail: `${item.length} bytes` };
        continue;
      }
      const { kind, id, fence, offset, payloadLength: length } = item.header;
      if (kind === 'tombstone' || kind === 'fence') yield { kind, id, fence };
      if (kind !== 'block') continue;
      const bytes = await file.read(offset + RECORD_HEADER_BYTES, length);
      if (toHex(primitives.sha256(bytes)) !== id) yield { kind: 'damaged', segment, offset, detail: 'a block' };
      else yield { kind, id, fence, bytes, segment, offset, length, node: nodeOf(header) };
    }
  }

  async read(id: BlockId, { segment, offset, length }: LogPlace): Promise<Uint8Array | null> {
    try {
      const bytes = await this.#withSegment(segment, (file) => file.read(offset + RECORD_HEADER_BYTES, length));
      return toHex(this.#options.primitives.sha256(bytes)) === id ? bytes : null;
    } catch (error) {
      ignoreUnreadable(error);
      return null;
    }
  }

  async #withSegment<T>(segment: number, work: (file: DiskFile) => Promise<T>): Promise<T> {
    const file = await this.#options.disk.open(segmentPath(segment), 'read');
    try {
      return await work(file);
    } finally {
      await file.close();
    }
  }
}

function nodeOf(header: { readonly node: NodeId } | null): NodeId | null {
  return header?.node ?? null;
}

function ignoreUnreadable(error: unknown): void {
  if (!(error instanceof HoldfastError)) throw error;
}
