import { type AgentIdentity, type DnsRecord, type Endpoint, recordVersion, sanitise } from '@cofferdam/flows';
import type { Address } from '@cofferdam/net';
import type { Reason, Verdict } from '@cofferdam/verdict';
import {
  answerToUnreadable,
  type DnsMessage,
  type DnsQuery,
  encodeDns,
  parseDnsQuery,
  recordType,
  responseCode,
} from '@cofferdam/wire';
import type { AddressAnswers } from './address-answers.ts';
import { type DnsDecision, decideQuestion } from './dns-decision.ts';
import {
  addressAnswer,
  answerTtl,
  failure,
  negativeAnswer,
  passedAnswer,
  passedRecords,
  pointerAnswer,
  refusal,
  responseCodeText,
  typeText,
} from './dns-response.ts';
import type { CurrentGate, Gate, GateAgent } from './gate.ts';
import { mayAsk } from './may-ask.ts';
import { createRateLimiter, type RateLimiter } from './rate-limiter.ts';
import type { TunnelBudget } from './tunnel-budget.ts';
import type { UpstreamResolver } from './upstream-resolver.ts';

export interface DnsFilterOptions {
  readonly gateway: string;
  readonly gate: CurrentGate;
  readonly answers: AddressAnswers;
  readonly resolver: UpstreamResolver;
  readonly budget: TunnelBudget;
  /** Queries by agent interface and source address. */
  readonly limiter: RateLimiter;
  /** Whether there is an IPv6 route upstream. */
  readonly ipv6: boolean;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly nextId: () => string;
  readonly emit: (record: DnsRecord) => void;
  /** Counts a query that was neither answered nor recorded. */
  readonly suppress: (agent: AgentIdentity, reason: Reason, at: number) => void;
}

/** Where a query came from. */
export interface DnsClient {
  readonly interface: string;
  readonly source: Endpoint;
  /** The server that the agent addressed. */
  readonly server: Endpoint;
  readonly transport: 'udp' | 'tcp';
}

export interface DnsFilter {
  /** The bytes to send back; undefined: send nothing. Never rejects. */
  readonly handle: (bytes: Uint8Array, client: DnsClient) => Promise<Uint8Array | undefined>;
}

interface Outcome {
  readonly message: DnsMessage;
  readonly verdict: Verdict;
  readonly reason: Reason;
  readonly enforced: boolean;
  readonly synthetic: readonly Address[];
  readonly addresses: readonly Address[];
}

/** RFC 9715, section 3.1: larger answers go by TCP, whatever the client says it takes. */
const largestUdp = 1232;
const localTtl = 60;
const addressType = { 4: recordType.A, 6: recordType.AAAA } as const;
const serverLimit = 65_535;

