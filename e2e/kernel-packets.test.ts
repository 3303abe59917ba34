/** Packets that do not ask the policy first: what is malformed, spoofed, fragmented, tagged, or belongs to no flow, each with its reason. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventKind } from '@cofferdam/datapath';
import { type Address, addressToBytes } from '@cofferdam/net';
import {
  agentMac,
  contextOf,
  deny,
  echoFrame,
  type Ends,
  ethernet,
  extensionHeader,
  fragmentHeader,
  icmpFrame,
  address as ip,
  ipFrame,
  macBytes,
  name,
  permit,
  policyOf,
  smartGroup,
  tcpFrame,
  tcpHeaderAndPayload,
  udpFrame,
  udpHeaderAndPayload,
  webGroup,
  workload,
} from '@cofferdam/testkit';
import { type Reason, reasonFromNumber } from '@cofferdam/verdict';
import { type KernelLab, kernelUnavailable, loadedPlan, openKernelLab, type Outcome, type Sent } from './kernel-lab.ts';

const skip = kernelUnavailable();
const families = [4, 6] as const;
type Family = (typeof families)[number];

const agent = { 4: ip('10.11.1.7'), 6: ip('fd11::7') } as const;
const server = { 4: ip('93.184.216.34'), 6: ip('2606:2800:220:1::5') } as const;
const stranger = { 4: ip('10.11.1.99'), 6: ip('fd11::99') } as const;
const gateway = { 4: ip('10.11.1.1'), 6: ip('fd11::1') } as const;
const synthetic = { 4: ip('198.18.1.1'), 6: ip('fd00:cffd:1::1') } as const;
const watchedMac = '02:00:00:00:00:99';

const policy = policyOf(
  [
    deny({ to: ['dropped'], protocol: 'any', onDeny: 'drop' }),
    deny({ to: ['rejected'], protocol: 'any' }),
    permit({ web: ['api'], ports: ['443'] }),
    permit({ to: ['server'], protocol: 'udp', ports: ['5000'] }),
    permit({ to: ['server'], protocol: 'icmp' }),
    permit({ to: ['server'], ports: ['22', '80'] }),
    permit({ to: ['server'], ports: ['8443'], tls: 'required' }),
  ],
  {
    smart: [
      smartGroup('server', ['cidr:93.184.216.34/32', 'cidr:2606:2800:220:1::5/128']),
      smartGroup('dropped', ['cidr:192.0.2.1/32', 'cidr:2001:db8::1/128']),
      smartGroup('rejected', ['cidr:192.0.2.2/32', 'cidr:2001:db8::2/128']),
    ],
    web: [webGroup('api', ['api.example.com'])],
    inventory: [
      workload('coder', ['10.11.1.7', 'fd11::7'], { interface: 'eth1' }),
      workload('watched', ['10.11.1.8', 'fd11::8'], { interface: 'eth1', mac: watchedMac }),
    ],
  },
);

let lab: KernelLab;
let port = 0;
const ends = (family: Family, destinationPort: number, destination: Address = server[family]): Ends => ({
  source: agent[family],
  destination,
  sourcePort: 1024 + (port = (port + 1) % 50_000),
  destinationPort,
});
const syn = (family: Family, destinationPort = 22, more: Parameters<typeof tcpFrame>[1] = {}): Uint8Array =>
  tcpFrame(ends(family, destinationPort), { flags: 'S', sequence: 1, ...more });

/** Outcome and reason: from the event where there is one, else from the counter that moved. */
const judged = (send: () => Sent): { readonly sent: Sent; readonly says: string } => {
  const before = lab.drops();
  const sent = send();
  const event = sent.events.find(({ kind }) => kind === eventKind.denied || kind === eventKind.verdict);
  const moved = [...lab.drops()].find(([reason, count]) => count !== (before.get(reason) ?? 0n))?.[0];
  const reason: Reason | undefined = moved ?? (event === undefined ? undefined : reasonFromNumber(event.flow.reason));
  return { sent, says: reason === undefined ? sent.outcome : `${sent.outcome} ${reason}` };
};
const fromAgent = (frame: Uint8Array, on = 'eth1'): string => judged(() => lab.fromAgent(frame, on)).says;
const toAgent = (frame: Uint8Array): string => judged(() => lab.toAgent(frame)).says;

