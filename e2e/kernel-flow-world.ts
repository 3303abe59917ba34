/** What the tests of flows share: who is where, one policy, and short ways to begin flows. */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import type { Address } from '@cofferdam/net';
import type { PolicySet } from '@cofferdam/policy';
import {
  clientHelloStream,
  contextOf,
  type Ends,
  gatewayMac,
  icmpFrame,
  address as ip,
  ipPacket,
  name,
  permit,
  policyOf,
  smartGroup,
  tcpHeaderAndPayload,
  udpHeaderAndPayload,
  webGroup,
} from '@cofferdam/testkit';
import { Connection, type KernelLab, loadedPlan, openKernelLab } from './kernel-lab.ts';

export const families = [4, 6] as const;
export type Family = (typeof families)[number];
export const agent = { 4: ip('10.11.1.7'), 6: ip('fd11::7') } as const;
export const server = { 4: ip('93.184.216.34'), 6: ip('2606:2800:220:1::5') } as const;
export const synthetic = { 4: ip('198.18.1.1'), 6: ip('fd00:cffd:1::1') } as const;
export const router = { 4: ip('100.64.0.1'), 6: ip('2001:db8:ffff::1') } as const;

export const smart = [smartGroup('server', ['cidr:93.184.216.34/32', 'cidr:2606:2800:220:1::5/128'])];
export const web = [webGroup('api', ['api.example.com']), webGroup('bad', ['**.evil.example'])];
export const rules = (...list: Parameters<typeof policyOf>[0]): PolicySet => policyOf(list, { smart, web });
export const everything = rules(
  permit({ web: ['api'], ports: ['443'] }),
  permit({ to: ['server'], protocol: 'udp', ports: ['5000'] }),
  permit({ to: ['server'], protocol: 'icmp' }),
  permit({ to: ['server'], ports: ['22', '80'] }),
  permit({ to: ['server'], ports: ['8443'], tls: 'required' }),
);

export let lab: KernelLab;
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
export const use = (policy: PolicySet, on = lab): void => on.apply(loadedPlan(policy, contextOf(policy)));
export const opened = (family: Family, destinationPort: number, destination?: Address): Connection => {
  const connection = new Connection(lab, ends(family, destinationPort, destination));
  assert.equal(connection.open().outcome, 'pass');
  return connection;
};
export const hello = clientHelloStream({ sni: 'api.example.com' });

/** An ICMP error of a kind, about a packet. */
export const error = (
  from: Address,
  to: Address,
  inner: Uint8Array,
  kind: 'unreachable' | 'too big' | 'expired' = 'unreachable',
  rest = new Uint8Array(4),
): Uint8Array =>
  icmpFrame(from, to, {
    type:
      from.family === 4
        ? { unreachable: 3, 'too big': 3, expired: 11 }[kind]
        : { unreachable: 1, 'too big': 2, expired: 3 }[kind],
    code: from.family === 4 && kind === 'too big' ? 4 : 0,
    payload: inner,
    rest,
    source: gatewayMac,
    destination: gatewayMac,
  });
export const udpInner = (e: Ends): Uint8Array => ipPacket(e.source, e.destination, 17, udpHeaderAndPayload(e));
export const tcpInner = (e: Ends): Uint8Array => ipPacket(e.source, e.destination, 6, tcpHeaderAndPayload(e));

/** Opens the lab before the tests of a file and closes it after them. */
export const labForTests = (): void => {
  before(() => {
    lab = openKernelLab();
  });
  after(() => lab?.close());
};

/** A test's work for each family, with nothing left of what was before. */
export const inLab = (work: (family: Family) => void) => () =>
  lab.inside(() => {
    for (const family of families) {
      lab.forgetAll();
      use(everything);
      lab.install(name('api.example.com'), [synthetic[family]], [server[family]]);
      work(family);
    }
  });
