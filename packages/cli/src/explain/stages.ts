import type { Address, DomainName } from '@cofferdam/net';
import {
  type ExplainStep,
  evaluatePrepared,
  explainPrepared,
  finalDecisionPrepared,
  type Prepared,
  wouldBePrepared,
} from '@cofferdam/policy';
import {
  absent,
  type Decision,
  type Facts,
  known,
  type Path,
  type Reason,
  type RuleIndex,
  reasonEntry,
  type Verdict,
  type WouldBe,
} from '@cofferdam/verdict';
import type { LookUp } from './look-up.ts';
import type { Question } from './question.ts';

export type StageName = 'look-up' | 'first packet' | 'ClientHello' | 'first bytes' | 'HTTP request';

/** What was known at one moment of the connection, and what the policy said then. */
export interface StageResult {
  readonly stage: StageName;
  readonly kind: 'permit' | 'deny' | 'undecided' | 'answered' | 'refused';
  readonly rule: RuleIndex;
  readonly reason?: Reason;
}

export interface Outcome {
  readonly verdict: Verdict;
  readonly reason: Reason;
  readonly rule: RuleIndex;
  readonly path: Path;
  readonly stages: readonly StageResult[];
  /** The walk with everything that was known at the end. */
  readonly steps: readonly ExplainStep[];
  readonly facts: Facts;
  readonly wouldBe?: WouldBe;
}

/** What the client's first bytes tell on a path. On the kernel path a request is never read. */
const afterFirstBytes = (facts: Facts, question: Question, path: Path): { stage: StageName; facts: Facts } => {
  const { speech, request, mcp } = question;
  const called = mcp === undefined ? absent : known(mcp);
  switch (speech.kind) {
    case 'tls':
      return { stage: 'ClientHello', facts: { ...facts, path, tls: known(true), claimedName: speech.claimed } };
    case 'http':
      return path === 'proxy' && request !== undefined
        ? {
            stage: 'HTTP request',
            facts: { ...facts, path, tls: absent, claimedName: speech.host, request: known(request), mcp: called },
          }
        : {
            stage: 'first bytes',
            facts: { ...facts, path, tls: absent, claimedName: absent, plainHttpSeen: true },
          };
    case 'other':
      return {
        stage: 'first bytes',
        facts: {
          ...facts,
          path,
          tls: absent,
          claimedName: absent,
          ...(path === 'proxy' && { request: absent, mcp: absent }),
        },
      };
  }
};

const resultOf = (stage: StageName, decision: Decision): StageResult =>
  decision.kind === 'undecided'
    ? { stage, kind: 'undecided', rule: decision.rule }
    : { stage, kind: decision.verdict, rule: decision.rule, reason: decision.reason };

/** Lives one connection from the look-up of its name to its verdict, as the gateway would. */
export const runStages = (prepared: Prepared, first: Facts, question: Question, found: LookUp | undefined): Outcome => {
  const stages: StageResult[] = [];
  const end = (facts: Facts, verdict: Verdict, reason: Reason, rule: RuleIndex, path: Path): Outcome => {
    // What monitored rules would do is asked with all that the client says, whether or not it came to that.
    const whole = question.protocol === 'tcp' ? afterFirstBytes(first, question, path).facts : facts;
    const refusedAnyhow = found !== undefined && found.outcome !== 'answered' && found.enforced !== undefined;
    const wouldBe = refusedAnyhow ? undefined : wouldBePrepared(prepared, whole);
    const walked = explainPrepared(prepared, facts).steps;
    const steps =
      found === undefined || found.outcome === 'answered' ? walked : withoutNameless(prepared, walked, reason);
    return { verdict, reason, rule, path, stages, steps, facts, ...(wouldBe !== undefined && { wouldBe }) };
  };

  if (found !== undefined && found.outcome !== 'answered') {
    stages.push({ stage: 'look-up', kind: 'refused', rule: 'default', reason: found.outcome });
    return end(first, 'deny', found.outcome, 'default', 'kernel');
  }
  if (found !== undefined) stages.push({ stage: 'look-up', kind: 'answered', rule: 'default' });

  const atPacket = evaluatePrepared(prepared, first);
  stages.push(resultOf('first packet', atPacket));
  const { path } = atPacket;
  if (question.protocol !== 'tcp' || (atPacket.kind === 'decided' && atPacket.verdict === 'deny')) {
    return atPacket.kind === 'decided'
      ? end(first, atPacket.verdict, atPacket.reason, atPacket.rule, path)
      : closed(prepared, first, path, end);
  }

  // A permit at the first packet may still be belied by the name that the client asks for, or by a request on the proxy.
  const next = afterFirstBytes(first, question, path);
  const atBytes = evaluatePrepared(prepared, next.facts);
  const lifted = atPacket.kind === 'decided' && atPacket.reason === 'monitored';
  if (atPacket.kind === 'decided' && !atPacket.restsOnName && !lifted && path === 'kernel') {
    return end(first, atPacket.verdict, atPacket.reason, atPacket.rule, path);
  }
  stages.push(resultOf(next.stage, atBytes));
  if (atBytes.kind === 'decided') return end(next.facts, atBytes.verdict, atBytes.reason, atBytes.rule, path);
  if (next.stage !== 'ClientHello') return closed(prepared, next.facts, path, end);

  // The rule that waits would have to read inside TLS, which this gateway does not open.
  const ended = finalDecisionPrepared(prepared, next.facts);
  const reason = ended.verdict === 'permit' ? ended.reason : 'would-need-opening';
  stages.push({ stage: 'HTTP request', kind: ended.verdict, rule: atBytes.rule, reason });
  return end(next.facts, ended.verdict, reason, atBytes.rule, path);
};

/**
 * After a refused look-up: a permit that looks at no names would let the address through, but there is no connection for it
 * to decide.
 */
const withoutNameless = (prepared: Prepared, steps: readonly ExplainStep[], reason: Reason): readonly ExplainStep[] => {
  const shown = steps.map((step): ExplainStep => {
    const rule = step.index === 'default' ? undefined : prepared.rules[step.index]?.rule;
    if (rule?.action !== 'permit' || rule.web !== undefined) return step;
    if (step.outcome !== 'decides' && step.outcome !== 'waits') return step;
    const because =
      'it permits the address whatever its name, but has no `web`: such a rule makes no name resolvable; add `web`';
    return { ...step, outcome: 'no-match', because };
  });
  if (shown.some(({ outcome }) => outcome === 'decides')) return shown;
  return [...shown, { index: 'default', rule: 'default', outcome: 'decides', because: reasonEntry(reason).summary }];
};

type End = (facts: Facts, verdict: Verdict, reason: Reason, rule: RuleIndex, path: Path) => Outcome;

const closed = (prepared: Prepared, facts: Facts, path: Path, end: End): Outcome => {
  const ended = finalDecisionPrepared(prepared, facts);
  return end(facts, ended.verdict, ended.reason, ended.rule, path);
};

/** Facts at the first packet: everything about the client is still unknown. */
export const firstFacts = (
  question: Question,
  source: Address,
  destination: Address,
  names: readonly DomainName[],
  interfaceName: string,
): Facts => ({
  at: question.at,
  source,
  interface: interfaceName,
  protocol: question.protocol,
  destination,
  ...(question.port !== undefined && { destinationPort: question.port }),
  addressNames: names,
  tls: { state: 'unknown' },
  claimedName: { state: 'unknown' },
  plainHttpSeen: false,
  request: { state: 'unknown' },
  mcp: { state: 'unknown' },
});
