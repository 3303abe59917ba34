import { echoFrame, ethernet, address as ip, ipFrame, tcpFrame, udpFrame } from '@cofferdam/testkit';
import {
  agent,
  arp,
  ends,
  gateway,
  neighbour,
  type Row,
  server,
  stranger,
  syn,
  udp,
  watchedMac,
} from './kernel-packet-world.ts';

export const packetRows: readonly Row[] = [
  { what: 'a SYN that a rule permits', frame: (f) => syn(f), says: 'pass rule' },
  { what: 'a datagram that a rule permits', frame: (f) => udp(f), says: 'pass rule' },
  {
    what: 'an echo that a rule permits',
    frame: (f) => echoFrame(agent[f], server[f], 'request', 7000 + f),
    says: 'pass rule',
  },
  { what: 'port 80 goes to the proxy', frame: (f) => syn(f, 80), says: 'proxy' },
  { what: 'no rule', frame: (f) => syn(f, 23), says: 'reject no-rule' },
  {
    what: 'a rule that rejects',
    frame: (f) => tcpFrame(ends(f, 1, ip(f === 4 ? '192.0.2.2' : '2001:db8::2')), { flags: 'S' }),
    says: 'reject rule-denies',
  },
  {
    what: 'a rule that drops',
    frame: (f) => tcpFrame(ends(f, 1, ip(f === 4 ? '192.0.2.1' : '2001:db8::1')), { flags: 'S' }),
    says: 'dropped rule-denies',
  },
  {
    what: 'a datagram that a rule drops',
    frame: (f) => udpFrame(ends(f, 1, ip(f === 4 ? '192.0.2.1' : '2001:db8::1'))),
    says: 'dropped rule-denies',
  },
  { what: 'QUIC', frame: (f) => udpFrame(ends(f, 443)), says: 'reject quic' },
  {
    what: 'an address of the pool that stands for nothing',
    frame: (f) => tcpFrame(ends(f, 443, ip(f === 4 ? '198.18.9.9' : 'fd00:cffd:1::9:9')), { flags: 'S' }),
    says: 'reject address-unmapped',
  },
  {
    what: 'the metadata service',
    frame: () => tcpFrame(ends(4, 80, ip('169.254.169.254')), { flags: 'S' }),
    says: 'reject reserved-address',
    only: 4,
  },
  {
    what: 'its IPv6 address',
    frame: () => tcpFrame(ends(6, 80, ip('fd00:ec2::254')), { flags: 'S' }),
    says: 'reject reserved-address',
    only: 6,
  },
  {
    what: 'loopback embedded in IPv6',
    frame: () => tcpFrame(ends(6, 22, ip('::ffff:127.0.0.1')), { flags: 'S' }),
    says: 'reject reserved-address',
    only: 6,
  },

  {
    what: 'a source that is no agent',
    frame: (f) => tcpFrame({ ...ends(f, 22), source: stranger[f] }, { flags: 'S' }),
    says: 'dropped source-spoofed',
  },
  { what: 'an agent on another interface', frame: (f) => syn(f), on: 'eth2', says: 'dropped source-spoofed' },
  {
    what: 'an agent with the hardware address inventory gives',
    frame: (f) =>
      tcpFrame({ ...ends(f, 22), source: ip(f === 4 ? '10.11.1.8' : 'fd11::8') }, { flags: 'S', source: watchedMac }),
    says: 'pass rule',
  },
  {
    what: 'the same with another one',
    frame: (f) => tcpFrame({ ...ends(f, 22), source: ip(f === 4 ? '10.11.1.8' : 'fd11::8') }, { flags: 'S' }),
    says: 'dropped source-spoofed',
  },
  {
    what: 'the gateway as source',
    frame: (f) => tcpFrame({ ...ends(f, 22), source: gateway[f] }, { flags: 'S' }),
    says: 'dropped source-spoofed',
  },

  { what: 'a segment without a flow', frame: (f) => syn(f, 22, { flags: 'A' }), says: 'reject not-a-new-flow' },
  {
    what: 'data without a flow',
    frame: (f) => syn(f, 22, { flags: 'PA', payload: new Uint8Array(9) }),
    says: 'reject not-a-new-flow',
  },
  { what: 'SYN and FIN', frame: (f) => syn(f, 22, { flags: 'SF' }), says: 'reject not-a-new-flow' },
  { what: 'SYN and ACK', frame: (f) => syn(f, 22, { flags: 'SA' }), says: 'reject not-a-new-flow' },
  { what: 'no flags at all', frame: (f) => syn(f, 22, { flags: '' }), says: 'reject not-a-new-flow' },
  { what: 'a reset without a flow', frame: (f) => syn(f, 22, { flags: 'R' }), says: 'dropped not-a-new-flow' },
  { what: 'a reset with SYN', frame: (f) => syn(f, 22, { flags: 'SR' }), says: 'dropped not-a-new-flow' },
  { what: 'a SYN with payload', frame: (f) => syn(f, 22, { payload: new Uint8Array(4) }), says: 'reject syn-payload' },

  {
    what: 'a port of the gateway',
    frame: (f) => tcpFrame(ends(f, 22, gateway[f]), { flags: 'S' }),
    says: 'reject gateway-port',
  },
  { what: 'a datagram to the gateway', frame: (f) => udpFrame(ends(f, 123, gateway[f])), says: 'reject gateway-port' },
  { what: 'DNS to the gateway', frame: (f) => udpFrame(ends(f, 53, gateway[f])), says: 'dns' },
  { what: 'DNS to anybody', frame: (f) => udpFrame(ends(f, 53)), says: 'dns' },
  { what: 'DNS over TCP', frame: (f) => syn(f, 53), says: 'dns' },
  {
    what: 'DNS of a stranger',
    frame: (f) => udpFrame({ ...ends(f, 53), source: stranger[f] }),
    says: 'dropped source-spoofed',
  },

  { what: 'ARP for itself', frame: () => arp(agent[4]), says: 'local', only: 4 },
  { what: 'an ARP reply for itself', frame: () => arp(agent[4], 2), says: 'local', only: 4 },
  { what: 'an ARP probe', frame: () => arp(ip('0.0.0.0')), says: 'local', only: 4 },
  { what: 'ARP for another', frame: () => arp(stranger[4], 2), says: 'dropped source-spoofed', only: 4 },
  { what: 'ARP for the gateway', frame: () => arp(gateway[4], 2), says: 'dropped source-spoofed', only: 4 },
  { what: 'a solicitation', frame: () => neighbour(135, agent[6], gateway[6]), says: 'local', only: 6 },
  {
    what: 'a solicitation from link-local',
    frame: () => neighbour(135, ip('fe80::7'), gateway[6]),
    says: 'local',
    only: 6,
  },
  { what: 'duplicate address detection', frame: () => neighbour(135, ip('::'), agent[6]), says: 'local', only: 6 },
  {
    what: 'a solicitation of a stranger',
    frame: () => neighbour(135, stranger[6], gateway[6]),
    says: 'dropped source-spoofed',
    only: 6,
  },
  { what: 'an advertisement of itself', frame: () => neighbour(136, agent[6], agent[6]), says: 'local', only: 6 },
  {
    what: 'an advertisement of another',
    frame: () => neighbour(136, agent[6], stranger[6]),
    says: 'dropped source-spoofed',
    only: 6,
  },
  {
    what: 'an advertisement of the gateway',
    frame: () => neighbour(136, ip('fe80::7'), gateway[6]),
    says: 'dropped source-spoofed',
    only: 6,
  },
  {
    what: 'a router advertisement',
    frame: () => neighbour(134, ip('fe80::7'), gateway[6]),
    says: 'dropped protocol-not-supported',
    only: 6,
  },
  {
    what: 'a redirect',
    frame: () => neighbour(137, ip('fe80::7'), gateway[6]),
    says: 'dropped protocol-not-supported',
    only: 6,
  },
  {
    what: 'a multicast listener report',
    frame: () =>
      ipFrame(ip('fe80::7'), ip('ff02::16'), 0, Uint8Array.from([58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0])),
    says: 'local',
    only: 6,
  },
  {
    what: 'hop-by-hop options before anything else',
    frame: () => ipFrame(agent[6], server[6], 0, Uint8Array.from([58, 0, 5, 2, 0, 0, 1, 0, 128, 0, 0, 0, 0, 0, 0, 0])),
    says: 'dropped extension-header',
    only: 6,
  },
  {
    what: 'a VLAN tag in the frame',
    frame: () => ethernet(0x0800, syn(4).subarray(14), { tags: [{ id: 5 }] }),
    says: 'dropped vlan-tagged',
    only: 4,
  },
  {
    what: 'a provider tag',
    frame: () => ethernet(0x0800, syn(4).subarray(14), { tags: [{ type: 0x88a8, id: 5 }, { id: 6 }] }),
    says: 'dropped vlan-tagged',
    only: 4,
  },
  ...[0x88cc, 0x8863, 0x8864, 0x0842, 0x88e5, 0x8847, 0x0100].map((type) => ({
    what: `Ethernet type 0x${type.toString(16)}`,
    frame: () => ethernet(type, new Uint8Array(60)),
    says: 'dropped protocol-not-supported',
    only: 4 as const,
  })),
];
