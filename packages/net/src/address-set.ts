import type { Address } from './address.ts';
import { embeddedIPv4 } from './embedded.ts';
import { literalPrefix, type Prefix, prefixContains } from './prefix.ts';

const prefixes = (...texts: string[]): readonly Prefix[] => texts.map(literalPrefix);
const holds = (set: readonly Prefix[], address: Address): boolean =>
  set.some((prefix) => prefixContains(prefix, address));

/** The SmartGroup `private-networks`. */
export const privateNetworks: readonly Prefix[] = prefixes(
  '10.0.0.0/8', // RFC 1918
  '172.16.0.0/12', // RFC 1918
  '192.168.0.0/16', // RFC 1918
  '100.64.0.0/10', // RFC 6598, shared address space: carrier NAT, and the inside of several clouds and VPNs
  'fc00::/7', // RFC 4193
);

/**
 * What `public-internet` leaves out beside {@link reservedRanges}: the IANA special-purpose address registries for IPv4 and IPv6 (RFC
 * 6890, as updated by RFC 8190), whether marked globally reachable or not, multicast, and the IPv6 space outside `2000::/3`, which the
 * IANA IPv6 address space registry reserves (site-local `fec0::/10` of old among it). Entries that lie inside another are not repeated.
 */
export const specialPurpose: readonly Prefix[] = prefixes(
  // IANA IPv4 special-purpose address registry
  '0.0.0.0/8', // RFC 791, this network
  '10.0.0.0/8', // RFC 1918
  '100.64.0.0/10', // RFC 6598
  '127.0.0.0/8', // RFC 1122, loopback
  '169.254.0.0/16', // RFC 3927, link-local
  '172.16.0.0/12', // RFC 1918
  '192.0.0.0/24', // RFC 6890, IETF protocol assignments: DS-Lite, PCP and TURN anycast, NAT64 discovery
  '192.0.2.0/24', // RFC 5737, documentation
  '192.31.196.0/24', // RFC 7535, AS112
  '192.52.193.0/24', // RFC 7450, AMT
  '192.88.99.0/24', // RFC 7526, 6to4 relays, deprecated
  '192.168.0.0/16', // RFC 1918
  '192.175.48.0/24', // RFC 7534, AS112
  '198.18.0.0/15', // RFC 2544, benchmarking
  '198.51.100.0/24', // RFC 5737, documentation
  '203.0.113.0/24', // RFC 5737, documentation
  '224.0.0.0/4', // RFC 5771, multicast
  '240.0.0.0/4', // RFC 1112, reserved; RFC 8190, limited broadcast
  // IANA IPv6 special-purpose address registry, what is inside 2000::/3
  '2001::/23', // RFC 2928, IETF protocol assignments: Teredo, ORCHID (RFC 4843, 7343), DRIP (RFC 9374), benchmarking (RFC 5180), AMT, AS112, anycast
  '2001:db8::/32', // RFC 3849, documentation
  '2002::/16', // RFC 3056, 6to4
  '2620:4f:8000::/48', // RFC 7534, AS112
  '3fff::/20', // RFC 9637, documentation
  // Outside 2000::/3. Listed by name: `::`, `::1`, IPv4-mapped, `64:ff9b::/96` and `64:ff9b:1::/48` (RFC 6052, 8215), `100::/64` (RFC 6666),
  // `100:0:0:1::/64` (RFC 9780), `5f00::/16` (RFC 9602), `fc00::/7`, `fe80::/10`; multicast `ff00::/8` (RFC 4291).
  '::/3',
  '4000::/2',
  '8000::/1',
);

/** What a reserved range is for. `platform`: a service of the cloud or hypervisor under the workload, metadata and resolvers first of all. */
export type ReservedKind = 'unspecified' | 'loopback' | 'link-local' | 'multicast' | 'broadcast' | 'platform';

export interface ReservedRange {
  readonly prefix: Prefix;
  readonly kind: ReservedKind;
  /** Kebab-case, unique. */
  readonly name: string;
  /** Where the range is defined. */
  readonly source: string;
}

const range = (prefix: string, kind: ReservedKind, name: string, source: string): ReservedRange => ({
  prefix: literalPrefix(prefix),
  kind,
  name,
  source,
});

/**
 * Addresses that no name and no wide prefix reaches, only a `cidr` inside the range. Ranges may lie inside each other; the longest
 * counts, so that opening link-local does not open the metadata service. The resolver of an AWS VPC at its second address is not here: it
 * depends on the network.
 */
