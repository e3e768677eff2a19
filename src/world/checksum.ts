/** Checksums against accidents. They are no defence against anybody. */
export interface Checksum {
  /** CRC-32 as zlib, PNG and Ethernet have it (polynomial 0x04C11DB7, reflected). `previous`: the sum of the bytes before these. */
  crc32(bytes: Uint8Array, previous?: number): number;
}
