import { type Address, addressBits, formatAddress, parseAddress } from './address.ts';
import { err, ok, quote, type Result } from './result.ts';

/** An address range that shares its first `length` bits. The bits after them are zero. */
export interface Prefix {
  readonly address: Address;
  /** 0 to 32, or 0 to 128. */
  readonly length: number;
}

/** `10.0.0.0/8`, `fd00::/8`; a bare address is the prefix of that address alone. Host bits that are set are refused: it is unclear what was meant. */
export function parsePrefix(text: string): Result<Prefix> {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return refuseAddress(text);
  const bits = addressBits(address.family);
  if (slash < 0) return ok({ address, length: bits });
  const lengthText = text.slice(slash + 1);
  const length = /^(?:0|[1-9][0-9]{0,2})$/.test(lengthText) ? Number(lengthText) : Number.NaN;
  if (!(length <= bits)) {
    const network = formatAddress(address);
    return err(
      'prefix-length',
      `${quote(text)} does not end in a prefix length`,
      `write a number of bits from 0 to ${bits} after the slash, such as \`${network}/${bits}\` for this address alone`,
    );
  }
  const prefix = prefixOf(address, length);
  if (prefix.address.value !== address.value) {
    return err(
      'prefix-host-bits',
      `${quote(text)} has bits set after the first ${length}`,
      `write \`${formatPrefix(prefix)}\` for the whole range, or \`${formatAddress(address)}/${bits}\` for this address alone`,
    );
  }
  return ok(prefix);
}

function refuseAddress(text: string): Result<never> {
  const help = text.includes('%')
    ? 'write the address without its zone'
    : text.includes('[')
      ? 'write the address without brackets'
      : 'write an address or prefix such as `192.0.2.7`, `10.0.0.0/8` or `fd00::/8`';
  return err('prefix-syntax', `${quote(text)} is not an address or prefix`, help);
}

/** The prefix of this length that holds the address. */
export function prefixOf(address: Address, length: number): Prefix {
  const host = BigInt(addressBits(address.family) - length);
  return { address: { family: address.family, value: (address.value >> host) << host }, length };
}

/** Always with its length, also for a single address. */
export const formatPrefix = (prefix: Prefix): string => `${formatAddress(prefix.address)}/${prefix.length}`;

/** Never across families: whether an IPv4 address inside IPv6 counts is for the caller to ask (`embeddedIPv4`). */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  if (prefix.address.family !== address.family) return false;
  const host = BigInt(addressBits(address.family) - prefix.length);
  return address.value >> host === prefix.address.value >> host;
}

/** Whether every address of `inner` is in `outer`; true of equal prefixes. */
export const prefixCovers = (outer: Prefix, inner: Prefix): boolean =>
  outer.length <= inner.length && prefixContains(outer, inner.address);

/** Two prefixes overlap only where one covers the other. */
export const prefixesOverlap = (a: Prefix, b: Prefix): boolean => prefixCovers(a, b) || prefixCovers(b, a);

/** The last address of the range. */
export function lastAddress(prefix: Prefix): Address {
  const host = BigInt(addressBits(prefix.address.family) - prefix.length);
  return { family: prefix.address.family, value: prefix.address.value | ((1n << host) - 1n) };
}

/** Order for sorting: by address, a covering prefix before what it covers. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  if (a.address.family !== b.address.family) return a.address.family - b.address.family;
  if (a.address.value !== b.address.value) return a.address.value < b.address.value ? -1 : 1;
  return a.length - b.length;
}

/** A prefix that is written in source. Throws where it is not one. */
export function literalPrefix(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (!prefix.ok) throw new Error(prefix.error.message);
  return prefix.value;
}
