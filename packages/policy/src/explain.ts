import { type DomainName, domainPatternMatches, formatAddress, formatPortRange } from '@cofferdam/net';
import { type Decision, type Fact, type Facts, type RuleIndex, reasonEntry } from '@cofferdam/verdict';
import { type Decided, evaluatePrepared, type Outcome, type Step, walk } from './evaluate.ts';
import { type Condition, standingOf, type Waiting } from './evaluate-conditions.ts';
import { type Flow, flowOf, inactiveBecause, type Prepared, type PreparedRule, prepare } from './evaluate-prepare.ts';
import type { EvaluationContext, PolicySet, Rule } from './model.ts';

/** One rule of the walk, for people. The last step is `default` where no rule decided. */
export interface ExplainStep {
  readonly index: RuleIndex;
  /** Absent for the default. */
  readonly ruleset?: string;
  readonly rule: string;
  readonly outcome: 'no-match' | 'waits' | 'monitored' | 'inactive' | 'decides';
  /** One line, lower case, no full stop. */
  readonly because: string;
}

export interface Explanation {
  /** In the order of the walk, up to the rule that decides. */
  readonly steps: readonly ExplainStep[];
  readonly decision: Decision;
}

const list = (words: readonly string[]): string => words.map((word) => `\`${word}\``).join(', ');

const shown = (fact: Fact<string>): string => (fact.state === 'known' ? `\`${fact.value}\`` : fact.state);

/** Which part of `http` a request is not: the first that does not hold. */
const describeRequest = ({ http }: Rule, { request }: Facts): string => {
  if (request.state !== 'known') return 'the flow is not HTTP';
  const { method, path } = request.value;
  if (http?.methods !== undefined && !http.methods.includes(method)) {
    return http.methods.length === 1
      ? `method ${method} is not ${http.methods[0]}`
      : `method ${method} is none of ${http.methods.join(', ')}`;
  }
  return `path \`${path}\` is none of ${list((http?.paths ?? []).map((pattern) => pattern.text))}`;
};

/** The host is one of the rule's URLs, and the request is none of them. */
const isOtherUrl = ({ rule, web }: PreparedRule, { facts, dnsMode }: Flow): boolean => {
  const { addressNames, claimedName } = facts;
  const isMeant = (name: DomainName): boolean =>
    dnsMode !== 'track' || (claimedName.state === 'known' && claimedName.value === name);
  const hosts = addressNames.filter(isMeant);
  return (
    rule.action === 'permit' &&
    (web?.urls ?? []).some(({ host }) => hosts.some((each) => domainPatternMatches(host, each)))
  );
};

/** What is known of the names of an address, by the way in which agents learn them. */
const describeAddress = ({ facts, dnsMode }: Flow): string => {
  const { addressNames: names } = facts;
  switch (dnsMode) {
    case 'synthetic':
      return `the destination stands for ${names.length === 0 ? 'no name' : list(names)}`;
    case 'track':
      return names.length === 0 ? 'no answer gave the address' : `the agent looked up ${list(names)}`;
    case 'own':
      return names.length === 0 ? 'nobody saw which name the address has' : `the gateway resolved ${list(names)}`;
  }
};

const hasPattern = ({ web }: PreparedRule, name: DomainName): boolean =>
  web !== undefined &&
  (web.any ||
    web.domains.some((pattern) => domainPatternMatches(pattern, name)) ||
    web.urls.some(({ host }) => domainPatternMatches(host, name)));

/** A permit that looks at the claimed name: in track and own mode. */
const describeClaim = (prepared: PreparedRule, flow: Flow): string => {
  const { facts, dnsMode } = flow;
  const { addressNames: names, claimedName } = facts;
  const groups = list(prepared.rule.web ?? []);
  if (facts.protocol !== 'tcp')
    return `\`web\` looks at the name that the client claims, and ${facts.protocol} carries none: a \`hostname\` in \`to\` would do`;
  if (dnsMode === 'track' && names.length === 0)
    return `an address that no answer gave, and the rule asks for one of ${groups}`;
  if (dnsMode === 'track' && !names.some((name) => hasPattern(prepared, name)))
    return `${describeAddress(flow)}; that is not in ${groups}`;
  switch (claimedName.state) {
    case 'known':
      if (!hasPattern(prepared, claimedName.value))
        return `the client asked for ${shown(claimedName)}; that is not in ${groups}`;
      if (names.includes(claimedName.value))
        return `the client asked for ${shown(claimedName)} without a request that is read, and ${groups} holds its URLs`;
      return dnsMode === 'track'
        ? `the client asked for ${shown(claimedName)}, but ${describeAddress(flow)}`
        : `the client asked for ${shown(claimedName)}, but the gateway did not resolve that for this connection`;
    case 'absent':
      return `the client asks for no name, and the rule asks for one of ${groups}`;
    default:
      return `the name that the client asks for is ${claimedName.state}, and the rule asks for one of ${groups}`;
  }
};

