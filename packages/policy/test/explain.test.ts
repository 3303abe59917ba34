import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainWalk } from '@cofferdam/policy';
import {
  contextOf,
  deny,
  hello,
  permit,
  policyOf,
  request,
  silent,
  smartGroup,
  tcp,
  udp,
  webGroup,
} from '@cofferdam/testkit';
import { absent, type Facts, known, unreadable } from '@cofferdam/verdict';

const web = '93.184.216.34 port 443';
const words = { web: [webGroup('github', ['api.github.com'])] };

test('explain says of each rule what became of it, and why', () => {
  const rules = [
    deny({ name: 'old', mode: 'disabled' }),
    deny({ name: 'trial', mode: 'monitor' }),
    permit({ name: 'ssh', ports: ['22'] }),
    permit({ name: 'store', to: ['store'] }),
    permit({ name: 'github', web: ['github'] }),
    permit({ name: 'rest' }),
  ];
  const policy = policyOf(rules, { ...words, smart: [smartGroup('store', ['cidr:10.20.0.0/16'])] });
  const facts = tcp(web, { named: 'api.github.com', ...hello('evil.example.net') });
  const { steps } = explainWalk(policy, contextOf(policy), facts);
  assert.deepEqual(
    steps.map(({ index, rule, outcome, because }) => `${index} ${rule} ${outcome}: ${because}`),
    [
      '0 old inactive: the rule is disabled',
      '1 trial monitored: every condition holds; it denies once it is enforced',
      '2 ssh no-match: the port is 443, not 22',
      '3 store no-match: 93.184.216.34 is not in `store`',
      '4 github decides: every condition holds, but the client asked for `evil.example.net` and the destination stands for `api.github.com`',
    ],
  );
});

test('explain ends in the default where no rule decides', () => {
  const policy = policyOf([permit({ http: { methods: ['GET'] } })]);
  const { steps } = explainWalk(policy, contextOf(policy), tcp(web, request('POST https://example.com/')));
  assert.deepEqual(
    steps.map(({ rule, outcome, because }) => `${rule} ${outcome}: ${because}`),
    ['permit no-match: method POST is not GET', 'default decides: no rule permits it, so the default denies it'],
  );
});

test('explain says which part of a request does not fit', () => {
  const wiki = webGroup('wiki-pages', ['http://wiki.example.com/pages/**']);
  const cases: readonly [Parameters<typeof permit>[0], string, string][] = [
    [{ http: { methods: ['GET', 'HEAD'] } }, 'POST http://wiki.example.com/', 'method POST is none of GET, HEAD'],
    [{ http: { paths: ['/pages/**'] } }, 'GET http://wiki.example.com/admin', 'path `/admin` is none of `/pages/**`'],
    [
      { web: ['wiki-pages'] },
      'GET http://wiki.example.com/admin',
      'path `/admin` is under none of the URLs of `wiki-pages`',
    ],
  ];
  for (const [conditions, sent, because] of cases) {
    const policy = policyOf([permit(conditions)], { web: [wiki] });
    const facts = tcp('93.184.216.34 port 80', { named: 'wiki.example.com', ...request(sent) });
    assert.equal(explainWalk(policy, contextOf(policy), facts).steps[0]?.because, because);
  }
});

test('explain shows what an undecided flow waits for', () => {
  const policy = policyOf([deny({ tls: 'required' }), permit()]);
  const { steps } = explainWalk(policy, contextOf(policy), tcp(web));
  assert.deepEqual(
    steps.map(({ outcome, because }) => `${outcome}: ${because}`),
    [
      'waits: waits to see whether the client speaks TLS',
      'waits: every condition holds, but a rule above it still waits',
    ],
  );
});

test('explain names what cannot be read', () => {
  const policy = policyOf([permit({ tls: 'required' })]);
  const { steps } = explainWalk(
    policy,
    contextOf(policy),
    tcp(web, { tls: unreadable, claimedName: known('x.example' as never) }),
  );
  assert.match(
    steps[0]!.because,
    /^needs whether the client speaks TLS, which cannot be read; the TLS ClientHello is malformed/,
  );
});

const named = permit({ web: ['github'] });
const pages = permit({ web: ['pages'], tls: 'absent' });
const several = { web: [...words.web, webGroup('pages', ['http://wiki.example.com/pages/**'])] };
const nameless: Partial<Facts> = { tls: known(true), claimedName: absent };
const given = (names: readonly string[], more: Partial<Omit<Facts, 'source'>> = {}) =>
  tcp(web, { named: names, ...more });

