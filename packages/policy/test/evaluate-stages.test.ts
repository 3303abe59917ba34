import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finalDecision, type Rule } from '@cofferdam/policy';
import {
  coder,
  contextOf,
  deny,
  hello,
  permit,
  policyOf,
  silent,
  smartGroup,
  tcp,
  udp,
  webGroup,
  workload,
} from '@cofferdam/testkit';
import { absent, type Facts, unreadable } from '@cofferdam/verdict';
import { tryRows } from './evaluate-words.ts';

const web = '93.184.216.34 port 443';
const words = { web: [webGroup('github', ['api.github.com']), webGroup('repos', ['https://api.github.com/repos/**'])] };
const needsTls = permit({ tls: 'required' });

tryRows('3.5 deciding in stages', [
  {
    sentence: 'a rule that waits leaves the flow undecided, named after it',
    rules: [needsTls, permit()],
    facts: tcp(web),
    says: 'undecided 0 kernel',
  },
  {
    sentence: 'a known fact that contradicts it lets the walk go on',
    rules: [needsTls, permit()],
    facts: tcp(web, silent),
    says: 'permit 1 rule name kernel',
  },
  {
    sentence: 'rules after the first satisfied one do not count',
    rules: [permit(), needsTls],
    facts: tcp(web),
    says: 'permit 0 rule packet kernel',
  },
  {
    sentence: 'the satisfied rule denies and no permit before it can match: denied now, named after it',
    rules: [deny({ tls: 'required' }), deny()],
    facts: tcp(web),
    says: 'deny 1 no-permit-reachable packet kernel',
  },
  {
    sentence: 'so also where the default denies',
    rules: [deny({ tls: 'required' })],
    facts: tcp(web),
    says: 'deny default no-permit-reachable packet kernel',
  },
  {
    sentence: 'a permit before it that may yet match keeps the flow undecided',
    rules: [needsTls, deny()],
    facts: tcp(web),
    says: 'undecided 0 kernel',
  },
  {
    sentence: 'the satisfied rule permits: a deny before it that may yet match keeps the flow undecided',
    rules: [deny({ tls: 'required' }), permit()],
    facts: tcp(web),
    says: 'undecided 0 kernel',
  },
  {
    sentence: 'unreadable denies where the walk needs the fact, naming the rule that needed it',
    rules: [deny({ protocol: 'udp' }), needsTls, permit()],
    facts: tcp(web, { tls: unreadable, claimedName: unreadable }),
    says: 'deny 1 hello-unreadable name kernel',
  },
  {
    sentence: 'unreadable does not matter where the walk does not need the fact',
    rules: [permit(), needsTls],
    facts: tcp(web, { tls: unreadable, claimedName: unreadable }),
    says: 'permit 0 rule name kernel',
  },
  {
    sentence: 'unreadable does not matter where no permit is reachable',
    rules: [deny({ tls: 'required' }), deny()],
    facts: tcp(web, { tls: unreadable, claimedName: unreadable }),
    says: 'deny 1 no-permit-reachable name kernel',
  },
]);

