import { fromUtf8, toHex, viewOf, type Bytes } from './bytes.ts';
import { HoldfastError } from './errors.ts';

const UINT32_RANGE = 2 ** 32;

/**
 * Reads what `ByteWriter` wrote, from bytes that nobody vouches for: whatever does not fit throws `integrity`, naming
 * `what` is being read.
 */
export class ByteReader {
  readonly #bytes: Bytes;
  readonly #view: DataView;
  readonly #what: string;
  #offset = 0;

  constructor(bytes: Bytes, what: string) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#what = what;
  }

  get offset(): number {
    return this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  u64(): number {
    const offset = this.#take(8);
    return this.#safe(this.#view.getUint32(offset) * UINT32_RANGE + this.#view.getUint32(offset + 4));
  }

  i64(): number {
    const offset = this.#take(8);
    return this.#safe(this.#view.getInt32(offset) * UINT32_RANGE + this.#view.getUint32(offset + 4));
  }

  /** A view into the bytes that are read, not a copy. */
  bytes(length: number): Uint8Array {
    const offset = this.#take(length);
    return this.#bytes.subarray(offset, offset + length);
  }

  /** Hexadecimal text of an id's bytes. */
  id<Id extends string>(length: 16 | 32): Id {
    return toHex(this.bytes(length)) as Id;
  }

  text8(): string {
    return this.#text(this.u8());
  }

  text16(): string {
    return this.#text(this.u16());
  }

  zeros(length: number): void {
    if (this.bytes(length).some((byte) => byte !== 0)) throw this.malformed('reserved bytes are not zero');
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) throw this.malformed('bytes follow its end');
  }

  malformed(why: string): HoldfastError {
    return new HoldfastError('integrity', `${this.#what} is malformed: ${why}`);
  }

  #text(length: number): string {
    const text = fromUtf8(this.bytes(length));
    if (text === null) throw this.malformed('a text is not UTF-8');
    return text;
  }

  #safe(value: number): number {
    if (!Number.isSafeInteger(value)) throw this.malformed('a number is out of range');
    return value;
  }

  #take(length: number): number {
    const offset = this.#offset;
    if (length > this.#bytes.length - offset) throw this.malformed('it ends early');
    this.#offset = offset + length;
    return offset;
  }
}
