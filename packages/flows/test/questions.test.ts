import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { absent, known } from '@cofferdam/verdict';
import { parse } from 'yaml';
import { type AnyRecord, deniedNames, type Hint, hint, matchesFilter, summarise } from '../src/index.ts';
import { address, denied, dnsRecord, flowRecord, name, suppressedRecord } from './records.ts';

const context = { group: 'coding-agents' };

/** The rule of a hint as YAML reads it, and the groups it needs by name. */
const read = (h: Hint | undefined): { rule: Record<string, unknown>; groups: Record<string, unknown> } => {
  assert.equal(h?.kind, 'rule');
  const { documents, rule } = h as Extract<Hint, { kind: 'rule' }>;
  const groups: Record<string, unknown> = {};
  for (const text of documents.split('---\n').filter((t) => t !== '')) {
    const document = parse(text);
    groups[document.metadata.name] = document.spec;
  }
  return { rule: parse(rule)[0], groups };
};

describe('hints', () => {
  test('a name that no rule permits: a WebGroup and a rule on it', () => {
    const { rule, groups } = read(hint(denied(), context));
    assert.deepEqual(groups, { 'api-github-com': { domains: ['api.github.com'] } });
    assert.deepEqual(rule, {
      name: 'allow-api-github-com-443',
      action: 'permit',
      from: ['coding-agents'],
      to: ['public-internet'],
      web: ['api-github-com'],
      protocol: 'tcp',
      ports: [443],
    });
  });

  const post = (over: Parameters<typeof denied>[0] = {}) =>
    denied({
      kind: 'request',
      tls: absent,
      path: 'proxy',
      stage: 'request',
      destination: { address: address('93.184.216.34'), port: 80 },
      request: known({ method: 'POST', scheme: 'http', host: name('api.github.com'), path: '/admin/a*b' }),
      ...over,
    });

  test('a call in TLS that was opened: that tool alone', () => {
    const { rule } = read(
      hint(
        post({
          tls: known(true),
          destination: { address: address('93.184.216.34'), port: 443 },
          request: known({ method: 'POST', scheme: 'https', host: name('api.github.com'), path: '/mcp' }),
          mcp: known({ method: 'tools/call', tool: 'delete: "all"' }),
        }),
        context,
      ),
    );
    assert.deepEqual(rule, {
      name: 'allow-api-github-com-443',
      action: 'permit',
      from: ['coding-agents'],
      to: ['public-internet'],
      web: ['api-github-com'],
      protocol: 'tcp',
      ports: [443],
      http: { methods: ['POST'], paths: ['/mcp'] },
      mcp: { methods: ['tools/call'], tools: ['delete: "all"'] },
    });
  });

  test('a request: that method and path of that host alone, where a star means itself', () => {
    const { rule, groups } = read(hint(post(), context));
    assert.deepEqual(Object.keys(groups), ['api-github-com']);
    assert.deepEqual([rule.tls, rule.http], ['absent', { methods: ['POST'], paths: ['/admin/a%2Ab'] }]);
  });

  test('a request by address: the name it claims permits nothing, so the address is written down', () => {
    const { rule, groups } = read(hint(post({ addressNames: [] }), context));
    assert.deepEqual(Object.keys(groups), ['host-93-184-216-34']);
    assert.equal('web' in rule, false);
    assert.equal('http' in rule, true);
  });

  test('a request that monitoring lifted is as narrow', () => {
    const record = post({ verdict: 'permit', reason: 'monitored', enforced: false });
    assert.equal('http' in read(hint(record, context)).rule, true);
  });

  for (const [what, addresses, note] of [
    [
      'a private one, with a caution',
      ['10.0.0.5'],
      /`cidr: 10\.0\.0\.5\/32` to the `to` of the rule that names `db\.example`, if .* rebinding/,
    ],
    ['a public one', ['2606:4700::1'], /`cidr: 2606:4700::1\/128` to the `to` of the rule that names `db\.example`$/],
    ['several', ['10.0.0.5', '10.0.0.6'], /`cidr: 10\.0\.0\.5\/32` or `cidr: 10\.0\.0\.6\/32`/],
  ] as const) {
    test(`an address refused to a name that is permitted: ${what}`, () => {
      const record = dnsRecord({
        verdict: 'deny',
        reason: 'dns-address-denied',
        name: 'db.example',
        addresses: addresses.map(address),
      });
      const h = hint(record, context);
      assert.equal(h?.kind, 'advice');
      assert.match(h!.note, note);
    });
  }

  test('an address without a name: a SmartGroup of that one address', () => {
    const record = denied({
      addressNames: [],
      claimedName: absent,
      destination: { address: address('10.0.0.7'), port: 22 },
    });
    const { rule, groups } = read(hint(record, context));
    assert.deepEqual(groups, { 'host-10-0-0-7': { any: [{ cidr: '10.0.0.7' }] } });
    assert.deepEqual(rule.to, ['host-10-0-0-7']);
    assert.equal('web' in rule, false);
  });

  test('a name in a private network pins the address too', () => {
    const record = denied({ destination: { address: address('10.0.0.7'), port: 5432 } });
    assert.deepEqual(Object.keys(read(hint(record, context)).groups).sort(), ['api-github-com', 'host-10-0-0-7']);
  });

  test('icmp has no ports', () => {
    const record = denied({
      protocol: 'icmp',
      addressNames: [],
      claimedName: absent,
      destination: { address: address('2001:4860::1') },
    });
    assert.equal('ports' in read(hint(record, context)).rule, false);
  });

  test('quic: udp, 443 by itself, no name', () => {
    const record = denied({
      protocol: 'udp',
      reason: 'quic',
      destination: { address: address('93.184.216.34'), port: 443 },
    });
    const { rule } = read(hint(record, context));
    assert.deepEqual([rule.protocol, rule.ports, 'web' in rule], ['udp', [443], false]);
  });

  test('a refused query assumes port 443 and says so', () => {
    const h = hint(dnsRecord({ verdict: 'deny', reason: 'dns-not-permitted', name: '1.e3', addresses: [] }), context);
    assert.deepEqual(read(h).groups, { '1-e3': { domains: ['1.e3'] } });
    assert.match(h!.note, /443/);
  });

  for (const [what, record] of [
    ['a mismatch of names', flowRecord({ verdict: 'deny', reason: 'name-mismatch' })],
    ['a question that is no name', dnsRecord({ verdict: 'deny', reason: 'dns-not-permitted', name: 'a"\n- b' })],
    ['a spoofed source', denied({ reason: 'source-spoofed' })],
  ] as const) {
    test(`advice only: ${what}`, () => assert.equal(hint(record, context)?.kind, 'advice'));
  }

  test('nothing to add where nothing was stopped', () => assert.equal(hint(flowRecord(), context), undefined));

  test('what monitoring lifted has a hint', () => {
    assert.equal(hint(flowRecord({ reason: 'monitored', enforced: false }), context)?.kind, 'rule');
  });
});

