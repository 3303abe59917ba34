import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AnyRecord, DnsRecord, FlowRecord } from '@cofferdam/flows';
import type { Rule } from '@cofferdam/policy';
import { createReplay, createTally, type Replayed, type ReplayPlan } from '@cofferdam/replay';
import {
  address,
  contextOf,
  deny,
  type FlowWords,
  hello,
  permit,
  policyOf,
  request,
  smartGroup,
  tcp,
  udp,
  webGroup,
  wednesdayMorning,
} from '@cofferdam/testkit';
import { absent, type Facts, type Reason, reasonEntry, unreadable } from '@cofferdam/verdict';
import { planOf, queryOf, recordOf } from './lives.ts';

const groups = {
  smart: [smartGroup('net', ['cidr:93.184.0.0/16']), smartGroup('db', ['host:db.example'])],
  web: [webGroup('code', ['github.com']), webGroup('shop', ['https://shop.example/cart/**'])],
};
const everyHost = {
  ...groups,
  smart: [groups.smart[0]!, smartGroup('db', ['host:db.example', 'cidr:0.0.0.0/0', 'cidr:::/0'])],
};

const context = contextOf(policyOf([]));
const plan = (...rules: readonly Rule[]): ReplayPlan => ({
  loaded: planOf(policyOf(rules, groups), context, wednesdayMorning),
  ...(rules.some(({ to }) => to.includes('db')) && {
    anyHost: planOf(policyOf(rules, everyHost), context, wednesdayMorning),
  }),
});

/** A record of these facts that got its verdict for this reason. A name came from the filter. */
const record = (facts: Facts, reason: Reason, over: Partial<FlowRecord> = {}): FlowRecord => ({
  ...recordOf(context, { facts, verdict: reasonEntry(reason).verdict, rule: 'default', reason }, true),
  ...over,
});

const run = (on: ReplayPlan, records: readonly AnyRecord[]) => {
  const given: { readonly record: AnyRecord; readonly replayed: Replayed }[] = [];
  const tally = createTally();
  const replay = createReplay({
    planAt: () => on,
    give: (one, replayed) => {
      given.push({ record: one, replayed });
      tally.add(one, replayed, on.loaded.plan);
    },
  });
  for (const one of records) replay.add(one);
  replay.finish();
  return { given, tally, early: replay.early() };
};

const inWords = (replayed: Replayed): string =>
  replayed.kind === 'unknown' ? `unknown ${replayed.cause}` : `${replayed.verdict} ${replayed.reason}`;

const last = (on: ReplayPlan, ...records: readonly AnyRecord[]): string =>
  inWords(run(on, records).given.at(-1)!.replayed);

const github = (words: FlowWords = {}): Facts =>
  tcp('93.184.216.34 port 443', { named: 'github.com', path: 'kernel', ...words });
const noHttp = { tls: absent, claimedName: absent } as const;
const code = permit({ web: ['code'] });

