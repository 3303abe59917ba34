import type { RuleReference, RuleUse } from '@cofferdam/flows';
import type { MetricFamily, Sample } from './metrics-text.ts';
import { type AgentStatus, addAgents, otherAgents, type Series } from './status-agents.ts';
import type { Decisions, StatusReport } from './status-report.ts';

/** Series of their own; the others share one. Addresses and destinations are never labels: there is no end to them. */
export const mostAgentSeries = 200;
export const mostRuleSeries = 1000;

const seconds = (milliseconds: number): number => milliseconds / 1000;

const one = (value: number): readonly Sample[] => [{ value }];

const byLabel = (label: string, counts: Iterable<readonly [string, number | bigint]>): readonly Sample[] =>
  [...counts].map(([key, count]) => ({ labels: { [label]: key }, value: Number(count) }));

const decisions = (all: readonly Decisions[]): readonly Sample[] =>
  all.map(({ verdict, reason, count }) => ({ labels: { verdict, reason }, value: count }));

/** Agents without a series of their own as one. */
const boundedAgents = (agents: readonly AgentStatus[], series: Series): readonly AgentStatus[] => {
  const named = agents.filter(({ agent }) => series.has(agent));
  const others = agents.filter(({ agent }) => !series.has(agent));
  if (others.length === 0) return named;
  const none = { flows: 0, hellos: 0, proxied: 0, untold: 0 };
  return [
    ...named,
    others.reduce((sum: AgentStatus, next) => addAgents(otherAgents, sum, next), { agent: otherAgents, ...none }),
  ];
};

const perAgent = (agents: readonly AgentStatus[], value: (agent: AgentStatus) => number): readonly Sample[] =>
  agents.map((each) => ({ labels: { agent: each.agent }, value: value(each) }));

type UseKind = Exclude<keyof RuleUse, 'last'>;
const outcomes: readonly (readonly [outcome: string, kind: UseKind])[] = [
  ['permitted', 'permitted'],
  ['denied', 'denied'],
  ['would-permit', 'wouldPermit'],
  ['would-deny', 'wouldDeny'],
];

const useSamples = (labels: Readonly<Record<string, string>>, use: RuleUse): readonly Sample[] =>
  outcomes.map(([outcome, kind]) => ({ labels: { ...labels, outcome }, value: use[kind] }));

/** Uses of rules as the metrics have them. */
export interface RuleSamples {
  readonly named: readonly (Pick<RuleReference, 'ruleset' | 'name'> & { readonly use: RuleUse })[];
  /** All that have no series of their own together. Absent: there are none. */
  readonly others: RuleUse | undefined;
  readonly default: RuleUse;
}

const ruleSamples = ({ named, others, default: last }: RuleSamples): readonly Sample[] => [
  ...named.flatMap(({ ruleset, name, use }) => useSamples({ ruleset, rule: name }, use)),
  ...(others === undefined ? [] : useSamples({ ruleset: '(other)', rule: '(other)' }, others)),
  ...useSamples({ ruleset: '', rule: 'default' }, last),
];

/** What Prometheus is told. */
export const metricFamilies = (status: StatusReport, rules: RuleSamples, series: Series): readonly MetricFamily[] => {
  const agents = boundedAgents(status.agents, series);
  const { plan, quotas, process } = status;
  const gauge = (name: string, help: string, samples: readonly Sample[]): MetricFamily => ({
    name: `cofferdam_${name}`,
    type: 'gauge',
    help,
    samples,
  });
  const counter = (name: string, help: string, samples: readonly Sample[]): MetricFamily => ({
    name: `cofferdam_${name}_total`,
    type: 'counter',
    help,
    samples,
  });
  return [
    gauge('gateway_info', 'Which gateway this is, and where its names come from.', [
      { labels: { gateway: status.gateway, dns_mode: plan.dnsMode }, value: 1 },
    ]),
    gauge('start_time_seconds', 'When this process took the gateway over.', one(seconds(status.since))),
    gauge('plan_revision', 'Revision of the plan in force.', one(plan.revision)),
    gauge('plan_applied_time_seconds', 'When the plan in force was put in force.', one(seconds(plan.since))),
    gauge('plan_rules', 'Rules of the plan in force.', one(plan.rules)),
    gauge('plan_agents', 'Workloads that the plan in force knows.', one(plan.agents)),
    counter(
      'rule_hits',
      'Flows and requests by the rule that decided, or would with everything enforced. Rules beyond the first 1000 are counted together.',
      ruleSamples(rules),
    ),
    counter(
      'dropped_packets',
      'Packets that the kernel dropped or denied, by reason.',
      byLabel('reason', status.drops),
    ),
    counter('proxy_decisions', 'Flows and requests that the proxy decided.', decisions(status.proxied)),
    counter('dns_queries', 'Questions to the DNS filter by what became of them.', decisions(status.questions)),
    gauge(
      'table_entries',
      'Entries of a table of the gateway.',
      byLabel(
        'table',
        status.tables.map(({ table, entries }) => [table, entries]),
      ),
    ),
    gauge(
      'table_capacity',
      'Entries that a table of the gateway has room for. What does not fit is denied.',
      byLabel(
        'table',
        status.tables.map(({ table, capacity }) => [table, capacity]),
      ),
    ),
    gauge(
      'agent_quota',
      'What one agent may take; 0: as much as there is. Rates are per second.',
      byLabel('of', [
        ['flows', quotas.flows],
        ['hellos', quotas.hellos],
        ['new-flows', quotas.flowRate],
        ['events', quotas.eventRate],
      ]),
    ),
    gauge(
      'agent_flows',
      'Live flows of an agent.',
      perAgent(agents, ({ flows }) => flows),
    ),
    gauge(
      'agent_hellos',
      'Hellos of an agent that are being read.',
      perAgent(agents, ({ hellos }) => hellos),
    ),
    gauge(
      'agent_proxied',
      'Connections of an agent that the proxy holds.',
      perAgent(agents, ({ proxied }) => proxied),
    ),
    counter(
      'agent_untold_denials',
      'Denials of an agent beyond its quota of events, which have no record.',
      perAgent(agents, ({ untold }) => untold),
    ),
    counter('fast_path_packets', 'Packets of long flows that went past netfilter.', one(status.fastPackets)),
    counter('events_lost', 'Events of the kernel that there was no room for.', one(status.eventsLost)),
    counter('records', 'Records written, by kind.', byLabel('kind', status.records)),
    counter(
      'suppressed_records',
      'Denials without a record of their own, by reason.',
      byLabel('reason', status.suppressed),
    ),
    gauge('process_resident_memory_bytes', 'Memory of this process.', one(process.residentBytes)),
    counter('process_cpu_seconds', 'Processor time of this process.', one(process.cpuSeconds)),
  ];
};
