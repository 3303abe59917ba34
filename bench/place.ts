/**
 * Addresses and names of the benchmark. Each variant has three namespaces of its own, all with the same ones:
 *
 *     client 10.11.1.1-254 ── agent0 10.11.0.1 [gateway] up0 10.9.0.1 ── 10.9.0.2 server 93.184.216.34
 */
export const place = {
  clientInterface: 'eth0',
  agentInterface: 'agent0',
  uplinkInterface: 'up0',
  serverInterface: 'eth0',
  gateway: '10.11.0.1',
  agentNetwork: '10.11.0.0/16',
  agentLength: 16,
  uplink: '10.9.0.1',
  server: '10.9.0.2',
  uplinkLength: 30,
  /** Of the internet, as far as any policy can see. */
  service: '93.184.216.34',
  name: 'api.bench.example',
  /** Permitted by no rule. */
  otherService: '93.184.216.35',
  otherName: 'other.bench.example',
  resolver: '93.184.216.53',
} as const;

/** The first is the one that connects; all of them ask for names. */
export const agents: readonly string[] = Array.from({ length: 254 }, (_, i) => `10.11.1.${i + 1}`);

/** What every service listens on: the ports of the load server, and the last one of nginx. One range, which every language takes in one rule. */
export const servicePorts = { first: 8000, tls: 8062, last: 8062 } as const;
