import { type Address, type DomainName, parseAddress } from '@cofferdam/net';
import { absent, known, unknown } from '@cofferdam/verdict';
import { type AnyRecord, type DnsRecord, type FlowRecord, recordVersion, type SuppressedRecord } from '../src/index.ts';

/** Builders: a row of a table names only what it is about. */
export const address = (text: string): Address => parseAddress(text)!;
export const name = (text: string): DomainName => text as DomainName;

const noon = Date.UTC(2027, 0, 31, 12, 0, 0, 250);

export const rule = { index: 3, id: 'r-1', name: 'allow-github', ruleset: 'coding-agent', tier: 'agent' };

const base = {
  version: recordVersion,
  id: 'f-1',
  gateway: 'gw',
  start: noon,
  agent: { name: 'coder', labels: { team: 'platform', env: 'prod' } },
  revision: 7,
} as const;
const source = { address: address('10.11.1.7'), port: 40000 };

export const flowRecord = (over: Partial<FlowRecord> = {}): FlowRecord => ({
  ...base,
  kind: 'flow',
  source,
  interface: 'eth1',
  destination: { address: address('93.184.216.34'), port: 443 },
  protocol: 'tcp',
  addressNames: [name('api.github.com')],
  tls: known(true),
  claimedName: known(name('api.github.com')),
  request: unknown,
  mcp: absent,
  verdict: 'permit',
  reason: 'rule',
  enforced: true,
  rule,
  stage: 'name',
  path: 'kernel',
  toDestination: { bytes: 1200n, packets: 9n },
  toAgent: { bytes: 54000n, packets: 41n },
  ...over,
});

export const dnsRecord = (over: Partial<DnsRecord> = {}): DnsRecord => ({
  ...base,
  kind: 'dns',
  source,
  transport: 'udp',
  server: { address: address('10.11.1.1'), port: 53 },
  name: 'api.github.com',
  type: 'A',
  rcode: 'NOERROR',
  synthetic: [address('198.18.1.0')],
  addresses: [address('140.82.121.6')],
  verdict: 'permit',
  reason: 'dns-answered',
  enforced: true,
  ...over,
});

export const denied = (over: Partial<FlowRecord> = {}): FlowRecord => {
  const { rule: _none, ...rest } = flowRecord({ verdict: 'deny', reason: 'no-rule', stage: 'packet', ...over });
  return rest;
};

export const suppressedRecord = (over: Partial<SuppressedRecord> = {}): SuppressedRecord => ({
  ...base,
  kind: 'suppressed',
  end: noon + 9000,
  verdict: 'deny',
  reason: 'no-rule',
  enforced: true,
  count: 12_345,
  ...over,
});

export const everyShape: readonly AnyRecord[] = [
  flowRecord(),
  flowRecord({
    end: noon + 1500,
    wouldBe: 'unknown',
    treatment: 'passthrough',
    commit: 'abc123',
    synthetic: address('198.18.1.0'),
  }),
  flowRecord({
    kind: 'request',
    flow: 'f-0',
    path: 'proxy',
    stage: 'request',
    tls: absent,
    request: known({ method: 'GET', scheme: 'http', host: name('api.github.com'), path: '/repos/a%20b' }),
    mcp: known({ method: 'tools/call', tool: 'search_code' }),
    status: 202,
    wouldBe: { verdict: 'deny', rule, reason: 'rule-denies' },
  }),
  denied({
    protocol: 'icmp',
    destination: { address: address('2001:db8::1') },
    addressNames: [],
    wouldBe: { verdict: 'deny', reason: 'no-rule' },
  }),
  denied({ agent: { labels: {} }, reason: 'unknown-agent', claimedName: { state: 'unreadable' }, tls: unknown }),
  dnsRecord(),
  dnsRecord({
    verdict: 'deny',
    reason: 'dns-not-permitted',
    rcode: 'REFUSED',
    name: 'evil.example',
    synthetic: [],
    addresses: [],
  }),
  suppressedRecord(),
  suppressedRecord({ agent: { labels: {} }, reason: 'unknown-agent', count: 1 }),
];
