/**
 * A cursor over bytes that came from a peer. A read past the end yields zeros and marks the reader `failed` for good, so
 * that a parser reads a whole structure and asks once; nothing it read before asking may be trusted.
 */
export class ByteReader {
  readonly bytes: Uint8Array;
  position: number;
  readonly end: number;
  failed = false;

  /** Reads `bytes` from `start` up to, not including, `end`. */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.position;
  }

  /** Everything was read, and nothing beyond it was asked for. */
  get endedExactly(): boolean {
    return !this.failed && this.position === this.end;
  }

  u8(): number {
    return this.#number(1);
  }

  u16(): number {
    return this.#number(2);
  }

  u24(): number {
    return this.#number(3);
  }

  u32(): number {
    return this.#number(4);
  }

  /** A view, not a copy; empty where fewer than `count` bytes are left. */
  take(count: number): Uint8Array {
    if (count > this.remaining) {
      this.failed = true;
      this.position = this.end;
      return new Uint8Array(0);
    }
    this.position += count;
    return this.bytes.subarray(this.position - count, this.position);
  }

  /** A reader over the next `count` bytes, which this one steps over. A failure inside does not reach this one. */
  inner(count: number): ByteReader {
    const within = new ByteReader(this.take(count));
    within.failed = this.failed;
    return within;
  }

  #number(width: number): number {
    if (width > this.remaining) {
      this.failed = true;
      this.position = this.end;
      return 0;
    }
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + this.bytes[this.position + i]!;
    this.position += width;
    return value;
  }
}

/** Bytes that grow as they are written. Numbers are in network order and must fit their width. */
export class ByteWriter {
  #bytes = new Uint8Array(512);
  length = 0;

  u8(value: number): this {
    this.#reserve(1);
    this.#bytes[this.length++] = value;
    return this;
  }

  u16(value: number): this {
    return this.u8(value >>> 8).u8(value & 0xff);
  }

  u32(value: number): this {
    return this.u16(value >>> 16).u16(value & 0xffff);
  }

  append(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  /** Overwrites two bytes that were written before. */
  patchU16(at: number, value: number): void {
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value & 0xff;
  }

  /** Takes back everything from `length` on. */
  truncate(length: number): void {
    this.length = length;
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }

  #reserve(count: number): void {
    if (this.length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + count));
    grown.set(this.#bytes.subarray(0, this.length));
    this.#bytes = grown;
  }
}

/** One character for each byte, U+0000 to U+00FF: never fails, loses nothing. */
export const latin1 = (bytes: Uint8Array): string => {
  let text = '';
  for (let start = 0; start < bytes.length; start += 4096) {
    text += String.fromCharCode(...bytes.subarray(start, start + 4096));
  }
  return text;
};
