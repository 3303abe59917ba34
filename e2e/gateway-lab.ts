/**
 * `cofferdam gateway` in the lab: the host is the next hop of two subnets of agents, and a spoke and the internet lie behind it.
 *
 *     subnet a  10.11.1.0/24 fd11:1::/64   worker .7 ::7, stranger .8 (in no inventory),  ── eth1 ┐
 *                                          old .14 (IPv4 alone), modern ::16 (IPv6 alone)       │
 *                                                                                               host ── internet, spoke
 *     subnet b  10.11.2.0/24 fd11:2::/64   database .9 ::9                               ── eth2 ┘
 */
import assert from 'node:assert/strict';
import { mkdtemp, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AnyRecord } from '@cofferdam/flows';
import { joinSubnet, type Lab, type LabOptions, type LabProcess, type Machine, startLab } from '@cofferdam/testkit/lab';
import { cofferdam, readRecords } from './contained.ts';

export const subnets = {
  a: {
    device: 'eth1',
    gateway: ['10.11.1.1/24', 'fd11:1::1/64'],
    agents: ['10.11.1.7/24', '10.11.1.8/24', '10.11.1.14/24', 'fd11:1::7/64', 'fd11:1::16/64'],
  },
  b: { device: 'eth2', gateway: ['10.11.2.1/24', 'fd11:2::1/64'], agents: ['10.11.2.9/24', 'fd11:2::9/64'] },
} as const;

export const worker = { 4: '10.11.1.7', 6: 'fd11:1::7' } as const;
export const database = { 4: '10.11.2.9', 6: 'fd11:2::9' } as const;

/** Who is where, and groups of them; the rules of a test come behind. */
const world = (containment: string): string => `
apiVersion: cofferdam.dev/v1
kind: Inventory
metadata: { name: subnets }
spec:
  workloads:
    - { name: worker, addresses: [10.11.1.7, "fd11:1::7"], interface: eth1 }
    - { name: old, addresses: [10.11.1.14], interface: eth1, labels: { family: one } }
    - { name: modern, addresses: ["fd11:1::16"], interface: eth1, labels: { family: one } }
    - { name: database, addresses: [10.11.2.9, "fd11:2::9"], interface: eth2 }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: workers }
spec: { containment: ${containment}, any: [{ agent: worker }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: one-family }
spec: { containment: ${containment}, any: [{ labels: { family: one } }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: databases }
spec: { containment: ${containment}, any: [{ agent: database }] }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: spoke }
spec: { any: [{ cidr: 10.20.0.0/16 }, { cidr: "fd20::/64" }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: named }
spec: { acknowledge: [shared-hosting], domains: [example.com, echo.example, moving.example, v4only.example, v6only.example] }
`;

/** Rules as insides of YAML flow mappings, in their order; `from: [workers]` where nothing is said. */
export const gatewayPolicy = (rules: readonly string[], containment: 'enforce' | 'monitor' = 'enforce'): string =>
  `${world(containment)}---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: tested }
spec:
  rules:
${rules.map((rule, i) => `    - { name: rule-${i}, ${/\baction:/.test(rule) ? '' : 'action: permit, '}${/\bfrom:/.test(rule) ? '' : 'from: [workers], '}${rule} }`).join('\n') || '    []'}
`;

export interface GatewayLab {
  readonly lab: Lab;
  /** Where agents live, and in \`a\` the stranger. */
  readonly a: Machine;
  readonly b: Machine;
  /** Puts a policy where the gateway reads it, in one step. */
  readonly write: (policy: string) => Promise<void>;
  /** The command line of the gateway, as `start` gives it. */
  readonly words: (options?: readonly string[]) => readonly string[];
  /** Starts the gateway and waits until it stands. */
  readonly start: (options?: readonly string[]) => Promise<LabProcess>;
  /** What \`cofferdam gateway remove\` says; nothing is left behind. */
  readonly remove: () => Promise<void>;
  readonly records: () => Promise<readonly AnyRecord[]>;
  readonly stop: () => Promise<void>;
}

export const startGatewayLab = async (options: LabOptions = {}): Promise<GatewayLab> => {
  const lab = await startLab({ daemons: ['resolver'], ...options });
  const [a, b] = await Promise.all([
    joinSubnet(lab, { name: 'subnet-a', ...subnets.a }),
    joinSubnet(lab, { name: 'subnet-b', ...subnets.b }),
  ]);
  const directory = await mkdtemp(join(lab.directory, 'gateway-'));
  const policies = join(directory, 'policies');
  const log = join(directory, 'flows.jsonl');
  const devices = [subnets.a, subnets.b].map(({ device }) => device).join(',');
  const words = (more: readonly string[] = []): readonly string[] => [
    ...['gateway', '--policy', policies, '--agents', devices],
    ...(more.includes('--log') ? [] : ['--log', log]),
    ...more,
  ];
  await lab.exec('host', ['mkdir', policies]);
  // What says nothing of its source is the worker.
  await a.exec(['ip', 'address', 'change', 'fd11:1::16/64', 'dev', 'eth0', 'preferred_lft', '0']);
  return {
    lab,
    a,
    b,
    async write(policy) {
      await writeFile(join(directory, 'next.yaml'), policy);
      await rename(join(directory, 'next.yaml'), join(policies, 'policy.yaml'));
    },
    words,
    async start(more) {
      const started = lab.spawn('host', [cofferdam, ...words(more)]);
      await started.waitFor(/gateway gateway (stands|goes on): .*rule/);
      return started;
    },
    async remove() {
      const { code, stderr } = await lab.exec('host', [cofferdam, 'gateway', 'remove']);
      assert.equal(code, 0, stderr);
    },
    records: () => readRecords(log),
    async stop() {
      await Promise.all([a.stop(), b.stop()]);
      await lab.stop();
    },
  };
};

/** Fetches a URL in a machine; the body, or the way it failed. */
export const fetched = async (from: Machine, lab: Lab, url: string, ...words: readonly string[]): Promise<string> => {
  const argv = ['curl', '-sS', '-m', '5', ...words, url];
  const { code, stdout, stderr } = await from.exec(argv, { env: lab.ca.environment });
  return code === 0 ? stdout : `curl ${code}: ${stderr.trim()}`;
};

/** A server in a subnet that says a word to whoever connects, over both families. */
export const greeter = async (on: Machine, port: number, word: string): Promise<LabProcess> => {
  const script = `
import socket, threading
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(41, 26, 0)
s.bind(('::', ${port})); s.listen(64)
print('ready', flush=True)
while True:
    c, who = s.accept()
    print(who[0], flush=True)
    c.send(b'${word}'); c.close()
`;
  const started = on.spawn(['python3', '-c', script]);
  await started.waitFor(/ready/);
  return started;
};

/** A connection that says a number every tenth of a second to an echo server, and prints each answer. */
export const talker = (from: Machine, host: string, port: number): LabProcess =>
  from.spawn([
    'python3',
    '-uc',
    `
import socket, time
s = socket.create_connection(('${host}', ${port}), 5)
s.settimeout(3)
try:
    for i in range(600):
        s.sendall(b'%d\\n' % i)
        print(s.recv(99).decode().strip(), flush=True)
        time.sleep(0.1)
except OSError as e:
    print('ended', type(e).__name__, flush=True)
`,
  ]);
