import { type Address, addressToBytes } from '@cofferdam/net';
import {
  agentMac,
  deny,
  type Ends,
  ethernet,
  extensionHeader,
  fragmentHeader,
  icmpFrame,
  address as ip,
  ipFrame,
  macBytes,
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

export const families = [4, 6] as const;
export type Family = (typeof families)[number];

export const agent = { 4: ip('10.11.1.7'), 6: ip('fd11::7') } as const;
export const server = { 4: ip('93.184.216.34'), 6: ip('2606:2800:220:1::5') } as const;
export const stranger = { 4: ip('10.11.1.99'), 6: ip('fd11::99') } as const;
export const gateway = { 4: ip('10.11.1.1'), 6: ip('fd11::1') } as const;
export const synthetic = { 4: ip('198.18.1.1'), 6: ip('fd00:cffd:1::1') } as const;
export const watchedMac = '02:00:00:00:00:99';

export const policy = policyOf(
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

let port = 0;
const nextPort = (): number => {
  port = (port + 1) % 50_000;
  return 1024 + port;
};
export const ends = (family: Family, destinationPort: number, destination: Address = server[family]): Ends => ({
  source: agent[family],
  destination,
  sourcePort: nextPort(),
  destinationPort,
});
export const syn = (family: Family, destinationPort = 22, more: Parameters<typeof tcpFrame>[1] = {}): Uint8Array =>
  tcpFrame(ends(family, destinationPort), { flags: 'S', sequence: 1, ...more });

export interface Row {
  readonly what: string;
  readonly frame: (family: Family) => Uint8Array;
  readonly says: string | ((family: Family) => string);
  readonly only?: Family;
  readonly on?: string;
}

export const udp = (family: Family, more: Parameters<typeof udpFrame>[1] = {}): Uint8Array =>
  udpFrame(ends(family, 5000), more);
export const fragment6 = (next: number, offset: number, more: boolean, payload: Uint8Array): Uint8Array =>
  ipFrame(agent[6], server[6], 44, Uint8Array.from([...fragmentHeader(next, offset, more), ...payload]));
export const tcpBytes = (): Uint8Array => tcpHeaderAndPayload(ends(4, 22), { flags: 'S' });
export const udpBytes = (length = 32): Uint8Array =>
  udpHeaderAndPayload(ends(4, 5000), { payload: new Uint8Array(length) });
export const behind = (header: number, data: Uint8Array<ArrayBuffer>): Uint8Array =>
  ipFrame(agent[6], server[6], header, Uint8Array.from([...extensionHeader(6, data), ...tcpBytes()]));
export const arp = (sender: Address, operation = 1): Uint8Array =>
  ethernet(
    0x0806,
    Uint8Array.from([
      0,
      1,
      8,
      0,
      6,
      4,
      0,
      operation,
      ...macBytes(agentMac),
      ...addressToBytes(sender),
      ...new Array(6).fill(0),
      ...addressToBytes(gateway[4]),
    ]),
  );
export const neighbour = (type: number, source: Address, target: Address): Uint8Array =>
  icmpFrame(source, ip('ff02::1'), {
    type,
    payload: Uint8Array.from([...addressToBytes(target), 1, 1, ...macBytes(agentMac)]),
    ttl: 255,
  });
