import { eventKind, type FlowKey, flowFlag, flowState, type KernelEvent, type KernelFlow } from '@cofferdam/datapath';
import { type FlowRecord, recordVersion, type WouldBeVerdict } from '@cofferdam/flows';
import { type Address, type DomainName, formatAddress, wireName } from '@cofferdam/net';
import {
  absent,
  type Fact,
  known,
  type Reason,
  reasonEntry,
  reasonFromNumber,
  unknown,
  type Verdict,
} from '@cofferdam/verdict';
import type { CurrentGate, Gate } from './gate.ts';

/**
 * Turns what the kernel tells of flows into flow records: one when a flow is permitted, one at its end or denial. A flow that is
 * read has its first record when its name is known, or after a second.
 */
export interface KernelFlowLogOptions {
  readonly gateway: string;
  /** Name of an agent interface by its index. */
  readonly interfaceOf: (ifindex: number) => string;
  readonly gate: CurrentGate;
  /** The names that a flow's destination had when it began, by what the flow holds; none: it is not known. */
  readonly namesOf: (id: number) => readonly DomainName[];
  readonly isPooled: (address: Address) => boolean;
  /** Boot time in nanoseconds when this process took over: flows that are older had their first record before. */
  readonly began: bigint;
  /** Milliseconds since the epoch of a boot time in nanoseconds. */
  readonly wallTime: (boot: bigint) => number;
  readonly now: () => number;
  readonly nextId: () => string;
  /** The id of a flow, the same for its first and last record also where another process writes the last. */
  readonly flowId: (key: FlowKey, start: bigint) => string;
  readonly emit: (record: FlowRecord) => void;
  /** Told of the start and the end of every flow under one id, and of denials, also where nothing is to be recorded. */
  readonly observe?: (id: string, verdict: Verdict, flow: KernelFlow, ended: boolean) => void;
  /** Forgets a flow in the kernel. */
  readonly forget: (key: FlowKey) => void;
  /** Denies a live flow in the kernel. */
  readonly deny: (key: FlowKey, reason: number) => void;
  /** Classifies a claimed name that stands for no address. */
  readonly classify: (name: DomainName) => void;
}

export interface KernelFlowLog {
  readonly receive: (event: KernelEvent) => void;
  /** Looks at all live flows once: ends the idle and closed, denies the overdue. `flows`: a walk over the kernel's table. */
  readonly sweep: (flows: Iterable<{ readonly key: FlowKey; readonly flow: KernelFlow }>, bootNow: bigint) => void;
  /** Ends the records of all flows that are still live. */
  readonly finish: (flows: Iterable<{ readonly key: FlowKey; readonly flow: KernelFlow }>) => void;
}

/** Nanoseconds. Shorter than what connection tracking keeps, so that a translation never changes under a flow. */
const second = 1_000_000_000n;
const idle = {
  tcp: 86_400n * second,
  unanswered: 130n * second,
  udp: 120n * second,
  icmp: 30n * second,
  closed: 2n * second,
  denied: 5n * second,
} as const;
const undecided = 10n * second;
/** Milliseconds in which the same denial is one record. */
const sameDenial = 5000;
const rememberedDenials = 4096;

interface Live {
  readonly id: string;
  claimed: Fact<DomainName>;
  started: boolean;
  gate: Gate | undefined;
}

const textOf = (key: FlowKey): string =>
  `${key.ifindex} ${key.protocol} ${formatAddress(key.source)} ${key.sourcePort} ${formatAddress(key.destination)} ${key.destinationPort}`;

