/**
 * A gateway of a network in one DNS mode, and an agent of it that attacks: with ordinary sockets, and as root with frames made by hand. What counts
 * is what arrives: at servers, and on the wire behind the gateway.
 */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import type { AnyRecord } from '@cofferdam/flows';
import type { DnsMode } from '@cofferdam/plan';
import type { Arrival, ArrivalEvent, DnsRecord, ExecResult, Lab, LabProcess } from '@cofferdam/testkit/lab';
import { agentPolicy, type PolicyWords } from './agent-policy.ts';
import { type Attacker, eventually, freeAttacker } from './attacker.ts';
import { inward } from './attacks/inward.ts';
import {
  type AttemptWords,
  arrivedSince,
  attemptCommand,
  isFlow,
  type Made,
  outcomesOf,
  recordedOutcomes,
} from './attempts.ts';
import { database, type GatewayLab, startGatewayLab, worker } from './gateway-lab.ts';

export const families = [4, 6] as const;
/** Of the agent under test, and of another one in the other subnet. */
export const agentHost = worker;
export const otherHost = database;
export const gatewayHost = { 4: '10.11.1.1', 6: 'fd11:1::1' } as const;

/** Permitted to the agent under test in every policy of the site, on ports 80, 443 and one of their own. */
const turningNames = ['turning.example', 'moving.example', 'flip.example'] as const;
export const turningPort = 9301;

/** Everything at which an attacker hears. */
export const toAttackers = [
  '45.83.64.10',
  '2a0e:1d40::10',
  '45.83.65.53',
  '45.83.66.53',
  '8.8.8.8',
  '2001:4860:4860::8888',
]
  .map((address) => `dst host ${address}`)
  .join(' or ');

/** Behind each policy: the inventory, what is permitted all the time, and the other agent as a group; a rule of its own says `from: [others]`. */
const inventory = (mac: string): string => `---
apiVersion: cofferdam.dev/v1
kind: Inventory
metadata: { name: subnets }
spec:
  workloads:
    - { name: agent-under-test, addresses: [${agentHost[4]}, "${agentHost[6]}"], interface: eth1, mac: "${mac}" }
    - { name: other-agent, addresses: [${otherHost[4]}, "${otherHost[6]}"], interface: eth2 }
---
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: others }
spec: { containment: enforce, any: [{ agent: other-agent }] }
---
apiVersion: cofferdam.dev/v1
kind: WebGroup
metadata: { name: turning }
spec: { domains: [${turningNames.join(', ')}] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: always }
spec:
  rules:
    - { name: turning, action: permit, from: [agents], to: [public-internet], web: [turning], protocol: tcp, ports: [80, 443, ${turningPort}] }
`;

/** Names that the attacker, and others, have beside those of the lab. */
const records: readonly DnsRecord[] = [
  ...Object.entries(inward).map(([name, addresses]) => ({ name, addresses })),
  { name: 'xn--bcher-kva.example', addresses: ['93.184.215.14', '2606:2800:21f:cb07:6820:80da:af6b:8b2c'] },
  ...turningNames.map((name) => ({ name, addresses: ['23.192.228.80', '93.184.215.14'] })),
  { name: 'svcb.example', addresses: ['93.184.215.14'], https: 'alpn="h2" ipv4hint=45.83.64.10 ech="AAAA"' },
];

/** What happened since a moment. */
export interface Watch {
  /** Packets behind the gateway (pcap-filter). */
  readonly wire: (filter: string) => Promise<readonly string[]>;
  /** At servers; everything but the beginning and end of connections where nothing is said. */
  readonly arrived: (...kinds: readonly ArrivalEvent['kind'][]) => Promise<readonly Arrival[]>;
  readonly records: () => Promise<readonly AnyRecord[]>;
  /** Reasons of denials, each once, in order; waits until there is one. */
  readonly reasons: (matches?: (record: AnyRecord) => boolean) => Promise<readonly string[]>;
}

export interface BypassSite {
  readonly mode: DnsMode;
  readonly gateway: GatewayLab;
  readonly lab: Lab;
  /** Root in the subnet of the agent under test, and of the other one. */
  readonly agent: Attacker;
  readonly other: Attacker;
  /** On the host, which nothing contains; and what plays the servers. */
  readonly free: Attacker;
  readonly server: Attacker;
  /** Of the agent's interface, and of the gateway's in its subnet. */
  readonly macs: { readonly agent: string; readonly gateway: string };
  /** Puts a policy in force, unless it is; `from` where nothing is said is the agent under test. */
  readonly under: (words: PolicyWords) => Promise<void>;
  /** Tries to put one in force, and gives what the gateway says of it. */
  readonly refuses: (words: PolicyWords) => Promise<string>;
  readonly watch: () => Promise<Watch>;
  /** Made by the agent one after the other, with what was recorded of each. */
  readonly attempt: (attempts: readonly AttemptWords[], who?: 'agent' | 'other') => Promise<readonly Made[]>;
  /** A program in the agent's machine, or in the other's. */
  readonly exec: (argv: readonly string[], who?: 'agent' | 'other') => Promise<ExecResult>;
  /** curl, which trusts the lab's authority, and is quiet but for errors. */
  readonly curl: (...words: readonly string[]) => Promise<ExecResult>;
  /** As the lab's, one after the other. */
  readonly setRecord: Lab['setRecord'];
  readonly stop: () => Promise<void>;
}