describe('one flow', () => {
  for (const [what, on, facts, reason, said] of [
    ['a rule that is there no more', plan(), github(hello('github.com')), 'rule', 'deny dns-not-permitted'],
    ['a rule that is new', plan(permit()), tcp('93.184.216.34 port 22', { path: 'kernel' }), 'no-rule', 'permit rule'],
    ['a name that was claimed', plan(code), github(hello('github.com')), 'rule', 'permit rule'],
    ['another name that was claimed', plan(code), github(hello('evil.example')), 'rule', 'deny name-mismatch'],
    ['no name was read, since it was denied before', plan(code), github(), 'no-rule', 'unknown unread'],
    [
      'nothing else may be claimed in UDP',
      plan(permit({ web: ['code'], protocol: 'udp' })),
      udp('93.184.216.34 port 53', { named: 'github.com' }),
      'no-rule',
      'permit rule',
    ],
    ['no TLS, and known to be no HTTP', plan(code), github(noHttp), 'rule', 'permit rule'],
    [
      'plain HTTP in the kernel may be there, and is not permitted by name',
      plan(code),
      github({ ...noHttp, plainHttpSeen: true }),
      'rule',
      'unknown unread',
    ],
    [
      'plain HTTP in the kernel, and said so',
      plan(code),
      github({ ...noHttp, plainHttpSeen: true }),
      'plain-http-unread',
      'deny plain-http-unread',
    ],
    [
      'a path on which the Host is read',
      plan(permit({ web: ['code'], tls: 'absent' })),
      github({ ...noHttp, plainHttpSeen: true }),
      'plain-http-unread',
      'unknown unread',
    ],
    [
      'a request inside TLS that nobody opened',
      plan(permit({ web: ['code'], http: { methods: ['GET'] } })),
      github({ ...hello('github.com') }),
      'rule',
      'unknown unread',
    ],
    [
      'a request',
      plan(permit({ web: ['code'], http: { methods: ['GET'] } })),
      { ...tcp('93.184.216.34 port 80', { named: 'github.com' }), ...request('GET http://github.com/a') },
      'rule',
      'permit rule',
    ],
    [
      'another request',
      plan(permit({ web: ['code'], http: { methods: ['GET'] } })),
      { ...tcp('93.184.216.34 port 80', { named: 'github.com' }), ...request('POST http://github.com/a') },
      'rule',
      'deny no-rule',
    ],
    [
      'a request that stays unread in the kernel',
      plan(code),
      { ...tcp('93.184.216.34 port 8080', { named: 'github.com' }), ...request('GET http://github.com/a') },
      'rule',
      'deny plain-http-unread',
    ],
    [
      'a hello that cannot be read',
      plan(code),
      github({ tls: unreadable, claimedName: unreadable }),
      'rule',
      'deny hello-unreadable',
    ],
    ['a packet that no policy judges', plan(permit()), github(), 'syn-payload', 'deny syn-payload'],
    ['a quota, and no rule', plan(), tcp('93.184.216.34 port 22', { path: 'kernel' }), 'flow-quota', 'deny no-rule'],
    [
      'a quota, and a rule',
      plan(permit()),
      tcp('93.184.216.34 port 22', { path: 'kernel' }),
      'flow-quota',
      'unknown gateway',
    ],
    [
      'nobody answered',
      plan(permit()),
      tcp('93.184.216.34 port 22', { path: 'proxy' }),
      'upstream-unreachable',
      'deny upstream-unreachable',
    ],
    ['a second hello with another name', plan(code), github(hello('github.com')), 'name-mismatch', 'unknown gateway'],
    [
      'encrypted ClientHello may have been there',
      plan(permit({ web: ['code'], ech: 'refuse' })),
      github(hello('github.com')),
      'rule',
      'unknown ech',
    ],
    [
      'and without TLS it was not',
      plan(permit({ web: ['code'], ech: 'refuse' })),
      github(noHttp),
      'rule',
      'permit rule',
    ],
    [
      'what a hostname stood for is not known',
      plan(permit({ to: ['db'] })),
      tcp('93.184.216.34 port 5432', { path: 'kernel' }),
      'rule',
      'unknown hostname',
    ],
    [
      'and has no part where another port is meant',
      plan(permit({ to: ['db'], ports: ['5432'] })),
      tcp('93.184.216.34 port 22', { path: 'kernel' }),
      'rule',
      'deny no-rule',
    ],
  ] as const)
    test(`${what}: ${said}`, () => {
      const one = record(facts, reason);
      const before = one.synthetic === undefined ? [] : [queryOf(one)];
      assert.equal(last(on, ...before, one), said);
    });
});

describe('other addresses of a name', () => {
  const denied = plan(deny({ to: ['net'] }), code);
  const one = record(github(hello('github.com')), 'rule');
  const looked = queryOf(one);

  test('one is not denied: it would have been dialled', () => {
    const two: DnsRecord = { ...looked, addresses: [...looked.addresses, address('140.82.121.4')] };
    assert.equal(last(denied, two, one), 'unknown address');
  });
  test('none is left', () => assert.equal(last(denied, looked, one), 'deny rule-denies'));
  test('nobody knows which there were', () => assert.equal(last(denied, one), 'unknown address'));
  test('what is learnt later counts for what comes later', () => {
    const two: DnsRecord = { ...looked, addresses: [address('140.82.121.4')] };
    const said = run(denied, [looked, one, two, one]).given.filter(({ record: { kind } }) => kind === 'flow');
    assert.deepEqual(
      said.map(({ replayed }) => inWords(replayed)),
      ['deny rule-denies', 'unknown address'],
    );
  });
});

