import {
  type Decision,
  type Decrypt,
  type Facts,
  type Path,
  type Reason,
  type RuleIndex,
  type Stage,
  treatmentOf,
  unknown,
  type Verdict,
  type WouldBe,
} from '@cofferdam/verdict';
import { or } from './bitmap.ts';
import { flowViewOf, isMonitored, judge, viewOf } from './decide.ts';
import { type AgentAddress, agentOf, type LoadedPlan } from './load.ts';
import { type Destination, destinationOf, type View } from './walk.ts';

/**
 * What a plan would have said of a flow whose facts were read while another was in force: of the would-be verdict that plan is this one with
 * everything enforced, of replay it is a changed one. The walk is staged as on the day: first packet, then what the client said first, then
 * its request; the first denial ends it. The path is the one this plan would have chosen, and what only the other path reads is unknown.
 */
export interface Recorded {
  readonly facts: Facts;
  /** Nothing more was read because the flow was cut: what it would have said next is not known. */
  readonly cut: boolean;
}

/** `unknown`: the walk needs a fact that was not read, which never counts as absent; `rule` needs it. */
export type Revisited =
  | {
      readonly kind: 'decided';
      readonly verdict: Verdict;
      readonly rule: RuleIndex;
      readonly stage: Stage;
      readonly reason: Reason;
    }
  | { readonly kind: 'unknown'; readonly rule: RuleIndex };

/** What the verdict would have been. */
export const revisit = (loaded: LoadedPlan, recorded: Recorded): Revisited => {
  const { facts } = recorded;
  const agent = agentOf(loaded, facts.interface, facts.source);
  if (agent === undefined)
    return { kind: 'decided', verdict: 'deny', rule: 'default', stage: 'packet', reason: 'unknown-agent' };
  const destination = destinationOf(loaded, facts);
  return staged(loaded, agent, destination, recorded, flowViewOf(loaded, agent, destination));
};

/**
 * What it would say with every monitored rule and the containment enforced. Undefined where nothing is monitored that this flow could
 * meet.
 */
export const wouldBe = (loaded: LoadedPlan, facts: Facts): WouldBe | undefined => {
  const agent = agentOf(loaded, facts.interface, facts.source);
  if (agent === undefined) return undefined;
  const destination = destinationOf(loaded, facts);
  const monitored = isMonitored(loaded, agent, destination);
  if (!loaded.hasMonitored && !monitored) return undefined;
  const said = judge(loaded, agent, destination, facts, viewOf(loaded, monitored));
  const cut = said.kind === 'decided' && said.verdict === 'deny';
  const rules = or(loaded.properties.enforced, loaded.properties.monitored);
  const end = staged(loaded, agent, destination, { facts, cut }, { rules, monitored: false });
  return end.kind === 'unknown' ? 'unknown' : { verdict: end.verdict, rule: end.rule, reason: end.reason };
};

const staged = (
  loaded: LoadedPlan,
  agent: AgentAddress,
  destination: Destination,
  { facts, cut }: Recorded,
  view: View,
): Revisited => {
  const ask = (stage: Facts): Decision => judge(loaded, agent, destination, stage, view);
  const first = ask(firstOf(facts));
  const path = facts.protocol === 'tcp' ? first.path : 'kernel';
  const moved = facts.protocol === 'tcp' && path !== (facts.path ?? path);
  // In own mode the proxy alone resolves the name that is claimed: where the other path had led is not known.
  if (moved && loaded.plan.dnsMode === 'own' && !(first.kind === 'decided' && first.verdict === 'deny'))
    return { kind: 'unknown', rule: first.rule };
  const decryptOf = (rule: number): Decrypt => loaded.plan.rules[rule]!.decrypt;
  const [one, other] = readOn(facts, path).map((read) => endOf(read, moved || cut, ask, decryptOf));
  return other === undefined || same(one!, other) ? one! : { kind: 'unknown', rule: one!.rule };
};

/** `more`: the client may have said more than these facts hold. */
const endOf = (
  facts: Facts,
  more: boolean,
  ask: (facts: Facts) => Decision,
  decryptOf: (rule: number) => Decrypt,
): Revisited => {
  let last: Decision | undefined;
  for (const stage of stagesOf(facts)) {
    last = ask(stage);
    if (last.kind === 'decided' && last.verdict === 'deny') break;
    // What is not opened ends with its ClientHello.
    if (stage.tls.state !== 'known' || treatmentOf(last, decryptOf) === 'inspect') continue;
    break;
  }
  if (last?.kind !== 'decided') return { kind: 'unknown', rule: last?.rule ?? 'default' };
  const { verdict, rule, stage, reason, restsOnName } = last;
  const unread = facts.protocol === 'tcp' && facts.claimedName.state === 'unknown';
  // The name that the client claims may belie the one that it was permitted for.
  if (verdict === 'permit' && restsOnName && unread && more) return { kind: 'unknown', rule };
  return { kind: 'decided', verdict, rule, stage, reason };
};

const same = (a: Revisited, b: Revisited): boolean =>
  a.kind === 'decided' && b.kind === 'decided' && a.verdict === b.verdict && a.rule === b.rule && a.reason === b.reason;

/** The facts of the first packet, when the path is chosen. */
const firstOf = ({ path: _chosen, ...facts }: Facts): Facts => ({ ...facts, ...silent });

const silent = { tls: unknown, claimedName: unknown, plainHttpSeen: false, request: unknown, mcp: unknown } as const;
const unasked = { request: unknown, mcp: unknown } as const;

/** A request inside TLS comes after its ClientHello; plain HTTP says all at once. */
const stagesOf = (facts: Facts): readonly Facts[] => {
  const begun = { ...facts, ...silent };
  if (facts.protocol !== 'tcp') return [begun];
  return facts.tls.state === 'absent' ? [begun, facts] : [begun, { ...facts, ...unasked }, facts];
};

/**
 * What would have been read on `path`, in each way that the facts leave open. The kernel reads no request, nor the name in a Host: it only
 * sees that there is one. The proxy reads both.
 */
const readOn = (facts: Facts, path: Path): readonly Facts[] => {
  if (facts.protocol !== 'tcp' || facts.path === undefined || facts.path === path) return [{ ...facts, path }];
  const { tls, claimedName, request } = facts;
  if (tls.state !== 'absent') {
    // A ClientHello is read alike; what it hides is read by the proxy alone.
    return [{ ...facts, path, plainHttpSeen: false, ...unasked }];
  }
  if (path === 'proxy') {
    const unnamed = facts.plainHttpSeen ? { claimedName: unknown, ...unasked } : {};
    return [{ ...facts, path, plainHttpSeen: false, ...unnamed }];
  }
  const nameless = { ...facts, path, claimedName: { state: 'absent' }, ...unasked } as const;
  if (request.state === 'known' || claimedName.state !== 'absent') return [{ ...nameless, plainHttpSeen: true }];
  // Neither side may have said a word, or what was no strict request may have been a lax one.
  const other = request.state === 'absent' ? { ...facts, path, ...silent } : { ...nameless, plainHttpSeen: true };
  return [{ ...nameless, plainHttpSeen: false }, other];
};
