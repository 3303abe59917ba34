import {
  address,
  coder,
  deny,
  name,
  permit,
  ruleset,
  type selector,
  smartGroup,
  tcp,
  workload,
} from '@cofferdam/testkit';
import { type Row, tryRows } from './evaluate-words.ts';

const yes = 'permit 0 rule packet kernel';
const no = 'deny default no-rule packet kernel';
const reserved = 'deny default reserved-address packet kernel';
const web = '93.184.216.34 port 443';

/** One permit `from` a group of these selectors. */
const fromGroup = (any: readonly string[], more: Partial<Row> = {}) => ({
  rules: [permit({ from: ['group'] })],
  facts: tcp(web),
  words: { smart: [smartGroup('group', any)] },
  ...more,
});

/** One permit, or deny before a permit of everything, `to` a group of these selectors. */
const toGroup = (any: readonly string[], to: string, more: Partial<Row> = {}) => ({
  rules: [permit({ to: ['group'] })],
  facts: tcp(to),
  words: { smart: [smartGroup('group', any)] },
  ...more,
});

const toBuiltIn = (group: string, to: string) => ({ rules: [permit({ to: [group] })], facts: tcp(to) });

const pod = workload('pod', ['10.11.1.7'], {
  kubernetes: { cluster: 'prod-1', namespace: 'agents', labels: { app: 'coder' } },
});
const machine = workload('vm', ['10.11.1.7'], {
  cloud: { provider: 'azure', account: 'sub-1', region: 'westeurope', tags: { env: 'prod' } },
});
const fromSelector = (any: ReturnType<typeof selector>[], inventory = [coder]) => ({
  rules: [permit({ from: ['group'] })],
  facts: tcp(web),
  words: { smart: [{ ...smartGroup('group', []), any }], inventory },
});

tryRows('3.2 groups', [
  {
    sentence: '`any` is a list of selectors, of which one is enough',
    ...fromGroup(['agent:other', 'agent:coder']),
    says: yes,
  },
  { sentence: 'a group none of whose selectors match matches nothing', ...fromGroup(['agent:other']), says: no },
  { sentence: '`agent` is the inventory name of a workload', ...fromGroup(['agent:coder']), says: yes },
  { sentence: '`labels` are those of the inventory', ...fromGroup(['label:team=platform']), says: yes },
  { sentence: 'a label of another value does not match', ...fromGroup(['label:team=research']), says: no },
  {
    sentence: 'the keys inside one selector AND together',
    ...fromSelector([{ kind: 'workload', agent: 'coder', labels: { team: 'research' } }]),
    says: no,
  },
  {
    sentence: 'every label that is named must be there',
    ...fromSelector([{ kind: 'workload', labels: { team: 'platform', env: 'prod' } }]),
    says: no,
  },
  {
    sentence: 'an absent key does not constrain',
    ...fromSelector([{ kind: 'workload', kubernetes: { cluster: 'prod-1' } }], [pod]),
    says: yes,
  },
  {
    sentence: 'a selector never reaches past the cluster it names',
    ...fromSelector([{ kind: 'workload', kubernetes: { cluster: 'prod-2', namespace: 'agents' } }], [pod]),
    says: no,
  },
  {
    sentence: 'a pod matches by its namespace and labels',
    ...fromSelector(
      [{ kind: 'workload', kubernetes: { cluster: 'prod-1', namespace: 'agents', labels: { app: 'coder' } } }],
      [pod],
    ),
    says: yes,
  },
  {
    sentence: 'a selector never reaches past the account it names',
    ...fromSelector(
      [{ kind: 'workload', cloud: { provider: 'azure', account: 'sub-2', tags: { env: 'prod' } } }],
      [machine],
    ),
    says: no,
  },
  {
    sentence: 'a network that inventory does not tell does not match',
    ...fromSelector(
      [{ kind: 'workload', cloud: { provider: 'azure', account: 'sub-1', network: 'vnet-1' } }],
      [machine],
    ),
    says: no,
  },
  {
    sentence: 'a machine matches by its tags',
    ...fromSelector(
      [{ kind: 'workload', cloud: { provider: 'azure', account: 'sub-1', tags: { env: 'prod' } } }],
      [machine],
    ),
    says: yes,
  },
  { sentence: '`cidr` holds the source address of the flow', ...fromGroup(['cidr:10.11.1.0/24']), says: yes },
  {
    sentence: '`cidr` is judged on the address the flow has, not on the others of its agent',
    ...fromGroup(['cidr:10.11.1.0/24'], { facts: tcp('2606:2800:220:1::5 port 443', { source: 'fd11::7' }) }),
    says: no,
  },
  {
    sentence: 'a group that nobody wrote matches nothing',
    rules: [permit({ from: ['nobody'] })],
    facts: tcp(web),
    says: no,
  },
  { sentence: 'a feed that is not loaded matches nothing', ...fromGroup(['feed:threats']), says: no },
  {
    sentence: 'a destination is in a group by `cidr`',
    ...toGroup(['cidr:10.20.0.0/16'], '10.20.255.255 port 443'),
    says: yes,
  },
  {
    sentence: 'a destination one address past the `cidr` is not',
    ...toGroup(['cidr:10.20.0.0/16'], '10.21.0.0 port 443'),
    says: no,
  },
  {
    sentence: 'a destination is in a group by being an address of its workload',
    ...toGroup(['agent:store'], '10.11.1.8 port 443'),
    words: { smart: [smartGroup('group', ['agent:store'])], inventory: [coder, workload('store', ['10.11.1.8'])] },
    says: yes,
  },
  {
    sentence: '`hostname` matches an equal address name',
    ...toGroup(['host:db.internal.example'], '10.20.0.5 port 5432', {
      facts: tcp('10.20.0.5 port 5432', { named: 'db.internal.example' }),
    }),
    says: yes,
  },
  {
    sentence: '`hostname` does not match a name below it',
    ...toGroup(['host:db.internal.example'], web, {
      facts: tcp('10.20.0.5 port 5432', { named: 'a.db.internal.example' }),
    }),
    says: no,
  },
  {
    sentence: '`hostname` matches the addresses last resolved for it',
    ...toGroup(['host:db.internal.example'], '10.20.0.5 port 5432'),
    context: { resolved: new Map([[name('db.internal.example'), [address('10.20.0.5')]]]) },
    says: yes,
  },
  {
    sentence: 'a `hostname` that resolves to nothing matches nothing',
    ...toGroup(['host:db.internal.example'], '10.20.0.5 port 5432'),
    says: no,
  },
]);

