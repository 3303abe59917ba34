import type { Address, DomainName, PortRange, UrlPattern } from '@cofferdam/net';
import {
  agentMatches,
  evaluatePrepared,
  membersOf,
  type Prepared,
  prepare,
  type Rule,
  type Selector,
} from '@cofferdam/policy';
import {
  absent,
  type Fact,
  type Facts,
  known,
  type McpFacts,
  type RequestFacts,
  unknown,
  unreadable,
} from '@cofferdam/verdict';
import type { Asked, Conduct } from './conduct.ts';
import type { Draw } from './draw.ts';
import { addressNear, nameNear, pathNear, perhapsEmbedded, portNear } from './near-miss.ts';
import type { Mode, Setting } from './policy-generator.ts';
import { address, domains, hostnames, mcpMethods, methods, paths, ports, prefixes, tools, urls } from './vocabulary.ts';

/**
 * One flow, and how its facts grow: the first element is what its first packet tells, each later one what is known
 * after the next thing was read. The path is fixed after the first. Facts never change once they are not `unknown`.
 */
export type FactsSequence = readonly Facts[];

const hour = 3_600_000;

const aimedAt = (draw: Draw, setting: Setting): Rule | undefined => {
  const rules = setting.policy.rulesets.flatMap((ruleset) => ruleset.rules);
  return rules.length > 0 && draw.chance(92) ? draw.pick(rules) : undefined;
};

/** Who sends: most often a workload that the rule's `from` holds, from where inventory says it is. */
const sourceOf = (
  draw: Draw,
  mode: Mode,
  { policy, context }: Setting,
  rule: Rule | undefined,
): { source: Address; interface: string } => {
  const ends = context.workloads.flatMap((workload) => workload.addresses.map((address) => ({ address, workload })));
  const groups = (rule?.from ?? []).map((name) => membersOf(policy, context, name));
  const meant = ends.filter((end) => groups.some((members) => agentMatches(members, end)));
  const end = draw.pick(meant.length > 0 && draw.chance(75) ? meant : ends);
  const odd = mode === 'wild' ? 4 : 1;
  return {
    source: draw.chance(odd) ? address('198.51.100.66') : end.address,
    interface: draw.chance(odd) ? 'eth9' : (end.workload.interface ?? 'eth1'),
  };
};

const addressOfSelector = (draw: Draw, setting: Setting, selector: Selector): Address => {
  if (selector.kind === 'cidr') return addressNear(draw, selector.prefix);
  if (selector.kind === 'hostname') {
    const resolved = setting.context.resolved.get(selector.name) ?? [];
    if (resolved.length > 0) return draw.pick(resolved);
  }
  return draw.pick(draw.pick(setting.context.workloads).addresses);
};

const destinationOf = (draw: Draw, setting: Setting, rule: Rule | undefined): Address => {
  const group = setting.policy.smartGroups.get(rule === undefined ? '' : draw.pick(rule.to));
  const { gatewayAddresses } = setting.context;
  const anywhere = (): Address => addressNear(draw, draw.pick(prefixes));
  const chosen = draw.weighted<() => Address>([
    [
      () => (group === undefined ? address('93.184.216.34') : addressOfSelector(draw, setting, draw.pick(group.any))),
      62,
    ],
    [() => address(draw.pick(['93.184.216.34', '10.20.0.130', '2606:2800:220:1::5'])), 22],
    [anywhere, 12],
    [() => (gatewayAddresses.length > 0 ? draw.pick(gatewayAddresses) : anywhere()), 4],
  ])();
  return perhapsEmbedded(draw, chosen);
};

const nameOf = (draw: Draw, setting: Setting, rule: Rule | undefined): DomainName => {
  const web = setting.policy.webGroups.get(rule?.web === undefined ? '' : draw.pick(rule.web));
  const patterns = [...(web?.domains ?? []), ...(web?.urls ?? []).map((url) => url.host)];
  if (draw.chance(8)) return draw.pick(hostnames);
  return nameNear(draw, draw.pick(patterns.length > 0 && draw.chance(85) ? patterns : domains));
};

const portOf = (draw: Draw, rule: Rule | undefined): number => {
  const ranges: readonly PortRange[] = rule?.ports ?? ports;
  return draw.chance(85) ? portNear(draw, draw.pick(ranges)) : draw.pick([443, 80, 22, 0, 65535]);
};

