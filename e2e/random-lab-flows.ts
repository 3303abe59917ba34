/** Flows of the randomised lab: how they are drawn, what they say, and what the reference evaluator makes of them. */
import { type Address, type DomainName, domainPatternMatches, prefixContains } from '@cofferdam/net';
import {
  agentMatches,
  containmentOf,
  destinationMatches,
  evaluatePrepared,
  finalDecisionPrepared,
  type Prepared,
  type Rule,
  scheduleActive,
} from '@cofferdam/policy';
import { address, type Conduct, type Draw, name as nameOf, prefix, readOf } from '@cofferdam/testkit';
import { servicePorts, worldHosts } from '@cofferdam/testkit/lab';
import { absent, type Facts, known, type Path, unknown } from '@cofferdam/verdict';
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
const pools = ['198.18.0.0/15', 'fdc0:ffe7:da11::/48'].map(prefix);
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
  const claimed = (): string => (own !== undefined && draw.chance(78) ? own : draw.pick(names));
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

/** What the reference evaluator says of a flow to one of the addresses that it may have. */
export interface Chance {
  readonly address: string;
  /** Its first packet may arrive; what it says may. */
  readonly begins: boolean;
  readonly delivers: boolean;
  readonly path: Path;
  readonly reason: string;
}

export interface Expectation {
  readonly chances: readonly Chance[];
  /** Its question may be asked of anybody. */
  readonly asks: boolean;
  /** What it says has to arrive, and, where somebody answers there, the answer too. */
  readonly must: boolean;
  readonly answered: boolean;
}

const conductOf = (words: Words): Conduct => {
  switch (words.kind) {
    case 'opaque':
      return { kind: words.after ? 'server-first' : 'opaque' };
    case 'tls':
      return { kind: 'tls', name: words.sni === undefined ? absent : known(nameOf(words.sni)) };
    case 'http':
      return {
        kind: 'http',
        host: known(nameOf(words.host)),
        request: known({ method: words.method, scheme: 'http', host: nameOf(words.host), path: words.path }),
        mcp: absent,
      };
  }
};

const isActive = (rule: Rule, at: number): boolean =>
  (rule.expires === undefined || at < rule.expires) &&
  (rule.schedule === undefined || scheduleActive(rule.schedule, at));

/** DESIGN 6, as it is written: an enforced, active permit of the agent covers the name, and the address as well where one is given. */
const nameOpen = (prepared: Prepared, facts: Facts, name: DomainName, to?: Address): boolean => {
  const workload = agentOf(prepared, facts);
  if (workload === undefined) return false;
  const source = { address: facts.source, workload };
  const lifted = prepared.context.monitor || containmentOf(prepared.groups, source) === 'monitor';
  if (lifted && (to === undefined || !isReserved(to, prepared))) return true;
  return prepared.rules.some(({ rule, from, to: groups, web }) => {
    if (rule.action !== 'permit' || rule.mode !== 'enforce' || prepared.context.monitor) return false;
    if (!isActive(rule, facts.at) || !from.some((members) => agentMatches(members, source))) return false;
    const covers =
      web !== undefined &&
      (web.any ||
        web.domains.some((one) => domainPatternMatches(one, name)) ||
        web.urls.some(({ host }) => domainPatternMatches(host, name)));
    const isResolved = (rule.resolve ?? []).includes('any-web') || resolves(prepared, rule, name);
    const isHost = groups.some(({ hostnames }) => hostnames.some((one) => one.name === name));
    if (!covers && !isResolved && !isHost) return false;
    return (
      to === undefined || destinationMatches(groups, { address: to, names: [name] }, 'permit', prepared.gatewayKeys)
    );
  });
};

/** WebGroups that `resolve` names are not prepared: rules carry those of `web` alone. */
const resolveGroups = new WeakMap<Prepared, ReadonlyMap<string, NonNullable<Prepared['rules'][number]['web']>>>();
export const rememberGroups = (prepared: Prepared, groups: Parameters<typeof resolveGroups.set>[1]): void => {
  resolveGroups.set(prepared, groups);
};
const resolves = (prepared: Prepared, rule: Rule, name: DomainName): boolean =>
  (rule.resolve ?? []).some((group) => {
    const web = resolveGroups.get(prepared)?.get(group);
    return (
      web !== undefined &&
      (web.domains.some((one) => domainPatternMatches(one, name)) ||
        web.urls.some(({ host }) => domainPatternMatches(host, name)))
    );
  });