export const reservedRanges: readonly ReservedRange[] = [
  // Linux connects 0.0.0.0 and :: to the host itself.
  range('0.0.0.0/8', 'unspecified', 'this-network', 'RFC 791, section 3.2'),
  range('::/128', 'unspecified', 'unspecified', 'RFC 4291, section 2.5.2'),
  range('127.0.0.0/8', 'loopback', 'loopback', 'RFC 1122, section 3.2.1.3'),
  range('::1/128', 'loopback', 'loopback-ipv6', 'RFC 4291, section 2.5.3'),
  range('169.254.0.0/16', 'link-local', 'link-local', 'RFC 3927'),
  range('fe80::/10', 'link-local', 'link-local-ipv6', 'RFC 4291, section 2.5.6'),
  range('224.0.0.0/4', 'multicast', 'multicast', 'RFC 5771'),
  range('ff00::/8', 'multicast', 'multicast-ipv6', 'RFC 4291, section 2.7'),
  range('255.255.255.255/32', 'broadcast', 'limited-broadcast', 'RFC 919; RFC 8190'),

  range(
    '169.254.169.254/32',
    'platform',
    'cloud-metadata',
    'AWS, Azure, Google Cloud, Oracle Cloud, OpenStack: instance metadata',
  ),
  range('fe80::a9fe:a9fe/128', 'platform', 'openstack-metadata-ipv6', 'OpenStack Nova: metadata over IPv6'),
  range(
    '168.63.129.16/32',
    'platform',
    'azure-platform',
    'Azure: virtual public IP of the host (DNS, DHCP, health probes, agent)',
  ),
  range('169.254.169.253/32', 'platform', 'aws-dns', 'AWS VPC: Route 53 Resolver'),
  range('169.254.169.123/32', 'platform', 'aws-time', 'AWS EC2: Amazon Time Sync Service'),
  range('169.254.170.2/32', 'platform', 'aws-ecs-credentials', 'AWS ECS: task metadata and credentials'),
  range('169.254.170.23/32', 'platform', 'aws-eks-pod-identity', 'AWS EKS: Pod Identity Agent'),
  range(
    'fd00:ec2::/32',
    'platform',
    'aws-ipv6',
    'AWS EC2: fd00:ec2::254 metadata, ::253 DNS, ::123 time, ::23 EKS Pod Identity',
  ),
  range('fd20:ce::254/128', 'platform', 'google-metadata-ipv6', 'Google Cloud: metadata server over IPv6'),
  range('fd00:c1::a9fe:a9fe/128', 'platform', 'oracle-metadata-ipv6', 'Oracle Cloud: instance metadata over IPv6'),
  range(
    '192.0.0.192/32',
    'platform',
    'oracle-classic-metadata',
    'Oracle Cloud Infrastructure Classic: instance metadata',
  ),
  range('100.100.100.200/32', 'platform', 'alibaba-metadata', 'Alibaba Cloud ECS: instance metadata'),
  range('fd00:100::100:200/128', 'platform', 'alibaba-metadata-ipv6', 'Alibaba Cloud ECS: instance metadata over IPv6'),
  range('100.100.2.136/32', 'platform', 'alibaba-dns', 'Alibaba Cloud VPC: resolver'),
  range('100.100.2.138/32', 'platform', 'alibaba-dns-second', 'Alibaba Cloud VPC: resolver'),
  range('169.254.0.23/32', 'platform', 'tencent-metadata', 'Tencent Cloud CVM: instance metadata'),
  range(
    '161.26.0.0/16',
    'platform',
    'ibm-platform',
    'IBM Cloud: infrastructure service endpoints (DNS, time, mirrors)',
  ),
  range('169.254.42.42/32', 'platform', 'scaleway-metadata', 'Scaleway: instance metadata'),
  range('fd00:42::42/128', 'platform', 'scaleway-metadata-ipv6', 'Scaleway: instance metadata over IPv6'),
  range(
    'fd00:a9fe:a9fe::1/128',
    'platform',
    'akamai-metadata-ipv6',
    'Akamai Connected Cloud (Linode): metadata over IPv6',
  ),
];

const longestFirst = reservedRanges.toSorted((a, b) => b.prefix.length - a.prefix.length);

/**
 * The longest reserved range the address is in, or that an IPv4 address inside it is in: `::ffff:127.0.0.1` is loopback. The gateway's own
 * addresses are not known here.
 */
export function reservedRange(address: Address): ReservedRange | undefined {
  const own = longestFirst.find((entry) => prefixContains(entry.prefix, address));
  if (own !== undefined) return own;
  const inner = embeddedIPv4(address);
  return inner === undefined ? undefined : reservedRange(inner);
}

/** Whether the SmartGroup `public-internet` holds the address. Where an IPv4 address is inside, that one alone counts. */
export function isPublicInternet(address: Address): boolean {
  const judged = embeddedIPv4(address) ?? address;
  return !holds(specialPurpose, judged) && reservedRange(judged) === undefined;
}

/** Whether the SmartGroup `private-networks` holds the address itself; an IPv4 address inside it is for the caller to ask for. */
export const isPrivateNetwork = (address: Address): boolean => holds(privateNetworks, address);