const byMode: readonly (readonly ['track' | 'own', rule: typeof named, Facts, because: string])[] = [
  ['track', named, tcp(web), 'an address that no answer gave, and the rule asks for one of `github`'],
  ['track', named, given(['api.github.com']), 'waits for the name the client asks for'],
  [
    'track',
    permit({ web: ['github'], tls: 'required' }),
    given(['api.github.com']),
    'waits for the name the client asks for',
  ],
  [
    'track',
    named,
    given(['gist.github.com', 'a.example']),
    'the agent looked up `gist.github.com`, `a.example`; that is not in `github`',
  ],
  [
    'track',
    named,
    given(['api.github.com', 'gist.github.com'], hello('gist.github.com')),
    'the client asked for `gist.github.com`; that is not in `github`',
  ],
  [
    'track',
    permit({ web: ['any-web'] }),
    given(['api.github.com'], hello('gist.github.com')),
    'the client asked for `gist.github.com`, but the agent looked up `api.github.com`',
  ],
  [
    'track',
    named,
    given(['api.github.com'], silent),
    'the client asks for no name, and the rule asks for one of `github`',
  ],
  [
    'track',
    named,
    given(['api.github.com'], nameless),
    'the client asks for no name, and the rule asks for one of `github`',
  ],
  [
    'track',
    permit({ web: ['github'], protocol: 'udp' }),
    udp('93.184.216.34 port 9000', { named: 'api.github.com' }),
    '`web` looks at the name that the client claims, and udp carries none: a `hostname` in `to` would do',
  ],
  [
    'track',
    pages,
    tcp('93.184.216.34 port 80', {
      named: ['wiki.example.com', 'other.example'],
      ...request('GET http://wiki.example.com/admin'),
    }),
    'path `/admin` is under none of the URLs of `pages`',
  ],
  [
    'track',
    pages,
    tcp('93.184.216.34 port 80', {
      named: ['wiki.example.com', 'other.example'],
      ...request('GET http://other.example/admin'),
    }),
    'the client asked for `other.example`; that is not in `pages`',
  ],
  ['own', named, tcp(web), 'waits for the name the client asks for, and where that leads'],
  [
    'own',
    named,
    tcp(web, hello('api.github.com')),
    'the client asked for `api.github.com`, but the gateway did not resolve that for this connection',
  ],
  ['own', named, tcp(web, hello('gist.github.com')), 'the client asked for `gist.github.com`; that is not in `github`'],
  [
    'own',
    named,
    given(['gist.github.com'], hello('gist.github.com')),
    'the client asked for `gist.github.com`; that is not in `github`',
  ],
  ['own', named, tcp(web, silent), 'the client asks for no name, and the rule asks for one of `github`'],
  [
    'own',
    permit({ web: ['github'], to: ['store'] }),
    given(['api.github.com'], hello('api.github.com')),
    '93.184.216.34 is not in `store`',
  ],
  [
    'own',
    permit({ web: ['github'], protocol: 'icmp' }),
    { ...tcp(web), protocol: 'icmp' },
    '`web` looks at the name that the client claims, and icmp carries none: a `hostname` in `to` would do',
  ],
  [
    'track',
    deny({ web: ['github'] }),
    given(['gist.github.com'], hello('gist.github.com')),
    'the agent looked up `gist.github.com`, the client asked for `gist.github.com`; that is not in `github`',
  ],
];

test('explain says by which names a rule is judged in each mode', () => {
  for (const [dnsMode, rule, facts, because] of byMode) {
    const policy = policyOf([rule, permit({ ports: ['1'] })], {
      ...several,
      smart: [smartGroup('store', ['cidr:10.20.0.0/16'])],
    });
    const [first] = explainWalk(policy, contextOf(policy, { dnsMode }), facts).steps;
    assert.equal(first?.because, because);
  }
});

test('in own mode a name that is belied is one that the gateway resolved', () => {
  const policy = policyOf([named], several);
  const facts = given(['api.github.com'], hello('gist.github.com'));
  const [first] = explainWalk(policy, contextOf(policy, { dnsMode: 'own' }), facts).steps;
  assert.equal(
    first?.because,
    'every condition holds, but the client asked for `gist.github.com` and the gateway resolved `api.github.com`',
  );
});
