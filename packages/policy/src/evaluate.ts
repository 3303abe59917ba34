import { type Decision, type Facts, leftUnread, type Path, type Reason, type Stage, unknown } from '@cofferdam/verdict';
import { isQuic, type Reading, type RuleStanding, standingOf } from './evaluate-conditions.ts';
import {
  type Flow,
  flowOf,
  inactiveBecause,
  indexOf,
  type Prepared,
  type PreparedRule,
  prepare,
} from './evaluate-prepare.ts';
import type { EvaluationContext, PolicySet } from './model.ts';

/**
 * The reference evaluator: what a policy says of one flow, one rule at a time. It is written to be read; what enforces
 * is compiled, and must say the same.
 *
 * The walk, over the rules that are enforced, unexpired and inside their schedule, in order:
 * 1. a known fact contradicts a rule: next rule;
 * 2. `s` is the first rule that is satisfied, else the default, which denies, or permits where containment is monitored;
 * 3. no rule before `s` is still uncontradicted: `s` decides;
 * 4. `s` denies and no permit before it is still uncontradicted: denied now, `no-permit-reachable`;
 * 5. the first uncontradicted rule waits for a fact that cannot be read: denied, named after that rule;
 * 6. otherwise undecided, until more facts come.
 * A permit that rests on the address name must then agree with the name the client claims, or becomes a denial. In track mode none does: there
 * the claimed name is what its `web` was compared with. Of what was opened for another rule, a permit that says `decrypt: not-allowed` is none.
 */

/** What is walked: the policy as it is, or as it would be with every monitored rule and the containment enforced. */
export type World = 'enforced' | 'would-be';

/** One step of the walk: a rule and how it stands. */
export interface Step {
  readonly rule: PreparedRule;
  readonly standing: RuleStanding;
}

/** A walk's end, before the path is added. */
export interface Decided {
  readonly kind: 'decided';
  readonly verdict: 'permit' | 'deny';
  readonly rule: PreparedRule | 'default';
  readonly reason: Reason;
  readonly stage: Stage;
  readonly restsOnName: boolean;
}

export type Outcome = Decided | { readonly kind: 'undecided'; readonly rule: PreparedRule };

/** A decision that no more facts can put off. */
export type FinalDecision = Decision & { readonly kind: 'decided' };

const inWorld = (prepared: Prepared, { rule }: PreparedRule, world: World, at: number): boolean => {
  if (inactiveBecause(rule, at) !== undefined) return false;
  return world === 'would-be' || (rule.mode === 'enforce' && !prepared.context.monitor);
};

const lifted = (flow: Flow, world: World): boolean => world === 'enforced' && flow.monitored;

/** A fact that cannot be read makes no rule of a monitored agent wait. */
export const readingOf = (flow: Flow, world: World): Reading => (lifted(flow, world) ? 'lenient' : 'strict');

/** The latest kind of fact that is known by now. */
const stageOf = ({ tls, claimedName, request, mcp }: Facts): Stage => {
  if (request.state !== 'unknown' || mcp.state !== 'unknown') return 'request';
  return tls.state !== 'unknown' || claimedName.state !== 'unknown' ? 'name' : 'packet';
};

const decided = (
  flow: Flow,
  verdict: 'permit' | 'deny',
  rule: PreparedRule | 'default',
  reason: Reason,
  more: { readonly stage?: Stage; readonly restsOnName?: boolean } = {},
): Decided => ({
  kind: 'decided',
  verdict,
  rule,
  reason,
  stage: more.stage ?? stageOf(flow.facts),
  restsOnName: more.restsOnName ?? false,
});

/** A denial that monitoring lifts: the verdict becomes a permit, named after the same rule. */
const liftable = (flow: Flow, world: World, rule: PreparedRule | 'default', reason: Reason, stage?: Stage): Decided => {
  const more = stage === undefined ? {} : { stage };
  return lifted(flow, world)
    ? decided(flow, 'permit', rule, 'monitored', more)
    : decided(flow, 'deny', rule, reason, more);
};

