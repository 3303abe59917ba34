/** Lines of a flow log, as a gateway writes them. `at` is a minute of one morning. */
interface Sketch {
  readonly id: string;
  readonly at: number;
  readonly name?: string;
  readonly address?: string;
  readonly port?: number;
  readonly agent?: string;
  readonly deny?: string;
  readonly end?: number;
  readonly rule?: string;
}

export const morning = Date.parse('2020-01-30T09:00:00.000Z');
const minute = (n: number): string => new Date(morning + n * 60_000).toISOString();

export const flowLine = ({
  id,
  at,
  name,
  address = '140.82.121.4',
  port = 443,
  agent = 'desk-agent',
  deny,
  end,
  rule,
}: Sketch): string =>
  JSON.stringify({
    version: 1,
    kind: 'flow',
    id,
    gateway: 'g',
    start: minute(at),
    ...(end !== undefined && { end: minute(end) }),
    agent: { name: agent, labels: {} },
    source: { address: '198.18.0.2', port: 40_000 },
    interface: 'agent0',
    destination: { address, port },
    protocol: 'tcp',
    addressNames: name === undefined ? [] : [name],
    verdict: deny === undefined ? 'permit' : 'deny',
    reason: deny ?? 'rule',
    enforced: true,
    ...(rule !== undefined && { rule: { index: 0, name: rule, ruleset: 'desk', tier: 'agent' } }),
    revision: 1,
    stage: 'packet',
    path: 'kernel',
    toDestination: { bytes: 100, packets: 2 },
    toAgent: { bytes: 200, packets: 2 },
  });

export const morningLog: readonly string[] = [
  flowLine({ id: '1', at: 0, name: 'github.com', rule: 'code' }),
  flowLine({ id: '1', at: 0, end: 1, name: 'github.com', rule: 'code' }),
  flowLine({ id: '2', at: 2, end: 2, name: 'gist.github.com', deny: 'no-rule' }),
  flowLine({ id: '3', at: 3, end: 3, address: '169.254.169.254', port: 80, deny: 'reserved-address' }),
  flowLine({ id: '4', at: 4, agent: 'lamp-agent', name: 'api.example.com', rule: 'api' }),
];
