export type Family = 4 | 6;

/** An IPv4 or IPv6 address. `value` is its 32 or 128 bits as one number, network order. Never a zone, never a port. */
export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

/** Bits in an address of this family. */
export const addressBits = (family: Family): number => (family === 4 ? 32 : 128);

/**
 * A dotted quad of four decimal parts without leading zeros, or an IPv6 address (RFC 4291, section 2.2, all three forms).
 * No zone, brackets, whitespace or inet_aton spelling (`0x7f.1`, `127.1`, `0177.0.0.1`): those that read them disagree on what they
 * mean, which is how filters are passed.
 */
export function parseAddress(text: string): Address | undefined {
  return text.includes(':') ? parseIPv6(text) : parseIPv4(text);
}

function parseIPv4(text: string): Address | undefined {
  const value = quadValue(text);
  return value === undefined ? undefined : { family: 4, value: BigInt(value) };
}

function quadValue(text: string): number | undefined {
  if (text.length > 15) return undefined;
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(?:0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const octet = Number(part);
    if (octet > 255) return undefined;
    value = value * 256 + octet;
  }
  return value;
}

function parseIPv6(text: string): Address | undefined {
  // The longest form has six groups and a quad: 6 × 5 + 15 characters.
  if (text.length > 45) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const compressed = halves.length === 2;
  const head = groups(halves[0]!, !compressed);
  const tail = compressed ? groups(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  // `::` stands for at least one group of zeros (RFC 4291, section 2.2.2).
  if (compressed ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const group of [...head, ...new Array<number>(missing).fill(0), ...tail]) value = (value << 16n) | BigInt(group);
  return { family: 6, value };
}

/** The 16-bit groups of one side of `::`. Only the last part of an address may be a quad. */
function groups(text: string, quadAtEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const result: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (quadAtEnd && i === parts.length - 1 && part.includes('.')) {
      const quad = quadValue(part);
      if (quad === undefined) return undefined;
      result.push(Math.floor(quad / 65536), quad % 65536);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      result.push(Number.parseInt(part, 16));
    }
  }
  return result;
}

/** RFC 5952: lower case, the first longest run of two or more zero groups as `::`, a quad only for IPv4-mapped addresses. */
export function formatAddress(address: Address): string {
  if (address.family === 4) return quadText(Number(address.value));
  if (address.value >> 32n === 0xffffn) return `::ffff:${quadText(Number(address.value & 0xffffffffn))}`;
  const parts: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) parts.push(Number((address.value >> shift) & 0xffffn));
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && parts[end] === 0) end++;
    if (end - i > length) {
      start = i;
      length = end - i;
    }
    if (end > i) i = end;
  }
  const hex = (list: number[]) => list.map((n) => n.toString(16)).join(':');
  return start < 0 ? hex(parts) : `${hex(parts.slice(0, start))}::${hex(parts.slice(start + length))}`;
}

const quadText = (value: number): string =>
  [Math.floor(value / 0x1000000), (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');

/** From 4 or 16 octets in network order. Throws a RangeError for any other length: the caller knows what it read. */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length !== 4 && bytes.length !== 16)
    throw new RangeError(`an address has 4 or 16 octets, not ${bytes.length}`);
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return { family: bytes.length === 4 ? 4 : 6, value };
}

/** 4 or 16 octets in network order. */
export function addressToBytes(address: Address): Uint8Array {
  const bytes = new Uint8Array(address.family === 4 ? 4 : 16);
  let rest = address.value;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** Order for sorting: IPv4 before IPv6, then by value. */
export function compareAddresses(a: Address, b: Address): number {
  if (a.family !== b.family) return a.family - b.family;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

export const addressesEqual = (a: Address, b: Address): boolean => a.family === b.family && a.value === b.value;
