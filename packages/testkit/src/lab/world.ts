/**
 * The hosts of the lab's internet, as data. Addresses look globally routable (the documentation ranges of RFC 5737 and
 * RFC 3849 are special-purpose, so no policy counts them as the public internet); no packet leaves the namespaces.
 */
export type MachineName = 'host' | 'internet' | 'spoke';

/** What listens on every address of a host; the ports are in `servicePorts`. */
export type Service =
  | 'http'
  | 'https'
  | 'quic'
  | 'ssh'
  | 'smtp'
  | 'mysql'
  | 'echo'
  | 'udp-echo'
  | 'ntp'
  | 'dns'
  | 'dns-over-tls'
  | 'sink';

export interface WorldHost {
  /** The `server` of its arrivals. */
  readonly key: string;
  readonly machine: 'internet' | 'spoke';
  readonly addresses: readonly string[];
  /** DNS names that resolve to all its addresses. */
  readonly names: readonly string[];
  readonly services: readonly Service[];
}

export interface DnsRecord {
  readonly name: string;
  readonly addresses: readonly string[];
  /** Every name below this one gets the same answer. */
  readonly wildcard?: boolean;
  /** Parameters of its HTTPS record (RFC 9460), which unbound alone gives. */
  readonly https?: string;
}

/** `quic` and `dns-over-tls` only record what comes, `sink` is a TCP port that swallows it. */
export const servicePorts: Readonly<
  Record<Service, { readonly tcp: readonly number[]; readonly udp: readonly number[] }>
> = {
  http: { tcp: [80, 8080], udp: [] },
  https: { tcp: [443, 8443], udp: [] },
  quic: { tcp: [], udp: [443] },
  ssh: { tcp: [22], udp: [] },
  smtp: { tcp: [25, 587], udp: [] },
  mysql: { tcp: [3306], udp: [] },
  echo: { tcp: [7, 5000], udp: [] },
  'udp-echo': { tcp: [], udp: [7, 5000] },
  ntp: { tcp: [], udp: [123] },
  dns: { tcp: [53], udp: [53] },
  'dns-over-tls': { tcp: [853], udp: [853] },
  sink: { tcp: [4444], udp: [4444] },
};

const web = ['http', 'https', 'quic'] as const satisfies readonly Service[];