tryRows('3.2 built-in groups', [
  { sentence: '`anywhere` is every ordinary address', ...toBuiltIn('anywhere', web), says: yes },
  {
    sentence: '`private-networks` holds RFC 1918',
    ...toBuiltIn('private-networks', '172.31.255.255 port 443'),
    says: yes,
  },
  {
    sentence: '`private-networks` ends where RFC 1918 ends',
    ...toBuiltIn('private-networks', '172.32.0.0 port 443'),
    says: no,
  },
  {
    sentence: '`private-networks` holds unique local IPv6',
    ...toBuiltIn('private-networks', 'fd11::9 port 443'),
    says: yes,
  },
  {
    sentence: '`public-internet` is what IANA does not list as special-purpose',
    ...toBuiltIn('public-internet', web),
    says: yes,
  },
  {
    sentence: '`public-internet` leaves private networks out',
    ...toBuiltIn('public-internet', '10.20.0.5 port 443'),
    says: no,
  },
  {
    sentence: '`public-internet` leaves documentation addresses out',
    ...toBuiltIn('public-internet', '203.0.113.5 port 443'),
    says: no,
  },
  {
    sentence: '`public-internet` leaves cloud platform addresses out',
    ...toBuiltIn('public-internet', '168.63.129.16 port 80'),
    says: reserved,
  },
  {
    sentence: '`public-internet` leaves multicast out',
    ...toBuiltIn('public-internet', '224.0.0.1 port 443'),
    says: reserved,
  },
  {
    sentence: '`public-internet` leaves every address of the gateway out',
    ...toBuiltIn('public-internet', '93.184.216.1 port 443'),
    context: { gatewayAddresses: [address('93.184.216.1')] },
    says: 'deny default gateway-port packet kernel',
  },
]);

tryRows('3.2 reserved addresses', [
  { sentence: '`anywhere` does not reach loopback', ...toBuiltIn('anywhere', '127.0.0.1 port 443'), says: reserved },
  { sentence: '`anywhere` does not reach link-local', ...toBuiltIn('anywhere', 'fe80::1 port 443'), says: reserved },
  {
    sentence: '`anywhere` does not reach the metadata service',
    ...toBuiltIn('anywhere', '169.254.169.254 port 80'),
    says: reserved,
  },
  {
    sentence: 'a wider `cidr` does not reach it',
    ...toGroup(['cidr:168.0.0.0/8'], '168.63.129.16 port 443'),
    says: reserved,
  },
  {
    sentence: 'a `cidr` of the link-local range does not reach the metadata service inside it',
    ...toGroup(['cidr:169.254.0.0/16'], '169.254.169.254 port 443'),
    says: reserved,
  },
  {
    sentence: 'a `cidr` that lies wholly inside the reserved range reaches it',
    ...toGroup(['cidr:169.254.169.254/32'], '169.254.169.254 port 443'),
    says: yes,
  },
  {
    sentence: 'a `cidr` inside the reserved range reaches what lies in it and no more',
    ...toGroup(['cidr:127.0.0.0/24'], '127.0.1.0 port 443'),
    says: reserved,
  },
  {
    sentence: 'a name does not reach it',
    ...toGroup(['host:db.internal.example'], web, {
      facts: tcp('169.254.169.254 port 443', { named: 'db.internal.example' }),
    }),
    says: reserved,
  },
  {
    sentence: 'the addresses a `hostname` resolved to do not reach it',
    ...toGroup(['host:db.internal.example'], '127.0.0.1 port 443'),
    context: { resolved: new Map([[name('db.internal.example'), [address('127.0.0.1')]]]) },
    says: reserved,
  },
  {
    sentence: 'a workload that has a reserved address is not reached by it',
    ...toGroup(['agent:store'], '127.0.0.2 port 443'),
    words: { smart: [smartGroup('group', ['agent:store'])], inventory: [coder, workload('store', ['127.0.0.2'])] },
    says: reserved,
  },
  {
    sentence: 'the gateway is reached by its own address as a `cidr`',
    ...toGroup(['cidr:10.11.1.1/32'], '10.11.1.1 port 8443'),
    says: yes,
  },
  {
    sentence: 'the gateway is not reached by the `cidr` of its network',
    ...toGroup(['cidr:10.11.1.0/24'], '10.11.1.1 port 8443'),
    says: 'deny default gateway-port packet kernel',
  },
]);