tryRows('3.5 the path', [
  {
    sentence: 'the proxy holds TCP to port 80',
    rules: [permit()],
    facts: tcp('93.184.216.34 port 80'),
    says: 'permit 0 rule packet proxy',
  },
  {
    sentence: 'what is denied at the SYN stays in the kernel, port 80 too',
    rules: [],
    facts: tcp('93.184.216.34 port 80'),
    says: 'deny default no-rule packet kernel',
  },
  {
    sentence: 'UDP to port 80 stays in the kernel',
    rules: [permit({ protocol: 'udp' })],
    facts: udp('93.184.216.34 port 80'),
    says: 'permit 0 rule packet kernel',
  },
  {
    sentence: '`http` that may match takes the proxy',
    rules: [permit({ http: { methods: ['GET'] } })],
    facts: tcp(web),
    says: 'undecided 0 proxy',
  },
  {
    sentence: '`mcp` that may match takes the proxy',
    rules: [permit({ mcp: { tools: ['x'] } })],
    facts: tcp(web),
    says: 'undecided 0 proxy',
  },
  {
    sentence: '`web` with `tls: absent` takes the proxy',
    rules: [permit({ web: ['github'], tls: 'absent' })],
    words,
    facts: tcp(web, { named: 'api.github.com' }),
    says: 'undecided 0 proxy',
  },
  {
    sentence: 'a URL in `web` takes the proxy',
    rules: [permit({ web: ['repos'] })],
    words,
    facts: tcp(web, { named: 'api.github.com' }),
    says: 'undecided 0 proxy',
  },
  {
    sentence: 'one that is contradicted does not',
    rules: [permit({ http: { methods: ['GET'] }, ports: ['8080'] }), permit()],
    facts: tcp(web),
    says: 'permit 1 rule packet kernel',
  },
  {
    sentence: 'one behind a satisfied rule does not',
    rules: [permit(), permit({ http: { methods: ['GET'] } })],
    facts: tcp(web),
    says: 'permit 0 rule packet kernel',
  },
  {
    sentence: 'one behind a rule that only waits does',
    rules: [needsTls, permit({ http: { methods: ['GET'] } })],
    facts: tcp(web),
    says: 'undecided 0 proxy',
  },
  { sentence: 'all others stay in the kernel', rules: [needsTls], facts: tcp(web), says: 'undecided 0 kernel' },
  {
    sentence: 'the path is fixed at the SYN: later facts keep it',
    rules: [permit({ http: { methods: ['GET'] } }), permit()],
    facts: tcp(web, { path: 'proxy', ...silent, request: absent }),
    says: 'permit 1 rule request proxy',
  },
]);

const watched = [smartGroup('watched', ['agent:coder'], 'monitor')];
const other = workload('other', ['10.11.1.8']);
const lifted = 'permit default monitored packet kernel';

tryRows('3.6 monitored containment', [
  {
    sentence: 'the default counts as a permit',
    rules: [],
    words: { smart: watched },
    facts: tcp(web),
    says: lifted,
    would: 'deny default no-rule',
  },
  {
    sentence: 'where nothing is said, containment is enforced',
    rules: [],
    words: { smart: [smartGroup('watched', ['agent:coder'])] },
    facts: tcp(web),
    says: 'deny default no-rule packet kernel',
    would: 'none',
  },
  {
    sentence: 'enforce wins where groups overlap',
    rules: [],
    words: { smart: [...watched, smartGroup('strict', ['label:team=platform'], 'enforce')] },
    facts: tcp(web),
    says: 'deny default no-rule packet kernel',
  },
  {
    sentence: 'a group that says nothing does not overrule one that says monitor',
    rules: [],
    words: { smart: [...watched, smartGroup('quiet', ['label:team=platform'])] },
    facts: tcp(web),
    says: lifted,
  },
  {
    sentence: 'another agent is not monitored',
    rules: [],
    words: { smart: [smartGroup('watched', ['agent:other'], 'monitor')], inventory: [coder, other] },
    facts: tcp(web),
    says: 'deny default no-rule packet kernel',
  },
  {
    sentence: 'a flow between two agents is monitored only if both are',
    rules: [],
    words: { smart: watched, inventory: [coder, other] },
    facts: tcp('10.11.1.8 port 22'),
    says: 'deny default no-rule packet kernel',
  },
  {
    sentence: 'a flow between two monitored agents is monitored',
    rules: [],
    words: { smart: [smartGroup('watched', ['agent:coder', 'agent:other'], 'monitor')], inventory: [coder, other] },
    facts: tcp('10.11.1.8 port 22'),
    says: lifted,
  },
  {
    sentence: 'an enforced deny always denies',
    rules: [deny()],
    words: { smart: watched },
    facts: tcp(web),
    says: 'deny 0 rule-denies packet kernel',
    would: 'deny 0 rule-denies',
  },
  {
    sentence: 'with the default a permit, a deny before it that waits keeps the flow undecided',
    rules: [deny({ tls: 'required' })],
    words: { smart: watched },
    facts: tcp(web),
    says: 'undecided 0 kernel',
  },
  {
    sentence: 'the UDP/443 rejection is lifted',
    rules: [],
    words: { smart: watched },
    facts: udp(web),
    says: lifted,
    would: 'deny default quic',
  },
  {
    sentence: 'a name mismatch is lifted: permit, of the same rule',
    rules: [permit({ web: ['github'] })],
    words: { ...words, smart: watched },
    facts: tcp(web, { named: 'api.github.com', ...hello('evil.example.net') }),
    says: 'permit 0 monitored name kernel',
    would: 'deny 0 name-mismatch',
  },
  {
    sentence: 'an unreadable fact fails permits, and the walk goes on',
    rules: [needsTls, permit()],
    words: { smart: watched },
    facts: tcp(web, { tls: unreadable, claimedName: unreadable }),
    says: 'permit 1 rule name kernel',
    would: 'deny 0 hello-unreadable',
  },
  {
    sentence: 'an unreadable fact satisfies denies',
    rules: [deny({ tls: 'absent' }), permit()],
    words: { smart: watched },
    facts: tcp(web, { tls: unreadable, claimedName: unreadable }),
    says: 'deny 0 rule-denies name kernel',
  },
  {
    sentence: 'platform addresses are never lifted',
    rules: [],
    words: { smart: watched },
    facts: tcp('169.254.169.254 port 80'),
    says: 'deny default reserved-address packet kernel',
  },
  {
    sentence: "the gateway's own ports are never lifted",
    rules: [],
    words: { smart: watched },
    facts: tcp('10.11.1.1 port 22'),
    says: 'deny default gateway-port packet kernel',
  },
  {
    sentence: '`run --monitor` treats every rule as monitored',
    rules: [deny()],
    facts: tcp(web),
    context: { monitor: true },
    says: lifted,
    would: 'deny 0 rule-denies',
  },
  {
    sentence: '`run --monitor` treats the containment as monitored',
    rules: [],
    facts: tcp(web),
    context: { monitor: true },
    says: lifted,
    would: 'deny default no-rule',
  },
  {
    sentence: '`run --monitor` never lifts the metadata service',
    rules: [],
    facts: tcp('169.254.169.254 port 80'),
    context: { monitor: true },
    says: 'deny default reserved-address packet kernel',
  },
]);