interface Row {
  readonly what: string;
  readonly frame: (family: Family) => Uint8Array;
  readonly says: string | ((family: Family) => string);
  readonly only?: Family;
  readonly on?: string;
}

const udp = (family: Family, more: Parameters<typeof udpFrame>[1] = {}): Uint8Array => udpFrame(ends(family, 5000), more);
const fragment6 = (next: number, offset: number, more: boolean, payload: Uint8Array): Uint8Array =>
  ipFrame(agent[6], server[6], 44, Uint8Array.from([...fragmentHeader(next, offset, more), ...payload]));
const tcpBytes = (): Uint8Array => tcpHeaderAndPayload(ends(4, 22), { flags: 'S' });
const udpBytes = (length = 32): Uint8Array => udpHeaderAndPayload(ends(4, 5000), { payload: new Uint8Array(length) });
const behind = (header: number, data: Uint8Array<ArrayBuffer>): Uint8Array =>
  ipFrame(agent[6], server[6], header, Uint8Array.from([...extensionHeader(6, data), ...tcpBytes()]));
const arp = (sender: Address, operation = 1): Uint8Array =>
  ethernet(
    0x0806,
    Uint8Array.from([0, 1, 8, 0, 6, 4, 0, operation, ...macBytes(agentMac), ...addressToBytes(sender), ...new Array(6).fill(0), ...addressToBytes(gateway[4])]),
  );
const neighbour = (type: number, source: Address, target: Address): Uint8Array =>
  icmpFrame(source, ip('ff02::1'), { type, payload: Uint8Array.from([...addressToBytes(target), 1, 1, ...macBytes(agentMac)]), ttl: 255 });