export const createDnsFilter = (options: DnsFilterOptions): DnsFilter => {
  // Beyond the rate a client is told so now and then; to answer each query would be work that the agent sets.
  const refusals = createRateLimiter({ rate: 1, burst: 5, keys: 1024 });

  const permitted = (message: DnsMessage, reason: Reason, told?: Partial<Outcome>): Outcome => ({
    message,
    verdict: 'permit',
    reason,
    enforced: true,
    synthetic: [],
    addresses: [],
    ...told,
  });
  const denied = (message: DnsMessage, reason: Reason, addresses: readonly Address[] = []): Outcome => ({
    message,
    verdict: 'deny',
    reason,
    enforced: true,
    synthetic: [],
    addresses,
  });

  const local = (query: DnsQuery, decision: Extract<DnsDecision, { kind: 'local' }>): Outcome => {
    const { exists, addresses, names } = decision;
    if (addresses.length > 0) return permitted(addressAnswer(query, addresses, localTtl), 'dns-local');
    if (names.length > 0) return permitted(pointerAnswer(query, names, localTtl), 'dns-local');
    return permitted(negativeAnswer(query, exists, localTtl), 'dns-local');
  };

  const found = async (
    query: DnsQuery,
    { name, family: wanted }: Extract<DnsDecision, { kind: 'addresses' }>,
    gate: Gate,
    agent: GateAgent,
    at: number,
  ): Promise<Outcome> => {
    const { answers } = options;
    let otherwise: Outcome | undefined;
    for (const family of answers.families(agent, wanted)) {
      if (family === 6 && !options.ipv6) continue;
      const answer = await options.resolver.resolve(name, addressType[family]);
      if (answer.kind === 'failed') {
        otherwise ??= denied(failure(query, 'dns-upstream'), 'dns-upstream');
        continue;
      }
      const ttl = answerTtl(answer.ttl);
      if (answer.kind !== 'records') {
        otherwise ??= permitted(negativeAnswer(query, answer.kind === 'nodata', ttl), 'dns-answered');
        continue;
      }
      const addresses = answer.records.flatMap(({ data }) => (data.kind === 'address' ? [data.address] : []));
      const keep = (address: Address): boolean =>
        !answers.isPooled(address) && gate.usableAddress(agent, name, address, at);
      if (!addresses.some(keep)) {
        otherwise = denied(refusal(query, 'dns-address-denied'), 'dns-address-denied', addresses);
        continue;
      }
      const given = await answers.give({ name, agent, wanted, family, addresses, keep, ttl, at: options.now() });
      if (!given.ok) return denied(failure(query, 'name-table-full'), 'name-table-full', addresses);
      const { told, synthetic, addresses: reached } = given.value;
      return permitted(addressAnswer(query, told, ttl), 'dns-answered', { synthetic, addresses: reached });
    }
    return otherwise ?? permitted(negativeAnswer(query, true, localTtl), 'dns-answered');
  };

  const pass = async (query: DnsQuery, decision: Extract<DnsDecision, { kind: 'pass' }>): Promise<Outcome> => {
    const answer = await options.resolver.resolve(decision.name, decision.type);
    if (answer.kind === 'failed') return denied(failure(query, 'dns-upstream'), 'dns-upstream');
    const ttl = answerTtl(answer.ttl);
    const records = answer.kind === 'records' ? passedRecords(query, answer.records, ttl) : [];
    if (records.length > 0) return permitted(passedAnswer(query, records), 'dns-answered');
    return permitted(negativeAnswer(query, answer.kind !== 'nxdomain', ttl), 'dns-answered');
  };

  const outcomeOf = async (query: DnsQuery, gate: Gate | undefined, agent: GateAgent | undefined): Promise<Outcome> => {
    const at = options.now();
    const decision = decideQuestion(
      gate,
      agent,
      query.question,
      { ipv6: options.ipv6, nameOf: options.answers.nameOf },
      at,
    );
    if (decision.kind === 'local') return local(query, decision);
    if (decision.kind === 'refuse' || gate === undefined || agent === undefined) {
      const reason = decision.kind === 'refuse' ? decision.reason : 'no-plan';
      return denied(refusal(query, reason), reason);
    }
    const asking = mayAsk(options.budget, agent, decision.grant, decision.name, at);
    if (!asking.ok) return denied(refusal(query, 'dns-budget'), 'dns-budget');
    const outcome =
      decision.kind === 'pass' ? await pass(query, decision) : await found(query, decision, gate, agent, at);
    return asking.lifted === undefined || outcome.verdict === 'deny'
      ? outcome
      : { ...outcome, reason: asking.lifted, enforced: false };
  };

  const emit = (
    client: DnsClient,
    gate: Gate | undefined,
    agent: GateAgent | undefined,
    start: number,
    told: Pick<DnsRecord, 'name' | 'type' | 'rcode' | 'verdict' | 'reason' | 'enforced' | 'synthetic' | 'addresses'>,
  ): void =>
    options.emit({
      version: recordVersion,
      kind: 'dns',
      id: options.nextId(),
      gateway: options.gateway,
      start,
      end: options.now(),
      agent: agent?.identity ?? { labels: {} },
      source: client.source,
      revision: gate?.revision ?? 0,
      ...(gate?.commit === undefined ? {} : { commit: gate.commit }),
      transport: client.transport,
      server: client.server,
      ...told,
    });

  const unreadable = (bytes: Uint8Array, code: string, client: DnsClient, start: number): Uint8Array | undefined => {
    const gate = options.gate();
    const agent = gate?.agentAt(client.source.address, client.interface);
    const number = code === 'dns-opcode' ? responseCode.notImplemented : responseCode.formatError;
    const answer = answerToUnreadable(bytes, number);
    const told = { name: '', type: '', synthetic: [], addresses: [], verdict: 'deny', enforced: true } as const;
    const rcode = answer === undefined ? '' : responseCodeText(number);
    emit(client, gate, agent, start, { ...told, rcode, reason: 'dns-malformed' });
    return answer;
  };

  const answered = async (
    query: DnsQuery,
    client: DnsClient,
    start: number,
    withinRate: boolean,
  ): Promise<Uint8Array | undefined> => {
    const gate = options.gate();
    const agent = gate?.agentAt(client.source.address, client.interface);
    const outcome = withinRate
      ? await outcomeOf(query, gate, agent).catch(() => denied(failure(query, 'name-table-full'), 'name-table-full'))
      : denied(refusal(query, 'dns-rate'), 'dns-rate');
    const limit =
      client.transport === 'tcp' ? serverLimit : Math.min(Math.max(query.edns?.udpSize ?? 512, 512), largestUdp);
    const encoded = encodeDns(outcome.message, limit);
    const { verdict, reason, enforced, synthetic, addresses } = outcome;
    emit(client, gate, agent, start, {
      name: query.question.name.name ?? sanitise(query.question.name.text),
      type: typeText(query.question.type),
      rcode: encoded.ok ? responseCodeText(outcome.message.responseCode) : '',
      verdict,
      reason,
      enforced,
      synthetic,
      addresses,
    });
    return encoded.ok ? encoded.value.bytes : undefined;
  };

  return {
    handle: async (bytes, client) => {
      const start = options.now();
      const key = `${client.interface} ${client.source.address.family} ${client.source.address.value}`;
      const withinRate = options.limiter.take(key, start);
      if (!withinRate && !refusals.take(key, start)) {
        const agent = options.gate()?.agentAt(client.source.address, client.interface);
        options.suppress(agent?.identity ?? { labels: {} }, 'dns-rate', start);
        return undefined;
      }
      const query = parseDnsQuery(bytes);
      if (!query.ok) return unreadable(bytes, query.error.code, client, start);
      return answered(query.value, client, start, withinRate);
    },
  };
};