const agentOf = (prepared: Prepared, facts: Facts) =>
  prepared.holders
    .get(`${facts.source.family}:${facts.source.value}`)
    ?.find((one) => one.interface === undefined || one.interface === facts.interface);

const reservedPrefixes = ['169.254.0.0/16', '168.63.129.16/32', 'fd00:ec2::254/128', '127.0.0.0/8', '::1/128'].map(
  prefix,
);
const isReserved = (to: Address, prepared: Prepared): boolean =>
  reservedPrefixes.some((one) => prefixContains(one, to)) || prepared.gatewayKeys.has(`${to.family}:${to.value}`);

export interface Judge {
  readonly prepared: Prepared;
  readonly world: PlannedWorld;
  readonly addressesOf: (name: string) => readonly string[];
}

const factsOf = (judge: Judge, spec: FlowSpec, to: string, at: number): Facts => ({
  at,
  source: address(spec.source),
  interface: judge.world.subnets[spec.subnet]!.device,
  protocol: spec.protocol,
  destination: address(to),
  ...(spec.protocol === 'icmp' ? {} : { destinationPort: spec.port }),
  addressNames: spec.name === undefined ? [] : [nameOf(spec.name)],
  tls: unknown,
  claimedName: unknown,
  plainHttpSeen: false,
  request: unknown,
  mcp: unknown,
});

const chanceOf = (judge: Judge, spec: FlowSpec, to: string, at: number): Chance => {
  const { prepared } = judge;
  const first = factsOf(judge, spec, to, at);
  // Only the proxy goes from one family to the other.
  const crosses = familyOf(to) !== familyOf(spec.source);
  const packet = crosses ? { ...first, path: 'proxy' as const } : first;
  const decision = evaluatePrepared(prepared, packet);
  const begins = decision.kind === 'undecided' || decision.verdict === 'permit';
  const path = crosses ? 'proxy' : decision.path;
  const final =
    spec.protocol === 'tcp' && begins
      ? finalDecisionPrepared(prepared, readOf(conductOf(spec.words), packet, path))
      : finalDecisionPrepared(prepared, { ...packet, path });
  const torn = spec.manner === 'torn' || spec.manner === 'orphan';
  return {
    address: to,
    begins: begins && !torn,
    delivers: begins && !torn && final.verdict === 'permit',
    path,
    reason: final.reason,
  };
};

export const expect = (judge: Judge, spec: FlowSpec, at: number): Expectation => {
  const { prepared, world } = judge;
  const family = familyOf(spec.source);
  const isPooled = spec.address !== undefined && pools.some((one) => prefixContains(one, address(spec.address!)));
  const real = spec.name === undefined ? (isPooled ? [] : [spec.address!]) : judge.addressesOf(spec.name);
  const chances = real
    .filter((one) => familyOf(one) === family || spec.protocol === 'tcp')
    .map((one) => chanceOf(judge, spec, one, at));
  const same = chances.filter((one) => familyOf(one.address) === family);
  const name = spec.name === undefined ? undefined : nameOf(spec.name);
  const facts = factsOf(judge, spec, real[0] ?? spec.source, at);
  const asks = name !== undefined && nameOpen(prepared, facts, name);
  const usable = (to: string): boolean => name === undefined || nameOpen(prepared, facts, name, address(to));
  const isThere = (to: string): boolean => {
    const host = subnetOf(world, to);
    // What inventory does not know is not heard there, neither its answers nor where it is.
    const isWorkload = world.subnets.some((one) => one.workloads.some(({ addresses }) => addresses.includes(to)));
    if (host === spec.subnet || (host !== undefined && !isWorkload)) return false;
    if (spec.protocol !== 'tcp') return host !== undefined || worldServices(to).length > 0;
    return portsAt(world, to, 'tcp').includes(spec.port);
  };
  const must =
    spec.manner === 'socket' &&
    same.length > 0 &&
    (name === undefined || asks) &&
    same.every((one) => one.delivers && usable(one.address) && isThere(one.address));
  return { chances, asks, must, answered: must && same.every((one) => answers(world, spec, one.address)) };
};

const answers = (world: PlannedWorld, spec: FlowSpec, to: string): boolean => {
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