describe('queries', () => {
  const looked = queryOf(record(github(), 'rule'));
  const refused: DnsRecord = { ...looked, verdict: 'deny', reason: 'dns-not-permitted', addresses: [], synthetic: [] };
  const lifted: DnsRecord = { ...looked, reason: 'dns-not-permitted', enforced: false };
  for (const [what, on, query, said] of [
    ['a name that is permitted no more', plan(), looked, 'deny dns-not-permitted'],
    [
      'a name that is permitted, at an address that is not',
      plan(permit({ web: ['code'], to: ['private-networks'] })),
      looked,
      'deny dns-address-denied',
    ],
    ['a lifted refusal of a name that is permitted now', plan(code), lifted, 'permit dns-answered'],
    ['a lifted refusal that stays one', plan(), lifted, 'deny dns-not-permitted'],
    ['a refused name: nobody knows what it stands for', plan(code), refused, 'unknown address'],
    ['a refused name, of a type without address', plan(code), { ...refused, type: 'TXT' }, 'permit dns-answered'],
    ['no such name', plan(code), { ...looked, rcode: 'NXDOMAIN', addresses: [], synthetic: [] }, 'permit dns-answered'],
    ['a type that is not served', plan(code), { ...refused, reason: 'dns-type' }, 'deny dns-type'],
  ] as const)
    test(`${what}: ${said}`, () => assert.equal(last(on, query), said));
});

describe('a log', () => {
  const start = (id: string, over: Partial<FlowRecord> = {}): FlowRecord => {
    const { end: _live, ...rest } = record(github(hello('github.com')), 'rule', { id, ...over });
    return rest;
  };
  const end = (id: string, over: Partial<FlowRecord> = {}): FlowRecord =>
    record(github(hello('github.com')), 'rule', { id, ...over });
  const open = plan(code);

  test('a flow counts once, by its end; one that lives on by its start', () => {
    const { given } = run(open, [start('a'), start('b'), end('a')]);
    assert.deepEqual(
      given.map(({ record: { id, end: at } }) => [id, at !== undefined]),
      [
        ['a', true],
        ['b', false],
      ],
    );
  });

  test('of another gateway the same id is another flow', () => {
    assert.equal(run(open, [start('a'), end('a', { gateway: 'other' })]).given.length, 2);
  });

  test('a flow that carried requests counts by these', () => {
    const asked = (line: string): Facts => ({
      ...tcp('93.184.216.34 port 80', { named: 'github.com' }),
      ...request(line),
    });
    const flow = { kind: 'request', flow: 'a' } as const;
    const { given, tally } = run(plan(permit({ web: ['code'], http: { methods: ['GET'] } })), [
      start('a'),
      record(asked('POST http://github.com/a'), 'rule', { ...flow, id: 'r1' }),
      record(asked('GET http://github.com/a'), 'rule', { ...flow, id: 'r2' }),
      record(asked('GET http://github.com/a'), 'rule', { id: 'a' }),
    ]);
    assert.deepEqual(
      given.map(({ record: { id } }) => id),
      ['r1', 'r2'],
    );
    assert.deepEqual(tally.counts(), { same: 1, 'newly-denied': 1, 'newly-permitted': 0, unknown: 0 });
  });

  test('more flows than are remembered are judged by their start, and said so', () => {
    const many = 40_000;
    const { given, early } = run(
      open,
      Array.from({ length: many }, (_, i) => start(`f-${i}`)),
    );
    assert.equal(given.length, many);
    assert.equal(early, many - 32_768);
  });

  test('denials that were only counted are unknown, as many as they were', () => {
    const { end: at = 0, ...head } = end('a');
    const { tally } = run(open, [
      {
        version: 1,
        kind: 'suppressed',
        id: 's',
        gateway: 'gw',
        start: head.start,
        end: at,
        agent: head.agent,
        verdict: 'deny',
        reason: 'no-rule',
        enforced: true,
        revision: 1,
        count: 700,
      },
    ]);
    assert.equal(tally.counts().unknown, 700);
  });

  test('rows by change, destination and rule, rules by the order of the walk', () => {
    const ssh = (id: string): FlowRecord => record(tcp('93.184.216.34 port 22', { path: 'kernel' }), 'no-rule', { id });
    const on = plan(code, permit({ name: 'ssh', to: ['net'], ports: ['22'] }));
    const first = end('a');
    const { tally } = run(on, [queryOf(first), first, ssh('b'), ssh('c'), end('d', { addressNames: [] })]);
    assert.deepEqual(
      tally.rows().map(({ change, destination, after, count }) => [change, destination, after, count]),
      [
        ['newly-permitted', '93.184.216.34:22', 'rules/ssh', 2],
        ['newly-denied', 'github.com:443', 'default', 1],
      ],
    );
    assert.deepEqual(
      tally
        .rules()
        .map(({ rule, permitted, newlyPermitted, denied }) => [rule?.name, permitted, newlyPermitted, denied]),
      [
        ['permit', 1, 0, 0],
        ['ssh', 2, 2, 0],
        [undefined, 1, 0, 1],
      ],
    );
  });
});