export const startBypassSite = async (mode: DnsMode): Promise<BypassSite> => {
  const gateway = await startGatewayLab({ daemons: ['resolver', 'resolver2'], records });
  try {
    return await besiege(mode, gateway);
  } catch (e) {
    await gateway.stop();
    throw e;
  }
};

const besiege = async (mode: DnsMode, g: GatewayLab): Promise<BypassSite> => {
  const { lab } = g;
  const macOf = async (on: { readonly exec: typeof g.a.exec }, device: string): Promise<string> =>
    (await on.exec(['cat', `/sys/class/net/${device}/address`])).stdout.trim();
  const macs = { agent: await macOf(g.a, 'eth0'), gateway: await macOf(lab.machines.host, 'eth1') };
  const [agent, other, free, server] = await Promise.all([
    freeAttacker(lab, g.a),
    freeAttacker(lab, g.b),
    freeAttacker(lab, 'host'),
    freeAttacker(lab, 'internet'),
  ]);
  await lab.exec('internet', ['sysctl', '-qw', 'net.ipv4.tcp_fastopen=3']);
  const capture = await lab.capture();
  let inForce: string | undefined;
  let serving: LabProcess | undefined;
  const said = (): string => serving?.stderr() ?? '';
  const times = (pattern: RegExp): number => said().match(pattern)?.length ?? 0;
  const reloads = (): number => times(/reloaded: .* in force|was not reloaded|: refused \(/g);
  const refusals = (): number => times(/was not reloaded|: refused \(/g);
  const put = async (policy: string): Promise<void> => {
    const before = reloads();
    await g.write(policy);
    if (serving === undefined) serving = await g.start(['--dns', mode]);
    else await eventually('a policy that was read', () => reloads() > before);
  };
  const completed = (words: PolicyWords): string => agentPolicy(words) + inventory(macs.agent);

  const watch = async (): Promise<Watch> => {
    const since = await lab.mark();
    const from = (await g.records()).length;
    const start = Date.now() / 1000;
    const sinceThen = async () => (await g.records()).slice(from);
    return {
      wire: async (filter) =>
        (await capture.packets(filter)).filter((line) => Number(line.slice(0, line.indexOf(' '))) >= start),
      arrived: (...kinds) => arrivedSince(lab, since, kinds.length === 0 ? undefined : kinds),
      records: sinceThen,
      async reasons(matches = () => true) {
        let found: readonly string[] = [];
        await eventually('a record of a denial', async () => {
          found = (await sinceThen())
            .filter((one) => one.verdict === 'deny' && matches(one))
            .map(({ reason }) => reason);
          return found.length > 0;
        });
        return [...new Set(found)];
      },
    };
  };

  const machines = { agent: g.a, other: g.b };
  let recorded: Promise<void> = Promise.resolve();
  // Below those of connections made by hand, so that no two have one.
  let nextPort = 10_000;
  const attempt: BypassSite['attempt'] = async (attempts, who = 'agent') => {
    const first = nextPort;
    nextPort += attempts.length;
    const from = (await g.records()).length;
    const timeout = 60_000;
    const { stdout, stderr } = await machines[who].exec(attemptCommand(attempts, first), { timeout });
    const outcomes = outcomesOf(stdout, stderr);
    const made = async () => recordedOutcomes(outcomes, (await g.records()).slice(from), first);
    // A record is written when its flow is decided, and read here a moment later; of a flood only some have one.
    const end = Date.now() + 3000;
    const isRecorded = async (): Promise<boolean> =>
      (await made()).every((one) => one.end === 'unresolved' || one.records.length > 0);
    while (!(await isRecorded()) && Date.now() < end) await pause(30);
    await pause(50); // a permit may be followed by a denial
    return made();
  };

  return {
    mode,
    gateway: g,
    lab,
    agent,
    other,
    free,
    server,
    macs,
    async under(words) {
      const policy = completed(words);
      if (policy === inForce) return;
      const before = refusals();
      await put(policy);
      inForce = policy;
      assert.equal(refusals(), before, said());
    },
    async refuses(words) {
      const at = said().length;
      await put(completed(words));
      return said().slice(at);
    },
    watch,
    attempt,
    exec: (argv, who = 'agent') => machines[who].exec(argv, { env: lab.ca.environment }),
    curl: (...words) => g.a.exec(['curl', '-sS', '-m', '8', ...words], { env: lab.ca.environment }),
    setRecord: (...words) => {
      const done = recorded.then(() => lab.setRecord(...words));
      recorded = done.catch(() => undefined);
      return done;
    },
    stop: () => g.stop(),
  };
};

/** `permit`, the reason of the denial, or `unresolved`; of a connection its last word. */
export const verdictOf = ({ end, records: of }: Made): string => {
  if (end === 'unresolved') return end;
  const flow = of.filter(isFlow).findLast(({ kind }) => kind === 'flow');
  if (flow === undefined) return of.map(({ reason }) => reason).join();
  return flow.verdict === 'deny' ? flow.reason : 'permit';
};

/** An attempt, and what becomes of it. */
export interface Try {
  readonly what: string;
  readonly words: AttemptWords;
  readonly verdict: string;
}

/** Makes all of them in one go; compares all at once, so that one difference does not hide another. */
export const judged = async (
  site: BypassSite,
  tries: readonly Try[],
  who?: 'agent' | 'other',
): Promise<readonly Made[]> => {
  const made = await site.attempt(
    tries.map(({ words }) => words),
    who,
  );
  assert.deepEqual(
    tries.map(({ what }, i) => `${what}: ${verdictOf(made[i]!)}`),
    tries.map(({ what, verdict }) => `${what}: ${verdict}`),
  );
  return made;
};
