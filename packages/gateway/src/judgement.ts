import { type Facts, type Reason, type RuleIndex, type Stage, treatmentOf } from '@cofferdam/verdict';
import type { Gate, GateAgent } from './gate.ts';

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

/** A denial that the gateway itself makes, for what the walk cannot say. Lifted for a monitored agent. */
export const denial = (agent: GateAgent | undefined, rule: RuleIndex, stage: Stage, reason: Reason): Settled =>
  agent?.monitored === true
    ? { kind: 'permit', rule, stage, reason, enforced: false }
    : { kind: 'deny', rule, stage, reason, enforced: true };

/**
 * A denial that the gateway itself makes of what it does not read. Where monitoring lifts it, nobody looks at what follows: `facts` have it as
 * unreadable, so that permits of it fail, and a rule that may deny it denies.
 */
export const denialUnread = (
  gate: Gate,
  facts: Facts,
  agent: GateAgent | undefined,
  { rule, stage, reason }: Pick<Settled, 'rule' | 'stage' | 'reason'>,
): Settled => {
  const made = denial(agent, rule, stage, reason);
  if (made.kind === 'deny') return made;
  const walked = judge(gate, facts);
  return walked.kind === 'deny' ? walked : made;
};

/** Where the walk still waits for what will never be read: denied for `reason`, named after the rule that waits. */
export const settle = (judgement: Judgement, agent: GateAgent, stage: Stage, reason: Reason): Settled =>
  judgement.kind === 'undecided' ? denial(agent, judgement.rule, stage, reason) : judgement;

/** A rule that refuses encrypted hellos does not permit one: no denial that monitoring lifts, since the rule says so. */
export const refuseEncrypted = (gate: Gate, judgement: Settled): Settled =>
  judgement.kind === 'permit' && gate.rule(judgement.rule)?.refusesEch === true
    ? { ...judgement, kind: 'deny', stage: 'name', reason: 'ech-refused', enforced: true }
    : judgement;

/** Judges facts of which no more will come: what is still undecided is denied for `otherwise`. */
export const settleFacts = (gate: Gate, facts: Facts, agent: GateAgent, otherwise: Reason): Settled =>
  settle(judge(gate, facts), agent, facts.request.state === 'unknown' ? 'name' : 'request', otherwise);
