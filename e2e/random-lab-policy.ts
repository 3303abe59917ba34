/** Policies for a generated network: those of the testkit's generator, with this network's workloads, and mostly with words that the lab has. */
import type { PolicySet, Rule, Selector, Workload } from '@cofferdam/policy';
import { address, type Draw, domain, drawPolicy, name, portRange, prefix, url } from '@cofferdam/testkit';
import type { PlannedWorld } from './random-lab-world.ts';

const outside = [
  '10.20.0.0/16',
  'fd20::/64',
  '104.131.20.7/32',
  '2604:a880::/32',
  '140.82.121.0/24',
  '2606:50c0::/32',
  '0.0.0.0/0',
  '::/0',
  '93.184.0.0/16',
].map(prefix);

const labHostnames = ['database.internal.example', 'echo.example', 'github.com', 'mixed.example'].map(name);

const labDomains = [
  'github.com',
  '*.github.com',
  '**.github.com',
  'example.com',
  '**.registry.example',
  'registry.example',
  '**.internal.example',
  'echo.example',
  'mail.example',
  'db.example',
  'mixed.example',
  '*.models.example',
  'pypi.org',
  'multihomed.example',
].map(domain);

const labUrls = [
  'https://github.com/**',
  'http://example.com/repos/**',
  'http://echo.example/**',
  'http://github.com/v1/*',
].map(url);

const labPorts = ['443', '80', '5000', '5432', '8080', '22', '1-1023', '3306', '25', '442-444', '5000-9000'].map(
  portRange,
);

const unique = <T extends { readonly text: string }>(list: readonly T[]): readonly T[] => [
  ...new Map(list.map((one) => [one.text, one])).values(),
];

const workloads = (draw: Draw, { subnets }: PlannedWorld): readonly Workload[] =>
  subnets.flatMap(({ device, workloads: planned }) =>
    planned.map((one) => ({
      name: one.name,
      addresses: one.addresses.map(address),
      ...(draw.chance(80) ? { interface: device } : {}),
      labels: {
        team: draw.pick(['platform', 'research']),
        ...(draw.chance(40) ? { env: draw.pick(['prod', 'test']) } : {}),
      },
    })),
  );

/** Rules of a policy are never as many as those of the policy before, so that a reload is told from a late one. */
const filler = (rules: number, before: number): readonly Rule[] =>
  rules !== before
    ? []
    : [
        {
          name: 'one-more',
          action: 'permit',
          mode: 'disabled',
          from: ['anywhere'],
          to: ['anywhere'],
          protocol: 'any',
          tls: 'either',
          decrypt: 'unspecified',
          log: 'both',
          onDeny: 'reject',
          location: { file: 'generated', line: 1, column: 1 },
        },
      ];

export const countRules = ({ rulesets }: PolicySet): number =>
  rulesets.reduce((sum, { rules }) => sum + rules.length, 0);

/** A policy that can be put in force after one with `before` rules. */
export const withAnotherCount = (policy: PolicySet, before: number): PolicySet => {
  const more = filler(countRules(policy), before);
  if (more.length === 0) return policy;
  const location = { file: 'generated', line: 1, column: 1 };
  return {
    ...policy,
    rulesets: [...policy.rulesets, { name: 'zzz', tier: 'default', priority: 1_000, rules: more, location }],
  };
};

export const drawLabPolicy = (draw: Draw, planned: PlannedWorld, at: number): PolicySet => {
  const drawn = drawPolicy(draw, 'valid', at);
  const inventory = workloads(draw, planned);
  const near = [
    ...outside,
    ...planned.subnets.flatMap(({ prefixes }) => prefixes).map(prefix),
    ...planned.subnets.flatMap(({ gateway }) => gateway).map((one) => prefix(`${one}/${one.includes(':') ? 128 : 32}`)),
  ];
  const selector = (one: Selector): Selector => {
    switch (one.kind) {
      case 'workload':
        return one.agent === undefined ? one : { kind: 'workload', agent: draw.pick(inventory).name };
      case 'cidr':
        return draw.chance(75) ? { kind: 'cidr', prefix: draw.pick(near) } : one;
      case 'hostname':
        return draw.chance(80) ? { kind: 'hostname', name: draw.pick(labHostnames) } : one;
      case 'external':
        return one;
    }
  };
  const webGroups = ['any-web', ...drawn.webGroups.keys()];
  const rule = (one: Rule): Rule => ({
    ...one,
    // What names mean is what tells the DNS modes apart. Where opening is forbidden no group with URLs may be named.
    ...(one.web === undefined && one.mcp === undefined && one.decrypt !== 'not-allowed' && draw.chance(25)
      ? { web: [draw.pick(webGroups)] }
      : {}),
    ...(one.ports === undefined || draw.chance(20) ? {} : { ports: draw.some(labPorts, 1, 3) }),
    // The generator's rules are narrow in every way at once; here half of the traffic is to pass.
    ...(draw.chance(50) ? { to: draw.pick([['anywhere'], ['public-internet', 'private-networks'], one.to]) } : {}),
    ...(draw.chance(35) ? { from: ['anywhere'] } : {}),
    ...(one.action === 'deny' && draw.chance(35) ? { action: 'permit' as const } : {}),
  });
  return {
    smartGroups: new Map(
      [...drawn.smartGroups].map(([key, group]) => [key, { ...group, any: group.any.map(selector) }]),
    ),
    webGroups: new Map(
      [...drawn.webGroups].map(([key, group]) => [
        key,
        {
          ...group,
          domains: unique(group.domains.map((one) => (draw.chance(85) ? draw.pick(labDomains) : one))),
          urls: unique(group.urls.map((one) => (draw.chance(85) ? draw.pick(labUrls) : one))),
        },
      ]),
    ),
    rulesets: drawn.rulesets.map((ruleset) => ({ ...ruleset, rules: ruleset.rules.map(rule) })),
    inventory,
  };
};