describe('filters', () => {
  const flow = flowRecord({ end: flowRecord().start + 1000 });
  for (const [what, filter, record, expected] of [
    ['no constraint', {}, flow, true],
    ['agent', { agent: 'coder' }, flow, true],
    ['another agent', { agent: 'other' }, flow, false],
    ['unknown agent by address', { agent: '10.11.1.7' }, flowRecord({ agent: { labels: {} } }), true],
    ['verdict', { verdict: 'deny' }, flow, false],
    ['rule by name', { rule: 'allow-github' }, flow, true],
    ['rule by id', { rule: 'r-1' }, flow, true],
    ['rule by ruleset', { rule: 'coding-agent/allow-github' }, flow, true],
    ['default', { rule: 'default' }, denied(), true],
    ['answers do not rest on the default', { rule: 'default' }, dnsRecord(), false],
    [
      'names that nothing permits do',
      { rule: 'default' },
      dnsRecord({ verdict: 'deny', reason: 'dns-not-permitted' }),
      true,
    ],
    ['lifted', { verdict: 'would-deny' }, flowRecord({ enforced: false, reason: 'monitored' }), true],
    [
      'lifted, of a query',
      { verdict: 'would-deny' },
      dnsRecord({ enforced: false, reason: 'dns-not-permitted' }),
      true,
    ],
    ['not lifted', { verdict: 'would-deny' }, flow, false],
    [
      'the reason it would have had',
      { reason: 'no-rule' },
      flowRecord({ enforced: false, reason: 'monitored', wouldBe: { verdict: 'deny', reason: 'no-rule' } }),
      true,
    ],
    ['name', { name: 'api.github.com' }, flow, true],
    ['name below', { name: '*.github.com' }, flow, true],
    ['never the apex', { name: '*.api.github.com' }, flow, false],
    ['address', { name: '93.184.216.34' }, flow, true],
    ['query', { name: 'api.github.com' }, dnsRecord(), true],
    ['reason', { reason: 'no-rule' }, denied(), true],
    ['since its end', { since: flow.start + 1000 }, flow, true],
    ['before', { since: flow.start + 1001 }, flow, false],
    [
      'how many were suppressed, by agent',
      { agent: 'coder', verdict: 'deny', reason: 'no-rule' },
      suppressedRecord(),
      true,
    ],
    ['suppressed ones have no name', { name: 'evil.example' }, suppressedRecord(), false],
    ['and no rule', { rule: 'default' }, suppressedRecord(), false],
    ['and are no permits', { verdict: 'permit' }, suppressedRecord(), false],
    ['all of them', { agent: 'coder', verdict: 'permit', name: 'evil.example' }, flow, false],
  ] as const) {
    test(what, () => assert.equal(matchesFilter(filter, record), expected));
  }
});

