import {
  coder,
  deny,
  hello,
  icmp,
  permit,
  ruleset,
  silent,
  tcp,
  udp,
  webGroup,
  wednesdayMorning,
} from '@cofferdam/testkit';
import { unreadable } from '@cofferdam/verdict';
import { tryRows } from './evaluate-words.ts';

const web = '93.184.216.34 port 443';
const yes = 'permit 0 rule packet kernel';
const no = 'deny default no-rule packet kernel';

const github = webGroup('github', ['api.github.com', '*.githubusercontent.com']);
const words = { web: [github, webGroup('repos', ['https://api.github.com/repos/acme/**'])] };

tryRows('3.3 order of the walk', [
  { sentence: 'no rule: the default denies', rules: [], facts: tcp(web), says: no },
  { sentence: 'the first that matches and is enforced decides', rules: [permit(), deny()], facts: tcp(web), says: yes },
  {
    sentence: 'the first that matches decides, also where it denies',
    rules: [deny(), permit()],
    facts: tcp(web),
    says: 'deny 0 rule-denies packet kernel',
  },
  {
    sentence: 'a rule that does not match is passed',
    rules: [deny({ protocol: 'udp' }), permit()],
    facts: tcp(web),
    says: 'permit 1 rule packet kernel',
  },
  {
    sentence: 'a disabled rule keeps its place in the count',
    rules: [deny({ mode: 'disabled' }), permit()],
    facts: tcp(web),
    says: 'permit 1 rule packet kernel',
  },
  {
    sentence: 'rules of the second ruleset are counted on from the first',
    rules: [],
    words: { rulesets: [ruleset([deny({ protocol: 'udp' })], 'guardrail', 'a'), ruleset([permit()], 'agent', 'b')] },
    facts: tcp(web),
    says: 'permit 1 rule packet kernel',
  },
  {
    sentence: 'a guardrail goes before a rule of the agent',
    rules: [],
    words: { rulesets: [ruleset([deny()], 'guardrail', 'a'), ruleset([permit()], 'agent', 'b')] },
    facts: tcp(web),
    says: 'deny 0 rule-denies packet kernel',
  },
]);

tryRows('3.3 protocol and ports', [
  { sentence: '`any` is tcp', rules: [permit({ protocol: 'any' })], facts: tcp(web), says: yes },
  { sentence: '`any` is udp', rules: [permit({ protocol: 'any' })], facts: udp('93.184.216.34 port 53'), says: yes },
  { sentence: '`any` is icmp', rules: [permit({ protocol: 'any' })], facts: icmp('93.184.216.34'), says: yes },
  { sentence: 'tcp is not udp', rules: [permit()], facts: udp('93.184.216.34 port 53'), says: no },
  {
    sentence: 'a port at the end of a range matches',
    rules: [permit({ ports: ['8000-8100'] })],
    facts: tcp('93.184.216.34 port 8100'),
    says: yes,
  },
  {
    sentence: 'a port past the end of a range does not',
    rules: [permit({ ports: ['8000-8100'] })],
    facts: tcp('93.184.216.34 port 8101'),
    says: no,
  },
  {
    sentence: 'one of several ranges is enough',
    rules: [permit({ ports: ['22', '8000-8100'] })],
    facts: tcp('93.184.216.34 port 22'),
    says: yes,
  },
  {
    sentence: 'with `any`, ports match tcp and udp and not icmp',
    rules: [permit({ protocol: 'any', ports: ['53'] })],
    facts: icmp('93.184.216.34'),
    says: no,
  },
  {
    sentence: '`tls` with `any` matches only tcp',
    rules: [permit({ protocol: 'any', tls: 'absent' })],
    facts: udp('93.184.216.34 port 53'),
    says: no,
  },
  {
    sentence: '`http` with `any` matches only tcp',
    rules: [deny({ protocol: 'any', http: { methods: ['GET'] } }), permit({ protocol: 'any' })],
    facts: icmp('93.184.216.34'),
    says: 'permit 1 rule packet kernel',
  },
  {
    sentence: '`mcp` with `any` matches only tcp',
    rules: [deny({ protocol: 'any', mcp: { methods: ['tools/call'] } }), permit({ protocol: 'any' })],
    facts: udp('93.184.216.34 port 53'),
    says: 'permit 1 rule packet kernel',
  },
]);

