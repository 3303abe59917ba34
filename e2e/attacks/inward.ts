/** Addresses that are not what they seem: names that an attacker makes point inward, and IPv4 addresses that hide in IPv6 ones. */

/** Names of the attacker's zone, and where they point: in every way in which an address can be written. */
export const inward: Readonly<Record<string, readonly string[]>> = {
  'rebind.attacker.example': ['10.20.0.10', 'fd20::10'],
  'metadata.attacker.example': ['169.254.169.254', 'fd00:ec2::254'],
  'platform.attacker.example': ['168.63.129.16'],
  'loopback.attacker.example': ['127.0.0.1', '::1'],
  'unspecified.attacker.example': ['0.0.0.0', '::'],
  'multicast.attacker.example': ['224.0.0.251', 'ff02::fb'],
  'mapped.attacker.example': ['::ffff:10.20.0.10'],
  'mapped-metadata.attacker.example': ['::ffff:169.254.169.254'],
  'nat64.attacker.example': ['64:ff9b::a14:a'],
  'nat64-local.attacker.example': ['64:ff9b:1::a9fe:a9fe'],
  'six-to-four.attacker.example': ['2002:a14:a::1'],
  'teredo.attacker.example': ['2001:0:4136:e378:8000:63bf:5601:5601'],
  'compatible.attacker.example': ['::169.254.169.254'],
  'gateway.attacker.example': ['198.18.0.1', 'fdc0:ffe7:da11::1'],
  'pool.attacker.example': ['198.18.1.0', 'fdc0:ffe7:da11:198::100'],
  'host.attacker.example': ['192.168.50.2'],
};

const hex = (quad: string, flip = 0): string => {
  const [a, b, c, d] = quad.split('.').map((part) => Number(part) ^ flip) as [number, number, number, number];
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
};
/** An IPv4 address as part of an IPv6 one. */
export const spellings: Readonly<Record<string, (quad: string) => string>> = {
  compatible: (quad) => `::${quad}`,
  '6to4': (quad) => `2002:${hex(quad)}::1`,
  NAT64: (quad) => `64:ff9b::${quad}`,
  'local NAT64': (quad) => `64:ff9b:1::${quad}`,
  Teredo: (quad) => `2001:0:4136:e378:8000:63bf:${hex(quad, 255)}`,
};
export const wiki = '10.20.0.20';
export const metadata = '169.254.169.254';
/** What an address is, and why it is denied under a permit of `public-internet`. */
const inside: readonly (readonly [string, string, string])[] = [
  ['private', wiki, 'no-rule'],
  ['metadata', metadata, 'reserved-address'],
  ['platform', '168.63.129.16', 'reserved-address'],
  // One of the addresses of the machine that the gateway runs on.
  ['loopback', '127.0.0.1', 'gateway-port'],
  ['shared (CGNAT)', '100.64.0.1', 'no-rule'],
  ['gateway', '198.18.0.1', 'gateway-port'],
];
/** One that is public. */
export const outside = '93.184.215.14';
export const literals = inside.flatMap(([sort, quad, reason]) =>
  Object.entries(spellings).map(([spelling, write]) => ({
    what: `${sort} as ${spelling}`,
    host: write(quad),
    reason,
  })),
);
