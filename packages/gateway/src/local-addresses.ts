import { readFileSync } from 'node:fs';
import { type Address, addressBits, addressFromBytes, type Prefix, parseAddress, prefixOf } from '@cofferdam/net';

/**
 * What this machine takes for itself, as its routing does: also addresses of an interface that has no carrier (a bridge of a container engine
 * without containers), which lists of running interfaces leave out and connections reach all the same.
 */

/** The `LOCAL` entries of /proc/net/fib_trie: an address on one line, what it is on the next. */
export const parseLocal4 = (text: string): readonly Prefix[] => {
  const found = text.matchAll(/\|-- ([0-9.]+)\n((?:\s+\/[0-9]+ .*(?:\n|$))+)/g);
  return [...found].flatMap(([, address, entries]) => {
    const base = parseAddress(address!);
    if (base === undefined) return [];
    return [...entries!.matchAll(/\/([0-9]+) host LOCAL/g)].map(([, length]) => prefixOf(base, Number(length)));
  });
};

/** /proc/net/if_inet6: 32 digits, then interface, length, scope, flags and name. */
export const parseLocal6 = (text: string): readonly Prefix[] =>
  text.split('\n').flatMap((line) => {
    const digits = /^([0-9a-f]{32}) /.exec(line)?.[1];
    return digits === undefined ? [] : [prefixOf(addressFromBytes(Buffer.from(digits, 'hex')), 128)];
  });

const read = (path: string): string => {
  try {
    return readFileSync(path, 'latin1');
  } catch (e) {
    // A kernel without IPv6 has no such file, and no such address.
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return '';
    throw e;
  }
};

/** Of the namespace that the calling thread is in, now. An address is a prefix of its full length. */
export const localPrefixes = (): readonly Prefix[] => [
  ...parseLocal4(read('/proc/thread-self/net/fib_trie')),
  ...parseLocal6(read('/proc/thread-self/net/if_inet6')),
];

/** The single addresses among them. */
export const localAddresses = (): readonly Address[] => {
  const single = localPrefixes().filter(({ address, length }) => length === addressBits(address.family));
  return [...new Map(single.map(({ address }) => [`${address.family} ${address.value}`, address])).values()];
};
