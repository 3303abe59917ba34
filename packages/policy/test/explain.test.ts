import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainWalk } from '@cofferdam/policy';
import { contextOf, deny, hello, permit, policyOf, request, smartGroup, tcp, webGroup } from '@cofferdam/testkit';
import { known, unreadable } from '@cofferdam/verdict';

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
      'waits: needs whether the client speaks TLS, which is not known yet',
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
