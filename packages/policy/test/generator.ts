import fc from 'fast-check';

/**
 * Valid policies as documents, before they are text. Sizes: up to 4 groups of each sort, 3 rulesets of up to 6 rules, 3
 * workloads. Names, prefixes and ports come from small pools, so that rules overlap often.
 */
const apiVersion = 'cofferdam.dev/v1';
const document = (kind: string, metadata: object, spec: object) => ({ apiVersion, kind, metadata, spec });

const some = <T>(values: readonly T[], maxLength = 3) =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
/** Leaves out what was not chosen, as a file would. */
const present = (value: object): object => JSON.parse(JSON.stringify(value));

const labels = fc.dictionary(
  fc.constantFrom('team', 'env', 'yes', '1', 'null'),
  fc.constantFrom('a', 'true', '12', '', '~', 'x: y # z'),
  { minKeys: 1, maxKeys: 2 },
);

const selector = fc.oneof(
  fc
    .constantFrom(
      '10.0.0.0/8',
      '10.1.0.0/16',
      '10.1.2.3',
      '192.0.2.0/24',
      'fd00::/8',
      '::/0',
      '0.0.0.0/0',
      '169.254.169.254',
    )
    .map((cidr) => ({ cidr })),
  fc.constantFrom('db.example.com', 'a.example.net').map((hostname) => ({ hostname })),
  fc.constantFrom('coder', 'server.one').map((agent) => ({ agent })),
  labels.map((each) => ({ labels: each })),
  fc.record({
    agent: fc.constant('coder'),
    labels,
    kubernetes: fc.constant({ cluster: 'c1', namespace: 'agents', labels: { app: 'x' } }),
  }),
  fc.constant({
    cloud: {
      provider: 'azure',
      account: 'sub-1',
      region: 'westeurope',
      network: 'v',
      subnet: 's',
      tags: { env: 'prod' },
    },
  }),
);

const smartNames = ['group-a', 'group-b', 'group-c'];
const webNames = ['web-a', 'web-b', 'web-c'];

const smartGroup = (name: string) =>
  fc
    .record({
      containment: maybe(fc.constantFrom('enforce', 'monitor')),
      any: fc.array(selector, { minLength: 1, maxLength: 3 }),
    })
    .map((spec) => document('SmartGroup', { name }, present(spec)));

const webGroup = (name: string) =>
  fc
    .record({
      acknowledge: maybe(fc.constant(['shared-hosting'])),
      domains: some([
        'www.example.com',
        '*.example.com',
        '**.example.com',
        'a*.eu.example.com',
        '*.blob.core.windows.net',
        'xn--bcher-kva.example',
      ]),
      urls: maybe(some(['https://www.example.com/**', 'http://*.example.com/a/*', 'https://api.example.org/v1/x'])),
    })
    .map((spec) => document('WebGroup', { name }, present(spec)));

const schedule = fc.record({
  timezone: fc.constantFrom('UTC', 'Europe/London', 'America/New_York'),
  days: maybe(some(['mon', 'tue', 'sat', 'sun'])),
  from: fc.constantFrom('00:00', '07:30', '23:59'),
  until: fc.constantFrom('00:00', '07:30', '24:00'),
});

const condition = fc.oneof(
  { weight: 3, arbitrary: fc.constant({}) },
  fc.record({ tls: fc.constantFrom('required', 'absent', 'either') }),
  fc.record({
    http: fc.record({ methods: some(['GET', 'POST']), paths: maybe(some(['/a/**', '/a/*', '/b'])) }),
    decrypt: fc.constantFrom('allowed', 'unspecified'),
  }),
  fc.record({
    mcp: fc.record({ methods: maybe(some(['tools/call', 'ping'])), tools: some(['search', 'read']) }),
    ech: fc.constantFrom('refuse', 'allow'),
  }),
);

