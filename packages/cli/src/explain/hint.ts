import { type FlowRecord, type Hint, hint, recordVersion } from '@cofferdam/flows';
import { type DomainName, reservedRange } from '@cofferdam/net';
import type { DnsMode } from '@cofferdam/plan';
import type { Prepared } from '@cofferdam/policy';
import { type Fact, known } from '@cofferdam/verdict';
import { answerAdvice, type NameCure, nameCure } from '../name-cure.ts';
import { byHostname } from './hint-by-hostname.ts';
import { claimedBy, type Names } from './names.ts';
import type { Question } from './question.ts';
import type { Outcome } from './stages.ts';

type RuleHint = Extract<Hint, { readonly kind: 'rule' }>;

const nothing = { bytes: 0n, packets: 0n };

/** Whose connection it is, and what is known beside its outcome. */
export interface HintContext {
  readonly agent: string;
  /** A SmartGroup that holds the agent. */
  readonly group: string;
  readonly names: Names;
  /** The group that an assumed address was taken from; undefined for the public internet, and where none was assumed. */
  readonly assumedGroup: string | undefined;
  readonly dnsMode: DnsMode;
}

/** What to add to permit the connection: what `run` would say of its record. Undefined where nothing stops it. */
export const hintFor = (outcome: Outcome, question: Question, context: HintContext): Hint | undefined => {
  const { verdict, reason, wouldBe, rule } = outcome;
  const lifted = verdict === 'permit' && reason === 'monitored';
  if (verdict === 'permit' && !lifted) return undefined;
  // A rule for it is written already, and only watches.
  if (wouldBe !== undefined && wouldBe !== 'unknown' && wouldBe.verdict === 'permit' && wouldBe.rule !== rule) {
    return lifted ? undefined : { kind: 'advice', note: 'remove `mode: monitor` from the rule that would permit it' };
  }
  const cure = reason === 'quic' ? undefined : cureOf(outcome, question, context);
  const suggested = hint(recordOf(outcome, question, context, cure?.name), { group: context.group });
  if (suggested?.kind !== 'rule') return suggested;
  if (cure?.by === 'answer') return { kind: 'advice', note: answerAdvice(cure.name) };
  const named = cure?.by === 'hostname' ? byHostname(suggested, cure.name) : inGroup(suggested, context.assumedGroup);
  return withCautions(named, question, outcome.facts, context.dnsMode);
};

/** By what the client is going to say, whether or not it came to that. */
const cureOf = ({ facts }: Outcome, question: Question, { names, dnsMode }: HintContext): NameCure | undefined => {
  const claimed = claimedBy(question);
  const claimedName: Fact<DomainName> = claimed === undefined ? { state: 'absent' } : known(claimed);
  const { protocol, addressNames } = facts;
  const cure = nameCure(dnsMode, { protocol, addressNames, claimedName });
  const { name } = question.target;
  return (
    cure ??
    (dnsMode === 'own' && name !== undefined && names.found !== undefined ? { by: 'hostname', name } : undefined)
  );
};

/** A refused look-up is asked about as the connection it stands for: the port is known here. */
const recordOf = (
  { verdict, reason, facts, path }: Outcome,
  question: Question,
  { agent, names, dnsMode }: HintContext,
  name: DomainName | undefined,
): FlowRecord => {
  const { found, claimed } = names;
  // In own mode the gateway goes to an address of the name that is claimed.
  const sought = dnsMode === 'own' && name === claimed?.name ? claimed : found;
  const address = sought?.address ?? facts.destination;
  const { destinationPort } = facts;
  return {
    version: recordVersion,
    kind: 'flow',
    id: '',
    gateway: '',
    start: facts.at,
    agent: { name: agent, labels: {} },
    source: { address: facts.source },
    verdict,
    reason,
    enforced: verdict === 'deny',
    revision: 0,
    interface: facts.interface,
    destination: { address, ...(destinationPort !== undefined && { port: destinationPort }) },
    // A record whose synthetic address is its destination was never dialled: its real address is not known.
    ...(sought?.assumed === true && { synthetic: address }),
    protocol: question.protocol,
    addressNames: name === undefined ? [] : [name],
    tls: facts.tls,
    claimedName: facts.claimedName,
    request: facts.request,
    mcp: facts.mcp,
    stage: 'packet',
    path,
    toDestination: nothing,
    toAgent: nothing,
  };
};

/** The name resolves into a group of the policy, and the hint, which sees no policy, took the public internet. */
const inGroup = (suggested: RuleHint, group: string | undefined): RuleHint =>
  group === undefined
    ? suggested
    : { ...suggested, rule: suggested.rule.replace('to: ["public-internet"]', `to: [${JSON.stringify(group)}]`) };

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
const withCautions = (suggested: RuleHint, question: Question, facts: Outcome['facts'], dnsMode: DnsMode): Hint => {
  const caution = suggested.note.includes('caution') ? '' : cautionOf(question, facts);
  const note = [suggested.note, caution].filter((text) => text !== '').join('; ');
  return withTls({ ...suggested, note }, question, dnsMode);
};

const withTls = (suggested: RuleHint, { protocol, port, speech }: Question, dnsMode: DnsMode): RuleHint => {
  if (protocol !== 'tcp' || /^ +tls:/m.test(suggested.rule)) return suggested;
  // Elsewhere than on port 80 plain HTTP is read only for a rule that asks for it, and with it the name.
  const mustBeRead = dnsMode !== 'own' && speech.kind === 'http' && port !== 80 && /^ +web:/m.test(suggested.rule);
  const tls = port === 443 && speech.kind === 'tls' ? 'required' : mustBeRead ? 'absent' : undefined;
  return tls === undefined ? suggested : { ...suggested, rule: `${suggested.rule.trimEnd()}\n  tls: ${tls}\n` };
};

/** A rule that said it all until it expired is extended, not written again. */
export const adviceToExtend = (prepared: Prepared, index: number): Hint => {
  const { ruleset, rule } = prepared.rules[index]!;
  const at = rule.expires === undefined ? '' : ` at ${new Date(rule.expires).toISOString()}`;
  return {
    kind: 'advice',
    note: `\`${ruleset.name}/${rule.name}\` permitted it and expired${at}: set a later instant in its \`expires\` if it is still wanted`,
  };
};
