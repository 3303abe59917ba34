import type { Decision, Facts, Path, Reason, RuleIndex, Stage } from '@cofferdam/verdict';
import { type AgentAddress, agentOf, type LoadedPlan } from './load.ts';
import { type Destination, destinationOf, unreadableFor, type View, type Walked, walk } from './walk.ts';

/** What the plan says of a flow, with what is known of it so far. Equal to the reference evaluator, rule for rule. */
export const decide = (loaded: LoadedPlan, facts: Facts): Decision => {
  const agent = agentOf(loaded, facts.interface, facts.source);
  if (agent === undefined) return unknownAgent(facts);
  const destination = destinationOf(loaded, facts);
  return judge(loaded, agent, destination, facts, flowViewOf(loaded, agent, destination));
};

/** The plan as it is in force. */
export const viewOf = (loaded: LoadedPlan, monitored: boolean): View => ({
  rules: loaded.plan.monitored ? loaded.none : loaded.properties.enforced,
  monitored,
});

export const flowViewOf = (loaded: LoadedPlan, agent: AgentAddress, destination: Destination): View =>
  viewOf(loaded, isMonitored(loaded, agent, destination));

/** Between two agents, enforced containment of either counts. */
export const isMonitored = (loaded: LoadedPlan, agent: AgentAddress, { own, inner }: Destination): boolean =>
  loaded.plan.monitored || (agent.monitored && !own.contained && !(inner?.contained ?? false));

/** Whether denials that no rule makes are lifted for this flow. */
export const liftsDenials = (
  loaded: LoadedPlan,
  facts: Pick<Facts, 'interface' | 'source' | 'destination'>,
): boolean => {
  const agent = agentOf(loaded, facts.interface, facts.source);
  return agent !== undefined && isMonitored(loaded, agent, destinationOf(loaded, facts));
};

const unknownAgent = (facts: Facts): Decision => ({
  kind: 'decided',
  verdict: 'deny',
  rule: 'default',
  stage: 'packet',
  reason: 'unknown-agent',
  path: facts.path ?? 'kernel',
  restsOnName: false,
});

/**
 * 1. The first rule that may match is satisfied, or none may match: it, or the default, decides.
 * 2. The first satisfied rule, or the default, denies, and no permit that may match stands before it: denied whatever comes.
 * 3. The first rule that may match waits for a fact that is unreadable: denied, named after it.
 * 4. Undecided.
 * A permit that rests on a name must also agree with the name the client claims, and one that says `decrypt: not-allowed` permits nothing that was
 * opened.
 */
export const judge = (
  loaded: LoadedPlan,
  agent: AgentAddress,
  destination: Destination,
  facts: Facts,
  view: View,
): Decision => {
  const walked = walk(loaded, agent, destination, facts, view);
  const path = pathOf(facts, walked);
  const { first, satisfied } = walked;
  const unliftable = defaultReason(destination);
  const defaultPermits = view.monitored && unliftable === undefined;
  const permits = satisfied === -1 ? defaultPermits : isPermit(loaded, satisfied);
  const decided = (verdict: 'permit' | 'deny', rule: number, reason: Reason, more?: Partial<Finding>): Decision => ({
    kind: 'decided',
    verdict,
    rule: indexOf(rule),
    stage: more?.stage ?? stageOf(facts),
    reason,
    // A flow that is denied at its first packet is nobody's to hold.
    path: verdict === 'deny' && facts.path === undefined ? 'kernel' : path,
    restsOnName: more?.restsOnName ?? false,
  });

  if (first === satisfied) {
    if (satisfied === -1) {
      if (defaultPermits) return decided('permit', -1, 'monitored');
      return decided('deny', -1, unliftable ?? (isQuic(facts) ? 'quic' : 'no-rule'));
    }
    if (!permits) return decided('deny', satisfied, 'rule-denies');
    if (loaded.plan.rules[satisfied]!.decrypt === 'not-allowed' && isOpened(facts))
      return view.monitored
        ? decided('permit', satisfied, 'monitored')
        : decided('deny', satisfied, 'would-need-opening');
    // In track mode a permit's `web` was compared with the claimed name itself.
    const restsOnName = loaded.plan.rules[satisfied]!.web !== undefined && loaded.plan.dnsMode !== 'track';
    const belied = restsOnName ? whatBelies(facts, path) : undefined;
    if (belied === undefined) return decided('permit', satisfied, 'rule', { restsOnName });
    return view.monitored
      ? decided('permit', satisfied, 'monitored', { stage: 'name' })
      : decided('deny', satisfied, belied, { stage: 'name' });
  }
  if (!permits && !walked.permitBefore) return decided('deny', satisfied, 'no-permit-reachable');
  const unreadable = view.monitored ? undefined : unreadableFor(loaded, first, facts);
  if (unreadable !== undefined) return decided('deny', first, unreadable);
  return { kind: 'undecided', rule: indexOf(first), path };
};

interface Finding {
  readonly stage: Stage;
  readonly restsOnName: boolean;
}

const indexOf = (rule: number): RuleIndex => (rule === -1 ? 'default' : rule);
const isPermit = (loaded: LoadedPlan, rule: number): boolean => loaded.plan.rules[rule]!.action === 'permit';
const isQuic = (facts: Facts): boolean => facts.protocol === 'udp' && facts.destinationPort === 443;

const stageOf = ({ request, mcp, tls, claimedName }: Facts): Stage => {
  if (request.state !== 'unknown' || mcp.state !== 'unknown') return 'request';
  return tls.state !== 'unknown' || claimedName.state !== 'unknown' ? 'name' : 'packet';
};

/** TLS of which a request was read, or could not be read. */
const isOpened = ({ tls, request }: Facts): boolean => tls.state === 'known' && request.state !== 'unknown';

const pathOf = (facts: Facts, { proxyBefore }: Walked): Path => {
  if (facts.path !== undefined) return facts.path;
  return facts.protocol === 'tcp' && (facts.destinationPort === 80 || proxyBefore) ? 'proxy' : 'kernel';
};

/** The default's reason where monitoring does not lift it: platform services and the gateway itself stay closed. */
const defaultReason = ({ own, inner }: Destination): 'gateway-port' | 'reserved-address' | undefined => {
  if (own.kind === 'gateway' || inner?.kind === 'gateway') return 'gateway-port';
  return own.kind === 'reserved' || inner?.kind === 'reserved' ? 'reserved-address' : undefined;
};

/** What speaks against a permit that rests on an address name. */
const whatBelies = (
  facts: Facts,
  path: Path,
): 'name-mismatch' | 'name-unreadable' | 'hello-unreadable' | 'plain-http-unread' | undefined => {
  const { claimedName } = facts;
  if (claimedName.state === 'known' && !facts.addressNames.includes(claimedName.value)) return 'name-mismatch';
  if (claimedName.state === 'unreadable') {
    return facts.tls.state === 'unreadable' ? 'hello-unreadable' : 'name-unreadable';
  }
  return facts.plainHttpSeen && path === 'kernel' ? 'plain-http-unread' : undefined;
};
