import { type Address, addressFromBytes } from '@cofferdam/net';

/** The address that a whole reverse name is of (RFC 1035, 3.5; RFC 3596, 2.5). Undefined for zones above one address. */
export const pointerAddress = (name: string): Address | undefined => {
  const v4 = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(name)?.[1];
  if (v4 !== undefined) {
    const octets = v4.slice(0, -1).split('.').reverse().map(Number);
    return octets.every((octet) => octet <= 255) ? addressFromBytes(Uint8Array.from(octets)) : undefined;
  }
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1];
  if (v6 === undefined) return undefined;
  return { family: 6, value: BigInt(`0x${v6.slice(0, -1).split('.').reverse().join('')}`) };
};