export const createKernelFlowLog = (options: KernelFlowLogOptions): KernelFlowLog => {
  const live = new Map<string, Live>();
  const denials = new Map<string, number>();

  const wouldBeOf = (gate: Gate | undefined, flow: KernelFlow, ended: Reason): WouldBeVerdict | undefined => {
    // It would have gone on, and nobody knows to what.
    if (ended === 'undecided-timeout' && flow.wouldVerdict === 'permit') return 'unknown';
    if (flow.wouldVerdict === undefined || flow.wouldVerdict === 'unknown') return flow.wouldVerdict;
    const rule = flow.wouldRule === undefined ? undefined : gate?.rule(flow.wouldRule)?.reference;
    const reason = reasonFromNumber(flow.wouldReason);
    return { verdict: flow.wouldVerdict, ...(rule === undefined ? {} : { rule }), reason };
  };

  const write = (
    id: string,
    key: FlowKey,
    flow: KernelFlow,
    more: { claimed: Fact<DomainName>; reason: Reason; end?: number; gate: Gate | undefined },
  ): void => {
    const { reason } = more;
    // A flow that was judged again has the places of the plan that did it.
    const current = options.gate();
    const gate = [current, more.gate].find((one) => one?.revision === flow.revision);
    const rule = flow.rule === undefined ? undefined : gate?.rule(flow.rule);
    const verdict = reasonEntry(reason).verdict;
    options.observe?.(id, verdict, flow, more.end !== undefined);
    const log = rule?.log ?? 'both';
    if (log === 'none' || (log === 'end' && more.end === undefined)) return;
    if (log === 'start' && more.end !== undefined && verdict === 'permit') return;
    const on = options.interfaceOf(key.ifindex);
    const agent = (gate ?? current)?.agentAt(key.source, on);
    const pooled = options.isPooled(key.destination);
    const hasPorts = key.protocol === 'tcp' || key.protocol === 'udp';
    const port = hasPorts ? { port: key.destinationPort } : {};
    const wouldBe = wouldBeOf(gate, flow, reason);
    // Neither TLS nor a request line: there was no request. What was a request on this path was not read.
    const isOpaque = key.protocol === 'tcp' && flow.tls.state === 'absent' && (flow.flags & flowFlag.plainHttp) === 0;
    const request = isOpaque ? absent : unknown;
    options.emit({
      version: recordVersion,
      kind: 'flow',
      id,
      gateway: options.gateway,
      start: options.wallTime(flow.start),
      ...(more.end === undefined ? {} : { end: more.end }),
      agent: agent?.identity ?? { labels: {} },
      source: { address: key.source, ...(hasPorts ? { port: key.sourcePort } : {}) },
      interface: on,
      destination: { address: flow.real, ...port },
      ...(pooled ? { synthetic: key.destination } : {}),
      protocol: typeof key.protocol === 'number' ? `ip-${key.protocol}` : key.protocol,
      addressNames: flow.name === 0 ? [] : options.namesOf(flow.name),
      tls: flow.tls,
      claimedName: more.claimed,
      request,
      mcp: request,
      verdict,
      reason,
      enforced: reason !== 'monitored',
      ...(rule === undefined ? {} : { rule: rule.reference }),
      revision: flow.revision,
      ...(gate?.commit === undefined ? {} : { commit: gate.commit }),
      stage: flow.stage,
      ...(wouldBe === undefined ? {} : { wouldBe }),
      path: 'kernel',
      ...(flow.tls.state === 'known' && verdict === 'permit' ? { treatment: 'passthrough' as const } : {}),
      toDestination: flow.toDestination,
      toAgent: flow.toAgent,
    });
  };

  const claimedOf = (flow: KernelFlow, text: string): Fact<DomainName> => {
    if (flow.claimed.state !== 'known') return flow.claimed;
    const name = wireName(text);
    return name === undefined ? absent : known(name);
  };

  const track = (text: string, key: FlowKey, flow: KernelFlow): Live => {
    const before = live.get(text);
    if (before !== undefined) return before;
    const made: Live = {
      id: options.flowId(key, flow.start),
      claimed: unknown,
      started: flow.start < options.began,
      gate: options.gate(),
    };
    live.set(text, made);
    return made;
  };

  const start = (one: Live, key: FlowKey, flow: KernelFlow): void => {
    if (one.started) return;
    one.started = true;
    write(one.id, key, flow, { claimed: one.claimed, reason: reasonFromNumber(flow.reason), gate: one.gate });
  };

  const end = (text: string, key: FlowKey, flow: KernelFlow, reason: Reason, at: number): void => {
    const one = live.get(text);
    live.delete(text);
    write(one?.id ?? options.flowId(key, flow.start), key, flow, {
      claimed: one?.claimed ?? claimedOf(flow, ''),
      reason,
      end: at,
      gate: one?.gate ?? options.gate(),
    });
  };

  /** A packet that made no flow. The same again within seconds is the same denial. */
  const denied = (event: KernelEvent): void => {
    // Nothing is live where a first packet is denied: what was there before was begun anew.
    live.delete(textOf(event.key));
    const text = `${textOf(event.key)} ${event.flow.reason}`;
    const now = options.now();
    const last = denials.get(text);
    if (last !== undefined && now - last < sameDenial) return;
    denials.delete(text);
    denials.set(text, now);
    if (denials.size > rememberedDenials) denials.delete(denials.keys().next().value!);
    write(options.nextId(), event.key, event.flow, {
      claimed: unknown,
      reason: reasonFromNumber(event.flow.reason),
      end: options.wallTime(event.flow.last),
      gate: options.gate(),
    });
  };

  const verdict = (event: KernelEvent): void => {
    const { key, flow } = event;
    const text = textOf(key);
    const one = track(text, key, flow);
    if (flow.tls.state !== 'unknown' || flow.claimed.state !== 'unknown') one.claimed = claimedOf(flow, event.name);
    if (flow.state === flowState.denied) {
      end(text, key, flow, reasonFromNumber(flow.reason), options.now());
      return;
    }
    if (key.protocol !== 'tcp' || flow.tls.state !== 'unknown') start(one, key, flow);
  };

  const isClosed = (flow: KernelFlow): boolean => {
    const both = flowFlag.clientFin | flowFlag.serverFin;
    return (flow.flags & flowFlag.reset) !== 0 || (flow.flags & both) === both;
  };

  const idleLimit = (key: FlowKey, flow: KernelFlow): bigint => {
    if (flow.state === flowState.denied) return idle.denied;
    if (key.protocol !== 'tcp') return key.protocol === 'udp' ? idle.udp : idle.icmp;
    if (isClosed(flow)) return idle.closed;
    return (flow.flags & flowFlag.synAnswered) === 0 ? idle.unanswered : idle.tcp;
  };

  /** Why a permitted flow ended as it did, or why a pending one was denied. */
  const endReason = (flow: KernelFlow): Reason =>
    flow.state === flowState.pending ? 'undecided-closed' : reasonFromNumber(flow.reason);

  return {
    receive(event) {
      if (event.kind === eventKind.denied) denied(event);
      else if (event.kind === eventKind.verdict) verdict(event);
      else if (event.kind === eventKind.end)
        end(textOf(event.key), event.key, event.flow, endReason(event.flow), options.wallTime(event.flow.last));
      else if (event.kind === eventKind.nameMiss) {
        const name = wireName(event.name);
        if (name !== undefined) options.classify(name);
      }
    },
    sweep(flows, bootNow) {
      const seen = new Set<string>();
      for (const { key, flow } of flows) {
        const text = textOf(key);
        seen.add(text);
        if (flow.state === flowState.pending && flow.firstByte !== 0n && bootNow - flow.firstByte > undecided) {
          options.deny(key, reasonEntry('undecided-timeout').number);
          end(text, key, flow, 'undecided-timeout', options.now());
          continue;
        }
        const one = live.get(text);
        if (one !== undefined && !one.started && bootNow - flow.start > second && flow.state !== flowState.pending)
          start(one, key, flow);
        if (bootNow - flow.last <= idleLimit(key, flow)) continue;
        options.forget(key);
        // What was denied has its record already, and what the proxy holds has the proxy's.
        if (flow.state === flowState.denied || flow.state === flowState.proxied) live.delete(text);
        else end(text, key, flow, endReason(flow), options.wallTime(flow.last));
      }
      // Events can be lost.
      for (const text of live.keys()) if (!seen.has(text)) live.delete(text);
    },
    finish(flows) {
      for (const { key, flow } of flows) {
        if (flow.state === flowState.denied || flow.state === flowState.proxied) continue;
        end(textOf(key), key, flow, endReason(flow), options.now());
      }
    },
  };
};
