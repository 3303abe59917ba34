import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DomainName, parseAddress } from '@cofferdam/net';
import { absent, type Facts, known, unknown, unreadable } from '@cofferdam/verdict';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { type EvaluationContext, evaluate, formatDiagnostics, type PolicySet, parsePolicy } from '../src/index.ts';
import { echoed } from './generator.ts';
import { seed } from './seed.ts';

const groups = `
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ agent: coder }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: wide }
spec: { any: [{ cidr: 10.0.0.0/8 }, { cidr: 169.254.0.0/16 }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: narrow }
spec: { any: [{ cidr: 10.1.0.0/16 }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: metadata-service }
spec: { any: [{ cidr: 169.254.169.254 }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: below }
spec: { domains: ["**.example.com"] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: one }
spec: { domains: [www.example.com] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: rules }
spec:
  rules:
`;

/** What lint says of the second of two rules. */
const second = (first: string, then: string, now?: number): readonly string[] => {
  const rule = (name: string, keys: string) => {
    const given = (key: string, value: string) =>
      new RegExp(`(^|, )${key}: [\\[a-z]`).test(keys) ? '' : `, ${key}: ${value}`;
    return `    - { name: ${name}, ${keys}${given('action', 'permit')}${given('from', '[agents]')}${given('to', '[wide]')}${given('protocol', 'tcp')} }\n`;
  };
  const text = groups + rule('first', first) + rule('second', then);
  const { policy, diagnostics } = parsePolicy([{ file: 'p', text }], now === undefined ? {} : { now });
  assert.ok(policy, formatDiagnostics(diagnostics, { format: 'text' }));
  return diagnostics.filter(({ text: at }) => at === 'second').map(({ code }) => code);
};

const redundant = ['rule-redundant'];
const shadowed = ['rule-shadowed'];

for (const [what, first, then, expected] of [
  ['equal rules', 'ports: [80]', 'ports: [80]', redundant],
  ['the other action', 'ports: [80]', 'ports: [80], action: deny', shadowed],
  ['a range around a port', 'ports: ["1-100"]', 'ports: [80]', redundant],
  ['two ranges that touch', 'ports: ["1-79", "80-100"]', 'ports: ["70-90"]', redundant],
  ['a port outside', 'ports: ["1-79"]', 'ports: [80]', []],
  ['any over tcp', 'protocol: any, ports: [80]', 'ports: [80]', redundant],
  ['any with ports over icmp', 'protocol: any, ports: [80]', 'protocol: icmp', []],
  ['any over icmp', 'protocol: any', 'protocol: icmp', redundant],
  ['any with tls over udp', 'protocol: any, tls: required', 'protocol: udp', []],
  ['tcp over udp', 'ports: [80]', 'protocol: udp, ports: [80]', []],
  ['UDP 443 is not permitted by a range', 'protocol: udp', 'protocol: udp, ports: [443]', []],
  ['UDP 443 is denied by a range', 'protocol: udp, action: deny', 'protocol: udp, ports: [443]', shadowed],
  ['a wider prefix', 'ports: [80]', 'ports: [80], to: [narrow]', redundant],
  ['a narrower prefix', 'ports: [80], to: [narrow]', 'ports: [80]', []],
  ['anywhere over a prefix in it', 'ports: [80], to: [anywhere]', 'ports: [80], to: [narrow]', redundant],
  [
    'anywhere never reaches reserved addresses',
    'ports: [80], to: [anywhere]',
    'ports: [80], to: [metadata-service]',
    [],
  ],
  ['link-local does not open metadata', 'ports: [80]', 'ports: [80], to: [metadata-service]', []],
  [
    'private networks over a prefix in them',
    'ports: [80], to: [private-networks]',
    'ports: [80], to: [narrow]',
    redundant,
  ],
  ['other agents', 'ports: [80], from: [narrow]', 'ports: [80]', []],
  ['names below over one name', 'web: [below]', 'web: [one]', redundant],
  ['one name over names below', 'web: [one]', 'web: [below]', []],
  ['any name over one', 'web: [any-web]', 'web: [one]', redundant],
  ['without names over a name', 'ports: [80]', 'ports: [80], web: [one]', redundant],
  ['a name over no name', 'web: [one]', 'ports: [80]', []],
  ['a permit by name leaves a deny by name its claimed names', 'web: [one]', 'web: [one], action: deny', []],
  ['a deny by name over a permit by name', 'web: [one], action: deny', 'web: [one]', shadowed],
  ['either TLS over required', 'ports: [80]', 'ports: [80], tls: required', redundant],
  ['required TLS over either', 'ports: [80], tls: required', 'ports: [80]', []],
  ['more methods', 'http: { methods: [GET, POST] }', 'http: { methods: [GET] }', redundant],
  ['fewer methods', 'http: { methods: [GET] }', 'http: { methods: [GET, POST] }', []],
  ['a condition over none', 'http: { methods: [GET] }', 'ports: [80]', []],
  ['a schedule over none', 'schedule: { timezone: UTC, from: "01:00", until: "02:00" }', 'ports: [80]', []],
  [
    'the same schedule',
    'schedule: { timezone: UTC, from: "01:00", until: "02:00" }',
    'schedule: { timezone: UTC, from: "01:00", until: "02:00" }',
    redundant,
  ],
  ['a rule that goes before', 'expires: 2027-01-01T00:00:00Z', 'expires: 2028-01-01T00:00:00Z', []],
  ['a monitored rule covers nothing', 'mode: monitor', 'ports: [80]', []],
  ['a monitored rule is covered', 'ports: [80]', 'mode: monitor, ports: [80]', redundant],
  ['a disabled rule is not looked at', 'ports: [80]', 'mode: disabled, ports: [80]', []],
] as const) {
  test(`${what}: ${expected[0] ?? 'both have work to do'}`, () => assert.deepEqual(second(first, then), expected));
}

