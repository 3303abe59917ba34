import {
  type Address,
  addressBits,
  canonicalName,
  canonicalPath,
  type DomainName,
  type DomainPattern,
  lastAddress,
  type PathPattern,
  type PortRange,
  type Prefix,
} from '@cofferdam/net';
import type { Draw } from './draw.ts';

/** Values at the edges of what a policy names: inside and just outside of a pattern, a prefix, a range. */

const nameOr = (text: string, fallback: string): DomainName => {
  const name = canonicalName(text);
  return name.ok ? name.value : (fallback as DomainName);
};

/** A name that the pattern matches, or that lies a label or a character beside it. */
export const nameNear = (draw: Draw, pattern: DomainPattern): DomainName => {
  const deep = draw.pick(['a.', 'a.b.', '', 'a-1.b.c.']);
  const filled = pattern.text.replace(/^\*\*\./, deep).replace(/\*/g, () => draw.pick(['x', '', 'x-1', 'x.y', '0']));
  const beside = draw.weighted<(name: string) => string>([
    [(name) => name, 70],
    [(name) => `sub.${name}`, 8],
    [(name) => `x${name}`, 8],
    [(name) => name.slice(name.indexOf('.') + 1), 8],
    [(name) => `${name}.evil.example`, 6],
  ]);
  return nameOr(beside(filled), pattern.fixed);
};

/** A path that the pattern matches, or that lies a segment or a character beside it. */
export const pathNear = (draw: Draw, pattern: PathPattern): string => {
  const filled = pattern.text
    .replace(/\*\*$/, () => draw.pick(['', 'a', 'a/b', 'a/b/c.txt']))
    .replace(/\*/g, () => draw.pick(['x', '', 'x1', 'x/y']));
  const beside = draw.weighted<(path: string) => string>([
    [(path) => path, 75],
    [(path) => `${path}/more`, 9],
    [(path) => `${path}x`, 8],
    [(path) => path.replace(/\/[^/]*$/, '') || '/', 8],
  ]);
  return canonicalPath(beside(filled)) ?? '/';
};

/** A port inside the range, at its ends, or one beside them. */
export const portNear = (draw: Draw, { first, last }: PortRange): number =>
  Math.min(65535, Math.max(0, draw.pick([first, last, first - 1, last + 1, Math.floor((first + last) / 2)])));

/** An address inside the prefix, at its ends, or one beside them. */
export const addressNear = (draw: Draw, prefix: Prefix): Address => {
  const { family, value: first } = prefix.address;
  const { value: last } = lastAddress(prefix);
  const most = (1n << BigInt(addressBits(family))) - 1n;
  const value = draw.pick([first, last, first + 1n, (first + last) / 2n, first - 1n, last + 1n]);
  return { family, value: value < 0n ? 0n : value > most ? most : value };
};

/** IPv6 addresses that hold an IPv4 address, in every way that `net` looks for. */
export const embeddings: readonly { readonly kind: string; readonly wrap: (inner: bigint) => bigint }[] = [
  { kind: 'mapped', wrap: (inner) => (0xffffn << 32n) | inner },
  { kind: 'nat64', wrap: (inner) => (0x0064ff9bn << 96n) | inner },
  { kind: 'nat64-local', wrap: (inner) => (0x0064ff9b0001n << 80n) | inner },
  { kind: 'compatible', wrap: (inner) => inner },
  { kind: '6to4', wrap: (inner) => (0x2002n << 112n) | (inner << 80n) | 1n },
  { kind: 'teredo', wrap: (inner) => (0x20010000n << 96n) | (inner ^ 0xffffffffn) },
];

/** The address itself, or, for IPv4, one that embeds it. */
export const perhapsEmbedded = (draw: Draw, address: Address): Address => {
  if (address.family === 6 || !draw.chance(18)) return address;
  return { family: 6, value: draw.pick(embeddings).wrap(address.value) };
};