/** What comes after the last rule. Addresses of the gateway and reserved ones are never lifted. */
const defaultOutcome = (flow: Flow, world: World): Decided => {
  if (flow.reserved !== undefined)
    return decided(flow, 'deny', 'default', flow.reserved.gateway ? 'gateway-port' : 'reserved-address');
  return liftable(flow, world, 'default', isQuic(flow.facts) ? 'quic' : 'no-rule');
};

const hasWeb = (rule: PreparedRule): boolean => rule.web !== undefined;

const unreadableName = (facts: Facts): Reason =>
  facts.tls.state === 'unreadable' ? 'hello-unreadable' : 'name-unreadable';

/** The binding of a permit that rests on the address name to the name that the client claims. */
const bindingBrokenBecause = (facts: Facts): Reason | undefined => {
  const { claimedName, addressNames, plainHttpSeen, path } = facts;
  if (claimedName.state === 'known' && !addressNames.includes(claimedName.value)) return 'name-mismatch';
  if (claimedName.state === 'unreadable') return unreadableName(facts);
  return plainHttpSeen && path !== 'proxy' ? 'plain-http-unread' : undefined;
};

/** TLS of which a request was read, or could not be read. */
const isOpened = ({ tls, request }: Facts): boolean => tls.state === 'known' && request.state !== 'unknown';

const bySatisfied = (flow: Flow, world: World, rule: PreparedRule): Decided => {
  if (rule.rule.action === 'deny') return decided(flow, 'deny', rule, 'rule-denies');
  if (rule.rule.decrypt === 'not-allowed' && isOpened(flow.facts))
    return liftable(flow, world, rule, 'would-need-opening');
  if (!hasWeb(rule)) return decided(flow, 'permit', rule, 'rule');
  if (flow.dnsMode === 'track') return decided(flow, 'permit', rule, 'rule');
  const broken = bindingBrokenBecause(flow.facts);
  return broken === undefined
    ? decided(flow, 'permit', rule, 'rule', { restsOnName: true })
    : liftable(flow, world, rule, broken, 'name');
};

const unreadableFor = (step: Step, facts: Facts): Reason | undefined => {
  const never = step.standing.kind === 'waits' ? step.standing.for.filter((wait) => wait.forever) : [];
  if (never.length === 0) return undefined;
  return never.some(({ on }) => on === 'tls' || on === 'name') ? unreadableName(facts) : 'request-unreadable';
};

/** The walk, with every rule it looked at up to the first satisfied one. */
export interface Walk {
  readonly steps: readonly Step[];
  readonly outcome: Outcome;
}

export const walk = (prepared: Prepared, flow: Flow, world: World): Walk => {
  if (flow.agent === undefined)
    return { steps: [], outcome: decided(flow, 'deny', 'default', 'unknown-agent', { stage: 'packet' }) };

  const steps: Step[] = [];
  for (const rule of prepared.rules) {
    if (!inWorld(prepared, rule, world, flow.facts.at)) continue;
    const standing = standingOf(rule, flow, readingOf(flow, world));
    steps.push({ rule, standing });
    if (standing.kind === 'satisfied') break;
  }

  return { steps, outcome: outcomeOf(steps, flow, world) };
};

const outcomeOf = (steps: readonly Step[], flow: Flow, world: World): Outcome => {
  const last = steps.at(-1);
  const satisfied = last?.standing.kind === 'satisfied' ? last.rule : 'default';
  const waiting = steps.filter((step) => step.standing.kind === 'waits');
  const first = waiting[0];
  const itself = satisfied === 'default' ? defaultOutcome(flow, world) : bySatisfied(flow, world, satisfied);
  if (first === undefined) return itself;

  const denies = satisfied === 'default' ? isDenial(itself) : satisfied.rule.action === 'deny';
  if (denies && waiting.every(({ rule }) => rule.rule.action === 'deny'))
    return decided(flow, 'deny', satisfied, 'no-permit-reachable');

  const unreadable = unreadableFor(first, flow.facts);
  return unreadable === undefined
    ? { kind: 'undecided', rule: first.rule }
    : decided(flow, 'deny', first.rule, unreadable);
};