const rows: readonly Row[] = [
  { what: 'a SYN that a rule permits', frame: (f) => syn(f), says: 'pass rule' },
  { what: 'a datagram that a rule permits', frame: (f) => udp(f), says: 'pass rule' },
  { what: 'an echo that a rule permits', frame: (f) => echoFrame(agent[f], server[f], 'request', 7000 + f), says: 'pass rule' },
  { what: 'port 80 goes to the proxy', frame: (f) => syn(f, 80), says: 'proxy' },
  { what: 'no rule', frame: (f) => syn(f, 23), says: 'reject no-rule' },
  { what: 'a rule that rejects', frame: (f) => tcpFrame(ends(f, 1, ip(f === 4 ? '192.0.2.2' : '2001:db8::2')), { flags: 'S' }), says: 'reject rule-denies' },
  { what: 'a rule that drops', frame: (f) => tcpFrame(ends(f, 1, ip(f === 4 ? '192.0.2.1' : '2001:db8::1')), { flags: 'S' }), says: 'dropped rule-denies' },
  { what: 'a datagram that a rule drops', frame: (f) => udpFrame(ends(f, 1, ip(f === 4 ? '192.0.2.1' : '2001:db8::1'))), says: 'dropped rule-denies' },
  { what: 'QUIC', frame: (f) => udpFrame(ends(f, 443)), says: 'reject quic' },
  { what: 'an address of the pool that stands for nothing', frame: (f) => tcpFrame(ends(f, 443, ip(f === 4 ? '198.18.9.9' : 'fd00:cffd:1::9:9')), { flags: 'S' }), says: 'reject address-unmapped' },
  { what: 'the metadata service', frame: () => tcpFrame(ends(4, 80, ip('169.254.169.254')), { flags: 'S' }), says: 'reject reserved-address', only: 4 },
  { what: 'its IPv6 address', frame: () => tcpFrame(ends(6, 80, ip('fd00:ec2::254')), { flags: 'S' }), says: 'reject reserved-address', only: 6 },
  { what: 'loopback embedded in IPv6', frame: () => tcpFrame(ends(6, 22, ip('::ffff:127.0.0.1')), { flags: 'S' }), says: 'reject reserved-address', only: 6 },

  { what: 'a source that is no agent', frame: (f) => tcpFrame({ ...ends(f, 22), source: stranger[f] }, { flags: 'S' }), says: 'dropped source-spoofed' },
  { what: 'an agent on another interface', frame: (f) => syn(f), on: 'eth2', says: 'dropped source-spoofed' },
  { what: 'an agent with the hardware address inventory gives', frame: (f) => tcpFrame({ ...ends(f, 22), source: ip(f === 4 ? '10.11.1.8' : 'fd11::8') }, { flags: 'S', source: watchedMac }), says: 'pass rule' },
  { what: 'the same with another one', frame: (f) => tcpFrame({ ...ends(f, 22), source: ip(f === 4 ? '10.11.1.8' : 'fd11::8') }, { flags: 'S' }), says: 'dropped source-spoofed' },
  { what: 'the gateway as source', frame: (f) => tcpFrame({ ...ends(f, 22), source: gateway[f] }, { flags: 'S' }), says: 'dropped source-spoofed' },

  { what: 'a first fragment of UDP', frame: () => ipFrame(agent[4], server[4], 17, udpBytes(), { fragment: 0x2000 }), says: 'pass rule', only: 4 },
  { what: 'a later fragment of UDP is left unmarked', frame: () => ipFrame(agent[4], server[4], 17, udpBytes(), { fragment: 4 }), says: 'none', only: 4 },
  { what: 'a later fragment of a stranger', frame: () => ipFrame(stranger[4], server[4], 17, udpBytes(), { fragment: 4 }), says: 'dropped source-spoofed', only: 4 },
  { what: 'a first fragment of TCP', frame: () => ipFrame(agent[4], server[4], 6, tcpBytes(), { fragment: 0x2000 }), says: 'dropped fragment', only: 4 },
  { what: 'a later fragment of TCP', frame: () => ipFrame(agent[4], server[4], 6, tcpBytes(), { fragment: 3 }), says: 'dropped fragment', only: 4 },
  { what: 'a later fragment of an unknown protocol', frame: () => ipFrame(agent[4], server[4], 47, tcpBytes(), { fragment: 3 }), says: 'dropped fragment', only: 4 },
  { what: 'a tiny first fragment', frame: () => ipFrame(agent[4], server[4], 17, udpBytes().subarray(0, 4), { fragment: 0x2000 }), says: 'dropped fragment', only: 4 },
  { what: 'a first fragment of UDP over IPv6', frame: () => fragment6(17, 0, true, udpBytes()), says: 'pass rule', only: 6 },
  { what: 'an atomic fragment of UDP', frame: () => fragment6(17, 0, false, udpBytes()), says: 'pass rule', only: 6 },
  { what: 'a later fragment of UDP over IPv6', frame: () => fragment6(17, 40, false, udpBytes()), says: 'none', only: 6 },
  { what: 'a fragment of TCP over IPv6', frame: () => fragment6(6, 0, true, tcpBytes()), says: 'dropped fragment', only: 6 },
  { what: 'an atomic fragment of TCP', frame: () => fragment6(6, 0, false, tcpBytes()), says: 'dropped fragment', only: 6 },
  { what: 'a later fragment of TCP over IPv6', frame: () => fragment6(6, 40, false, tcpBytes()), says: 'dropped fragment', only: 6 },
  { what: 'a tiny first fragment over IPv6', frame: () => fragment6(17, 0, true, udpBytes().subarray(0, 4)), says: 'dropped fragment', only: 6 },
  { what: 'a fragment whose first header is an option', frame: () => fragment6(60, 0, true, Uint8Array.from([...extensionHeader(17), ...udpBytes()])), says: 'dropped fragment', only: 6 },

  { what: 'record route', frame: () => syn(4, 22, { options: Uint8Array.from([7, 7, 4, 0, 0, 0, 0, 0]) }), says: 'dropped extension-header', only: 4 },
  { what: 'a loose source route', frame: () => syn(4, 22, { options: Uint8Array.from([131, 7, 4, 1, 2, 3, 4, 0]) }), says: 'dropped extension-header', only: 4 },
  ...[
    [0, 'hop-by-hop options'],
    [43, 'a routing header'],
    [60, 'destination options'],
    [51, 'an authentication header'],
    [50, 'encrypted payload'],
    [59, 'no next header'],
    [135, 'a mobility header'],
    [139, 'host identity'],
    [140, 'shim6'],
  ].map(([header, what]) => ({ what: `IPv6: ${what}`, frame: () => behind(Number(header), new Uint8Array(14)), says: 'dropped extension-header', only: 6 as const })),
  ...[2, 4, 41, 47, 50, 51, 89, 103, 112, 132, 136, 255].map((protocol) => ({
    what: `IPv4: protocol ${protocol}`,
    frame: () => ipFrame(agent[4], server[4], protocol, new Uint8Array(40)),
    says: 'dropped protocol-not-supported',
    only: 4 as const,
  })),
  ...[1, 2, 4, 41, 47, 89, 103, 132, 136, 255].map((protocol) => ({
    what: `IPv6: protocol ${protocol}`,
    frame: () => ipFrame(agent[6], server[6], protocol, new Uint8Array(40)),
    says: 'dropped protocol-not-supported',
    only: 6 as const,
  })),
  { what: 'ICMPv6 in IPv4', frame: () => ipFrame(agent[4], server[4], 58, new Uint8Array(40)), says: 'dropped protocol-not-supported', only: 4 },

  ...[1, 2, 4, 5, 6, 9, 10, 13, 14, 15, 17, 40, 42, 255].map((type) => ({
    what: `ICMP type ${type}`,
    frame: () => icmpFrame(agent[4], server[4], { type }),
    says: 'dropped protocol-not-supported',
    only: 4 as const,
  })),
  ...[0, 5, 100, 127, 134, 137, 138, 139, 141, 144, 148, 151, 155, 160, 255].map((type) => ({
    what: `ICMPv6 type ${type}`,
    frame: () => icmpFrame(agent[6], server[6], { type }),
    says: 'dropped protocol-not-supported',
    only: 6 as const,
  })),
  { what: 'an echo reply that nobody asked for', frame: (f) => echoFrame(agent[f], server[f], 'reply', 99), says: 'reject protocol-not-supported' },

  { what: 'IP version 5', frame: (f) => syn(f, 22, { version: 5 }), says: 'dropped malformed-packet' },
  { what: 'a header of 16 bytes', frame: () => syn(4, 22, { headerWords: 4 }), says: 'dropped malformed-packet', only: 4 },
  { what: 'a length beyond the frame', frame: (f) => syn(f, 22, { length: 2000 }), says: 'dropped malformed-packet' },
  { what: 'a length of nothing', frame: (f) => syn(f, 22, { length: 0 }), says: 'dropped malformed-packet' },
  { what: 'a length that ends in the TCP header', frame: (f) => syn(f, 22, { length: f === 4 ? 39 : 19 }), says: 'dropped malformed-packet' },
  { what: 'a length that ends in the IP header', frame: () => syn(4, 22, { length: 19 }), says: 'dropped malformed-packet', only: 4 },
  { what: 'a TCP header of 16 bytes', frame: (f) => syn(f, 22, { dataOffset: 4 }), says: 'dropped malformed-packet' },
  { what: 'a TCP header beyond its segment', frame: (f) => syn(f, 22, { dataOffset: 6 }), says: 'dropped malformed-packet' },
  { what: 'a UDP length beyond the datagram', frame: (f) => udp(f, { udpLength: 100 }), says: 'dropped malformed-packet' },
  { what: 'a UDP length below its header', frame: (f) => udp(f, { udpLength: 7 }), says: 'dropped malformed-packet' },
  { what: 'a frame padded behind its packet', frame: (f) => Uint8Array.from([...syn(f), ...new Array(20).fill(0xee)]), says: 'pass rule' },

  { what: 'a segment without a flow', frame: (f) => syn(f, 22, { flags: 'A' }), says: 'reject not-a-new-flow' },
  { what: 'data without a flow', frame: (f) => syn(f, 22, { flags: 'PA', payload: new Uint8Array(9) }), says: 'reject not-a-new-flow' },
  { what: 'SYN and FIN', frame: (f) => syn(f, 22, { flags: 'SF' }), says: 'reject not-a-new-flow' },
  { what: 'SYN and ACK', frame: (f) => syn(f, 22, { flags: 'SA' }), says: 'reject not-a-new-flow' },
  { what: 'no flags at all', frame: (f) => syn(f, 22, { flags: '' }), says: 'reject not-a-new-flow' },
  { what: 'a reset without a flow', frame: (f) => syn(f, 22, { flags: 'R' }), says: 'dropped not-a-new-flow' },
  { what: 'a reset with SYN', frame: (f) => syn(f, 22, { flags: 'SR' }), says: 'dropped not-a-new-flow' },
  { what: 'a SYN with payload', frame: (f) => syn(f, 22, { payload: new Uint8Array(4) }), says: 'reject syn-payload' },

  { what: 'a port of the gateway', frame: (f) => tcpFrame(ends(f, 22, gateway[f]), { flags: 'S' }), says: 'reject gateway-port' },
  { what: 'a datagram to the gateway', frame: (f) => udpFrame(ends(f, 123, gateway[f])), says: 'reject gateway-port' },
  { what: 'an opened port of the gateway', frame: (f) => tcpFrame(ends(f, 8080, gateway[f]), { flags: 'S' }), says: 'local gateway-service' },
  { what: 'the same port in UDP', frame: (f) => udpFrame(ends(f, 8080, gateway[f])), says: 'reject gateway-port' },
  { what: 'DNS to the gateway', frame: (f) => udpFrame(ends(f, 53, gateway[f])), says: 'dns' },
  { what: 'DNS to anybody', frame: (f) => udpFrame(ends(f, 53)), says: 'dns' },
  { what: 'DNS over TCP', frame: (f) => syn(f, 53), says: 'dns' },
  { what: 'DNS of a stranger', frame: (f) => udpFrame({ ...ends(f, 53), source: stranger[f] }), says: 'dropped source-spoofed' },

  { what: 'ARP for itself', frame: () => arp(agent[4]), says: 'local', only: 4 },
  { what: 'an ARP reply for itself', frame: () => arp(agent[4], 2), says: 'local', only: 4 },
  { what: 'an ARP probe', frame: () => arp(ip('0.0.0.0')), says: 'local', only: 4 },
  { what: 'ARP for another', frame: () => arp(stranger[4], 2), says: 'dropped source-spoofed', only: 4 },
  { what: 'ARP for the gateway', frame: () => arp(gateway[4], 2), says: 'dropped source-spoofed', only: 4 },
  { what: 'a solicitation', frame: () => neighbour(135, agent[6], gateway[6]), says: 'local', only: 6 },
  { what: 'a solicitation from link-local', frame: () => neighbour(135, ip('fe80::7'), gateway[6]), says: 'local', only: 6 },
  { what: 'duplicate address detection', frame: () => neighbour(135, ip('::'), agent[6]), says: 'local', only: 6 },
  { what: 'a solicitation of a stranger', frame: () => neighbour(135, stranger[6], gateway[6]), says: 'dropped source-spoofed', only: 6 },
  { what: 'an advertisement of itself', frame: () => neighbour(136, agent[6], agent[6]), says: 'local', only: 6 },
  { what: 'an advertisement of another', frame: () => neighbour(136, agent[6], stranger[6]), says: 'dropped source-spoofed', only: 6 },
  { what: 'an advertisement of the gateway', frame: () => neighbour(136, ip('fe80::7'), gateway[6]), says: 'dropped source-spoofed', only: 6 },
  { what: 'a router advertisement', frame: () => neighbour(134, ip('fe80::7'), gateway[6]), says: 'dropped protocol-not-supported', only: 6 },
  { what: 'a redirect', frame: () => neighbour(137, ip('fe80::7'), gateway[6]), says: 'dropped protocol-not-supported', only: 6 },
  {
    what: 'a multicast listener report',
    frame: () => ipFrame(ip('fe80::7'), ip('ff02::16'), 0, Uint8Array.from([58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0])),
    says: 'local',
    only: 6,
  },
  {
    what: 'hop-by-hop options before anything else',
    frame: () => ipFrame(agent[6], server[6], 0, Uint8Array.from([58, 0, 5, 2, 0, 0, 1, 0, 128, 0, 0, 0, 0, 0, 0, 0])),
    says: 'dropped extension-header',
    only: 6,
  },
  { what: 'a VLAN tag in the frame', frame: () => ethernet(0x0800, syn(4).subarray(14), { tags: [{ id: 5 }] }), says: 'dropped vlan-tagged', only: 4 },
  { what: 'a provider tag', frame: () => ethernet(0x0800, syn(4).subarray(14), { tags: [{ type: 0x88a8, id: 5 }, { id: 6 }] }), says: 'dropped vlan-tagged', only: 4 },
  ...[0x88cc, 0x8863, 0x8864, 0x0842, 0x88e5, 0x8847, 0x0100].map((type) => ({
    what: `Ethernet type 0x${type.toString(16)}`,
    frame: () => ethernet(type, new Uint8Array(60)),
    says: 'dropped protocol-not-supported',
    only: 4 as const,
  })),
];

