import type { AgentUse, Kernel, Quotas } from '@cofferdam/datapath';
import { encodeRulesReport, noUse, type RulesReport, sumOfUses } from '@cofferdam/flows';
import type { Address } from '@cofferdam/net';
import type { Plan } from '@cofferdam/plan';
import type { Counters } from './counters.ts';
import { metricFamilies, mostAgentSeries, mostRuleSeries, type RuleSamples } from './metrics.ts';
import { metricsText } from './metrics-text.ts';
import { agentStatus, byFlows, createSeries, unknownAgent } from './status-agents.ts';
import type { StatusReport } from './status-report.ts';
import { createRuleTotals, planKeys, reportedRule } from './status-rules.ts';
import { nameRows, type TableFill } from './status-tables.ts';

/** What a gateway tells of itself: to `cofferdam rules`, to Prometheus. Nothing can be changed through it. */
export interface GatewayStatus {
  /** To be called as soon as the kernel has switched to another plan. */
  readonly renewed: (plan: Plan) => void;
  readonly report: () => StatusReport;
  readonly rules: () => RulesReport;
  /** JSON of both, and the text for Prometheus. */
  readonly stateJson: () => string;
  readonly rulesJson: () => string;
  readonly metrics: () => string;
}

export interface StatusOptions {
  readonly gateway: string;
  readonly plan: Plan;
  readonly quotas: Quotas;
  readonly kernel: Pick<Kernel, 'hits' | 'drops' | 'uses' | 'eventsLost' | 'fastPackets'>;
  /** Entries that a table of the kernel has room for. */
  readonly capacity: (table: string) => number;
  readonly counters: Counters;
  /** Whether the kernel went on from an earlier process. */
  readonly standing: boolean;
  /** Names that addresses stand for, sets of them, and names that clients claimed. */
  readonly names: () => number;
  /** Addresses that agents were given, in the DNS mode that remembers them; undefined in the others. */
  readonly tracked: () => number | undefined;
  /** Connections that the proxy holds, by agent. */
  readonly held: () => ReadonlyMap<string, number>;
  /** Inventory name of the agent at an address of an interface. */
  readonly agentAt: (address: Address, ifindex: number) => string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly wallTime: (boot: bigint) => number;
}

/** Agents that the state lists one by one, the busiest first. */
export const mostAgentsListed = 1000;

const time = (at: number): string => new Date(at).toISOString();

export const createStatus = (options: StatusOptions): GatewayStatus => {
  const { gateway, kernel, counters, now, wallTime, standing } = options;
  const since = now();
  let { plan } = options;
  let planSince = since;
  const totals = createRuleTotals({ kernel, keys: planKeys(plan), own: counters.rules, wallTime, standing });
  const series = { agents: createSeries(mostAgentSeries), rules: createSeries(mostRuleSeries) };
  const flowCapacity = options.capacity('flows');
  const agentCapacity = options.capacity('uses');
  const helloCapacity = options.capacity('hellos');
  const trackedCapacity = options.tracked() === undefined ? 0 : options.capacity('tracked');

  /** By place: whether the rule has a series of its own. */
  let hasSeries: readonly boolean[] = [];
  const decidedBy = (next: Plan, keys: readonly string[]): void => {
    plan = next;
    counters.plan(next.revision, keys);
    series.agents.keep([unknownAgent, ...next.agents.map(({ name }) => name)]);
    series.rules.keep(keys);
    hasSeries = keys.map(series.rules.has);
  };
  decidedBy(plan, planKeys(plan));

  const tablesOf = (uses: readonly AgentUse[]): readonly TableFill[] => {
    const total = (of: (use: AgentUse) => number): number => uses.reduce((sum, use) => sum + of(use), 0);
    const tracked = options.tracked();
    return [
      // Every entry of the flow table is charged to somebody: this is the same number, without a walk over the table.
      { table: 'flows', entries: total(({ flows }) => flows), capacity: flowCapacity },
      { table: 'agents', entries: uses.length, capacity: agentCapacity },
      { table: 'hellos', entries: total(({ hellos }) => hellos), capacity: helloCapacity },
      { table: 'names', entries: options.names(), capacity: nameRows },
      ...(tracked === undefined ? [] : [{ table: 'tracked', entries: tracked, capacity: trackedCapacity } as const]),
    ];
  };

  const report = (): StatusReport => {
    const uses = [...kernel.uses()];
    const { user, system } = process.cpuUsage();
    return {
      gateway,
      at: now(),
      since,
      plan: {
        revision: plan.revision,
        hash: plan.hash,
        dnsMode: plan.dnsMode,
        since: planSince,
        rules: plan.rules.length,
        agents: plan.agents.length,
      },
      tables: tablesOf(uses),
      quotas: options.quotas,
      agents: agentStatus(uses, options.held(), options.agentAt),
      eventsLost: Number(kernel.eventsLost()),
      fastPackets: Number(kernel.fastPackets()),
      records: counters.records,
      suppressed: counters.suppressed,
      drops: kernel.drops(),
      proxied: [...counters.proxied.values()],
      questions: [...counters.questions.values()],
      process: { residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1_000_000 },
    };
  };

  const rules = (): RulesReport => {
    const uses = totals.uses();
    return {
      gateway,
      revision: plan.revision,
      since,
      at: now(),
      rules: plan.rules.map((_, place) => reportedRule(plan, place, uses.rules[place]!)),
      default: uses.default,
    };
  };

  const ruleSamples = (): RuleSamples => {
    const uses = totals.uses();
    const others = uses.rules.filter((_, place) => hasSeries[place] !== true);
    return {
      named: plan.rules.flatMap(({ ruleset, name }, place) =>
        hasSeries[place] === true ? [{ ruleset, name, use: uses.rules[place]! }] : [],
      ),
      others: others.length === 0 ? undefined : others.reduce(sumOfUses, noUse),
      default: uses.default,
    };
  };

  return {
    renewed(next) {
      const keys = planKeys(next);
      totals.renewed(keys);
      planSince = now();
      decidedBy(next, keys);
    },
    report,
    rules,
    rulesJson: () => encodeRulesReport(rules()),
    stateJson() {
      const found = report();
      const agents = [...found.agents].sort(byFlows);
      return JSON.stringify({
        ...found,
        at: time(found.at),
        since: time(found.since),
        plan: { ...found.plan, since: time(found.plan.since) },
        agents: agents.slice(0, mostAgentsListed),
        agentsNotListed: Math.max(0, agents.length - mostAgentsListed),
        records: Object.fromEntries(found.records),
        suppressed: Object.fromEntries(found.suppressed),
        drops: Object.fromEntries([...found.drops].map(([reason, count]) => [reason, Number(count)])),
      });
    },
    metrics: () => metricsText(metricFamilies(report(), ruleSamples(), series.agents)),
  };
};