const urlsOf = (setting: Setting, rule: Rule | undefined): readonly UrlPattern[] => {
  const written = (rule?.web ?? []).flatMap((name) => setting.policy.webGroups.get(name)?.urls ?? []);
  return written.length > 0 ? written : urls;
};

const requestOf = (
  draw: Draw,
  setting: Setting,
  rule: Rule | undefined,
  scheme: 'http' | 'https',
  host: DomainName,
): RequestFacts => {
  const wanted = [...(rule?.http?.paths ?? []), ...urlsOf(setting, rule).map((url) => url.path)];
  return {
    method: draw.pick(rule?.http?.methods !== undefined && draw.chance(75) ? rule.http.methods : methods),
    scheme,
    host,
    path: pathNear(draw, draw.pick(draw.chance(85) ? wanted : paths)),
  };
};

const mcpOf = (draw: Draw): Fact<McpFacts> => {
  const method = draw.pick(mcpMethods);
  return draw.weighted<Fact<McpFacts>>([
    [known(method === 'tools/call' ? { method, tool: draw.pick(tools) } : { method }), 60],
    [absent, 28],
    [unreadable, 12],
  ]);
};

/** What the client says it wants: most often the name it was given the address for. */
const claimOf = (
  draw: Draw,
  setting: Setting,
  rule: Rule | undefined,
  names: readonly DomainName[],
): Fact<DomainName> =>
  draw.weighted<() => Fact<DomainName>>([
    [() => known(names[0] ?? nameOf(draw, setting, rule)), 62],
    [() => known(nameOf(draw, setting, rule)), 18],
    [() => absent, 10],
    [() => unreadable, 10],
  ])();

/** What was read of a flow, piece by piece: each piece adds to the facts before it. */
type Pieces = readonly Partial<Facts>[];

const request = (
  draw: Draw,
  setting: Setting,
  rule: Rule | undefined,
  scheme: 'http' | 'https',
  claim: Fact<DomainName>,
  names: readonly DomainName[],
): Partial<Facts> =>
  draw.weighted<() => Partial<Facts>>([
    [
      () => {
        const host = claim.state === 'known' ? claim.value : (names[0] ?? nameOf(draw, setting, rule));
        return { request: known(requestOf(draw, setting, rule, scheme, host)), mcp: mcpOf(draw) };
      },
      76,
    ],
    [() => ({ request: absent, mcp: absent }), 12],
    [() => ({ request: unreadable, mcp: unreadable }), 12],
  ])();

const tcpPieces = (
  draw: Draw,
  setting: Setting,
  rule: Rule | undefined,
  names: readonly DomainName[],
  onProxy: boolean,
): Pieces => {
  const claim = claimOf(draw, setting, rule, names);
  const silence = { tls: absent, claimedName: absent };
  const spoken = draw.weighted<() => Pieces>([
    [
      () => [
        { tls: known(true as const), claimedName: claim },
        ...(onProxy ? [request(draw, setting, rule, 'https', claim, names)] : []),
      ],
      50,
    ],
    [
      () =>
        onProxy
          ? [{ tls: absent }, { claimedName: claim, ...request(draw, setting, rule, 'http', claim, names) }]
          : [{ ...silence, plainHttpSeen: true }],
      30,
    ],
    [() => [onProxy ? { ...silence, request: absent, mcp: absent } : silence], 12],
    [
      () => [
        { tls: unreadable, claimedName: unreadable, ...(onProxy ? { request: unreadable, mcp: unreadable } : {}) },
      ],
      8,
    ],
  ])();
  return spoken;
};

/** Any facts in any order, as no flow would have them. */
const wildPieces = (draw: Draw, setting: Setting, rule: Rule | undefined, names: readonly DomainName[]): Pieces => {
  const claim = claimOf(draw, setting, rule, names);
  const pieces: readonly Partial<Facts>[] = [
    { tls: draw.pick([known(true as const), absent, unreadable]) },
    { claimedName: claim },
    {
      request: draw.pick([
        known(requestOf(draw, setting, rule, 'https', nameOf(draw, setting, rule))),
        absent,
        unreadable,
      ]),
    },
    { mcp: mcpOf(draw) },
  ];
  return draw.some(pieces, 0, pieces.length);
};

