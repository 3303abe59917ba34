import {
  type Facts,
  leftUnread,
  type Reason,
  type RuleIndex,
  type Stage,
  treatmentOf,
  unreadable,
} from '@cofferdam/verdict';
import type { Gate } from './gate.ts';

/** What is done with a flow now, and what its record says. */
export type Judgement =
  | {
      readonly kind: 'permit' | 'deny';
      readonly rule: RuleIndex;
      readonly stage: Stage;
      readonly reason: Reason;
      /** False: monitoring lifted a denial. */
      readonly enforced: boolean;
    }
  /** `rule`: the one that waits. */
  | { readonly kind: 'undecided'; readonly rule: RuleIndex };

export type Settled = Exclude<Judgement, { kind: 'undecided' }>;

export const judge = (gate: Gate, facts: Facts): Judgement => {
  const decision = gate.decide(facts);
  if (decision.kind === 'undecided') return decision;
  const { verdict, rule, stage, reason } = decision;
  return { kind: verdict, rule, stage, reason, enforced: reason !== 'monitored' };
};

/** TLS with these facts, which are those of its ClientHello, is opened and not passed on. */
export const isOpened = (gate: Gate, facts: Facts): boolean =>
  facts.tls.state === 'known' &&
  treatmentOf(gate.decide(facts), (rule) => gate.rule(rule)?.decrypt ?? 'not-allowed') === 'inspect';

/** All that a request's head says is known, and a rule waits for the calls in its body. */
export const waitsForCalls = (gate: Gate, facts: Facts): boolean =>
  facts.request.state !== 'unknown' && facts.mcp.state === 'unknown' && judge(gate, facts).kind === 'undecided';

/** What a denial is named after. */
export type Named = Pick<Settled, 'rule' | 'stage' | 'reason'>;

/** A denial that the gateway itself makes, for what the walk cannot say. Nothing lifts it. */
export const denial = (rule: RuleIndex, stage: Stage, reason: Reason): Settled => ({
  kind: 'deny',
  rule,
  stage,
  reason,
  enforced: true,
});

/** One that monitoring lifts. */
export const liftable = (gate: Gate, facts: Facts, { rule, stage, reason }: Named): Settled =>
  gate.lifts(facts)
    ? { kind: 'permit', rule, stage, reason, enforced: false }
    : { kind: 'deny', rule, stage, reason, enforced: true };

/**
 * One that monitoring lifts, of what is not read. Nobody looks at what follows, so that the walk goes on with all that is not known as unreadable:
 * permits of it fail, and a rule that may deny it denies.
 */
export const denialUnread = (gate: Gate, facts: Facts, named: Named): Settled => {
  const made = liftable(gate, facts, named);
  if (made.kind === 'deny') return made;
  const walked = judge(gate, leftUnread(facts));
  return walked.kind === 'deny' ? walked : made;
};

/** What passes in a WebSocket are no requests. */
const tunnelled = { request: unreadable, mcp: unreadable } as const;

/**
 * A request, judged as `walked` by `facts`, that makes its connection a WebSocket. A rule that denies some requests denies what may be those; one that
 * permits some permits no more than those, unless it says so.
 */
export const judgeTunnel = (gate: Gate, facts: Facts, walked: Settled): Settled => {
  if (walked.kind === 'deny') return walked;
  const inside = judge(gate, { ...facts, ...tunnelled });
  if (inside.kind === 'deny' && gate.rule(inside.rule)?.action === 'deny') return inside;
  const rule = gate.rule(walked.rule);
  if (rule?.permitsWebSocket === true || (rule?.readsRequests !== true && !gate.lifts(facts))) return walked;
  const named = { rule: walked.rule, stage: 'request', reason: 'request-unreadable' } as const;
  return denialUnread(gate, { ...facts, ...tunnelled }, named);
};

/** A rule that refuses encrypted hellos does not permit one: no denial that monitoring lifts, since the rule says so. */
export const refuseEncrypted = (gate: Gate, judgement: Settled): Settled =>
  judgement.kind === 'permit' && gate.rule(judgement.rule)?.refusesEch === true
    ? { ...judgement, kind: 'deny', stage: 'name', reason: 'ech-refused', enforced: true }
    : judgement;

/** Judges facts of which no more will come: what is still undecided is denied for `otherwise`, named after the rule that waits. */
export const settleFacts = (gate: Gate, facts: Facts, otherwise: Reason): Settled => {
  const judged = judge(gate, facts);
  if (judged.kind !== 'undecided') return judged;
  const stage = facts.request.state === 'unknown' ? 'name' : 'request';
  return denialUnread(gate, facts, { rule: judged.rule, stage, reason: otherwise });
};
