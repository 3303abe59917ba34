/** Flows of the randomised lab: how they are drawn, what they say, and who serves what they ask for. */
import { prefixContains } from '@cofferdam/net';
import { address, type Draw, prefix } from '@cofferdam/testkit';
import { servicePorts, worldHosts } from '@cofferdam/testkit/lab';
import { familyOf, type PlannedWorld } from './random-lab-world.ts';

/** What a client says on a TCP connection. `after`: only when the server has spoken. */
export type Words =
  | { readonly kind: 'tls'; readonly sni: string | undefined }
  | { readonly kind: 'opaque'; readonly after: boolean }
  | { readonly kind: 'http'; readonly method: string; readonly host: string; readonly path: string };

/**
 * - `socket`: what a program does;
 * - `spoofed`: one packet with a source that the subnet's machine does not have;
 * - `torn`: a TCP segment in two fragments; `orphan`: a fragment that nothing came before.
 */
export type Manner = 'socket' | 'spoofed' | 'torn' | 'orphan';

export interface FlowSpec {
  /** Where it is sent from. */
  readonly subnet: number;
  readonly source: string;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  /** A name that is asked for, or, where `stale`, was asked for under an earlier policy; else an address. */
  readonly name?: string;
  readonly stale?: boolean;
  readonly address?: string;
  /** Who is asked, by its place: the gateway, or somebody who is never reached. */
  readonly server?: string;
  readonly port: number;
  readonly words: Words;
  /** Bytes of a datagram. */
  readonly size: number;
  readonly manner: Manner;
}

/** A name with two addresses of each family: one of the internet, one of the spoke. */
export const mixed = {
  name: 'mixed.example',
  addresses: ['104.131.20.7', '2604:a880::7', '10.20.0.20', 'fd20::20'],
} as const;

const names = [
  'github.com',
  'gist.github.com',
  'api.github.com',
  'example.com',
  'www.example.com',
  'registry.example',
  'packages.registry.example',
  'api.models.example',
  'mail.example',
  'db.example',
  'echo.example',
  'database.internal.example',
  'wiki.internal.example',
  'multihomed.example',
  'pypi.org',
  'v4only.example',
  'v6only.example',
  'rebind.attacker.example',
  'metadata.attacker.example',
  mixed.name,
] as const;

const hostAddresses = { 4: '192.168.50.2', 6: '2a01:4f8:50::2' } as const;
const unmapped = { 4: '198.18.200.7', 6: 'fdc0:ffe7:da11:198::c807' } as const;
const elsewhere = { 4: '8.8.8.8', 6: '2001:4860:4860::8888' } as const;

const agentPorts = [22, 80, 443, 5000, 5432, 8080] as const;
const agentUdp: readonly number[] = [443, 5000];
const agentGreets: readonly number[] = [22, 5432];
const worldGreets: readonly number[] = [25, 587, 3306];

const worldServices = (to: string): readonly (keyof typeof servicePorts)[] =>
  worldHosts.find(({ addresses }) => addresses.includes(to))?.services ?? [];

const agentsOf = ({ subnets }: PlannedWorld): readonly string[] =>
  subnets.flatMap((one) => [...one.workloads.flatMap(({ addresses }) => addresses), ...one.strangers]);

export const subnetOf = ({ subnets }: PlannedWorld, to: string): number | undefined => {
  const at = subnets.findIndex(({ prefixes }) => prefixes.some((one) => prefixContains(prefix(one), address(to))));
  return at < 0 ? undefined : at;
};

const portsAt = (world: PlannedWorld, to: string, protocol: 'tcp' | 'udp'): readonly number[] =>
  agentsOf(world).includes(to)
    ? protocol === 'tcp'
      ? agentPorts
      : agentUdp
    : worldServices(to)
        // The lab's sshd does not run, and port 53 is never a policy's.
        .filter((service) => service !== 'ssh' && service !== 'dns')
        .flatMap((service) => servicePorts[service][protocol]);

const drawWords = (draw: Draw, port: number, greets: boolean, own: string | undefined): Words => {
  if (greets) return { kind: 'opaque', after: true };
  const claimed = (): string => (own !== undefined && draw.chance(70) ? own : draw.pick(names));
  const likely = [443, 8443].includes(port) ? 'tls' : [80, 8080].includes(port) ? 'http' : 'opaque';
  const kind = draw.chance(75) ? likely : draw.pick(['tls', 'opaque', 'http'] as const);
  switch (kind) {
    case 'tls':
      return { kind, sni: draw.chance(own === undefined ? 50 : 88) ? claimed() : undefined };
    case 'http':
      return {
        kind,
        method: draw.pick(['GET', 'GET', 'POST', 'DELETE']),
        host: claimed(),
        path: draw.pick(['/', '/repos/acme', '/v1/x', '/files/a.txt', '/elsewhere']),
      };
    case 'opaque':
      return { kind, after: false };
  }
};

