import { assert } from './assert.ts';
import { utf8, viewOf, writeHex, type Bytes } from './bytes.ts';

const UINT32_RANGE = 2 ** 32;

/** Lays out a format's fields one after another, big-endian, into an array that grows. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = viewOf(this.#bytes);
  }

  u8(value: number): this {
    const offset = this.#reserve(1);
    this.#view.setUint8(offset, value);
    return this;
  }

  u16(value: number): this {
    const offset = this.#reserve(2);
    this.#view.setUint16(offset, value);
    return this;
  }

  u32(value: number): this {
    const offset = this.#reserve(4);
    this.#view.setUint32(offset, value);
    return this;
  }

  /** Whole numbers from 0 to 2^53 - 1. */
  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'a whole number that a double holds exactly');
    return this.#doubleWord(value);
  }

  /** Two's complement; magnitudes up to 2^53 - 1. */
  i64(value: number): this {
    assert(Number.isSafeInteger(value), 'a whole number that a double holds exactly');
    return this.#doubleWord(value);
  }

  bytes(value: Bytes): this {
    const offset = this.#reserve(value.length);
    this.#bytes.set(value, offset);
    return this;
  }

  /** An id of any length, from its hexadecimal text. */
  id(hex: string): this {
    const offset = this.#reserve(hex.length / 2);
    writeHex(this.#bytes, offset, hex);
    return this;
  }

  /** length:u8 | UTF-8. */
  text8(value: string): this {
    const encoded = utf8(value);
    assert(encoded.length <= 0xff && value.isWellFormed(), 'text that fits its field');
    return this.u8(encoded.length).bytes(encoded);
  }

  /** length:u16 | UTF-8. */
  text16(value: string): this {
    const encoded = utf8(value);
    assert(encoded.length <= 0xffff && value.isWellFormed(), 'text that fits its field');
    return this.u16(encoded.length).bytes(encoded);
  }

  /** A copy of what was written so far. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #doubleWord(value: number): this {
    const offset = this.#reserve(8);
    const high = Math.floor(value / UINT32_RANGE);
    this.#view.setInt32(offset, high);
    this.#view.setUint32(offset + 4, value - high * UINT32_RANGE);
    return this;
  }

  /** Before the view is looked at: growing makes another one. */
  #reserve(length: number): number {
    const offset = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = viewOf(grown);
    }
    return offset;
  }
}
