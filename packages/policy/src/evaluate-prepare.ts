import { type DomainPattern, embeddedIPv4, type UrlPattern } from '@cofferdam/net';
import type { Facts, RuleIndex } from '@cofferdam/verdict';
import type { EvaluationContext, PolicySet, Rule, Ruleset, Workload } from './model.ts';
import {
  addressKey,
  agentOf,
  containmentOf,
  type Destination,
  type Members,
  membersOf,
  type Reserved,
  reservedAs,
  type Source,
} from './resolve.ts';
import { scheduleActive } from './schedule.ts';

/** The WebGroups of one rule, put together. */
export interface Web {
  /** One of them is `any-web`: any name will do. */
  readonly any: boolean;
  readonly domains: readonly DomainPattern[];
  readonly urls: readonly UrlPattern[];
}

/** A rule with its groups looked up, at its place in the walk. */
export interface PreparedRule {
  /** Its place among all rules of the set, disabled ones included. */
  readonly index: number;
  readonly rule: Rule;
  readonly ruleset: Ruleset;
  readonly from: readonly Members[];
  readonly to: readonly Members[];
  /** Absent: the rule does not look at names. */
  readonly web?: Web;
  /** The proxy has to hold the flow: to read it before this rule can be judged for good, or to open it because the rule says so. */
  readonly needsReading: boolean;
}

/** A policy with one context: everything about them that does not depend on the flow. */
export interface Prepared {
  readonly context: EvaluationContext;
  readonly rules: readonly PreparedRule[];
  readonly groups: readonly Members[];
  readonly holders: ReadonlyMap<string, readonly Workload[]>;
  readonly gatewayKeys: ReadonlySet<string>;
  /** Some rule is monitored, so that every flow has a would-be verdict. */
  readonly someMonitored: boolean;
}

const webOf = (policy: PolicySet, names: readonly string[]): Web => {
  const groups = names.flatMap((name) => policy.webGroups.get(name) ?? []);
  return {
    any: names.includes('any-web'),
    domains: groups.flatMap((g) => g.domains),
    urls: groups.flatMap((g) => g.urls),
  };
};

const needsReading = (rule: Rule, web: Web | undefined, dnsMode: EvaluationContext['dnsMode']): boolean =>
  rule.http !== undefined ||
  rule.mcp !== undefined ||
  rule.decrypt === 'allowed' ||
  (web !== undefined && (dnsMode === 'own' || web.urls.length > 0 || rule.tls === 'absent'));

/** Looks everything up once, for many evaluations. The policy's rulesets are in walk order, as {@link PolicySet} says. */
export const prepare = (policy: PolicySet, context: EvaluationContext): Prepared => {
  const members = new Map<string, Members>();
  const lookUp = (name: string): Members => {
    const known = members.get(name) ?? membersOf(policy, context, name);
    members.set(name, known);
    return known;
  };
  const holders = new Map<string, Workload[]>();
  for (const workload of context.workloads)
    for (const address of workload.addresses) {
      const key = addressKey(address);
      holders.set(key, [...(holders.get(key) ?? []), workload]);
    }
  const rules = policy.rulesets
    .flatMap((ruleset) => ruleset.rules.map((rule) => ({ rule, ruleset })))
    .map(({ rule, ruleset }, index): PreparedRule => {
      const web = rule.web === undefined ? undefined : webOf(policy, rule.web);
      return {
        index,
        rule,
        ruleset,
        from: rule.from.map(lookUp),
        to: rule.to.map(lookUp),
        ...(web === undefined ? {} : { web }),
        needsReading: needsReading(rule, web, context.dnsMode),
      };
    });
  return {
    context,
    rules,
    groups: [...policy.smartGroups.keys()].map(lookUp),
    holders,
    gatewayKeys: new Set(context.gatewayAddresses.map(addressKey)),
    someMonitored: rules.some(({ rule }) => rule.mode === 'monitor'),
  };
};

/** What the walk needs to know of one flow beside its facts. */
export interface Flow {
  readonly facts: Facts;
  /** The workload that sends it; absent: inventory gives the source to none on that interface, and the policy is silent. */
  readonly agent?: Workload;
  readonly source: Source;
  readonly destination: Destination;
  readonly gatewayKeys: ReadonlySet<string>;
  readonly dnsMode: EvaluationContext['dnsMode'];
  /** The reserved range the destination lies in; that of the gateway where it lies in several. */
  readonly reserved?: Reserved;
  /** Containment is monitored at both ends, as far as they are agents. */
  readonly monitored: boolean;
}

/** The default is a rule too: it comes last, and its index is `default`. */
export const indexOf = (rule: PreparedRule | 'default'): RuleIndex => (rule === 'default' ? 'default' : rule.index);

const monitors = (prepared: Prepared, agent: Source): boolean => containmentOf(prepared.groups, agent) === 'monitor';

export const flowOf = (prepared: Prepared, facts: Facts): Flow => {
  const { context, holders, gatewayKeys } = prepared;
  const agent = agentOf(holders.get(addressKey(facts.source)) ?? [], facts.interface);
  const source: Source = { address: facts.source, ...(agent === undefined ? {} : { workload: agent }) };
  const inner = embeddedIPv4(facts.destination);
  const dialled = inner === undefined ? [facts.destination] : [facts.destination, inner];
  const reservations = dialled.flatMap((address) => reservedAs(address, gatewayKeys) ?? []);
  const reserved = reservations.find((range) => range.gateway) ?? reservations[0];
  const receivers = dialled.flatMap((address): readonly Source[] =>
    (holders.get(addressKey(address)) ?? []).map((workload) => ({ address, workload })),
  );
  // In own mode an address has a name once one was claimed.
  const isUnnamed = context.dnsMode === 'own' && facts.protocol === 'tcp' && facts.claimedName.state === 'unknown';
  return {
    facts,
    ...(agent === undefined ? {} : { agent }),
    source,
    destination: { address: facts.destination, names: isUnnamed ? [] : facts.addressNames },
    gatewayKeys,
    dnsMode: context.dnsMode,
    ...(reserved === undefined ? {} : { reserved }),
    monitored: context.monitor || [source, ...receivers].every((end) => monitors(prepared, end)),
  };
};

/** Why a rule is not in the walk at an instant; undefined where it is in force. */
export const inactiveBecause = (rule: Rule, at: number): string | undefined => {
  if (rule.mode === 'disabled') return 'the rule is disabled';
  if (rule.expires !== undefined && at >= rule.expires) return 'the rule has expired';
  if (rule.schedule !== undefined && !scheduleActive(rule.schedule, at)) return 'outside the hours of its schedule';
  return undefined;
};

/** The port is one of a rule's that is written by itself, not as part of a range. */
export const listsAlone = (rule: Rule, port: number): boolean =>
  (rule.ports ?? []).some((range) => range.first === port && range.last === port);