const describeWeb = (prepared: PreparedRule, flow: Flow): string => {
  const { rule } = prepared;
  const { facts, dnsMode } = flow;
  if (facts.request.state === 'known' && isOtherUrl(prepared, flow)) {
    return `path \`${facts.request.value.path}\` is under none of the URLs of ${list(rule.web ?? [])}`;
  }
  if (rule.action === 'permit' && dnsMode !== 'synthetic') return describeClaim(prepared, flow);
  const groups = list(rule.web ?? []);
  if (rule.action === 'permit' && facts.addressNames.length === 0)
    return `${describeAddress(flow)}, and the rule asks for one of ${groups}`;
  const names =
    rule.action === 'deny' && facts.protocol === 'tcp' ? `, the client asked for ${shown(facts.claimedName)}` : '';
  return `${describeAddress(flow)}${names}; that is not in ${groups}`;
};

const describeMcp = ({ mcp }: Facts): string => {
  if (mcp.state !== 'known') return 'the request is no MCP call';
  const { method, tool } = mcp.value;
  return tool === undefined ? `the MCP method is \`${method}\`` : `the MCP call is \`${method}\` of \`${tool}\``;
};

/** Why one condition contradicts a rule, in the words of the facts. */
const contradictions: Readonly<Record<Condition, (prepared: PreparedRule, flow: Flow) => string>> = {
  from: ({ rule }, { source }) =>
    `${source.workload ? `\`${source.workload.name}\`` : formatAddress(source.address)} is not in ${list(rule.from)}`,
  to: ({ rule }, { facts, reserved }) =>
    reserved === undefined
      ? `${formatAddress(facts.destination)} is not in ${list(rule.to)}`
      : `${formatAddress(facts.destination)} is reserved, and only a \`cidr\` inside the reserved range reaches it`,
  protocol: ({ rule }, { facts }) =>
    rule.protocol === 'any' || rule.protocol === facts.protocol
      ? 'UDP port 443 needs a permit with `protocol: udp` that lists 443 by itself and has no `web`'
      : `the protocol is ${facts.protocol}, not ${rule.protocol}`,
  ports: ({ rule }, { facts }) =>
    facts.destinationPort === undefined
      ? `${facts.protocol} has no ports`
      : `the port is ${facts.destinationPort}, not ${(rule.ports ?? []).map(formatPortRange).join(' or ')}`,
  tls: ({ rule }, { facts }) => {
    if (facts.protocol !== 'tcp') return `a rule with \`tls\` needs tcp, and this is ${facts.protocol}`;
    return rule.tls === 'required' ? 'the flow is not TLS' : 'the flow is TLS';
  },
  web: describeWeb,
  http: ({ rule }, { facts }) =>
    facts.protocol === 'tcp'
      ? describeRequest(rule, facts)
      : `a rule with \`http\` needs tcp, and this is ${facts.protocol}`,
  mcp: (_rule, { facts }) =>
    facts.protocol === 'tcp' ? describeMcp(facts) : `a rule with \`mcp\` needs tcp, and this is ${facts.protocol}`,
};

const unread: Readonly<Record<Waiting['on'], string>> = {
  tls: 'whether the client speaks TLS',
  name: 'the name the client asks for',
  request: 'the HTTP request',
  mcp: 'the MCP call',
};

const awaited: Readonly<Record<Waiting['on'], string>> = {
  tls: 'to see whether the client speaks TLS',
  name: 'for the name the client asks for',
  request: 'for the HTTP request',
  mcp: 'for the MCP call',
};