tryRows('3.7 UDP port 443', [
  {
    sentence: 'a rule with `protocol: udp` that lists 443 by itself permits it',
    rules: [permit({ protocol: 'udp', ports: ['443'] })],
    facts: udp(web),
    says: yes,
  },
  {
    sentence: 'a range around 443 does not',
    rules: [permit({ protocol: 'udp', ports: ['442-444'] })],
    facts: udp(web),
    says: 'deny default quic packet kernel',
  },
  {
    sentence: 'every port does not',
    rules: [permit({ protocol: 'udp' })],
    facts: udp(web),
    says: 'deny default quic packet kernel',
  },
  {
    sentence: '`protocol: any` does not',
    rules: [permit({ protocol: 'any', ports: ['443'] })],
    facts: udp(web),
    says: 'deny default quic packet kernel',
  },
  {
    sentence: 'a rule with `web` does not',
    rules: [permit({ protocol: 'udp', ports: ['443'], web: ['github'] })],
    words,
    facts: udp(web, { named: 'api.github.com' }),
    says: 'deny default quic packet kernel',
  },
  {
    sentence: 'a deny needs none of this',
    rules: [deny({ protocol: 'any' })],
    facts: udp(web),
    says: 'deny 0 rule-denies packet kernel',
  },
  {
    sentence: 'another port is ordinary UDP',
    rules: [permit({ protocol: 'udp' })],
    facts: udp('93.184.216.34 port 444'),
    says: yes,
  },
  {
    sentence: 'TCP port 443 is not meant',
    rules: [permit({ protocol: 'any', ports: ['443'] })],
    facts: tcp(web),
    says: yes,
  },
]);

const nine = { timezone: 'UTC', days: ['wed'], fromMinute: 540, untilMinute: 600 } as const;

tryRows('3.5 rules that are not in the walk', [
  { sentence: 'a disabled rule', rules: [permit({ mode: 'disabled' })], facts: tcp(web), says: no },
  {
    sentence: 'a monitored rule never denies',
    rules: [deny({ mode: 'monitor' }), permit()],
    facts: tcp(web),
    says: 'permit 1 rule packet kernel',
    would: 'deny 0 rule-denies',
  },
  {
    sentence: 'a monitored rule never permits',
    rules: [permit({ mode: 'monitor' })],
    facts: tcp(web),
    says: no,
    would: 'permit 0 rule',
  },
  {
    sentence: 'a monitored rule never makes a flow wait or take the proxy',
    rules: [deny({ mode: 'monitor', http: { methods: ['DELETE'] } }), permit()],
    facts: tcp(web),
    says: 'permit 1 rule packet kernel',
    would: 'unknown',
  },
  { sentence: 'an expired rule', rules: [permit({ expires: wednesdayMorning })], facts: tcp(web), says: no },
  {
    sentence: 'a rule is in force until the instant it expires',
    rules: [permit({ expires: wednesdayMorning + 1 })],
    facts: tcp(web),
    says: yes,
  },
  {
    sentence: 'a rule inside its schedule is in force',
    rules: [permit({ schedule: nine })],
    facts: tcp(web),
    says: yes,
  },
  {
    sentence: 'a rule outside its schedule',
    rules: [permit({ schedule: nine })],
    facts: tcp(web, { at: wednesdayMorning - 1 }),
    says: no,
  },
]);

tryRows('3.3 `tls`', [
  {
    sentence: '`required` waits for the first bytes',
    rules: [permit({ tls: 'required' })],
    facts: tcp(web),
    says: 'undecided 0 kernel',
  },
  {
    sentence: '`required` is satisfied by a ClientHello',
    rules: [permit({ tls: 'required' })],
    facts: tcp(web, hello('example.com')),
    says: 'permit 0 rule name kernel',
  },
  {
    sentence: '`required` is contradicted by anything else',
    rules: [permit({ tls: 'required' })],
    facts: tcp(web, silent),
    says: 'deny default no-rule name kernel',
  },
  {
    sentence: '`absent` is contradicted by a ClientHello',
    rules: [permit({ tls: 'absent' })],
    facts: tcp(web, hello('example.com')),
    says: 'deny default no-rule name kernel',
  },
  {
    sentence: '`absent` is satisfied by anything else',
    rules: [permit({ tls: 'absent' })],
    facts: tcp(web, silent),
    says: 'permit 0 rule name kernel',
  },
  {
    sentence: 'a hello that cannot be read satisfies neither, and denies',
    rules: [permit({ tls: 'absent' })],
    facts: tcp(web, { tls: unreadable, claimedName: unreadable }),
    says: 'deny 0 hello-unreadable name kernel',
  },
  {
    sentence: '`either` does not ask',
    rules: [permit()],
    facts: tcp(web, { tls: unreadable, claimedName: unreadable }),
    says: 'permit 0 rule name kernel',
    words: { inventory: [coder] },
  },
]);
