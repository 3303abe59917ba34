import { type Address, type DomainName, parseAddress } from '@cofferdam/net';
import type { Reason } from '@cofferdam/verdict';
import { type DnsQuestion, recordClass, recordType } from '@cofferdam/wire';
import type { Gate, GateAgent, NameGrant } from './gate.ts';
import { pointerAddress } from './pointer-name.ts';

/** What is done with a question, before anything is asked of anybody. */
export type DnsDecision =
  /** `data`: what the question's name has of its type; empty with `exists` is NODATA, without it NXDOMAIN. */
  | {
      readonly kind: 'local';
      readonly exists: boolean;
      readonly addresses: readonly Address[];
      readonly names: readonly DomainName[];
    }
  | { readonly kind: 'refuse'; readonly reason: Reason }
  /** Resolve upstream, answer with addresses as the DNS mode says. */
  | { readonly kind: 'addresses'; readonly name: DomainName; readonly family: 4 | 6; readonly grant: Granted }
  /** Resolve upstream, answer with what came, cleaned. */
  | { readonly kind: 'pass'; readonly name: DomainName; readonly type: number; readonly grant: Granted };

type Granted = Exclude<NameGrant, { kind: 'none' }>;

export interface DnsDecisionOptions {
  /** Whether the gateway has an IPv6 route upstream. Without one AAAA is answered with no data. */
  readonly ipv6: boolean;
  /** The name an address of the synthetic pool stands for. */
  readonly nameOf: (address: Address) => DomainName | undefined;
}

/** Types beside A and AAAA that clients need and that carry no address to connect to without another question. */
const passedTypes: ReadonlySet<number> = new Set([
  recordType.HTTPS,
  recordType.SVCB,
  recordType.MX,
  recordType.TXT,
  recordType.SRV,
  recordType.NS,
  recordType.SOA,
  recordType.CNAME,
]);

const loopback: Readonly<Record<number, Address>> = {
  [recordType.A]: parseAddress('127.0.0.1')!,
  [recordType.AAAA]: parseAddress('::1')!,
};

/** Names that must never be asked of anybody else, with their subtrees. */
const neverForwarded: readonly string[] = [
  'local', // RFC 6762: multicast DNS
  'invalid', // RFC 6761
  'onion', // RFC 7686
  'alt', // RFC 9476
  'arpa', // reverse names, NAT64 discovery (RFC 7050), designated resolvers (RFC 9462), home.arpa: all about the local network
  'use-application-dns.net', // browsers ask for it to learn whether they may go around this filter
];

const isBelow = (name: string, zone: string): boolean => name === zone || name.endsWith(`.${zone}`);

const absent: DnsDecision = { kind: 'local', exists: false, addresses: [], names: [] };
const empty: DnsDecision = { kind: 'local', exists: true, addresses: [], names: [] };
const refuse = (reason: Reason): DnsDecision => ({ kind: 'refuse', reason });

/**
 * Whether nobody else is asked about a name, whoever permits it. A single label means a host of the local network, which only the operator's
 * search list could complete.
 */
export const staysHere = (name: DomainName): boolean =>
  !name.includes('.') || isBelow(name, 'localhost') || neverForwarded.some((zone) => isBelow(name, zone));

const localAnswer = (name: DomainName, type: number, options: DnsDecisionOptions): DnsDecision | undefined => {
  // RFC 6761, section 6.3: localhost is answered with the loopback address, and nobody is asked.
  if (isBelow(name, 'localhost')) {
    const address = loopback[type];
    return address === undefined ? empty : { ...empty, addresses: [address] };
  }
  const pointed = pointerAddress(name);
  const stood = pointed && options.nameOf(pointed);
  if (stood !== undefined) return type === recordType.PTR ? { ...empty, names: [stood] } : empty;
  return staysHere(name) ? absent : undefined;
};

/**
 * Judges one question. In order:
 * 1. only class IN; 2. what is local is answered here, for every agent alike; 3. types that are not served are refused;
 * 4. names that no permit of this agent covers are refused; 5. the rest may be asked upstream, under budgets.
 */
export const decideQuestion = (
  gate: Gate | undefined,
  agent: GateAgent | undefined,
  question: DnsQuestion,
  options: DnsDecisionOptions,
  at: number,
): DnsDecision => {
  if (gate === undefined) return refuse('no-plan');
  if (agent === undefined) return refuse('unknown-agent');
  if (question.class !== recordClass.IN) return refuse('dns-type');
  const { name } = question.name;
  const { type } = question;
  // No name to policy: the root, `*`, octets outside letters, digits, hyphen and underscore, a numeric last label.
  if (name === undefined) return refuse('dns-not-permitted');
  const local = localAnswer(name, type, options);
  if (local !== undefined) return local;
  const family = type === recordType.A ? 4 : type === recordType.AAAA ? 6 : undefined;
  if (family === undefined && !passedTypes.has(type)) return refuse('dns-type');
  const grant = gate.grantOf(agent, name, at);
  if (grant.kind === 'none') return refuse('dns-not-permitted');
  if (family === undefined) return { kind: 'pass', name, type, grant };
  // Who has IPv6 alone reaches what is upstream over IPv4 by the proxy.
  const isCutOff = family === 6 && !options.ipv6 && agent.families.has(4);
  return isCutOff ? empty : { kind: 'addresses', name, family, grant };
};
