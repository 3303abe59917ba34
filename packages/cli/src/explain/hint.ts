import { type FlowRecord, type Hint, hint, recordVersion } from '@cofferdam/flows';
import { reservedRange } from '@cofferdam/net';
import type { Prepared } from '@cofferdam/policy';
import type { LookUp } from './look-up.ts';
import type { Question } from './question.ts';
import type { Outcome } from './stages.ts';

type RuleHint = Extract<Hint, { readonly kind: 'rule' }>;

const nothing = { bytes: 0n, packets: 0n };

/** What to add to permit the connection: what `run` would say of its record. Undefined where nothing stops it. */
export const hintFor = (
  { verdict, reason, facts, path, wouldBe, rule }: Outcome,
  question: Question,
  agent: string,
  group: string,
  found: LookUp | undefined,
  assumedGroup: string | undefined,
): Hint | undefined => {
  const lifted = verdict === 'permit' && reason === 'monitored';
  if (verdict === 'permit' && !lifted) return undefined;
  // A rule for it is written already, and only watches.
  if (wouldBe !== undefined && wouldBe !== 'unknown' && wouldBe.verdict === 'permit' && wouldBe.rule !== rule) {
    return lifted ? undefined : { kind: 'advice', note: 'remove `mode: monitor` from the rule that would permit it' };
  }
  const { destination, destinationPort } = facts;
  const head = {
    version: recordVersion,
    id: '',
    gateway: '',
    start: facts.at,
    agent: { name: agent, labels: {} },
    source: { address: facts.source },
    verdict,
    reason,
    enforced: !lifted,
    revision: 0,
  } as const;
  // A refused look-up is asked about as the connection it stands for: the port is known here.
  const flow: FlowRecord = {
    ...head,
    kind: 'flow',
    interface: facts.interface,
    destination: { address: destination, ...(destinationPort !== undefined && { port: destinationPort }) },
    // A record whose synthetic address is its destination was never dialled: its real address is not known.
    ...(found?.assumed === true && { synthetic: destination }),
    protocol: question.protocol,
    addressNames: facts.addressNames,
    tls: facts.tls,
    claimedName: facts.claimedName,
    request: facts.request,
    mcp: facts.mcp,
    stage: 'packet',
    path,
    toDestination: nothing,
    toAgent: nothing,
  };
  const suggested = withCautions(hint(flow, { group }), question, facts);
  if (assumedGroup === undefined || suggested?.kind !== 'rule') return suggested;
  // The name resolves into a group of the policy, and the hint, which sees no policy, took the public internet.
  return {
    ...suggested,
    rule: suggested.rule.replace('to: ["public-internet"]', `to: [${JSON.stringify(assumedGroup)}]`),
  };
};

/** What the rule opens beyond what was asked. Empty: nothing worth saying. */
const cautionOf = ({ protocol }: Question, { destination, destinationPort }: Outcome['facts']): string => {
  const range = reservedRange(destination);
  if (range !== undefined) {
    return `caution: ${range.name}, a ${range.kind} address. Metadata and platform services hand out credentials, and containment does not survive that`;
  }
  if (protocol === 'udp' && destinationPort === 443) {
    return 'caution: this opens QUIC unread: neither name nor request is seen. Without it clients fall back to TCP';
  }
  return '';
};

/** The suggestion with its caution, and no wider than the question: TLS where the client speaks it. */
const withCautions = (suggested: Hint | undefined, question: Question, facts: Outcome['facts']): Hint | undefined => {
  if (suggested?.kind !== 'rule') return suggested;
  const caution = suggested.note.includes('caution') ? '' : cautionOf(question, facts);
  const note = [suggested.note, caution].filter((text) => text !== '').join('; ');
  return withTls({ ...suggested, note }, question);
};

const withTls = (suggested: RuleHint, { protocol, port, speech }: Question): RuleHint =>
  protocol !== 'tcp' || port !== 443 || speech.kind !== 'tls' || /^ +tls:/m.test(suggested.rule)
    ? suggested
    : { ...suggested, rule: `${suggested.rule.trimEnd()}\n  tls: required\n` };

/** A rule that said it all until it expired is extended, not written again. */
export const adviceToExtend = (prepared: Prepared, index: number): Hint => {
  const { ruleset, rule } = prepared.rules[index]!;
  const at = rule.expires === undefined ? '' : ` at ${new Date(rule.expires).toISOString()}`;
  return {
    kind: 'advice',
    note: `\`${ruleset.name}/${rule.name}\` permitted it and expired${at}: set a later instant in its \`expires\` if it is still wanted`,
  };
};
