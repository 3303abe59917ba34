import type {
  EvaluationContext,
  PolicySet,
  Rule,
  Ruleset,
  Schedule,
  Selector,
  SmartGroup,
  WebGroup,
  Weekday,
  Workload,
} from '@cofferdam/policy';
import { tierOrder } from '@cofferdam/policy';
import type { Draw } from './draw.ts';
import { addressNear } from './near-miss.ts';
import {
  address,
  domains,
  generated,
  hostnames,
  mcpMethods,
  methods,
  paths,
  ports,
  prefixes,
  timezones,
  tools,
  urls,
} from './vocabulary.ts';

/**
 * - `valid`: what the parser would accept.
 * - `wild`: also what it refuses and code must survive: groups that nobody wrote, URLs on UDP, ports on ICMP, domains
 *   and URLs in one group, workload selectors that name nobody.
 */
export type Mode = 'valid' | 'wild';

/** A policy, the gateway it runs on, and when it is compiled: milliseconds since the epoch. */
export interface Setting {
  readonly policy: PolicySet;
  readonly context: EvaluationContext;
  readonly at: number;
}

const hour = 3_600_000;
const week: readonly Weekday[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

const workload = (draw: Draw, index: number): Workload => ({
  name: `agent-${index}`,
  addresses: draw.some([`10.11.1.${7 + index}`, `fd11::${7 + index}`, `203.0.113.${7 + index}`].map(address), 1, 3),
  ...(draw.chance(70) ? { interface: draw.pick(['eth1', 'eth2']) } : {}),
  labels: {
    team: draw.pick(['platform', 'research']),
    ...(draw.chance(40) ? { env: draw.pick(['prod', 'test']) } : {}),
  },
  ...(draw.chance(25)
    ? {
        kubernetes: {
          cluster: draw.pick(['prod-1', 'prod-2']),
          namespace: draw.pick(['agents', 'jobs']),
          labels: { app: 'coder' },
        },
      }
    : {}),
  ...(draw.chance(25)
    ? {
        cloud: {
          provider: 'azure',
          account: draw.pick(['sub-1', 'sub-2']),
          region: 'westeurope',
          tags: { env: 'prod' },
        },
      }
    : {}),
});

const selector = (draw: Draw, mode: Mode, workloads: readonly Workload[]): Selector =>
  draw.weighted<() => Selector>([
    [() => ({ kind: 'workload', agent: draw.pick(workloads).name }), 20],
    [() => ({ kind: 'workload', labels: { team: draw.pick(['platform', 'research']) } }), 20],
    [() => ({ kind: 'cidr', prefix: draw.pick(prefixes) }), 40],
    [() => ({ kind: 'hostname', name: draw.pick(hostnames) }), 12],
    [() => ({ kind: 'workload', labels: { team: 'platform', env: 'prod' } }), 4],
    [
      () => ({
        kind: 'workload',
        kubernetes: {
          cluster: 'prod-1',
          ...(draw.chance(50) ? { namespace: 'agents' } : { labels: { app: 'coder' } }),
        },
      }),
      4,
    ],
    [
      () => ({
        kind: 'workload',
        cloud: {
          provider: 'azure',
          account: 'sub-1',
          ...(draw.chance(50) ? { tags: { env: 'prod' } } : { network: 'vnet-1' }),
        },
      }),
      4,
    ],
    [() => ({ kind: 'external', feed: 'threats' }), mode === 'wild' ? 4 : 0],
    [() => ({ kind: 'workload', agent: 'nobody' }), mode === 'wild' ? 4 : 0],
  ])();

const smartGroup = (
  draw: Draw,
  mode: Mode,
  workloads: readonly Workload[],
  monitoring: boolean,
  index: number,
): SmartGroup => {
  const containment = draw.pick(
    monitoring ? (['monitor', undefined, 'monitor', 'enforce'] as const) : ([undefined, 'enforce', undefined] as const),
  );
  return {
    name: `group-${index}`,
    ...(containment === undefined ? {} : { containment }),
    any: draw.many(1, 3, () => selector(draw, mode, workloads)),
    location: generated,
  };
};

const webGroup = (draw: Draw, mode: Mode, index: number): WebGroup => {
  const kind = draw.weighted([
    ['domains', 65],
    ['urls', 35],
    ['both', mode === 'wild' ? 30 : 0],
  ] as const);
  return {
    name: `web-${index}`,
    acknowledge: ['shared-hosting'],
    domains: kind === 'urls' ? [] : draw.some(domains, 1, 3),
    urls: kind === 'domains' ? [] : draw.some(urls, 1, 2),
    location: generated,
  };
};

const schedule = (draw: Draw): Schedule => ({
  timezone: draw.pick(timezones),
  days: draw.some(week, 1, 7),
  fromMinute: draw.pick([420, 0, 60, 90, 1380, 1439]),
  untilMinute: draw.pick([1140, 1440, 60, 90, 120, 420]),
});

interface Names {
  readonly smart: readonly string[];
  readonly web: readonly WebGroup[];
  readonly at: number;
}

const rule = (draw: Draw, mode: Mode, { smart, web, at }: Names, index: number): Rule => {
  const protocol = draw.weighted([
    ['tcp', 58],
    ['any', 20],
    ['udp', 14],
    ['icmp', 8],
  ] as const);
  const tcp = protocol === 'tcp' || protocol === 'any';
  const wild = mode === 'wild';
  const onTcp = (percent: number): boolean => (tcp || wild) && draw.chance(percent);
  const usable = tcp || wild ? web : web.filter((group) => group.urls.length === 0);
  const webNames = [
    'any-web',
    ...usable.map((group) => group.name),
    ...usable.map((group) => group.name),
    ...(wild ? ['web-nobody'] : []),
  ];
  const chosenWeb = [...new Set(draw.some(webNames, 1, 2))];
  const readsUrls = web.some((group) => chosenWeb.includes(group.name) && group.urls.length > 0);
  const hasWeb = draw.chance(50);
  const http = onTcp(14);
  const mcp = onTcp(8);
  const mayRefuseOpening = !(http || mcp || (hasWeb && readsUrls)) || wild;
  return {
    ...(draw.chance(10) ? { id: `id-${index}` } : {}),
    name: `rule-${index}`,
    action: draw.weighted([
      ['permit', 62],
      ['deny', 38],
    ] as const),
    mode: draw.weighted([
      ['enforce', 74],
      ['monitor', 16],
      ['disabled', 10],
    ] as const),
    from: draw.some(['anywhere', ...smart, ...(wild ? ['group-nobody'] : [])], 1, 2),
    to: draw.some(['anywhere', 'public-internet', 'private-networks', ...smart], 1, 2),
    ...(hasWeb ? { web: chosenWeb } : {}),
    ...(web.length > 0 && draw.chance(4) ? { resolve: [draw.pick(web).name] } : {}),
    protocol,
    ...((protocol !== 'icmp' || wild) && draw.chance(45) ? { ports: draw.some(ports, 1, 2) } : {}),
    tls: onTcp(30) ? draw.pick(['required', 'absent'] as const) : 'either',
    decrypt: onTcp(15)
      ? draw.pick(mayRefuseOpening ? (['allowed', 'not-allowed'] as const) : (['allowed'] as const))
      : 'unspecified',
    ...(http
      ? {
          http: draw.weighted([
            [{ methods: draw.some(methods, 1, 2) }, 1],
            [{ paths: draw.some(paths, 1, 2) }, 1],
            [{ methods: draw.some(methods, 1, 2), paths: draw.some(paths, 1, 2) }, 1],
          ]),
        }
      : {}),
    ...(mcp
      ? {
          mcp: draw.weighted([
            [{ methods: draw.some(mcpMethods, 1, 1) }, 1],
            [{ tools: draw.some(tools, 1, 2) }, 1],
            [{ methods: draw.some(mcpMethods, 1, 2), tools: draw.some(tools, 1, 2) }, 1],
          ]),
        }
      : {}),
    ...(draw.chance(10) ? { schedule: schedule(draw) } : {}),
    ...(draw.chance(6) ? { expires: at + draw.between(-2, 40) * hour } : {}),
    log: draw.pick(['both', 'start', 'end', 'none'] as const),
    onDeny: draw.pick(['reject', 'drop'] as const),
    location: generated,
  };
};

const inWalkOrder = (a: Ruleset, b: Ruleset): number => {
  const text = (x: string, y: string): number => (x < y ? -1 : x > y ? 1 : 0);
  return (
    tierOrder.indexOf(a.tier) - tierOrder.indexOf(b.tier) ||
    a.priority - b.priority ||
    text(a.owner ?? '', b.owner ?? '') ||
    text(a.name, b.name)
  );
};

/** Sizes: 1 to 4 workloads, 1 to 5 SmartGroups, 0 to 4 WebGroups, 0 to 3 rulesets of 1 to 4 rules (0 to 4 in wild mode); 1 in 16 has one ruleset of 33 to 70 rules. */
export const drawPolicy = (draw: Draw, mode: Mode, at: number): PolicySet => {
  const inventory = draw.many(1, 4, (index) => workload(draw, index));
  const monitoring = draw.chance(35);
  const smart = draw.many(1, 5, (index) => smartGroup(draw, mode, inventory, monitoring, index));
  const web = draw.many(0, 4, (index) => webGroup(draw, mode, index));
  const names: Names = { smart: smart.map((group) => group.name), web, at };
  const [fewest, most] = draw.chance(6) ? [33, 70] : [mode === 'wild' ? 0 : 1, 4];
  let written = 0;
  const rulesets = draw.many(most > 4 ? 1 : 0, most > 4 ? 1 : 3, (index): Ruleset => {
    const owner = draw.chance(30) ? draw.pick(['ann', 'ben']) : undefined;
    return {
      name: `ruleset-${index}`,
      tier: draw.pick(tierOrder),
      priority: draw.pick([100, 10, 200]),
      ...(owner === undefined ? {} : { owner }),
      rules: draw.many(fewest, most, () => rule(draw, mode, names, written++)),
      location: generated,
    };
  });
  return {
    smartGroups: new Map(smart.map((group) => [group.name, group])),
    webGroups: new Map(web.map((group) => [group.name, group])),
    rulesets: rulesets.sort(inWalkOrder),
    inventory,
  };
};

/** The gateway of a policy: the policy's own inventory, a DNS mode, hostnames resolved to addresses that its prefixes hold. */
export const drawContext = (draw: Draw, policy: PolicySet): EvaluationContext => ({
  workloads: policy.inventory,
  resolved: new Map(hostnames.map((name) => [name, draw.many(0, 2, () => addressNear(draw, draw.pick(prefixes)))])),
  dnsMode: draw.weighted<EvaluationContext['dnsMode']>([
    ['synthetic', 50],
    ['track', 30],
    ['own', 20],
  ]),
  gatewayAddresses: draw.some(['10.11.1.1', 'fd11::1', '198.18.0.1'].map(address), 0, 3),
  monitor: draw.chance(7),
});