export const drawFlow = (
  draw: Draw,
  world: PlannedWorld,
  addressesOf: (name: string) => readonly string[],
): FlowSpec => {
  const subnet = draw.below(world.subnets.length);
  const here = world.subnets[subnet]!;
  const source = draw.chance(94) ? draw.pick(draw.pick(here.workloads).addresses) : draw.pick(here.strangers);
  const family = familyOf(source);
  const others = agentsOf(world).filter((one) => familyOf(one) === family && subnetOf(world, one) !== subnet);
  const target = draw.weighted<'name' | 'stale' | 'world' | 'agent' | 'odd'>([
    ['name', 42],
    ['stale', 10],
    ['world', 20],
    ['agent', others.length === 0 ? 0 : 22],
    ['odd', 6],
  ]);
  const literals = worldHosts.flatMap(({ addresses }) => addresses).filter((one) => familyOf(one) === family);
  const odd = [hostAddresses[family], unmapped[family], ...world.subnets.flatMap(({ gateway }) => gateway)].filter(
    (one) => familyOf(one) === family,
  );
  const named = target === 'name' || target === 'stale' ? draw.pick(names) : undefined;
  const to =
    target === 'world'
      ? draw.pick(literals)
      : target === 'agent'
        ? draw.pick(others)
        : target === 'odd'
          ? draw.pick(odd)
          : undefined;
  const real = named === undefined ? to! : (addressesOf(named).find((one) => familyOf(one) === family) ?? '');
  const manner = draw.weighted<Manner>([
    ['socket', 92],
    ['spoofed', 4],
    ['torn', 2],
    ['orphan', 2],
  ]);
  const protocol =
    manner === 'torn'
      ? 'tcp'
      : manner === 'orphan'
        ? 'udp'
        : draw.weighted<FlowSpec['protocol']>([
            ['tcp', 70],
            ['udp', 18],
            ['icmp', manner === 'socket' ? 12 : 0],
          ]);
  const open = portsAt(world, real, protocol === 'udp' ? 'udp' : 'tcp');
  const port =
    protocol === 'icmp'
      ? 0
      : open.length > 0 && draw.chance(88)
        ? draw.pick(open)
        : draw.pick([443, 80, 5000, 5432, 8080, 3306]);
  const isAgent = agentsOf(world).includes(real);
  const greets = (isAgent ? agentGreets : worldGreets).includes(port) && open.includes(port);
  const raw = manner !== 'socket';
  const spoofedFrom = agentsOf(world).filter((one) => familyOf(one) === family && subnetOf(world, one) !== subnet);
  return {
    subnet,
    source:
      manner === 'spoofed' ? draw.pick([...spoofedFrom, family === 4 ? '93.184.215.14' : '2606:2800:21f::20']) : source,
    protocol,
    // Packets that no program sends have no look-up before them.
    ...(named === undefined
      ? { address: to! }
      : raw
        ? { address: real === '' ? elsewhere[family] : real }
        : { name: named }),
    ...(target === 'stale' && !raw ? { stale: true } : {}),
    ...(target === 'name' && draw.chance(15) ? { server: elsewhere[family] } : {}),
    port,
    words: drawWords(draw, port, greets, named),
    size: draw.chance(20) ? 3000 : 40,
    manner,
  };
};

/** Somebody is heard there. What inventory does not know is not heard, neither its answers nor where it is. */
export const isThere = (world: PlannedWorld, spec: FlowSpec, to: string): boolean => {
  const host = subnetOf(world, to);
  const isWorkload = world.subnets.some((one) => one.workloads.some(({ addresses }) => addresses.includes(to)));
  if (host === spec.subnet || (host !== undefined && !isWorkload)) return false;
  if (spec.protocol !== 'tcp') return host !== undefined || worldServices(to).length > 0;
  return portsAt(world, to, 'tcp').includes(spec.port);
};

/** Who is there answers what this flow says. */
export const answers = (world: PlannedWorld, spec: FlowSpec, to: string): boolean => {
  if (spec.protocol === 'icmp') return true;
  const isAgent = agentsOf(world).includes(to);
  const services = worldServices(to);
  if (spec.protocol === 'udp')
    return isAgent ? agentUdp.includes(spec.port) : services.includes('udp-echo') && [7, 5000].includes(spec.port);
  if (isAgent) return true;
  switch (spec.words.kind) {
    case 'tls':
      return [443, 8443].includes(spec.port);
    case 'http':
      return [80, 8080].includes(spec.port);
    case 'opaque':
      return [7, 5000].includes(spec.port);
  }
};

export const describeFlow = (spec: FlowSpec): string => {
  const { words } = spec;
  const said =
    spec.protocol !== 'tcp'
      ? `${spec.size} bytes`
      : words.kind === 'tls'
        ? `TLS for ${words.sni ?? 'no name'}`
        : words.kind === 'http'
          ? `${words.method} http://${words.host}${words.path}`
          : words.after
            ? 'bytes after the greeting'
            : 'bytes';
  const to = spec.name === undefined ? spec.address : `${spec.stale ? 'known ' : ''}${spec.name}`;
  return `${spec.manner} ${spec.protocol} ${spec.source} (subnet ${spec.subnet}) → ${to} port ${spec.port}: ${said}`;
};
