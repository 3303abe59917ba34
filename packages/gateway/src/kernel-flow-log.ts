import {
  eventKind,
  type FlowEntry,
  type FlowKey,
  flowFlag,
  flowState,
  type KernelEvent,
  type KernelFlow,
} from '@cofferdam/datapath';
import {
  type AgentIdentity,
  type FlowRecord,
  type RuleReference,
  recordVersion,
  type WouldBeVerdict,
} from '@cofferdam/flows';
import { type Address, type DomainName, wireName } from '@cofferdam/net';
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
import type { CurrentGate, GateRule } from './gate.ts';

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
  /** Told of every flow, at its start or, where it had none here, at its end, and of denials; also where nothing is to be recorded. */
  readonly observe?: (verdict: Verdict, flow: KernelFlow) => void;
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
  readonly sweep: (flows: Iterable<FlowEntry>, bootNow: bigint) => void;
  /** Ends the records of all flows that are still live. */
  readonly finish: (flows: Iterable<FlowEntry>) => void;
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

/**
 * What a record says of the plan that decided a flow. A live flow keeps this and not the plan, which may be large, and of which years of
 * changes would leave one behind for each flow that lives on.
 */
interface Decided {
  readonly revision: number;
  readonly commit?: string;
  readonly rule?: GateRule;
  readonly wouldRule?: RuleReference;
  readonly agent?: AgentIdentity;
}

interface Live {
  readonly id: string;
  /** As the kernel has it: tells it from the next flow in its place. */
  readonly start: bigint;
  claimed: Fact<DomainName>;
  started: boolean;
  decided: Decided;
  /** The last sweep that met it and looked, or that was over when it came. */
  swept: number;
}

