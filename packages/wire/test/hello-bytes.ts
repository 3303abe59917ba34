/** A ClientHello put together from raw parts, so that a test can give any length and any list a wrong value. */

export type Part = number | Uint8Array | readonly number[];

export const bytes = (...parts: readonly Part[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : Array.from(part))));

export const u16 = (value: number): Uint8Array => bytes((value >> 8) & 0xff, value & 0xff);
export const text = (value: string): Uint8Array => Uint8Array.from(value, (character) => character.charCodeAt(0));
export const vec8 = (...parts: readonly Part[]): Uint8Array => {
  const inside = bytes(...parts);
  return bytes(inside.length, inside);
};
export const vec16 = (...parts: readonly Part[]): Uint8Array => {
  const inside = bytes(...parts);
  return bytes(u16(inside.length), inside);
};

export const extension = (type: number, ...data: readonly Part[]): Uint8Array => bytes(u16(type), vec16(...data));
export const hostEntry = (name: string, type = 0): Uint8Array => bytes(type, vec16(text(name)));
export const sni = (...names: readonly string[]): Uint8Array =>
  extension(0, vec16(...names.map((name) => hostEntry(name))));

export interface RawHello {
  readonly version?: number;
  readonly sessionId?: Uint8Array;
  readonly suites?: Uint8Array;
  readonly compression?: Uint8Array;
  /** The whole extensions block with its length. */
  readonly extensions?: Uint8Array;
  readonly trailing?: Uint8Array;
}

export const helloBody = (raw: RawHello = {}): Uint8Array =>
  bytes(
    u16(raw.version ?? 0x0303),
    new Uint8Array(32).fill(7),
    raw.sessionId ?? vec8(),
    raw.suites ?? vec16(0x13, 0x01),
    raw.compression ?? vec8(0),
    raw.extensions ?? vec16(sni('host.example')),
    raw.trailing ?? [],
  );

export const message = (body: Uint8Array, type = 1): Uint8Array =>
  bytes(type, body.length >> 16, u16(body.length & 0xffff), body);

export const record = (payload: Uint8Array, type = 22, version = 0x0301): Uint8Array =>
  bytes(type, u16(version), vec16(payload));

export const stream = (raw: RawHello = {}): Uint8Array => record(message(helloBody(raw)));
