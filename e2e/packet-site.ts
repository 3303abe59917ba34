import { readFileSync } from 'node:fs';
import type { AnyRecord } from '@cofferdam/flows';
import { type Capture, type Lab, startLab } from '@cofferdam/testkit/lab';
import { agentPolicy } from './agent-policy.ts';
import { type Attacker, type ContainedAttacker, freeAttacker } from './attacker.ts';
import { denialsOf } from './recorded.ts';

/** Policies, hosts and words for tests that send packets by hand. */

/** A policy of these rules, where `echo` is the one host that answers. */
export const echoPolicy = (...rules: readonly string[]): string =>
  agentPolicy({ to: { echo: ['{ cidr: 104.131.20.7/32 }', '{ cidr: "2604:a880::7/128" }'] }, rules });
export const narrow = echoPolicy(
  'to: [echo], protocol: udp, ports: [7]',
  'to: [echo], protocol: icmp',
  'to: [echo], protocol: tcp, ports: [443]',
);
/** Everything that an operator can permit without naming a reserved address. */
export const wide = echoPolicy('to: [anywhere], protocol: any');

export const families = [4, 6] as const;
export const attackerHost = { 4: '45.83.64.10', 6: '2a0e:1d40::10' } as const;
export const echoHost = { 4: '104.131.20.7', 6: '2604:a880::7' } as const;
export const gatewayHost = { 4: '198.18.0.1', 6: 'fdc0:ffe7:da11::1' } as const;
export const agentHost = { 4: '198.18.0.2', 6: 'fdc0:ffe7:da11::2' } as const;
const packets = readFileSync(new URL('./attacks/packets.py', import.meta.url), 'utf8');
/** Gives an attacker that is root in an agent's network what attacks/packets.py has, and the ends that it sends between. */
export const packetsBy = (
  raw: Attacker,
  macs: { readonly agent: string; readonly gateway: string },
  source: { readonly 4: string; readonly 6: string },
): Promise<unknown> =>
  raw.run(`${packets}\nends(args['own'], args['gateway'], args['v4'], args['v6'])`, {
    own: macs.agent,
    gateway: macs.gateway,
    v4: source[4],
    v6: source[6],
  });
export const runMacs = { agent: '02:cf:fd:00:00:02', gateway: '02:cf:fd:00:00:01' } as const;

export const reasonsOf = async (
  agent: ContainedAttacker,
  matches: (record: AnyRecord) => boolean,
): Promise<readonly string[]> => [...new Set(await denialsOf(agent, matches))].sort();
export const textOf = (record: AnyRecord): string =>
  JSON.stringify(record, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));

export interface PacketSite {
  readonly lab: Lab;
  /** On the host, contained by nothing. */
  readonly free: Attacker;
  /** Plays the servers. */
  readonly server: Attacker;
  /** Packets behind the host so far. A filter on content can name a few words only: the beginning of a packet is kept. */
  readonly onWire: Capture['packets'];
}

export const startPacketSite = async (): Promise<PacketSite> => {
  const lab = await startLab({ daemons: ['resolver', 'resolver2'] });
  const free = await freeAttacker(lab, 'host');
  const server = await freeAttacker(lab, 'internet');
  return { lab, free, server, onWire: (await lab.capture()).packets };
};