export const createKernelFlowLog = (options: KernelFlowLogOptions): KernelFlowLog => {
  /** By what tells flows apart in the kernel's table. */
  const live = new Map<string, Live>();
  /** Those of them that have no first record yet. */
  const unstarted = new Set<string>();
  let sweeps = 0;
  /** Whether there are more here than in the kernel: events can be lost, and what tells of an end with them. */
  let stale = false;
  const denials = new Map<string, number>();

  /** `before`: what was known of the flow already. Of a plan that is neither in force nor that one only the revision is known. */
  const decidedOf = (key: FlowKey, flow: KernelFlow, before?: Decided): Decided => {
    const { revision } = flow;
    const gate = options.gate();
    if (gate?.revision !== revision && before?.revision === revision) return before;
    const agent = gate?.agentAt(key.source, options.interfaceOf(key.ifindex))?.identity;
    const said = agent === undefined ? { revision } : { revision, agent };
    if (gate?.revision !== revision) return said;
    const rule = flow.rule === undefined ? undefined : gate.rule(flow.rule);
    const wouldRule = flow.wouldRule === undefined ? undefined : gate.rule(flow.wouldRule)?.reference;
    return {
      ...said,
      ...(gate.commit === undefined ? {} : { commit: gate.commit }),
      ...(rule === undefined ? {} : { rule }),
      ...(wouldRule === undefined ? {} : { wouldRule }),
    };
  };

  const wouldBeOf = (rule: RuleReference | undefined, flow: KernelFlow, ended: Reason): WouldBeVerdict | undefined => {
    // It would have gone on, and nobody knows to what.
    if (ended === 'undecided-timeout' && flow.wouldVerdict === 'permit') return 'unknown';
    if (flow.wouldVerdict === undefined || flow.wouldVerdict === 'unknown') return flow.wouldVerdict;
    const reason = reasonFromNumber(flow.wouldReason);
    return { verdict: flow.wouldVerdict, ...(rule === undefined ? {} : { rule }), reason };
  };

  const write = (
    id: string,
    key: FlowKey,
    flow: KernelFlow,
    more: {
      readonly claimed: Fact<DomainName>;
      readonly reason: Reason;
      /** Whether its start was told. */
      readonly again: boolean;
      readonly end?: number;
      readonly decided: Decided;
    },
  ): void => {
    const { reason } = more;
    const { rule, wouldRule, agent, commit } = more.decided;
    const verdict = reasonEntry(reason).verdict;
    if (!more.again) options.observe?.(verdict, flow);
    const log = rule?.log ?? 'both';
    if (log === 'none' || (log === 'end' && more.end === undefined)) return;
    if (log === 'start' && more.end !== undefined && verdict === 'permit') return;
    const on = options.interfaceOf(key.ifindex);
    const hasPorts = key.protocol === 'tcp' || key.protocol === 'udp';
    const wouldBe = wouldBeOf(wouldRule, flow, reason);
    // Neither TLS nor a request line: there was no request. What was a request on this path was not read.
    const isOpaque = key.protocol === 'tcp' && flow.tls.state === 'absent' && (flow.flags & flowFlag.plainHttp) === 0;
    const request = isOpaque ? absent : unknown;
    const record: { -readonly [K in keyof FlowRecord]: FlowRecord[K] } = {
      version: recordVersion,
      kind: 'flow',
      id,
      gateway: options.gateway,
      start: options.wallTime(flow.start),
      agent: agent ?? { labels: {} },
      source: hasPorts ? { address: key.source, port: key.sourcePort } : { address: key.source },
      interface: on,
      destination: hasPorts ? { address: flow.real, port: key.destinationPort } : { address: flow.real },
      protocol: typeof key.protocol === 'number' ? `ip-${key.protocol}` : key.protocol,
      addressNames: flow.name === 0 ? [] : options.namesOf(flow.name),
      tls: flow.tls,
      claimedName: more.claimed,
      request,
      mcp: request,
      verdict,
      reason,
      enforced: reason !== 'monitored',
      revision: flow.revision,
      stage: flow.stage,
      path: 'kernel',
      toDestination: flow.toDestination,
      toAgent: flow.toAgent,
    };
    if (more.end !== undefined) record.end = more.end;
    if (options.isPooled(key.destination)) record.synthetic = key.destination;
    if (rule !== undefined) record.rule = rule.reference;
    if (commit !== undefined) record.commit = commit;
    if (wouldBe !== undefined) record.wouldBe = wouldBe;
    if (flow.tls.state === 'known' && verdict === 'permit') record.treatment = 'passthrough';
    options.emit(record);
  };

  const claimedOf = (flow: KernelFlow, text: string): Fact<DomainName> => {
    if (flow.claimed.state !== 'known') return flow.claimed;
    const name = wireName(text);
    return name === undefined ? absent : known(name);
  };

  const find = (place: string, flow: KernelFlow): Live | undefined => {
    const one = live.get(place);
    return one?.start === flow.start ? one : undefined;
  };

  const track = (place: string, key: FlowKey, flow: KernelFlow): Live => {
    const before = find(place, flow);
    if (before !== undefined) {
      before.decided = decidedOf(key, flow, before.decided);
      return before;
    }
    const made: Live = {
      id: options.flowId(key, flow.start),
      start: flow.start,
      claimed: unknown,
      started: flow.start < options.began,
      decided: decidedOf(key, flow),
      swept: sweeps,
    };
    live.set(place, made);
    if (!made.started) unstarted.add(place);
    return made;
  };

  const drop = (place: string): void => {
    live.delete(place);
    unstarted.delete(place);
  };

  const start = (place: string, one: Live, key: FlowKey, flow: KernelFlow): void => {
    if (one.started) return;
    one.started = true;
    unstarted.delete(place);
    one.decided = decidedOf(key, flow, one.decided);
    const { claimed, decided } = one;
    write(one.id, key, flow, { claimed, reason: reasonFromNumber(flow.reason), again: false, decided });
  };

  const startLate = (place: string, { key, flow }: FlowEntry): void => {
    const one = find(place, flow);
    if (one !== undefined) start(place, one, key, flow);
  };

  const end = (place: string, key: FlowKey, flow: KernelFlow, reason: Reason, at: number): void => {
    const one = find(place, flow);
    drop(place);
    write(one?.id ?? options.flowId(key, flow.start), key, flow, {
      claimed: one?.claimed ?? claimedOf(flow, ''),
      reason,
      again: one?.started ?? false,
      end: at,
      decided: decidedOf(key, flow, one?.decided),
    });
  };

  /** A packet that made no flow. The same again within seconds is the same denial. */
  const denied = (event: KernelEvent): void => {
    // Nothing is live where a first packet is denied: what was there before was begun anew.
    drop(event.id);
    const text = `${event.id} ${event.flow.reason}`;
    const now = options.now();
    const last = denials.get(text);
    if (last !== undefined && now - last < sameDenial) return;
    denials.delete(text);
    denials.set(text, now);
    if (denials.size > rememberedDenials) denials.delete(denials.keys().next().value!);
    write(options.nextId(), event.key, event.flow, {
      claimed: unknown,
      reason: reasonFromNumber(event.flow.reason),
      again: false,
      end: options.wallTime(event.flow.last),
      decided: decidedOf(event.key, event.flow),
    });
  };

  const verdict = (event: KernelEvent): void => {
    const { id, key, flow } = event;
    const one = track(id, key, flow);
    if (flow.tls.state !== 'unknown' || flow.claimed.state !== 'unknown') one.claimed = claimedOf(flow, event.name);
    if (flow.state === flowState.denied) {
      end(id, key, flow, reasonFromNumber(flow.reason), options.now());
      return;
    }
    if (key.protocol !== 'tcp' || flow.tls.state !== 'unknown') start(id, one, key, flow);
  };

  const isClosed = (flags: number): boolean => {
    const both = flowFlag.clientFin | flowFlag.serverFin;
    return (flags & flowFlag.reset) !== 0 || (flags & both) === both;
  };

  const idleLimit = ({ protocol, state, flags }: FlowEntry): bigint => {
    if (state === flowState.denied) return idle.denied;
    if (protocol !== 'tcp') return protocol === 'udp' ? idle.udp : idle.icmp;
    if (isClosed(flags)) return idle.closed;
    return (flags & flowFlag.synAnswered) === 0 ? idle.unanswered : idle.tcp;
  };

  /** Why a permitted flow ended as it did, or why a pending one was denied. */
  const endReason = (flow: KernelFlow): Reason =>
    flow.state === flowState.pending ? 'undecided-closed' : reasonFromNumber(flow.reason);

  return {
    receive(event) {
      if (event.kind === eventKind.denied) denied(event);
      else if (event.kind === eventKind.verdict) verdict(event);
      else if (event.kind === eventKind.end)
        end(event.id, event.key, event.flow, endReason(event.flow), options.wallTime(event.flow.last));
      else if (event.kind === eventKind.nameMiss) {
        const name = wireName(event.name);
        if (name !== undefined) options.classify(name);
      }
    },
    sweep(flows, bootNow) {
      sweeps += 1;
      let met = 0;
      // Most flows have nothing to be done: they are neither read nor looked for.
      for (const entry of flows) {
        met += 1;
        const { state } = entry;
        if (stale) {
          const one = live.get(entry.id);
          if (one !== undefined) one.swept = sweeps;
        }
        if (state === flowState.pending && entry.firstByte !== 0n && bootNow - entry.firstByte > undecided) {
          const { id, key, flow } = entry;
          options.deny(key, reasonEntry('undecided-timeout').number);
          end(id, key, flow, 'undecided-timeout', options.now());
          continue;
        }
        if (unstarted.size > 0 && state !== flowState.pending && bootNow - entry.start > second) {
          const { id } = entry;
          if (unstarted.has(id)) startLate(id, entry);
        }
        if (bootNow - entry.last <= idleLimit(entry)) continue;
        const { id, key, flow } = entry;
        options.forget(key);
        // What was denied has its record already, and what the proxy holds has the proxy's.
        if (state === flowState.denied || state === flowState.proxied) drop(id);
        else end(id, key, flow, endReason(flow), options.wallTime(flow.last));
      }
      if (stale) for (const [id, { swept }] of live) if (swept !== sweeps) drop(id);
      // Whatever is live here is there, and there may be more; the next sweep finds what is not.
      stale = live.size > met;
    },
    finish(flows) {
      for (const { id, key, flow } of flows) {
        if (flow.state === flowState.denied || flow.state === flowState.proxied) continue;
        end(id, key, flow, endReason(flow), options.now());
      }
    },
  };
};