tryRows('3.5 the would-be verdict', [
  {
    sentence: 'stands beside a verdict only where something is monitored',
    rules: [permit()],
    facts: tcp(web),
    says: 'permit 0 rule packet kernel',
    would: 'none',
  },
  {
    sentence: 'walks every monitored rule as enforced',
    rules: [deny({ mode: 'monitor', ports: ['443'] }), permit()],
    facts: tcp(web),
    says: 'permit 1 rule packet kernel',
    would: 'deny 0 rule-denies',
  },
  {
    sentence: 'leaves disabled rules out',
    rules: [deny({ mode: 'disabled' }), deny({ mode: 'monitor', ports: ['22'] }), permit()],
    facts: tcp(web),
    says: 'permit 2 rule packet kernel',
    would: 'permit 2 rule',
  },
  {
    sentence: 'a fact that was not read is unknown, never absent',
    rules: [permit({ mode: 'monitor', http: { methods: ['GET'] } })],
    facts: tcp(web, hello('example.com')),
    says: 'deny default no-rule name kernel',
    would: 'unknown',
  },
]);

const ends = (rules: readonly Rule[], facts: Facts, smart: typeof watched = []): string => {
  const policy = policyOf(rules, { smart });
  const { verdict, rule, reason } = finalDecision(policy, contextOf(policy), facts);
  return `${verdict} ${rule} ${reason}`;
};

test('3.5 a flow that ends undecided is denied, named after the rule that waited', () => {
  assert.equal(ends([needsTls, permit()], tcp(web)), 'deny 0 undecided-closed');
});
test('3.5 a flow that ends decided keeps its decision', () => {
  assert.equal(ends([permit()], tcp(web)), 'permit 0 rule');
});
test('3.6 a flow of a monitored agent that ends undecided is permitted', () => {
  assert.equal(ends([needsTls, permit()], tcp(web), watched), 'permit 0 monitored');
});
