import { type Address, type DomainName, type Family, isExactPattern, parseDomainPattern } from '@cofferdam/net';
import {
  type AgentAddress,
  activeAt,
  agentOf,
  classifyName,
  decide,
  type LoadedPlan,
  liftsDenials,
  type PlanRule,
  resolvable,
  usableAddress,
  wouldBe,
} from '@cofferdam/plan';
import type { Gate, GateAgent, GateRule, NameGrant } from './gate.ts';

interface Reach {
  /** The pattern has no star. */
  readonly exact: boolean;
  /** Labels right of its last star. */
  readonly suffix: string;
}

const reachOf = (text: string): Reach | undefined => {
  const parsed = parseDomainPattern(text);
  return parsed.ok ? { exact: isExactPattern(parsed.value), suffix: parsed.value.fixed } : undefined;
};

/** The patterns of a rule that can make names resolvable, by their places in the plan. */
const patternsOf = (loaded: LoadedPlan, rule: PlanRule): readonly string[] => {
  const { patterns } = loaded.plan;
  const lists = [rule.web, rule.resolve].flatMap((web) => (web === undefined ? [] : [web]));
  return lists.flatMap((web) => [
    ...web.domains.map((place) => patterns[place]!),
    ...web.urls.map((place) => loaded.names.urls[place]!.host.text),
  ]);
};

const isBelow = (name: string, suffix: string): boolean => suffix !== '' && name.endsWith(`.${suffix}`);

/** Puts a loaded plan behind the questions the gateway asks. */
export const planGate = (loaded: LoadedPlan, commit?: string): Gate => {
  const { plan } = loaded;
  const reaches = new Map<string, Reach | undefined>();
  const reach = (text: string): Reach | undefined => {
    if (!reaches.has(text)) reaches.set(text, reachOf(text));
    return reaches.get(text);
  };

  const identities = plan.agents.map(({ name, labels }) => ({ name, labels }));
  const families = plan.agents.map(() => new Set<Family>());
  for (const { agent, address } of loaded.agents) families[agent]!.add(address.family);

  const addressOf = (agent: GateAgent): AgentAddress | undefined => agentOf(loaded, agent.interface, agent.source);

  const agentAt = (source: Address, onInterface: string): GateAgent | undefined => {
    const found = agentOf(loaded, onInterface, source);
    if (found === undefined) return undefined;
    return {
      name: found.name,
      interface: onInterface,
      source,
      identity: identities[found.agent]!,
      families: families[found.agent]!,
      monitored: plan.monitored || found.monitored,
    };
  };

  /** Of a monitored agent also monitored rules: what they name is no denial that monitoring lifts, now or once all is promoted. */
  const permitsNaming = (row: AgentAddress, name: DomainName, at: number): readonly PlanRule[] => {
    const { from } = loaded.agentClasses[row.class]!;
    const { resolves } = loaded.names.classify(name);
    const active = activeAt(loaded, at);
    const { enforced, monitored } = loaded.properties;
    const counts = (w: number): number => enforced[w]! | (plan.monitored || row.monitored ? monitored[w]! : 0);
    const rules: PlanRule[] = [];
    for (let w = 0; w < from.length; w++)
      for (let left = from[w]! & resolves[w]! & active[w]! & counts(w); left !== 0; left &= left - 1)
        rules.push(plan.rules[32 * w + 31 - Math.clz32(left & -left)]!);
    return rules;
  };

  const grantOf = (agent: GateAgent, name: DomainName, at: number): NameGrant => {
    const row = addressOf(agent);
    if (row === undefined || !resolvable(loaded, row.class, name, at)) return { kind: 'none' };
    const rules = permitsNaming(row, name, at);
    if (rules.length === 0) return { kind: 'lifted' };
    if (rules.some((rule) => rule.hostnames?.some((place) => plan.hostnames[place] === name))) return { kind: 'exact' };
    const found = rules.flatMap((rule) => patternsOf(loaded, rule).flatMap((text) => reach(text) ?? []));
    if (found.some(({ exact, suffix }) => exact && suffix === name)) return { kind: 'exact' };
    const suffixes = found.filter(({ exact, suffix }) => !exact && isBelow(name, suffix)).map(({ suffix }) => suffix);
    // The shortest: a zone cannot buy a second budget by a second, longer pattern.
    const shortest = suffixes.reduce<string | undefined>(
      (a, b) => (a === undefined || b.length < a.length ? b : a),
      undefined,
    );
    return { kind: 'wildcard', suffix: shortest ?? '' };
  };

  const ruleAt = (index: number): GateRule => {
    const found = plan.rules[index]!;
    const { id, name, ruleset, tier } = found;
    return {
      reference: { index, ...(id === undefined ? {} : { id }), name, ruleset, tier },
      action: found.action,
      log: found.log,
      readsRequests: found.http !== undefined || found.mcp !== undefined || (found.web?.urls.length ?? 0) > 0,
      permitsWebSocket: found.http?.websocket === 'allow',
      refusesEch: found.ech === 'refuse',
      decrypt: found.decrypt,
    };
  };
  const rules = new Map<number, GateRule>();
  const rule = (index: number | 'default'): GateRule | undefined => {
    if (index === 'default' || plan.rules[index] === undefined) return undefined;
    const before = rules.get(index);
    if (before !== undefined) return before;
    const made = ruleAt(index);
    rules.set(index, made);
    return made;
  };

  return {
    revision: plan.revision,
    ...(commit === undefined ? {} : { commit }),
    agentAt,
    decide: (facts) => decide(loaded, facts),
    wouldBe: (facts) => wouldBe(loaded, facts),
    lifts: (facts) => liftsDenials(loaded, facts),
    rule,
    grantOf,
    usableAddress: (agent, name, address, at) => {
      const row = addressOf(agent);
      return row !== undefined && usableAddress(loaded, row.class, name, address, at);
    },
    classesOf: (name) => classifyName(loaded, name),
  };
};