describe('packets from an agent', { skip }, () => {
  before(() => {
    lab = openKernelLab();
    lab.kernel.openGatewayPort('tcp', 8080);
    lab.apply(loadedPlan(policy, contextOf(policy, { gatewayAddresses: [gateway[4], gateway[6]] })));
    for (const f of families) lab.install(name('api.example.com'), [synthetic[f]], [server[f]]);
  });
  after(() => lab?.close());
  const inLab = (work: () => void) => () => lab.inside(work);

  for (const { what, frame, says, only, on } of rows)
    for (const family of families.filter((f) => only === undefined || only === f))
      test(
        `IPv${family}: ${what}`,
        inLab(() => {
          assert.equal(fromAgent(frame(family), on), typeof says === 'string' ? says : says(family));
        }),
      );

  test(
    'cut off at any length, nothing passes',
    inLab(() => {
      const open: readonly Outcome[] = ['pass', 'proxy', 'dns', 'local'];
      let tried = 0;
      for (const f of families)
        for (const frame of [
          syn(f),
          syn(f, 80, { tcpOptions: new Uint8Array(12).fill(1) }),
          udp(f),
          udpFrame(ends(f, 53)),
          echoFrame(agent[f], server[f], 'request', 5),
          ...(f === 4 ? [arp(agent[4])] : [neighbour(136, agent[6], agent[6]), fragment6(17, 0, true, udpBytes())]),
        ])
          for (let length = 14; length < frame.length; length++) {
            // Padding and options behind what is looked at are not missed in ARP and neighbour discovery.
            if (frame[12] === 8 && frame[13] === 6 && length >= 14 + 18) continue;
            if (frame[54] === 136 && length >= 54 + 24) continue;
            let outcome: Outcome;
            try {
              ({ outcome } = lab.fromAgent(frame.subarray(0, length)));
            } catch {
              continue; // the test run itself takes no frame that short
            }
            assert.ok(!open.includes(outcome), `IPv${f}, ${length} of ${frame.length} bytes: ${outcome}`);
            tried++;
          }
      assert.ok(tried > 250, `${tried} lengths`);
    }),
  );
});
