import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatAddress } from '@cofferdam/net';
import { dnsName, recordType } from '@cofferdam/wire';
import { decideQuestion } from '../src/index.ts';
import { address, fakeGate, name } from './fakes.ts';

const gate = fakeGate({ domains: ['api.example.com', '*.wild.example.com', '**.corp.example'] });
const options = {
  ipv6: true,
  nameOf: (a: { value: bigint }) => (a.value === address('198.18.1.0').value ? name('api.example.com') : undefined),
};

/** A decision in a few words. */
const decided = (
  text: string,
  type: keyof typeof recordType | number,
  over: { class?: number; ipv6?: boolean; gate?: typeof gate } = {},
): string => {
  const question = {
    name: dnsName(text)!,
    type: typeof type === 'number' ? type : recordType[type],
    class: over.class ?? 1,
  };
  const g = over.gate ?? gate;
  const decision = decideQuestion(
    g,
    g.agentAt(address('127.0.0.1'), 'lo'),
    question,
    { ...options, ipv6: over.ipv6 ?? true },
    0,
  );
  switch (decision.kind) {
    case 'local':
      return `local ${decision.exists ? [...decision.addresses.map(formatAddress), ...decision.names].join(' ') || 'nodata' : 'nxdomain'}`;
    case 'refuse':
      return `refuse ${decision.reason}`;
    default:
      return `${decision.kind} ${decision.name} ${decision.grant.kind}`;
  }
};

describe('questions', () => {
  for (const [text, type, expected] of [
    ['api.example.com', 'A', 'addresses api.example.com exact'],
    ['API.Example.COM', 'A', 'addresses api.example.com exact'],
    ['api.example.com', 'AAAA', 'addresses api.example.com exact'],
    ['api.example.com', 'HTTPS', 'pass api.example.com exact'],
    ['api.example.com', 'TXT', 'pass api.example.com exact'],
    ['api.example.com', 'ANY', 'refuse dns-type'],
    ['api.example.com', 10, 'refuse dns-type'],
    ['api.example.com', 255, 'refuse dns-type'],
    ['api.example.com', 252, 'refuse dns-type'],
    ['api.example.com', 'OPT', 'refuse dns-type'],
    ['api.example.com', 'PTR', 'refuse dns-type'],
    ['x.wild.example.com', 'A', 'addresses x.wild.example.com wildcard'],
    ['_ldap._tcp.corp.example', 'SRV', 'pass _ldap._tcp.corp.example wildcard'],
    ['wild.example.com', 'A', 'refuse dns-not-permitted'],
    ['evil.example', 'A', 'refuse dns-not-permitted'],
    ['evil.example', 'TXT', 'refuse dns-not-permitted'],
    ['', 'NS', 'refuse dns-not-permitted'],
    ['\\000.example.com', 'A', 'refuse dns-not-permitted'],
    ['api\\.example.com', 'A', 'refuse dns-not-permitted'],
    ['1.2.3.4', 'A', 'refuse dns-not-permitted'],
    ['localhost', 'A', 'local 127.0.0.1'],
    ['x.localhost', 'AAAA', 'local ::1'],
    ['localhost', 'TXT', 'local nodata'],
    ['printer.local', 'A', 'local nxdomain'],
    ['intranet', 'A', 'local nxdomain'],
    ['x.onion', 'A', 'local nxdomain'],
    ['use-application-dns.net', 'A', 'local nxdomain'],
    ['_dns.resolver.arpa', 'SVCB', 'local nxdomain'],
    ['ipv4only.arpa', 'AAAA', 'local nxdomain'],
    ['4.4.8.8.in-addr.arpa', 'PTR', 'local nxdomain'],
    ['0.1.18.198.in-addr.arpa', 'PTR', 'local api.example.com'],
    ['0.1.18.198.in-addr.arpa', 'A', 'local nodata'],
    ['0.1.18.999.in-addr.arpa', 'PTR', 'local nxdomain'],
    [`${'0.'.repeat(32)}ip6.arpa`, 'PTR', 'local nxdomain'],
  ] as const) {
    test(`${text === '' ? '.' : text} ${type}`, () => assert.equal(decided(text, type), expected));
  }

  test('AAAA without an IPv6 route upstream: no data, for permitted names only', () => {
    assert.equal(decided('api.example.com', 'AAAA', { ipv6: false }), 'local nodata');
    assert.equal(decided('evil.example', 'AAAA', { ipv6: false }), 'refuse dns-not-permitted');
  });

  test('other classes', () => assert.equal(decided('version.bind', 'TXT', { class: 3 }), 'refuse dns-type'));

  test('a monitored agent resolves everything but what has no name', () => {
    const monitored = fakeGate({ monitored: true });
    assert.equal(decided('evil.example', 'A', { gate: monitored }), 'addresses evil.example lifted');
    assert.equal(decided('intranet', 'A', { gate: monitored }), 'local nxdomain');
  });

  test('no plan, no agent: refused', () => {
    const question = { name: dnsName('api.example.com')!, type: 1, class: 1 };
    assert.deepEqual(decideQuestion(undefined, undefined, question, options, 0), { kind: 'refuse', reason: 'no-plan' });
    assert.deepEqual(decideQuestion(gate, undefined, question, options, 0), {
      kind: 'refuse',
      reason: 'unknown-agent',
    });
  });
});
