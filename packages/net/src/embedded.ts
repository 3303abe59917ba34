import type { Address } from './address.ts';
import { literalPrefix, type Prefix, prefixContains } from './prefix.ts';

/** `::/96`, RFC 4291, section 2.5.5.1 (deprecated). Some stacks and translators still dial what is inside. */
const compatible = literalPrefix('::/96');
/** RFC 4291, section 2.5.5.2: a socket of both families sends IPv4 for these. */
const mapped = literalPrefix('::ffff:0:0/96');
/** RFC 6052, section 2.1: the well-known prefix of NAT64. */
const nat64 = literalPrefix('64:ff9b::/96');
/** RFC 8215: NAT64 prefixes of local use. */
const nat64Local = literalPrefix('64:ff9b:1::/48');
/** RFC 4380, section 4: Teredo. */
const teredo = literalPrefix('2001::/32');
/** RFC 3056: 6to4. */
const sixToFour = literalPrefix('2002::/16');

/** The IPv6 prefixes whose addresses may hold an IPv4 address. They do not overlap. */
export const embeddingPrefixes: readonly Prefix[] = [compatible, mapped, nat64, nat64Local, teredo, sixToFour];

const low32 = (value: bigint): bigint => value & 0xffffffffn;
const ipv4 = (value: bigint): Address => ({ family: 4, value });

/**
 * The IPv4 address that a packet to this IPv6 address may end at. Absent for IPv4, for `::` and `::1`, and for IPv6 addresses
 * that hold none. A filter that does not look inside is passed by writing 127.0.0.1 as `::ffff:7f00:1` or `64:ff9b::7f00:1`.
 */
export function embeddedIPv4(address: Address): Address | undefined {
  if (address.family === 4) return undefined;
  const { value } = address;
  if (prefixContains(compatible, address)) return value > 1n ? ipv4(value) : undefined;
  if (prefixContains(mapped, address) || prefixContains(nat64, address)) return ipv4(low32(value));
  if (prefixContains(nat64Local, address)) return ipv4(localNat64(value));
  // RFC 4380, section 4: the client's address is inverted, so that translators on the way do not rewrite it.
  if (prefixContains(teredo, address)) return ipv4(low32(value) ^ 0xffffffffn);
  if (prefixContains(sixToFour, address)) return ipv4(low32(value >> 80n));
  return undefined;
}

/**
 * RFC 8215 leaves the prefix length inside `64:ff9b:1::/48` to the operator. Where bits 64 to 95 are zero and the last 32 are not, it
 * is a /96 below a 16-bit subnet; otherwise the /48 layout of RFC 6052, section 2.2: bits 48 to 63 and 72 to 87. The order
 * matters: a translator ignores what follows the /48 layout, so a public address written there must not hide the one that is dialled.
 */
function localNat64(value: bigint): bigint {
  const last = low32(value);
  if (low32(value >> 32n) === 0n && last !== 0n) return last;
  return (((value >> 64n) & 0xffffn) << 16n) | ((value >> 40n) & 0xffffn);
}