test('an expired rule covers nothing', () => {
  assert.deepEqual(second('expires: 2020-01-01T00:00:00Z', 'ports: [80]', Date.parse('2021-01-01')), []);
});

const addresses = [
  '10.1.2.3',
  '10.0.0.9',
  '192.0.2.1',
  '8.8.8.8',
  '169.254.169.254',
  'fd00::5',
  '2001:4860::1',
  '10.11.1.8',
];
const names = [
  'www.example.com',
  'a.example.com',
  'b.c.example.com',
  'other.example.net',
] as readonly string[] as readonly DomainName[];
const fact = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 2, arbitrary: value.map(known) }, fc.constantFrom(unknown, absent, unreadable));

const facts: fc.Arbitrary<Facts> = fc
  .record({
    destination: fc.constantFrom(...addresses),
    protocol: fc.constantFrom('tcp', 'tcp', 'udp', 'icmp'),
    port: fc.constantFrom(80, 443, 22, 445, 5432, 9999),
    addressNames: fc.oneof(
      fc.constant([]),
      fc.constantFrom(...names).map((name) => [name]),
    ),
    tls: fact(fc.constant(true as const)),
    claimedName: fact(fc.constantFrom(...names)),
    request: fact(
      fc.record({
        method: fc.constantFrom('GET', 'PUT'),
        scheme: fc.constantFrom('http', 'https'),
        host: fc.constantFrom(...names),
        path: fc.constantFrom('/a/x', '/b', '/c'),
      }),
    ),
    mcp: fact(fc.constantFrom({ method: 'tools/call', tool: 'search' }, { method: 'ping' })),
  })
  .map(
    ({ destination, port, ...rest }): Facts => ({
      at: Date.parse('2026-05-05T12:00:00Z'),
      source: parseAddress('10.11.1.7')!,
      interface: 'eth1',
      destination: parseAddress(destination)!,
      ...(rest.protocol !== 'icmp' && { destinationPort: port }),
      plainHttpSeen: false,
      ...rest,
    }),
  );

const coder = { name: 'coder', addresses: [parseAddress('10.11.1.7')!], interface: 'eth1', labels: { team: 'a' } };

const decides = (policy: PolicySet, about: Facts, dnsMode: EvaluationContext['dnsMode'] = 'synthetic') => {
  const context: EvaluationContext = {
    workloads: [coder, ...policy.inventory.slice(1)],
    resolved: new Map(),
    dnsMode,
    gatewayAddresses: [],
    monitor: false,
  };
  const decision = evaluate(policy, context, about);
  return decision.kind === 'decided' ? decision.rule : undefined;
};

test('a rule that is called shadowed or redundant never decides', () => {
  let told = 0;
  fc.assert(
    fc.property(echoed, fc.array(facts, { minLength: 20, maxLength: 20 }), (documents, flows) => {
      const { policy, diagnostics } = parsePolicy([
        { file: 'p', text: documents.map((each) => stringify(each, { aliasDuplicateObjects: false })).join('---\n') },
      ]);
      const rules = policy!.rulesets.flatMap((ruleset) => ruleset.rules);
      for (const { code, line } of diagnostics) {
        if (code !== 'rule-shadowed' && code !== 'rule-redundant') continue;
        told++;
        // The last rule that begins at or before the line of the warning is the one it is about.
        const index = rules.indexOf(
          rules.filter(({ location }) => location.line <= line).sort((a, b) => b.location.line - a.location.line)[0]!,
        );
        for (const about of flows) assert.notEqual(decides(policy!, about), index);
      }
    }),
    { seed, numRuns: 200 },
  );
  assert.ok(told > 100, `only ${told} rules were covered: the generator makes too few`);
});