const mapped = '::ffff:93.184.216.34 port 443';
const denyGroup = (any: readonly string[], to: string) => ({
  rules: [deny({ to: ['group'] }), permit({ to: ['anywhere'] })],
  facts: tcp(to),
  words: { smart: [smartGroup('group', any)] },
});
const denied = 'deny 0 rule-denies packet kernel';

tryRows('3.1 IPv4 in IPv6', [
  {
    sentence: "a permit's `to` must hold both: the IPv4 address alone is not enough",
    ...toGroup(['cidr:93.184.216.0/24'], mapped),
    says: no,
  },
  {
    sentence: "a permit's `to` must hold both: the IPv6 address alone is not enough",
    ...toGroup(['cidr:::ffff:0:0/96'], mapped),
    says: no,
  },
  {
    sentence: 'a permit that holds both permits',
    ...toGroup(['cidr:93.184.216.0/24', 'cidr:::ffff:0:0/96'], mapped),
    says: yes,
  },
  {
    sentence: 'two groups of one permit may hold one each',
    rules: [permit({ to: ['four', 'six'] })],
    facts: tcp(mapped),
    words: { smart: [smartGroup('four', ['cidr:93.184.216.0/24']), smartGroup('six', ['cidr:::ffff:0:0/96'])] },
    says: yes,
  },
  {
    sentence: 'a deny that holds the IPv4 address denies',
    ...denyGroup(['cidr:93.184.216.0/24'], mapped),
    says: denied,
  },
  { sentence: 'a deny that holds the IPv6 address denies', ...denyGroup(['cidr:::ffff:0:0/96'], mapped), says: denied },
  { sentence: '`anywhere` holds both', ...toBuiltIn('anywhere', mapped), says: yes },
  {
    sentence: 'for `public-internet` only the IPv4 address counts: a public one',
    ...toBuiltIn('public-internet', '64:ff9b::5db8:d822 port 443'),
    says: yes,
  },
  {
    sentence: 'for `public-internet` only the IPv4 address counts: a private one',
    ...toBuiltIn('public-internet', '64:ff9b::a14:5 port 443'),
    says: no,
  },
  { sentence: '6to4 is looked into', ...toBuiltIn('public-internet', '2002:a14:5::1 port 443'), says: no },
  {
    sentence: 'Teredo is looked into, inverted',
    ...toBuiltIn('public-internet', '2001:0:1:2:3:4:f5eb:fffa port 443'),
    says: no,
  },
  {
    sentence: 'loopback inside IPv6 is loopback',
    ...toBuiltIn('anywhere', '::ffff:127.0.0.1 port 443'),
    says: reserved,
  },
  {
    sentence: 'metadata inside NAT64 is metadata',
    ...toBuiltIn('anywhere', '64:ff9b::a9fe:a9fe port 443'),
    says: reserved,
  },
  {
    sentence: 'the gateway inside IPv6 is the gateway',
    ...toBuiltIn('anywhere', '::ffff:10.11.1.1 port 443'),
    says: 'deny default gateway-port packet kernel',
  },
]);

tryRows('3.4 the agent', [
  { sentence: 'an agent is known by its address on an interface', rules: [permit()], facts: tcp(web), says: yes },
  {
    sentence: 'an address on an interface that inventory does not give it is nobody',
    rules: [permit()],
    facts: tcp(web, { interface: 'eth2' }),
    says: 'deny default unknown-agent packet kernel',
    would: 'none',
  },
  {
    sentence: 'an address that inventory does not know is nobody, whatever is monitored',
    rules: [permit()],
    facts: tcp(web, { source: '10.11.1.99' }),
    context: { monitor: true },
    says: 'deny default unknown-agent packet kernel',
  },
  {
    sentence: 'a workload without an interface is behind any',
    rules: [permit()],
    facts: tcp(web, { interface: 'eth7' }),
    words: { rulesets: [ruleset([permit()])], inventory: [workload('roamer', ['10.11.1.7'])] },
    says: yes,
  },
]);
