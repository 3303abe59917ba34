import { decodeBitmap, type Plan, type PlanRule, planDigestText, propertiesOf, wordsFor } from '@cofferdam/plan';
import type { EvaluationContext, PolicySet, Rule } from '@cofferdam/policy';
import { compileAgents, reachedRules, reportWithoutAgents } from './agents.ts';
import { compileDestinations } from './destinations.ts';
import type { CompileDiagnostic } from './diagnostic.ts';
import { compileEpochs } from './epochs.ts';
import { type GroupResolver, groupResolver, reportEmpty } from './groups.ts';
import { type NumberedRule, numberRules, rulesByName } from './numbered-rules.ts';
import { compilePorts } from './ports.ts';
import { bitmapWhere } from './rule-sets.ts';
import { type CompiledWebs, compileWebs } from './webs.ts';

/** What compiling needs beside the policy. */
export interface CompileContext extends EvaluationContext {
  /** Milliseconds since the epoch. Epochs begin here. */
  readonly at: number;
  readonly revision: number;
  /** SHA-256 of the UTF-8 bytes of a text, lower-case hex. An argument, since browsers and Node have different ones. */
  readonly digest: (text: string) => string;
}

export interface Compiled {
  readonly plan: Plan;
  /** In the order found; an `error` means that the plan does not do what the policy says. */
  readonly diagnostics: readonly CompileDiagnostic[];
}

export const compile = (policy: PolicySet, context: CompileContext): Compiled => {
  const diagnostics: CompileDiagnostic[] = [];
  const report = (diagnostic: CompileDiagnostic): void => {
    diagnostics.push(diagnostic);
  };

  const numbered = numberRules(policy);
  const rules = numbered.map(({ rule }) => rule);
  const words = wordsFor(rules.length);
  const group = groupResolver(policy, context, report);
  const fromRules = rulesByName(numbered, ({ from }) => from);
  const toRules = rulesByName(numbered, ({ to }) => to);
  for (const name of toRules.keys()) reportEmpty(group(name), policy, report);

  const toPublic = bitmapWhere(words, rules, (rule) => rule.mode !== 'disabled' && rule.to.includes('public-internet'));
  const agents = compileAgents(policy, fromRules, group, context, words, report);
  const reached = reachedRules(
    agents.classes.map(({ from }) => decodeBitmap(from, rules.length)!),
    words,
  );
  reportWithoutAgents(fromRules, reached, policy, report);
  const destinations = compileDestinations(toRules, group, context, toPublic, agents.contained);
  const ports = compilePorts(numbered, words);
  const webs = compileWebs(policy, rules);
  const hostnames = [...new Set([...toRules.keys()].flatMap((name) => group(name).hostnames))].sort();
  const hostnameIds = new Map<string, number>(hostnames.map((name, id) => [name, id]));

  const planRules = numbered.map((one) => planRule(one, webs, group, hostnameIds));
  const content: Omit<Plan, 'hash'> = {
    revision: context.revision,
    at: context.at,
    monitored: context.monitor,
    dnsMode: context.dnsMode,
    rules: planRules,
    agents: agents.agents,
    destinations: destinations.destinations,
    ports: ports.ports,
    agentClasses: agents.classes,
    destinationClasses: destinations.classes,
    portClasses: ports.classes,
    patterns: webs.patterns,
    urls: webs.urls,
    hostnames,
    epochs: compileEpochs(rules, context.at, words, report),
    properties: propertiesOf(planRules, context.dnsMode),
  };
  return { plan: { ...content, hash: context.digest(planDigestText(content)) }, diagnostics };
};

const planRule = (
  { rule, ruleset }: NumberedRule,
  webs: CompiledWebs,
  group: GroupResolver,
  hostnameIds: ReadonlyMap<string, number>,
): PlanRule => {
  const hostnames =
    rule.mode === 'disabled'
      ? []
      : rule.to.flatMap((name) => group(name).hostnames.map((host) => hostnameIds.get(host)!));
  return {
    ...(rule.id === undefined ? {} : { id: rule.id }),
    name: rule.name,
    ruleset: ruleset.name,
    tier: ruleset.tier,
    ...(ruleset.owner === undefined ? {} : { owner: ruleset.owner }),
    action: rule.action,
    mode: rule.mode,
    from: rule.from,
    to: rule.to,
    protocol: rule.protocol,
    ...(rule.ports === undefined ? {} : { ports: rule.ports.map(({ first, last }) => [first, last] as const) }),
    tls: rule.tls,
    decrypt: rule.decrypt,
    ...(rule.ech === undefined ? {} : { ech: rule.ech }),
    ...(rule.web === undefined ? {} : { web: webs.webOf(rule.web) }),
    ...(rule.resolve === undefined ? {} : { resolve: webs.webOf(rule.resolve) }),
    ...(hostnames.length === 0 ? {} : { hostnames: [...new Set(hostnames)].sort((a, b) => a - b) }),
    ...(rule.http === undefined ? {} : { http: httpOf(rule.http) }),
    ...(rule.mcp === undefined ? {} : { mcp: rule.mcp }),
    ...(rule.schedule === undefined ? {} : { schedule: rule.schedule }),
    ...(rule.expires === undefined ? {} : { expires: rule.expires }),
    log: rule.log,
    onDeny: rule.onDeny,
  };
};

const httpOf = ({ methods, paths, websocket }: NonNullable<Rule['http']>): NonNullable<PlanRule['http']> => ({
  ...(methods === undefined ? {} : { methods }),
  ...(paths === undefined ? {} : { paths: paths.map(({ text }) => text) }),
  ...(websocket === undefined ? {} : { websocket }),
});
