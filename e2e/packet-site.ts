import type { AnyRecord } from '@cofferdam/flows';
import { type ContainedAttacker, eventually } from './attacker.ts';

/** Policies, hosts and words for tests that send packets by hand. */

export const head = `
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ agent: prober }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: echo }
spec: { any: [{ cidr: 104.131.20.7/32 }, { cidr: "2604:a880::7/128" }] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: prober }
spec:
  rules:
`;
export const narrow = `${head}
    - { name: echo, action: permit, from: [agents], to: [echo], protocol: udp, ports: [7] }
    - { name: ping, action: permit, from: [agents], to: [echo], protocol: icmp }
    - { name: web, action: permit, from: [agents], to: [echo], protocol: tcp, ports: [443] }
`;
/** Everything that an operator can permit without naming a reserved address. */
export const wide = `${head}
    - { name: everything, action: permit, from: [agents], to: [anywhere], protocol: any }
`;

export const families = [4, 6] as const;
export const attackerHost = { 4: '45.83.64.10', 6: '2a0e:1d40::10' } as const;
export const echoHost = { 4: '104.131.20.7', 6: '2604:a880::7' } as const;
export const gatewayHost = { 4: '198.18.0.1', 6: 'fdc0:ffe7:da11::1' } as const;
export const agentHost = { 4: '198.18.0.2', 6: 'fdc0:ffe7:da11::2' } as const;
/** scapy, and an Ethernet head toward the gateway. */
export const scapy = `
from scapy.all import *
frame = lambda **more: Ether(src='02:cf:fd:00:00:02', dst='02:cf:fd:00:00:01', **more)
IPx = lambda family, dst, **more: IP(src='198.18.0.2', dst=dst, **more) if family == 4 else IPv6(src='fdc0:ffe7:da11::2', dst=dst, **more)
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(('eth0', 0))
put = lambda *packets: [link.send(bytes(p)) for p in packets]
`;

export const reasonsOf = async (
  agent: ContainedAttacker,
  matches: (record: AnyRecord) => boolean,
): Promise<readonly string[]> => {
  let found: readonly string[] = [];
  await eventually('a record of a denial', async () => {
    found = (await agent.process.records())
      .filter((record) => record.verdict === 'deny' && matches(record))
      .map(({ reason }) => reason);
    return found.length > 0;
  });
  return [...new Set(found)].sort();
};
export const textOf = (record: AnyRecord): string =>
  JSON.stringify(record, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
