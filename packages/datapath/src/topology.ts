/**
 * The addresses and names inside one run. They live in namespaces of their own, so that every run has the same ones; only
 * the link to the host is chosen for each run.
 *
 *   agent namespace                gateway namespace                     host namespace
 *   ┌──────────────┐   link    ┌──────────────────────────┐  uplink  ┌──────────────────┐
 *   │ command      │ eth0──────│ agent0   DNS, proxy   up0 │──────────│ cfdXXXX  ► world │
 *   │ 198.18.0.2   │ agent0    │ 198.18.0.1               │          │ masquerade       │
 *   └──────────────┘           └──────────────────────────┘          └──────────────────┘
 *
 * 198.18.0.0/15 is set aside for benchmarking (RFC 2544, RFC 6890): no host on the internet or in a sane network has such an
 * address, and programs do not treat it as their own private network.
 */
export const topology = {
  agentInterface: 'agent0',
  uplinkInterface: 'up0',
  commandInterface: 'eth0',
  gateway4: '198.18.0.1',
  agent4: '198.18.0.2',
  linkLength4: 29,
  gateway6: 'fdc0:ffe7:da11::1',
  agent6: 'fdc0:ffe7:da11::2',
  linkLength6: 125,
  own4: '198.18.0.0/15',
  own6: 'fdc0:ffe7:da11::/48',
  /** Links between runs and their host. */
  links4: '198.19.0.0/16',
  links6: 'fdc0:ffe7:da11:ffff::/64',
  uplinkLength4: 30,
  uplinkLength6: 126,
  pool4: '198.18.0.0/16',
  pool6: 'fdc0:ffe7:da11:198::/64',
  gatewayMac: '02:cf:fd:00:00:01',
  agentMac: '02:cf:fd:00:00:02',
  /**
   * Forwarded replies are sent to this next hop, whose hardware address belongs to nobody: only the kernel program writes
   * the agent's over it. Without the program no reply arrives.
   */
  nowhere4: '198.18.0.6',
  nowhere6: 'fdc0:ffe7:da11::6',
  nowhereMac: '02:cf:fd:00:00:ff',
  /** Packets for the transparent proxy are delivered locally by this table. */
  proxyTable: 100,
  /** Replies from the uplink are routed to nowhere by this table. */
  replyTable: 101,
  proxyPort: 15001,
} as const;

/** The link between a run and its host: one of 16,384 pairs of `links4` and of `links6`. */
export interface Uplink {
  readonly host4: string;
  readonly gateway4: string;
  readonly host6: string;
  readonly gateway6: string;
}

export const uplinkCount = 16384;

export const uplink = (index: number): Uplink => {
  const low = index * 4;
  const quad = (n: number): string => `198.19.${(low >> 8) & 255}.${(low & 255) + n}`;
  const group = index.toString(16);
  return {
    host4: quad(1),
    gateway4: quad(2),
    host6: `fdc0:ffe7:da11:ffff:${group}::1`,
    gateway6: `fdc0:ffe7:da11:ffff:${group}::2`,
  };
};