describe('summaries', () => {
  const records: AnyRecord[] = [
    flowRecord({ id: 'a' }),
    flowRecord({ id: 'a', end: flowRecord().start + 10 }),
    flowRecord({ id: 'b', claimedName: absent }),
    denied({ id: 'c', addressNames: [name('evil.example')] }),
    dnsRecord({ id: 'd' }),
    dnsRecord({ id: 'e', verdict: 'deny', reason: 'dns-not-permitted', name: 'evil.example' }),
    flowRecord({ id: 'f', enforced: false, reason: 'monitored' }),
  ];

  test('start and end of a flow count once; an answered query is no destination reached', () => {
    const summary = summarise(records);
    assert.equal(summary.records, 6);
    assert.deepEqual(
      summary.reached.map((s) => [s.destination, s.verdict, s.count]),
      [
        ['api.github.com:443', 'permit', 2],
        ['api.github.com:443', 'would-deny', 1],
      ],
    );
    assert.deepEqual(
      summary.denied.map((s) => [s.destination, s.protocol, s.count]),
      [
        ['evil.example A', 'dns', 1],
        ['evil.example:443', 'tcp', 1],
      ],
    );
  });

  test('a query that only monitoring let pass is among what would be denied', () => {
    const { reached } = summarise([dnsRecord({ enforced: false, reason: 'dns-not-permitted' })]);
    assert.deepEqual(
      reached.map((s) => [s.destination, s.verdict, s.rule]),
      [['api.github.com A', 'would-deny', 'default']],
    );
  });

  test('names that do not exist, once for both families', () => {
    const { missing, reached } = summarise([
      dnsRecord({ id: 'a', name: 'nowhere.example', rcode: 'NXDOMAIN', synthetic: [], addresses: [] }),
      dnsRecord({ id: 'b', name: 'nowhere.example', rcode: 'NXDOMAIN', type: 'AAAA', synthetic: [], addresses: [] }),
      dnsRecord({ id: 'c', name: '1.0.0.10.in-addr.arpa', rcode: 'NXDOMAIN', type: 'PTR', synthetic: [] }),
    ]);
    assert.deepEqual(reached, []);
    assert.deepEqual(
      missing.map((s) => [s.destination, s.answer, s.count]),
      [['nowhere.example', 'no-such-name', 2]],
    );
  });

  test('what never answered is told apart from what was reached', () => {
    const ended = { end: flowRecord().start + 10, toAgent: { bytes: 0n, packets: 0n } };
    const { reached } = summarise([
      flowRecord({ id: 'a', ...ended }),
      flowRecord({ id: 'b', toAgent: ended.toAgent }),
      flowRecord({ id: 'c', ...ended, protocol: 'icmp' }),
    ]);
    assert.deepEqual(
      reached.map((s) => [s.protocol, s.answer]),
      [
        ['tcp', 'none'],
        ['tcp', 'some'],
        ['icmp', 'some'],
      ],
    );
  });

  test('a connection is left out where its requests say the same of it', () => {
    const request = {
      kind: 'request',
      flow: 'p',
      request: known({ method: 'GET', scheme: 'http' as const, host: name('api.github.com'), path: '/' }),
    } as const;
    const kinds = (...list: AnyRecord[]) => summarise(list).reached.map((s) => s.kind);
    assert.deepEqual(kinds(flowRecord({ id: 'p' }), flowRecord({ id: 'q', ...request })), ['request']);
    // Another connection, or another rule: it has something of its own to say.
    assert.deepEqual(kinds(flowRecord({ id: 'o' }), flowRecord({ id: 'q', ...request })).sort(), ['flow', 'request']);
    const other = { ...flowRecord().rule!, name: 'other' };
    assert.deepEqual(kinds(flowRecord({ id: 'p', rule: other }), flowRecord({ id: 'q', ...request })).sort(), [
      'flow',
      'request',
    ]);
  });

  test('suppressed denials count as many as they were, apart from those that are recorded', () => {
    const all = [
      denied({
        id: 'a',
        addressNames: [],
        claimedName: absent,
        destination: { address: address('10.0.0.7'), port: 22 },
      }),
      suppressedRecord({ id: 'b', count: 300 }),
      suppressedRecord({ id: 'c', count: 40 }),
      suppressedRecord({ id: 'd', count: 5, reason: 'dns-rate' }),
    ];
    const summary = summarise(all);
    assert.deepEqual(
      summary.denied.map((s) => [s.destination, s.protocol, s.rule, s.reason, s.count]),
      [
        ['(not recorded)', '', '', 'no-rule', 340],
        ['(not recorded)', '', '', 'dns-rate', 5],
        ['10.0.0.7:22', 'tcp', 'default', 'no-rule', 1],
      ],
    );
    assert.equal(summary.records, 346);
    assert.deepEqual(deniedNames(all), []);
    assert.equal(hint(suppressedRecord(), context)?.kind, 'advice', 'nobody knows what they were');
  });

  test('each denied name once', () => assert.deepEqual(deniedNames(records), ['evil.example']));
});