/** The rule that a flow lies near, and its first packet. */
const drawFirst = (draw: Draw, mode: Mode, setting: Setting, mostNames: number) => {
  const rule = aimedAt(draw, setting);
  const likely =
    rule === undefined || rule.protocol === 'any' ? draw.pick(['tcp', 'udp', 'icmp'] as const) : rule.protocol;
  const protocol = draw.chance(90) ? likely : draw.pick(['tcp', 'udp', 'icmp'] as const);
  const isNameless = setting.context.dnsMode === 'own' || draw.chance(25);
  const names = isNameless ? [] : draw.many(1, mostNames, () => nameOf(draw, setting, rule));
  const first: Facts = {
    // Schedules and expiries change on the minute: this is that instant, or the last before the next.
    at: setting.at + draw.between(0, 47 * 60) * (hour / 60) + draw.pick([0, 0, 59_999]),
    ...sourceOf(draw, mode, setting, rule),
    protocol,
    destination: destinationOf(draw, setting, rule),
    ...(protocol === 'icmp' ? {} : { destinationPort: portOf(draw, rule) }),
    addressNames: names,
    tls: unknown,
    claimedName: unknown,
    plainHttpSeen: false,
    request: unknown,
    mcp: unknown,
  };
  return { rule, names, first };
};

/** One flow of a setting. `prepared` is the setting's own: the path is the one that its policy gives. */
export const drawFacts = (
  draw: Draw,
  mode: Mode,
  setting: Setting,
  prepared: Prepared = prepare(setting.policy, setting.context),
): FactsSequence => {
  const wild = mode === 'wild' && draw.chance(50);
  const { dnsMode } = setting.context;
  const { rule, names, first } = drawFirst(draw, mode, setting, dnsMode === 'track' ? 4 : wild ? 2 : 1);
  const { path } = evaluatePrepared(prepared, first);
  const pieces = wild
    ? wildPieces(draw, setting, rule, names)
    : first.protocol === 'tcp'
      ? tcpPieces(draw, setting, rule, names, path === 'proxy')
      : [];
  const sequence = [first];
  for (const piece of pieces) {
    const way = wild ? draw.pick(['kernel', 'proxy'] as const) : path;
    const before = sequence.at(-1)!;
    const waits = dnsMode === 'own' && way === 'proxy' && evaluatePrepared(prepared, before).kind === 'undecided';
    const led = waits ? whereItLeads(draw, setting, rule, piece) : {};
    sequence.push({ ...before, path: way, ...piece, ...led });
  }
  return sequence;
};

/** In own mode the proxy resolves the name that is claimed, and dials what it finds; or does not, where no permit covers it. */
const whereItLeads = (
  draw: Draw,
  setting: Setting,
  rule: Rule | undefined,
  { claimedName }: Partial<Facts>,
): Partial<Facts> =>
  claimedName?.state === 'known' && draw.chance(75)
    ? { addressNames: [claimedName.value], destination: destinationOf(draw, setting, rule) }
    : {};

/** A flow before any policy was asked about it: its first packet, and what its ends do. */
export interface Encounter {
  readonly first: Facts;
  readonly conduct: Conduct;
}

export const drawEncounter = (draw: Draw, setting: Setting): Encounter => {
  const { rule, names, first } = drawFirst(draw, 'valid', setting, setting.context.dnsMode === 'track' ? 3 : 1);
  const host = claimOf(draw, setting, rule, names);
  const asked = (scheme: 'http' | 'https'): Asked => {
    const name = host.state === 'known' ? host.value : (names[0] ?? nameOf(draw, setting, rule));
    const request = draw.chance(90) ? known(requestOf(draw, setting, rule, scheme, name)) : unreadable;
    return { request, mcp: mcpOf(draw) };
  };
  const conduct = draw.weighted<() => Conduct>([
    [() => ({ kind: 'tls', name: host, inside: asked('https') }), 40],
    [() => ({ kind: 'http', host, ...asked('http') }), 30],
    [() => ({ kind: 'server-first' }), 8],
    [() => ({ kind: 'opaque' }), 8],
    [() => ({ kind: 'tls-unreadable' }), 5],
    [() => ({ kind: 'lax-http' }), 5],
    [() => ({ kind: 'silent' }), 4],
  ])();
  return { first, conduct };
};