/** Permits with `web`, and what is said of each where names are claimed: of the protocols that it can match, how many are left. */
const named = [
  ['ports: [443]', 'all'],
  ['ports: [443, 22]', 'all'],
  ['ports: ["20-450"]', 'all'],
  ['tls: required, ports: [5432]', 'all'],
  ['tls: absent, http: { methods: [GET] }, ports: [5432]', 'all'],
  ['protocol: any, ports: [443]', 'all'],
  ['protocol: any, tls: required', 'all'],
  ['ports: [22]', 'none'],
  ['ports: [25, 587]', 'none'],
  ['ports: [5432]', 'none'],
  ['protocol: any, ports: [22]', 'none'],
  ['web: [any-web], ports: [22]', 'none'],
  ['protocol: udp, ports: [80]', 'none'],
  ['protocol: icmp', 'none'],
  ['web: [any-web], protocol: udp', 'none'],
  ['protocol: any', 'tcp'],
  ['protocol: any, ports: [80]', 'tcp'],
] as const;

const findings = (keys: string, dnsMode?: EvaluationContext['dnsMode']) => {
  const defaults = `${keys.includes('web:') ? '' : ', web: [below]'}${keys.includes('protocol:') ? '' : ', protocol: tcp'}`;
  const rule = `    - { name: named, action: permit, from: [agents], to: [anywhere], ${keys}${defaults} }\n`;
  const { policy, diagnostics } = parsePolicy([{ file: 'p', text: groups + rule }], dnsMode && { dnsMode });
  assert.ok(policy, formatDiagnostics(diagnostics, { format: 'text' }));
  const said = diagnostics.filter(({ code }) => code === 'name-never-claimed');
  return { policy, said };
};

/** What is on its ports: nobody claims a name. */
const claimsNothing: Partial<Facts> = { tls: absent, claimedName: absent, request: absent, mcp: absent };
const isNameless = ({ destinationPort }: Facts): boolean => [22, 25, 587, 5432].includes(destinationPort ?? 0);
const ofPort =
  (keys: string) =>
  (about: Facts): Facts => {
    const port = /ports: \[(\d+)/.exec(keys)?.[1];
    const at = port === undefined || about.protocol === 'icmp' ? about : { ...about, destinationPort: Number(port) };
    // In own mode the address has a name only once that was claimed.
    const claims = at.protocol === 'tcp' && at.claimedName.state === 'known' ? [at.claimedName.value] : [];
    const own = { ...at, addressNames: claims };
    return isNameless(at) && !/tls: required|http:/.test(keys) ? { ...own, ...claimsNothing, addressNames: [] } : own;
  };

for (const mode of ['track', 'own'] as const)
  for (const [keys, left] of named)
    test(`a permit by name in ${mode} mode, \`${keys}\`: what it can match is ${left}`, () => {
      const { policy, said } = findings(keys, mode);
      const words = { all: [], none: [/`named` never matches in/], tcp: [/`named` matches only tcp in/] }[left];
      assert.equal(said.length, words.length);
      for (const [i, word] of words.entries()) {
        assert.match(said[i]!.message, word);
        assert.match(said[i]!.help, /`hostname` in `to`/);
      }
      // And so it is: whatever is known of a flow, it decides those and no others.
      const decided = new Set<string>();
      const all = fc.sample(facts.map(ofPort(keys)), { seed, numRuns: 3000 });
      const given =
        mode === 'track'
          ? all.flatMap((about) => [about, ...names.map((name) => ({ ...about, addressNames: [name] }))])
          : all;
      for (const about of given) if (decides(policy, about, mode) === 0) decided.add(about.protocol);
      assert.deepEqual([...decided], left === 'none' ? [] : ['tcp']);
    });

test('nothing is said of names that are claimed where nobody asks, nor where addresses stand for names', () => {
  for (const [keys] of named) {
    assert.deepEqual(findings(keys).said, []);
    assert.deepEqual(findings(keys, 'synthetic').said, []);
  }
});

test('where a server speaks first, `web` is kept only where an address stands for a name', () => {
  const help = (dnsMode?: EvaluationContext['dnsMode']) => {
    const rule =
      '    - { name: a, action: permit, from: [agents], to: [wide], web: [one], protocol: tcp, ports: [22], tls: required }\n';
    const { diagnostics } = parsePolicy([{ file: 'p', text: groups + rule }], dnsMode && { dnsMode });
    return diagnostics.find(({ code }) => code === 'tls-not-first')?.help;
  };
  assert.match(help() ?? '', /keep `web`/);
  assert.equal(help('synthetic'), help());
  assert.match(help('track') ?? '', /`hostname` in `to`, and without `web`/);
  assert.equal(help('own'), help('track'));
});
