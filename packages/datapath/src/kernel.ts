import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Address } from '@cofferdam/net';
import { type DnsMode, kernelTables, type LoadedPlan } from '@cofferdam/plan';
import { type Reason, reasonTable } from '@cofferdam/verdict';
import { type FlowEntry, flowEntries } from './flow-entries.ts';
import {
  type AgentUse,
  type DnsClientKey,
  decodeEvent,
  decodeUse,
  encodeDnsClient,
  encodeFlowKey,
  encodeQuotas,
  type FlowKey,
  type KernelEvent,
  layout,
  limits,
  type Quotas,
  readAddress,
  u32,
} from './layout.ts';
import {
  attachTc,
  type BpfObject,
  batches,
  entries,
  isTcAttached,
  type KernelMap,
  loadBpfObject,
  mostEntries,
  preparedRun,
  quietLibbpf,
} from './libbpf.ts';
import { bootTime, interfaceIndex } from './libc.ts';
import { dropOtherModes, type NameTables, openNameTables } from './name-tables.ts';
import {
  buildPlanTables,
  type ClassifiedName,
  type PlanPlacement,
  type PlanTableName,
  type PlanTables,
} from './plan-tables.ts';
import { openRing } from './ring.ts';
import { type CutFlow, currentGeneration, judgeStale } from './stale-flows.ts';
import { noTables, type StandingTables } from './standing-tables.ts';

/** Where `make build` puts the compiled program. */
export const kernelObjectFile = fileURLToPath(new URL('../../../build/cofferdam.bpf.o', import.meta.url));

/** How often a rule decided. */
export interface RuleHits {
  readonly permitted: bigint;
  readonly denied: bigint;
  /** Of both, those that everything enforced would have denied, as far as it was known when they were decided. */
  readonly wouldDeny: bigint;
  /** Boot time of the last, in nanoseconds; 0: never. */
  readonly last: bigint;
}

const decodeHits = (value: Buffer): RuleHits => {
  const o = layout.rule_hits;
  const at = (offset: number): bigint => value.readBigUInt64LE(offset);
  return { permitted: at(o.permitted), denied: at(o.denied), wouldDeny: at(o.would_deny), last: at(o.last) };
};

/**
 * The kernel program and its tables, from user space. Everything is synchronous: a call that returned has taken effect.
 * Closing it takes nothing away from interfaces it is attached to: those keep the program until they are gone.
 */
export interface Kernel extends NameTables {
  /** Attaches both hooks to an interface of the calling thread's namespace and returns its index. */
  attach(interfaceName: string): number;
  /** Whether both hooks of such an interface still have a program. */
  isAttached(interfaceName: string): boolean;
  /** Lets long flows take the fast path through an interface of the calling thread's namespace: the one behind which the world is. */
  attachUplink(interfaceName: string): void;
  isUplinkAttached(interfaceName: string): boolean;
  /**
   * Builds a plan's tables beside those in force and switches to them in one step. `names`: all that are installed, and all sets of them,
   * classified by this plan. Throws, and changes nothing, where the plan does not fit. Returns the milliseconds from when they were built until
   * they were in force; packets are judged all the while.
   */
  apply(plan: LoadedPlan, placement: Omit<PlanPlacement, 'bootTimeOf'>, names?: readonly ClassifiedName[]): number;
  /** Ids that live flows hold, as the name of their address, as the set of its names, or as the one they claimed. */
  namesInUse(): ReadonlySet<number>;
  flows(): Generator<FlowEntry>;
  /** Forgets a flow and gives its hello back; connection tracking too, where the calling thread is in the namespace that has it. */
  forget(key: FlowKey): void;
  /** Marks a flow as denied; its next packet is rejected. */
  deny(key: FlowKey, reason: number): void;
  /** What live flows are judged by now: another number with each plan, and with each hour that begins or ends. */
  generation(): bigint;
  /** Judges live flows by that at once, where each would be at its next packet. Those of TCP that are over. */
  judgeAnew(): readonly CutFlow[];
  /** What the agent of a TCP flow acknowledged last. Undefined: there is no such flow. */
  clientAck(key: FlowKey): number | undefined;
  /** What every agent may take from now on. */
  setQuotas(quotas: Quotas): void;
  uses(): Generator<AgentUse>;
  /** The server that a DNS client addressed. Undefined: nobody remembers. */
  dnsServer(client: DnsClientKey): Address | undefined;
  /** Hands all waiting events to the receiver given at the start. */
  poll(): number;
  eventsLost(): bigint;
  /** Packets that took the fast path. */
  fastPackets(): bigint;
  /** Hits of the first `rules` rules, by their places in the walk, and of the default. They only grow, whatever plan is in force. */
  hits(rules: number): { readonly rules: readonly RuleHits[]; readonly default: RuleHits };
  /** Packets dropped or denied so far, by reason; those that never happened are left out. */
  drops(): ReadonlyMap<Reason, bigint>;
  readonly programs: { readonly fromAgent: number; readonly toAgent: number; readonly fromUplink: number };
  readonly object: BpfObject;
  close(): void;
}