export const worldHosts: readonly WorldHost[] = [
  // Two names, one address, and a third name of the same owner on another: a permit for one must not open the rest.
  {
    key: 'github',
    machine: 'internet',
    addresses: ['140.82.121.4', '2606:50c0:8000::4'],
    names: ['github.com', 'gist.github.com'],
    services: [...web, 'ssh'],
  },
  {
    key: 'github-api',
    machine: 'internet',
    addresses: ['140.82.121.6', '2606:50c0:8000::6'],
    names: ['api.github.com'],
    services: web,
  },
  // A content network: the attacker is a customer of it too.
  {
    key: 'cdn',
    machine: 'internet',
    addresses: ['151.101.0.223', '2a04:4e42::223'],
    names: ['pypi.org', 'files.pythonhosted.org', 'raw.githubusercontent.com', 'cdn.attacker.example'],
    services: web,
  },
  {
    key: 'registry',
    machine: 'internet',
    addresses: ['104.16.3.35', '2606:4700::6810:323'],
    names: ['registry.example', 'packages.registry.example'],
    services: web,
  },
  {
    key: 'web',
    machine: 'internet',
    addresses: ['93.184.215.14', '2606:2800:21f:cb07:6820:80da:af6b:8b2c'],
    names: ['example.com', 'www.example.com'],
    services: web,
  },
  {
    key: 'models',
    machine: 'internet',
    addresses: ['160.79.104.10', '2607:6bc0::10'],
    names: ['api.models.example', 'mcp.models.example'],
    services: web,
  },
  {
    key: 'four',
    machine: 'internet',
    addresses: ['93.184.215.20'],
    names: ['v4only.example'],
    services: [...web, 'echo'],
  },
  {
    key: 'six',
    machine: 'internet',
    addresses: ['2606:2800:21f::20'],
    names: ['v6only.example'],
    services: [...web, 'echo'],
  },
  {
    key: 'multihomed',
    machine: 'internet',
    addresses: ['23.192.228.80', '2600:1406::80'],
    names: ['multihomed.example'],
    services: web,
  },
  {
    key: 'mail',
    machine: 'internet',
    addresses: ['74.125.133.27', '2a00:1450:400c:c07::1b'],
    names: ['mail.example'],
    services: ['smtp'],
  },
  {
    key: 'database',
    machine: 'internet',
    addresses: ['52.28.10.33', '2a05:d014::33'],
    names: ['db.example'],
    services: ['mysql'],
  },
  {
    key: 'echo',
    machine: 'internet',
    addresses: ['104.131.20.7', '2604:a880::7'],
    names: ['echo.example'],
    services: ['echo', 'udp-echo', ...web],
  },
  {
    key: 'time',
    machine: 'internet',
    addresses: ['162.159.200.1', '2606:4700:f1::1'],
    names: ['time.example'],
    services: ['ntp'],
  },
  {
    key: 'attacker',
    machine: 'internet',
    addresses: ['45.83.64.10', '2a0e:1d40::10'],
    names: [],
    services: [...web, 'ssh', 'smtp', 'echo', 'udp-echo', 'dns', 'dns-over-tls', 'sink'],
  },
  {
    key: 'public-dns',
    machine: 'internet',
    addresses: ['8.8.8.8', '2001:4860:4860::8888'],
    names: ['dns.google'],
    services: [...web, 'dns', 'dns-over-tls'],
  },
  // Cloud platform addresses (policy: `reservedRanges`).
  {
    key: 'metadata',
    machine: 'internet',
    addresses: ['169.254.169.254', 'fd00:ec2::254'],
    names: ['metadata.example'],
    services: ['http'],
  },
  { key: 'platform', machine: 'internet', addresses: ['168.63.129.16'], names: [], services: ['http', 'dns'] },
  // The private network behind the router.
  {
    key: 'spoke-database',
    machine: 'spoke',
    addresses: ['10.20.0.10', 'fd20::10'],
    names: ['database.internal.example'],
    services: ['mysql', 'echo'],
  },
  {
    key: 'spoke-wiki',
    machine: 'spoke',
    addresses: ['10.20.0.20', 'fd20::20'],
    names: ['wiki.internal.example'],
    services: ['http', 'https', 'echo', 'udp-echo'],
  },
];

/** Routed to nowhere: a SYN to them is never answered. */
export const deadAddresses: readonly string[] = ['23.215.0.136', '2600:1406::dead'];

/** Names whose answer is not simply the addresses of one host. */
export const specialRecords: readonly DnsRecord[] = [
  { name: 'attacker.example', addresses: ['45.83.64.10', '2a0e:1d40::10'], wildcard: true },
  { name: 'dead-first.example', addresses: [...deadAddresses, '23.192.228.80', '2600:1406::80'] },
  // Rebinding: a public name that points inward, in every way an address can be written.
  { name: 'rebind.attacker.example', addresses: ['10.20.0.10', 'fd20::10'] },
  { name: 'metadata.attacker.example', addresses: ['169.254.169.254', 'fd00:ec2::254'] },
  { name: 'loopback.attacker.example', addresses: ['127.0.0.1', '::1'] },
  { name: 'mapped.attacker.example', addresses: ['::ffff:10.20.0.10'] },
  { name: 'nat64.attacker.example', addresses: ['64:ff9b::a14:a'] },
  { name: 'unspecified.attacker.example', addresses: ['0.0.0.0', '::'] },
];

/** Recursive resolvers; the host's resolv.conf names them in this order. */
export const resolverAddresses: readonly (readonly string[])[] = [
  ['9.9.9.9', '2620:fe::fe'],
  ['149.112.112.112', '2620:fe::9'],
];

/** Authoritative servers that carry a tunnel; recursive resolvers delegate the zone to the address. */
export const tunnelServers = {
  iodine: { zone: 't.attacker.example', address: '45.83.65.53', port: 5353, password: 'lab', network: '10.53.0.1/24' },
  dns2tcp: { zone: 'd.attacker.example', address: '45.83.66.53', port: 5354, key: 'lab', resource: 'echo' },
} as const;

/** The contained host's own addresses and its router. */
export const hostLink = {
  host: ['192.168.50.2/24', '2a01:4f8:50::2/64'],
  router: ['192.168.50.1/24', '2a01:4f8:50::1/64'],
} as const;
export const spokeLink = { spoke: ['10.20.0.2/16', 'fd20::2/64'], router: ['10.20.0.1/16', 'fd20::1/64'] } as const;

export const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);