const isDenial = (outcome: Outcome): boolean => outcome.kind === 'decided' && outcome.verdict === 'deny';

/** The facts a flow has at its first packet, when its path is fixed. */
export const atFirstPacket = (facts: Facts): Facts => {
  const { path: _fixedLater, ...rest } = facts;
  return { ...rest, tls: unknown, claimedName: unknown, request: unknown, mcp: unknown, plainHttpSeen: false };
};

/**
 * The path, fixed at the first packet: the proxy holds TCP to port 80, and TCP that an enforced rule needs to read
 * which may match and is not behind a satisfied one. What is denied at once stays in the kernel.
 */
const pathOf = (prepared: Prepared, facts: Facts, world: World): Path => {
  if (facts.path !== undefined) return facts.path;
  if (facts.protocol !== 'tcp') return 'kernel';
  const { steps, outcome } = walk(prepared, flowOf(prepared, atFirstPacket(facts)), world);
  if (isDenial(outcome)) return 'kernel';
  const mayMatch = steps.filter((step) => step.standing.kind !== 'contradicted');
  return facts.destinationPort === 80 || mayMatch.some(({ rule }) => rule.needsReading) ? 'proxy' : 'kernel';
};

export const decisionIn = (prepared: Prepared, facts: Facts, world: World): Decision => {
  const { outcome } = walk(prepared, flowOf(prepared, facts), world);
  return decisionOf(outcome, pathOf(prepared, facts, world));
};

/** {@link evaluate} for a policy that was prepared. */
export const evaluatePrepared = (prepared: Prepared, facts: Facts): Decision => decisionIn(prepared, facts, 'enforced');

const finalOf = (outcome: Decided, path: Path): FinalDecision => ({
  ...outcome,
  rule: indexOf(outcome.rule),
  path,
});

const decisionOf = (outcome: Outcome, path: Path): Decision =>
  outcome.kind === 'undecided' ? { kind: 'undecided', rule: outcome.rule.index, path } : finalOf(outcome, path);

/** What the policy says of a flow of which these facts are known. */
export const evaluate = (policy: PolicySet, context: EvaluationContext, facts: Facts): Decision =>
  evaluatePrepared(prepare(policy, context), facts);

/** Where monitoring lifts that a rule waits in vain, the walk goes on with what nobody read: an enforced deny always denies. */
const unread = (prepared: Prepared, flow: Flow, waiting: PreparedRule): Decided => {
  const made = liftable(flow, 'enforced', waiting, 'undecided-closed');
  if (made.verdict === 'deny') return made;
  const { outcome } = walk(prepared, flowOf(prepared, leftUnread(flow.facts)), 'enforced');
  return outcome.kind === 'decided' && outcome.verdict === 'deny' ? outcome : made;
};

/** {@link finalDecision} for a policy that was prepared. */
export const finalDecisionPrepared = (prepared: Prepared, facts: Facts): FinalDecision => {
  const flow = flowOf(prepared, facts);
  const { outcome } = walk(prepared, flow, 'enforced');
  const ended = outcome.kind === 'decided' ? outcome : unread(prepared, flow, outcome.rule);
  return finalOf(ended, pathOf(prepared, facts, 'enforced'));
};

/**
 * What a flow ends as when no more facts come: its decision, or a denial `undecided-closed` named after the rule that
 * waited. Monitoring lifts that, unless a rule denies what was never read.
 */
export const finalDecision = (policy: PolicySet, context: EvaluationContext, facts: Facts): FinalDecision =>
  finalDecisionPrepared(prepare(policy, context), facts);