/** REQUEST_JUDGE of ../bpf/layout.h, and what the program returns where the flow is over by that. */
const requestJudge = 0xffffffff;
const wasCut = 2;

/** Boot time of a moment of the wall clock, by the distance between both clocks now. */
const bootTimeOf = (ms: number): bigint => {
  const at = bootTime() + BigInt(Math.round((ms - Date.now()) * 1_000_000));
  return at > 0n ? at : 0n;
};

/** `sizes`: entries of maps that should be smaller or larger than they were compiled. */
export const openKernel = (
  objectFile: string,
  receive: (event: KernelEvent) => void,
  sizes: Readonly<Record<string, number>> = {},
  standing: StandingTables = noTables,
): Kernel => {
  quietLibbpf();
  const object = loadBpfObject(objectFile, sizes, standing);
  const map = (name: string): KernelMap => object.map(name);
  const control = map('control');
  const flows = map('flows');
  const freeHellos = map('free_hellos');
  const dnsServers = map('dns_servers');
  const uses = map('uses');
  const stands = standing.size > 0;
  if (!stands)
    for (let i = 0; i < (sizes.free_hellos ?? limits.helloSlots); i++) freeHellos.set(Buffer.alloc(0), u32(i));
  const events = map('events').fd;
  const ring = openRing(events, mostEntries(events), (sample) => receive(decodeEvent(sample)));
  const request = Buffer.alloc(layout.flow_request.size);
  const runRequest = preparedRun(object.programFd('end_flow'), request);
  let tables: PlanTables | undefined;
  let mode: DnsMode | undefined;
  const word = Buffer.alloc(layout.control.size);
  control.get(u32(0), word);
  let slot = stands ? word.readUInt32LE(layout.control.slot) : 1;

  /** Run by the kernel, so that nothing of ours writes over a flow that packets are changing at this moment. `reason` 0: forget it. */
  const endFlow = (key: FlowKey, reason: number): number => {
    encodeFlowKey(key).copy(request, layout.flow_request.key);
    request.writeUInt32LE(reason, layout.flow_request.reason);
    return runRequest();
  };

  /** What the program counts, as it stands: sums over processors by offset. */
  const counters = (): ((offset: number) => bigint) => {
    const { size } = layout.counters;
    const values = Buffer.alloc(size * Math.max(1, possibleProcessors()));
    map('counts').get(u32(0), values);
    return (offset) => {
      let sum = 0n;
      for (let at = offset; at < values.length; at += size) sum += values.readBigUInt64LE(at);
      return sum;
    };
  };

  const generation = (): bigint =>
    tables === undefined ? -1n : currentGeneration(word.readUInt32LE(layout.control.switches), tables.maps.headers);

  /** What agents have taken that the plan in force does not know and that hold nothing any more: the table has room for all agents, once. */
  const forgetUses = (): void => {
    for (const { key, value } of entries(uses.fd, layout.agent_key.size, layout.agent_use.size)) {
      const { address, flows: live, hellos } = decodeUse(key, value);
      const known = Buffer.alloc(layout.agent.size);
      if (address !== undefined && live === 0 && hellos === 0 && !tables!.maps.agents.get(key, known)) uses.delete(key);
    }
  };

  return {
    attach(interfaceName) {
      const ifindex = interfaceIndex(interfaceName);
      if (ifindex === 0) throw new Error(`no interface \`${interfaceName}\` here`);
      attachTc(ifindex, 'ingress', object.programFd('from_agent'));
      attachTc(ifindex, 'egress', object.programFd('to_agent'));
      return ifindex;
    },
    isAttached(interfaceName) {
      const ifindex = interfaceIndex(interfaceName);
      return isTcAttached(ifindex, 'ingress') && isTcAttached(ifindex, 'egress');
    },
    attachUplink(interfaceName) {
      const ifindex = interfaceIndex(interfaceName);
      if (ifindex === 0) throw new Error(`no interface \`${interfaceName}\` here`);
      attachTc(ifindex, 'ingress', object.programFd('from_uplink'));
      word.writeUInt32LE(ifindex, layout.control.uplink);
      control.set(u32(0), word);
    },
    isUplinkAttached: (interfaceName) => isTcAttached(interfaceIndex(interfaceName), 'ingress'),
    apply(loaded, placement, installed = []) {
      const built = buildPlanTables(loaded, kernelTables(loaded), { ...placement, bootTimeOf }, installed);
      const next = 1 - slot;
      const from = performance.now();
      for (const name of Object.keys(built.maps) as PlanTableName[]) map(name).set(u32(next), u32(built.maps[name].fd));
      word.writeUInt32LE(limits.layout, layout.control.layout);
      const { switches } = layout.control;
      word.writeUInt32LE((word.readUInt32LE(switches) + 1) >>> 0, switches);
      word.writeUInt32LE(next, layout.control.slot);
      word.writeUInt32LE(1, layout.control.live);
      control.set(u32(0), word);
      const taken = performance.now() - from;
      // The outer maps hold the old tables until the next plan takes their slot, for packets that are under way.
      tables?.close();
      tables = built;
      slot = next;
      forgetUses();
      if (mode !== loaded.plan.dnsMode) dropOtherModes(map, loaded.plan.dnsMode);
      mode = loaded.plan.dnsMode;
      return taken;
    },
    ...openNameTables(
      map,
      (id, classes) => tables?.setName(id, classes) ?? false,
      (id) => void tables?.maps.name_rows.delete(u32(id)),
    ),
    namesInUse() {
      const ids = new Set<number>();
      for (const { value } of entries(flows.fd, layout.flow_key.size, layout.flow.size))
        for (const at of [layout.flow.name, layout.flow.claimed]) ids.add(value.readUInt32LE(at));
      return ids;
    },
    *flows() {
      for (const { keys, values, count } of batches(flows.fd, layout.flow_key.size, layout.flow.size))
        yield* flowEntries(keys, values, count);
    },
    forget: (key) => void endFlow(key, 0),
    deny: (key, reason) => void endFlow(key, reason),
    generation,
    judgeAnew: () => judgeStale(flows, generation(), (key) => endFlow(key, requestJudge) === wasCut),
    clientAck(key) {
      const value = Buffer.alloc(layout.flow.size);
      return flows.get(encodeFlowKey(key), value) ? value.readUInt32LE(layout.flow.client_ack) : undefined;
    },
    setQuotas: (next) => map('quotas').set(u32(0), encodeQuotas(next)),
    *uses() {
      for (const { key, value } of entries(uses.fd, layout.agent_key.size, layout.agent_use.size))
        yield decodeUse(key, value);
    },
    dnsServer(client) {
      const value = Buffer.alloc(16);
      return dnsServers.get(encodeDnsClient(client), value) ? readAddress(value, 0, client.address.family) : undefined;
    },
    poll: ring.consume,
    eventsLost: () => counters()(layout.counters.events_lost),
    fastPackets: () => counters()(layout.counters.fast),
    hits(rules) {
      const table = map('hits');
      const found: RuleHits[] = [];
      // An array gives its entries in their order.
      if (rules > 0)
        for (const { value } of entries(table.fd, 4, layout.rule_hits.size)) {
          found.push(decodeHits(value));
          if (found.length >= rules) break;
        }
      const last = Buffer.alloc(layout.rule_hits.size);
      table.get(u32(limits.ruleDefault), last);
      return { rules: found, default: decodeHits(last) };
    },
    drops() {
      const sums = new Map<Reason, bigint>();
      const sum = counters();
      for (const { number, code } of reasonTable) {
        const dropped = sum(layout.counters.dropped + 8 * number);
        if (dropped > 0n) sums.set(code, dropped);
      }
      return sums;
    },
    programs: {
      fromAgent: object.programFd('from_agent'),
      toAgent: object.programFd('to_agent'),
      fromUplink: object.programFd('from_uplink'),
    },
    object,
    close() {
      ring.close();
      object.close();
    },
  };
};

/** Processors that could come to be: a per-processor map has a value for each. */
const possibleProcessors = (): number => {
  const text = readFileSync('/sys/devices/system/cpu/possible', 'ascii').trim();
  return Number(text.split(/[-,]/).at(-1)) + 1;
};
