import { createHash } from 'node:crypto';
import { compile } from '@cofferdam/compiler';
import type { AgentUse, Kernel, RuleHits } from '@cofferdam/datapath';
import { type LoadedPlan, loadPlan } from '@cofferdam/plan';
import { parsePolicy } from '@cofferdam/policy';
import type { Reason } from '@cofferdam/verdict';
import { type Counters, createCounters } from '../src/counters.ts';
import { createStatus, type GatewayStatus } from '../src/status.ts';
import { address } from './fakes.ts';

const head = `
apiVersion: cofferdam.dev/v1
kind: SmartGroup
metadata: { name: agents }
spec: { any: [{ cidr: 10.0.0.0/16 }] }
---
apiVersion: cofferdam.dev/v1
kind: Ruleset
metadata: { name: desk }
spec:
  rules:
`;

/** A rule of the ruleset `desk`, by its name, and what else is to be said of it. */
export type RuleSketch = string | { readonly name: string; readonly id?: string; readonly mode?: string };

/** A plan of these rules, in this order, over workloads 10.0.0.1 upward. */
export const planOf = (
  revision: number,
  rules: readonly RuleSketch[],
  agents: readonly string[] = ['coder'],
  monitor = false,
): LoadedPlan => {
  const lines = rules.map((sketch, i) => {
    const rule = typeof sketch === 'string' ? { name: sketch } : sketch;
    const all = {
      action: 'permit',
      from: ['agents'],
      to: ['public-internet'],
      protocol: 'tcp',
      ports: [i + 1],
      ...rule,
    };
    return `    - ${JSON.stringify(all)}\n`;
  });
  const workloads = agents.map((name, i) => ({ name, addresses: [`10.0.${(i + 1) >> 8}.${(i + 1) & 255}`] }));
  const inventory = {
    apiVersion: 'cofferdam.dev/v1',
    kind: 'Inventory',
    metadata: { name: 'here' },
    spec: { workloads },
  };
  const text = `${head}${lines.join('')}---\n${JSON.stringify(inventory)}\n`;
  const now = Date.UTC(2027, 0, 27);
  const { policy, diagnostics } = parsePolicy([{ file: 'p.yaml', text }], { now });
  if (policy === undefined) throw new Error(diagnostics.map(({ message }) => message).join('\n'));
  const context = {
    workloads: policy.inventory,
    resolved: new Map(),
    dnsMode: 'synthetic',
    gatewayAddresses: [],
    monitor,
  } as const;
  const digest = (words: string): string => createHash('sha256').update(words).digest('hex');
  return loadPlan(compile(policy, { ...context, at: now, revision, digest }).plan);
};

/** The kernel's counts by place in the walk: they only grow, whatever the plan. */
export const fakeHits = () => {
  const places = new Map<number | 'default', { permitted: bigint; denied: bigint; last: bigint }>();
  const of = (place: number | 'default') => places.get(place) ?? { permitted: 0n, denied: 0n, last: 0n };
  const hits = (place: number | 'default'): RuleHits => ({ ...of(place), wouldDeny: 0n });
  return {
    /** `last`: boot time in milliseconds. */
    hit: (place: number | 'default', what: 'permitted' | 'denied', last: number, times = 1n): void => {
      const before = of(place);
      places.set(place, { ...before, [what]: before[what] + times, last: BigInt(last) * 1_000_000n });
    },
    hits: (rules: number) => ({ rules: Array.from({ length: rules }, (_, i) => hits(i)), default: hits('default') }),
  };
};

export interface FakeGateway {
  readonly status: GatewayStatus;
  readonly counters: Counters;
  readonly hits: ReturnType<typeof fakeHits>;
  uses: readonly AgentUse[];
  now: number;
}

/** A gateway whose kernel is a table of this process. The machine booted at the epoch. */
export const fakeGateway = (
  plan: LoadedPlan,
  held: ReadonlyMap<string, number> = new Map(),
  tracked?: number,
): FakeGateway => {
  const hits = fakeHits();
  const drops: ReadonlyMap<Reason, bigint> = new Map([['no-rule', 3n]]);
  const kernel: Pick<Kernel, 'hits' | 'drops' | 'uses' | 'eventsLost' | 'fastPackets'> = {
    hits: hits.hits,
    drops: () => drops,
    *uses() {
      yield* one.uses;
    },
    eventsLost: () => 5n,
    fastPackets: () => 900n,
  };
  const counters = createCounters({ now: () => one.now, began: 0n });
  const one = { hits, counters, uses: [] as readonly AgentUse[], now: 1_800_000_000_000 } as {
    -readonly [K in keyof FakeGateway]: FakeGateway[K];
  };
  one.status = createStatus({
    gateway: 'g',
    plan: plan.plan,
    quotas: { flows: 4096, hellos: 128, flowRate: 1000, flowBurst: 2000, eventRate: 200, eventBurst: 1000 },
    kernel,
    capacity: () => 65_536,
    counters,
    standing: false,
    names: () => 12,
    tracked: () => tracked,
    held: () => held,
    agentAt: (asked) => plan.agents.find((row) => row.address.value === asked.value)?.name,
    now: () => one.now,
    wallTime: (boot) => Number(boot / 1_000_000n),
  });
  return one;
};

export const use = (at: string | undefined, flows: number, more: Partial<AgentUse> = {}): AgentUse => ({
  ifindex: 2,
  address: at === undefined ? undefined : address(at),
  flows,
  hellos: 0,
  untold: 0n,
  ...more,
});