const describeWaits = (waits: readonly Waiting[], { dnsMode }: Flow): string => {
  const never = new Set(waits.filter((wait) => wait.forever).map(({ on }) => on));
  if (never.size > 0) return `needs ${[...never].map((on) => unread[on]).join(' and ')}, which cannot be read`;
  const all = new Set(waits.map(({ on }) => on));
  // Who reads the name has seen the TLS that it is in.
  if (all.has('name')) all.delete('tls');
  const words = [...all].map((on) =>
    on === 'name' && dnsMode === 'own' ? `${awaited.name}, and where that leads` : awaited[on],
  );
  return `waits ${words.join(', and ')}`;
};

const describeStanding = ({ rule, standing }: Step, flow: Flow): string => {
  if (standing.kind === 'contradicted') return contradictions[standing.by](rule, flow);
  return standing.kind === 'waits' ? describeWaits(standing.for, flow) : 'every condition holds';
};

/** What ended the walk, after how the rule that ended it stands. Nothing is added where that says it all. */
const describeEnd = (own: string, { reason }: Decided, flow: Flow): string => {
  if (reason === 'rule' || reason === 'rule-denies') return own;
  if (reason === 'name-mismatch')
    return `${own}, but the client asked for ${shown(flow.facts.claimedName)} and ${describeAddress(flow)}`;
  return `${own}; ${reasonEntry(reason).summary}`;
};

const stepOf = (rule: PreparedRule, outcome: ExplainStep['outcome'], because: string): ExplainStep => ({
  index: rule.index,
  ruleset: rule.ruleset.name,
  rule: rule.rule.name,
  outcome,
  because,
});

const enforcedStep = (step: Step, outcome: Outcome, flow: Flow): ExplainStep => {
  const { rule, standing } = step;
  const own = describeStanding(step, flow);
  if (outcome.kind === 'decided' && outcome.rule === rule)
    return stepOf(rule, 'decides', describeEnd(own, outcome, flow));
  if (standing.kind === 'contradicted') return stepOf(rule, 'no-match', own);
  return stepOf(rule, 'waits', standing.kind === 'waits' ? own : `${own}, but a rule above it still waits`);
};

const monitoredStep = (rule: PreparedRule, flow: Flow): ExplainStep => {
  const standing = standingOf(rule, flow, 'strict');
  const own = describeStanding({ rule, standing }, flow);
  const action = rule.rule.action === 'permit' ? 'permits' : 'denies';
  return stepOf(rule, 'monitored', standing.kind === 'satisfied' ? `${own}; it ${action} once it is enforced` : own);
};

/** The last rule that has a part in the outcome: the one that decides, or the first satisfied one behind those that wait. */
const lastRule = (walked: readonly Step[], outcome: Outcome): number => {
  if (outcome.kind === 'decided') return outcome.rule === 'default' ? Number.POSITIVE_INFINITY : outcome.rule.index;
  const last = walked.at(-1);
  return last?.standing.kind === 'satisfied' ? last.rule.index : Number.POSITIVE_INFINITY;
};

/** {@link explainWalk} for a policy that was prepared. */
export const explainPrepared = (prepared: Prepared, facts: Facts): Explanation => {
  const flow = flowOf(prepared, facts);
  const decision = evaluatePrepared(prepared, facts);
  const { steps: walked, outcome } = walk(prepared, flow, 'enforced');
  const last = lastRule(walked, outcome);
  const known = flow.agent !== undefined;
  const steps = (known ? prepared.rules.filter(({ index }) => index <= last) : []).map((rule): ExplainStep => {
    const inactive = inactiveBecause(rule.rule, facts.at);
    if (inactive !== undefined) return stepOf(rule, 'inactive', inactive);
    const step = walked.find((candidate) => candidate.rule === rule);
    return step === undefined ? monitoredStep(rule, flow) : enforcedStep(step, outcome, flow);
  });
  if (outcome.kind === 'undecided' || outcome.rule !== 'default') return { steps, decision };
  const because = reasonEntry(outcome.reason).summary;
  return { steps: [...steps, { index: 'default', rule: 'default', outcome: 'decides', because }], decision };
};

/**
 * Rule by rule, what the policy says of a flow and why. Rules behind the one that decides are left out; monitored rules
 * are shown as they would stand if they were enforced.
 */
export const explainWalk = (policy: PolicySet, context: EvaluationContext, facts: Facts): Explanation =>
  explainPrepared(prepare(policy, context), facts);
