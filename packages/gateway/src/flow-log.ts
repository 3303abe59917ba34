import { type Endpoint, type FlowRecord, recordVersion, type WouldBeVerdict } from '@cofferdam/flows';
import type { Address } from '@cofferdam/net';
import type { Facts, Reason, Treatment } from '@cofferdam/verdict';
import type { Gate, GateAgent } from './gate.ts';
import type { Settled } from './judgement.ts';

export interface FlowLogOptions {
  readonly gateway: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly nextId: () => string;
  readonly emit: (record: FlowRecord) => void;
  /** Told of every decision, also where its rule says that nothing is to be recorded. */
  readonly decided?: (gate: Gate | undefined, judgement: Settled, facts: Facts) => void;
}

/** What does not change while a flow lasts. */
export interface FlowSubject {
  readonly id: string;
  readonly start: number;
  readonly agent: GateAgent | undefined;
  readonly source: Endpoint;
  readonly synthetic: Address | undefined;
}

export interface Payload {
  readonly toDestination: bigint;
  readonly toAgent: bigint;
}

/** Where these end a flow, the walk waited for what nobody gives: the walk with everything enforced need not have waited. */
const ofWaiting: ReadonlySet<Reason> = new Set(['would-need-opening', 'facts-unknown', 'flow-cut']);

/**
 * The would-be verdict of the walk. What the gateway denied by itself, or would have, it might deny whatever permits it, so that a permit is not
 * known then.
 */
const wouldBeOf = (gate: Gate, facts: Facts, judgement: Settled): WouldBeVerdict | undefined => {
  const wouldBe = gate.wouldBe(facts);
  if (wouldBe === undefined || wouldBe === 'unknown') return wouldBe;
  const walked = gate.decide(facts);
  const ofWalk = walked.kind === 'decided' && walked.reason === judgement.reason;
  if (wouldBe.verdict === 'permit' && !ofWalk && !ofWaiting.has(judgement.reason)) return 'unknown';
  const rule = gate.rule(wouldBe.rule)?.reference;
  return { verdict: wouldBe.verdict, ...(rule === undefined ? {} : { rule }), reason: wouldBe.reason };
};

/** What a record says beside what was decided, and of what it is. */
export interface RecordEnd {
  readonly kind: 'flow' | 'request';
  readonly flow?: string;
  readonly end?: number;
  readonly treatment?: Treatment;
  readonly status?: number;
}

/** Makes the records of flows and requests the proxy holds. `log` of the rule they are named after says which are written. */
export const createFlowLog = (options: FlowLogOptions) => {
  /** All that is known once it is decided: the plan is not needed again when it is written. */
  const draft = (subject: FlowSubject, gate: Gate | undefined, facts: Facts, judgement: Settled) => {
    const rule = gate?.rule(judgement.rule);
    const log = rule?.log ?? 'both';
    const wouldBe = gate === undefined || log === 'none' ? undefined : wouldBeOf(gate, facts, judgement);
    const drafted = {
      id: subject.id,
      gateway: options.gateway,
      start: subject.start,
      agent: subject.agent?.identity ?? { labels: {} },
      source: subject.source,
      interface: facts.interface,
      destination: { address: facts.destination, port: facts.destinationPort ?? 0 },
      ...(subject.synthetic === undefined ? {} : { synthetic: subject.synthetic }),
      protocol: 'tcp',
      addressNames: facts.addressNames,
      tls: facts.tls,
      claimedName: facts.claimedName,
      request: facts.request,
      mcp: facts.mcp,
      verdict: judgement.kind,
      reason: judgement.reason,
      enforced: judgement.enforced,
      ...(rule === undefined ? {} : { rule: rule.reference }),
      revision: gate?.revision ?? 0,
      ...(gate?.commit === undefined ? {} : { commit: gate.commit }),
      stage: judgement.stage,
      ...(wouldBe === undefined ? {} : { wouldBe }),
      path: 'proxy',
    } as const;
    return (payload: Payload, more: RecordEnd): void => {
      if (
        log === 'none' ||
        (log === 'end' && more.end === undefined) ||
        (log === 'start' && more.end !== undefined && judgement.kind === 'permit')
      ) {
        return;
      }
      options.emit({
        version: recordVersion,
        ...more,
        ...drafted,
        toDestination: { bytes: payload.toDestination, packets: 0n },
        toAgent: { bytes: payload.toAgent, packets: 0n },
      });
    };
  };
  const write = (
    subject: FlowSubject,
    gate: Gate | undefined,
    facts: Facts,
    judgement: Settled,
    payload: Payload,
    more: RecordEnd,
  ): void => draft(subject, gate, facts, judgement)(payload, more);
  const decided = options.decided ?? (() => undefined);
  return { draft, write, decided, now: options.now, nextId: options.nextId };
};

export type FlowLog = ReturnType<typeof createFlowLog>;
