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
  treatmentOf,
  type Verdict,
  type WouldBe,
} from '@cofferdam/verdict';
import type { Names } from './names.ts';
import type { Question } from './question.ts';

export type StageName = 'look-up' | 'first packet' | 'ClientHello' | 'first bytes' | 'HTTP request';

/** What was known at one moment of the connection, and what the policy said then. */
export interface StageResult {
  readonly stage: StageName;
  readonly kind: 'permit' | 'deny' | 'undecided' | 'answered' | 'refused';
  readonly rule: RuleIndex;
  readonly reason?: Reason;
  /** What the rule waits for, where nothing is decided. */
  readonly waits?: string;
  /** The proxy opens TLS and reads what is inside. */
  readonly opens?: boolean;
  /** In own mode: the proxy connects to the address as written before it knows more, since that is permitted even to a client that claims nothing. */
  readonly dials?: boolean;
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

/**
 * What the client's first bytes tell on a path. On the kernel path a request is never read. `leads`: what a claimed name says of where the
 * connection goes.
 */
const afterFirstBytes = (
  begun: Facts,
  question: Question,
  path: Path,
  leads: Partial<Facts>,
): { stage: StageName; facts: Facts } => {
  const facts = { ...begun, ...leads };
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

/** In own mode the proxy resolves the name that the client claims, and goes there. */
const whereLeads = ({ claimed }: Names, enforced: boolean): Partial<Facts> =>
  claimed !== undefined && (enforced ? claimed.resolvedEnforced : claimed.resolved)
    ? { addressNames: [claimed.name], destination: claimed.address }
    : {};

/** The request that is inside, where one is asked about. */
const askedIn = ({ request, mcp }: Question): Partial<Facts> =>
  request === undefined ? {} : { request: known(request), mcp: mcp === undefined ? absent : known(mcp) };

/** All that the client says. In own mode as the proxy would read it, on whichever path: what its name leads to was looked up here. */
const wholeOf = (
  first: Facts,
  question: Question,
  path: Path,
  names: Names,
  dnsMode: Prepared['context']['dnsMode'],
): Facts => {
  const leads = whereLeads(names, true);
  const inside = question.speech.kind === 'tls' ? askedIn(question) : {};
  if (dnsMode !== 'own') return { ...afterFirstBytes(first, question, path, leads).facts, ...inside };
  const { path: _chosen, ...said } = afterFirstBytes(first, question, 'proxy', leads).facts;
  return { ...said, ...inside };
};

/** Whether a client that never claims a name is permitted where it goes by itself. */
const dialsAtOnce = (prepared: Prepared, first: Facts, path: Path): boolean => {
  const silent: Facts = { ...first, path, tls: absent, claimedName: absent, request: absent, mcp: absent };
  const decision = evaluatePrepared(prepared, silent);
  return decision.kind === 'decided' && decision.verdict === 'permit';
};

const resultOf = (prepared: Prepared, stage: StageName, facts: Facts): StageResult => {
  const { decision, steps } = explainPrepared(prepared, facts);
  if (decision.kind === 'decided')
    return { stage, kind: decision.verdict, rule: decision.rule, reason: decision.reason };
  const waits = steps.find(({ index }) => index === decision.rule)?.because;
  return { stage, kind: 'undecided', rule: decision.rule, ...(waits !== undefined && { waits }) };
};

const isOpened = ({ rules }: Prepared, atHello: Decision): boolean =>
  treatmentOf(atHello, (rule) => rules[rule]!.rule.decrypt) === 'inspect';

/** Lives one connection from the look-up of its name to its verdict, as the gateway would. */
export const runStages = (prepared: Prepared, first: Facts, question: Question, names: Names): Outcome => {
  const { found } = names;
  const { dnsMode } = prepared.context;
  const stages: StageResult[] = [];
  const end = (facts: Facts, verdict: Verdict, reason: Reason, rule: RuleIndex, path: Path): Outcome => {
    // What monitored rules would do is asked with all that the client says, whether or not it came to that.
    const whole = question.protocol === 'tcp' ? wholeOf(first, question, path, names, dnsMode) : facts;
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
  if (found !== undefined && dnsMode !== 'own') stages.push({ stage: 'look-up', kind: 'answered', rule: 'default' });

  const atPacket = evaluatePrepared(prepared, first);
  const { path } = atPacket;
  const dials = dnsMode === 'own' && path === 'proxy' && dialsAtOnce(prepared, first, path);
  stages.push({ ...resultOf(prepared, 'first packet', first), ...(dials && { dials }) });
  if (question.protocol !== 'tcp' || (atPacket.kind === 'decided' && atPacket.verdict === 'deny')) {
    return atPacket.kind === 'decided'
      ? end(first, atPacket.verdict, atPacket.reason, atPacket.rule, path)
      : closed(prepared, first, path, end);
  }

  // A permit at the first packet may still be belied by the name that the client asks for, or by a request on the proxy.
  const next = afterFirstBytes(first, question, path, path === 'proxy' ? whereLeads(names, false) : {});
  const atBytes = evaluatePrepared(prepared, next.facts);
  const lifted = atPacket.kind === 'decided' && atPacket.reason === 'monitored';
  if (atPacket.kind === 'decided' && !atPacket.restsOnName && !lifted && path === 'kernel') {
    return end(first, atPacket.verdict, atPacket.reason, atPacket.rule, path);
  }
  const opens = next.stage === 'ClientHello' && isOpened(prepared, atBytes);
  stages.push({ ...resultOf(prepared, next.stage, next.facts), ...(opens && { opens }) });
  if (opens && question.request !== undefined) {
    const facts: Facts = { ...next.facts, ...askedIn(question) };
    stages.push(resultOf(prepared, 'HTTP request', facts));
    return closed(prepared, facts, path, end);
  }
  if (atBytes.kind === 'decided') return end(next.facts, atBytes.verdict, atBytes.reason, atBytes.rule, path);
  if (opens || next.stage !== 'ClientHello') return closed(prepared, next.facts, path, end);

  // The rule that waits would have to read inside TLS, and says that it must not be opened.
  const ended = finalDecisionPrepared(prepared, next.facts);
  const reason = ended.reason === 'undecided-closed' ? 'would-need-opening' : ended.reason;
  stages.push({ stage: 'HTTP request', kind: ended.verdict, rule: ended.rule, reason });
  return end(next.facts, ended.verdict, reason, ended.rule, path);
};

/**
 * After a refused look-up: a permit that looks at no names would let the address through, but there is no connection for it
 * to decide.
 */
const withoutNameless = (prepared: Prepared, steps: readonly ExplainStep[], reason: Reason): readonly ExplainStep[] => {
  const remedy = prepared.context.dnsMode === 'synthetic' ? 'add `web`' : 'add `web`, or name the host by `hostname`';
  const shown = steps.map((step): ExplainStep => {
    const rule = step.index === 'default' ? undefined : prepared.rules[step.index]?.rule;
    if (rule?.action !== 'permit' || rule.web !== undefined) return step;
    if (step.outcome !== 'decides' && step.outcome !== 'waits') return step;
    const because = `it permits the address whatever its name, but has no \`web\`: such a rule makes no name resolvable; ${remedy}`;
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