const rule = fc
  .record({
    id: fc.boolean(),
    action: fc.constantFrom('permit', 'deny'),
    mode: maybe(fc.constantFrom('enforce', 'enforce', 'monitor', 'disabled')),
    from: some([...smartNames, 'anywhere']),
    to: some([...smartNames, 'anywhere', 'public-internet', 'private-networks']),
    web: maybe(some([...webNames, 'any-web'])),
    resolve: maybe(some(webNames, 1)),
    protocol: fc.constantFrom('tcp', 'udp', 'icmp', 'any'),
    ports: maybe(some<number | string>([80, 443, 22, '440-450', '1-1000', 5432])),
    condition,
    schedule: maybe(schedule),
    expires: maybe(fc.constantFrom('2027-01-31T00:00:00Z', '2030-06-01T12:00:00+02:00')),
    log: maybe(fc.constantFrom('start', 'end', 'both', 'none')),
    onDeny: maybe(fc.constantFrom('reject', 'drop')),
  })
  .map(({ id, condition: conditions, ports, protocol, ...rest }) => {
    const tcp = protocol === 'tcp' || protocol === 'any';
    return { id, rest: { ...rest, protocol, ...(protocol !== 'icmp' && ports && { ports }), ...(tcp && conditions) } };
  });

const ruleset = (index: number) =>
  fc
    .record({
      owner: maybe(fc.constantFrom('amy', 'zoe')),
      tier: maybe(fc.constantFrom('guardrail', 'platform', 'agent', 'default')),
      priority: maybe(fc.constantFrom(0, 100, 7)),
      rules: fc.array(rule, { minLength: 1, maxLength: 6 }),
    })
    .map(({ owner, tier, priority, rules }) =>
      document(
        'Ruleset',
        present({ name: `set-${index}`, owner }),
        present({
          tier,
          priority,
          rules: rules.map(({ id, rest }, place) => ({
            ...(id && { id: `id-${index}-${place}` }),
            name: `rule-${place}`,
            ...rest,
          })),
        }),
      ),
    );

const inventory = fc.constantFrom(
  [],
  [
    document(
      'Inventory',
      { name: 'here' },
      {
        workloads: [
          {
            name: 'coder',
            addresses: ['10.11.1.7', 'fd11::7'],
            interface: 'eth1',
            mac: '02:11:00:00:00:07',
            labels: { team: 'a', 1: '12' },
          },
          {
            name: 'server.one',
            addresses: ['10.11.1.8'],
            kubernetes: { cluster: 'c1', namespace: 'agents', labels: { app: 'x' } },
          },
          { name: 'third', addresses: ['10.1.2.3'], cloud: { provider: 'aws', account: 'a-1', tags: { env: 'prod' } } },
        ],
      },
    ),
  ],
);

export const policyDocuments: fc.Arbitrary<readonly object[]> = fc
  .tuple(
    fc.tuple(...smartNames.map(smartGroup)),
    fc.tuple(...webNames.map(webGroup)),
    fc.tuple(...[0, 1, 2].map(ruleset)),
    inventory,
  )
  .map((parts) => parts.flat());

const changes = fc.constantFrom<object>(
  {},
  { action: 'deny' },
  { action: 'permit' },
  { protocol: 'tcp' },
  { protocol: 'tcp', tls: 'absent' },
  { protocol: 'tcp', tls: 'either' },
  { web: ['any-web'] },
  { web: ['web-a'] },
  { to: ['group-a'] },
  { to: ['public-internet'] },
  { from: ['group-b'] },
  { mode: 'enforce' },
);

/** The same with a copy after each rule in which one thing is changed, so that rules cover each other, or nearly. */
export const echoed: fc.Arbitrary<readonly object[]> = fc
  .tuple(policyDocuments, fc.infiniteStream(changes))
  .map(([documents, stream]) =>
    documents.map((each) => {
      if (!('kind' in each) || each.kind !== 'Ruleset') return each;
      const { spec } = each as unknown as { spec: { rules: { id?: string; name: string }[] } };
      const rules = spec.rules.flatMap(({ id, ...rule }) => [
        rule,
        { ...rule, ...stream.next().value, name: `${rule.name}-echo` },
      ]);
      return { ...each, spec: { ...spec, rules } };
    }),
  );
