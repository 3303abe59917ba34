import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Address, DomainName } from '@cofferdam/net';
import { kernelTables, type LoadedPlan, type NameClass } from '@cofferdam/plan';
import { type Reason, reasonTable } from '@cofferdam/verdict';
import {
  type AgentUse,
  addressBytes,
  type DnsClientKey,
  decodeEvent,
  decodeFlow,
  decodeFlowKey,
  decodeUse,
  encodeDnsClient,
  encodeFlowKey,
  encodeQuotas,
  type FlowKey,
  type KernelEvent,
  type KernelFlow,
  layout,
  limits,
  nameKey,
  type Quotas,
  readAddress,
  syntheticKey,
} from './layout.ts';
import {
  attachedMaps,
  attachTc,
  type BpfObject,
  entries,
  isTcAttached,
  type KernelMap,
  kernelMap,
  loadBpfObject,
  openRing,
  quietLibbpf,
  runProgram,
  valueSize,
} from './libbpf.ts';
import { bootTime, closeDescriptor, interfaceIndex } from './libc.ts';
import { buildPlanTables, type PlanPlacement, type PlanTableName, type PlanTables } from './plan-tables.ts';

/** Where `make build` puts the compiled program. */
export const kernelObjectFile = fileURLToPath(new URL('../../../build/cofferdam.bpf.o', import.meta.url));

/** A name as the kernel keeps it across plans. */
export interface InstalledName {
  readonly id: number;
  readonly name: DomainName;
  /** With the turn that netfilter translates by: see NameTranslation. */
  readonly synthetic: readonly { readonly address: Address; readonly turn: number }[];
  /** Real addresses of both families, in the order of dialling; at most 8 of each family count. */
  readonly addresses: readonly Address[];
}

/** A name as the kernel has it, with what stands for it. Empty: a client claimed it. */
export interface StandingName {
  readonly id: number;
  readonly name: DomainName;
  readonly synthetic: readonly {
    readonly address: Address;
    readonly turn: number;
    readonly addresses: readonly Address[];
  }[];
}

/** Tables that an earlier process made and programs still use, by name, as descriptors. */
export type StandingTables = ReadonlyMap<string, number>;
const noTables: StandingTables = new Map();

/** The tables behind an interface of the calling thread's namespace. Empty where there are none, or none that this version can read. */
export const standingTables = (interfaceName: string): StandingTables => {
  const tables = attachedMaps(interfaceIndex(interfaceName));
  const control = tables.get('control');
  const word = Buffer.alloc(layout.control.size);
  const readable = (): boolean =>
    control !== undefined &&
    valueSize(control) === layout.control.size &&
    kernelMap(control).get(u32(0), word) &&
    word.readUInt32LE(layout.control.layout) === limits.layout;
  if (readable()) return tables;
  for (const fd of tables.values()) closeDescriptor(fd);
  return noTables;
};

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

/** What the rules of a plan say of a name. */
export interface ClassifiedName {
  readonly id: number;
  readonly classes: NameClass;
}

/**
 * The kernel program and its tables, from user space. Everything is synchronous: a call that returned has taken effect.
 * Closing it takes nothing away from interfaces it is attached to: those keep the program until they are gone.
 */
export interface Kernel {
  /** Attaches both hooks to an interface of the calling thread's namespace and returns its index. */
  attach(interfaceName: string): number;
  /** Whether both hooks of such an interface still have a program. */
  isAttached(interfaceName: string): boolean;
  /**
   * Builds a plan's tables beside those in force and switches to them in one step. `names`: all that are installed, classified by
   * this plan. Throws, and changes nothing, where the plan does not fit.
   */
  apply(plan: LoadedPlan, placement: Omit<PlanPlacement, 'bootTimeOf'>, names?: readonly ClassifiedName[]): void;
  /** Makes a name known. False: there is no room for what the rules say of it. */
  install(name: InstalledName, classes: NameClass): boolean;
  /** Classifies a name that a client claimed and that stands for no address. False: there is no room. */
  classify(id: number, name: DomainName, classes: NameClass): boolean;
  /** All that are known, also those that an earlier process made known. */
  standingNames(): readonly StandingName[];
  /** Who claims this name from now on misses it. Its rows stay, for flows that claimed it. Where the name has another id by now, nothing. */
  unclaim(id: number, name: DomainName): void;
  /** Forgets what the rules say of a name that is not claimed any more. A flow that still holds the id would be judged without. */
  unclassify(id: number): void;
  /** Ids that live flows hold, as the name of their address or as the one they claimed. */
  namesInUse(): ReadonlySet<number>;
  flows(): Generator<{ readonly key: FlowKey; readonly flow: KernelFlow }>;
  /** Forgets a flow and gives its hello back. */
  forget(key: FlowKey): void;
  /** Marks a flow as denied; its next packet is rejected. */
  deny(key: FlowKey, reason: number): void;
  /** What every agent may take from now on. */
  setQuotas(quotas: Quotas): void;
  uses(): Generator<AgentUse>;
  /** The server that a DNS client addressed. Undefined: nobody remembers. */
  dnsServer(client: DnsClientKey): Address | undefined;
  /** Hands all waiting events to the receiver given at the start. */
  poll(): number;
  eventsLost(): bigint;
  /** Hits of the first `rules` rules, by their places in the walk, and of the default. They only grow, whatever plan is in force. */
  hits(rules: number): { readonly rules: readonly RuleHits[]; readonly default: RuleHits };
  /** Packets dropped or denied so far, by reason; those that never happened are left out. */
  drops(): ReadonlyMap<Reason, bigint>;
  readonly programs: { readonly fromAgent: number; readonly toAgent: number };
  readonly object: BpfObject;
  close(): void;
}

/** In every namespace; a test run needs some interface. */
const loopbackIndex = 1;

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};

function* namesIn(names: KernelMap): Generator<{ readonly id: number; readonly name: DomainName }> {
  for (const { key, value } of entries(names.fd, limits.nameBytes, 4))
    yield { id: value.readUInt32LE(0), name: key.toString('ascii').replace(/\0+$/, '') as DomainName };
}

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
  const synthetics = map('synthetics');
  const names = map('names');
  const flows = map('flows');
  const freeHellos = map('free_hellos');
  const dnsServers = map('dns_servers');
  const uses = map('uses');
  const stands = standing.size > 0;
  if (!stands)
    for (let i = 0; i < (sizes.free_hellos ?? limits.helloSlots); i++) freeHellos.set(Buffer.alloc(0), u32(i));
  const ring = openRing(map('events').fd, (sample) => receive(decodeEvent(sample)));
  const endProgram = object.programFd('end_flow');
  let tables: PlanTables | undefined;
  const word = Buffer.alloc(layout.control.size);
  control.get(u32(0), word);
  let slot = stands ? word.readUInt32LE(layout.control.slot) : 1;

  const setRows = (id: number, classes: NameClass): boolean => {
    if (tables === undefined) return false;
    const rows = tables.nameRows(classes);
    return rows !== undefined && tables.maps.name_rows.tryset(u32(id), rows);
  };

  /** Run by the kernel, so that nothing of ours writes over a flow that packets are changing at this moment. `reason` 0: forget it. */
  const endFlow = (key: FlowKey, reason: number): void => {
    const o = layout.flow_request;
    const request = Buffer.alloc(o.size);
    encodeFlowKey(key).copy(request, o.key);
    request.writeUInt32LE(reason, o.reason);
    runProgram(endProgram, request, { ifindex: loopbackIndex });
  };

  /** Where the kernel begins, learnt from a SYN that went unanswered; the same addresses keep it. */
  const placeThatAnswered = (address: Address, id: number, turn: number): number => {
    const o = layout.synthetic;
    const before = Buffer.alloc(o.size);
    const same =
      synthetics.get(syntheticKey(address), before) &&
      before.readUInt32LE(o.name) === id &&
      before.readUInt32LE(o.turn) === turn;
    return same ? before.readUInt32LE(o.first) : 0;
  };

  const nameKeyOf = new Map<number, DomainName>();
  for (const { id, name } of namesIn(names)) nameKeyOf.set(id, name);
  /** A name that lost its id to another must not be taken for it when a client claims it. */
  const disown = (id: number, next: InstalledName): void => {
    const before = nameKeyOf.get(id);
    if (before === undefined || before === next.name) return;
    for (const { address } of next.synthetic) synthetics.delete(syntheticKey(address));
    names.delete(nameKey(before));
    nameKeyOf.delete(id);
  };

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
    apply(loaded, placement, installed = []) {
      const built = buildPlanTables(loaded, kernelTables(loaded), { ...placement, bootTimeOf });
      for (const { id, classes } of installed) {
        const rows = built.nameRows(classes);
        if (rows === undefined || !built.maps.name_rows.tryset(u32(id), rows)) {
          built.close();
          throw new Error('the plan has no room for what its rules say of the names in use');
        }
      }
      const next = 1 - slot;
      for (const name of Object.keys(built.maps) as PlanTableName[]) map(name).set(u32(next), u32(built.maps[name].fd));
      word.writeUInt32LE(limits.layout, layout.control.layout);
      const { switches } = layout.control;
      word.writeUInt32LE((word.readUInt32LE(switches) + 1) >>> 0, switches);
      word.writeUInt32LE(next, layout.control.slot);
      word.writeUInt32LE(1, layout.control.live);
      control.set(u32(0), word);
      // The outer maps hold the old tables until the next plan takes their slot, for packets that are under way.
      tables?.close();
      tables = built;
      slot = next;
      forgetUses();
    },
    install(installed, classes) {
      // The plan's rows first, the way to the name last: nothing is judged by half of it.
      disown(installed.id, installed);
      if (!setRows(installed.id, classes)) return false;
      nameKeyOf.set(installed.id, installed.name);
      if (!names.tryset(nameKey(installed.name), u32(installed.id))) return false;
      const o = layout.synthetic;
      for (const { address, turn } of installed.synthetic) {
        const real = installed.addresses
          .filter(({ family }) => family === address.family)
          .slice(0, limits.realAddresses);
        const bytes = Buffer.alloc(o.size);
        bytes.writeUInt32LE(installed.id, o.name);
        bytes.writeUInt32LE(real.length, o.count);
        bytes.writeUInt32LE(turn, o.turn);
        bytes.writeUInt32LE(installed.addresses.length > real.length ? 1 : 0, o.elsewhere);
        bytes.writeUInt32LE(placeThatAnswered(address, installed.id, turn), o.first);
        for (const [i, one] of real.entries()) addressBytes(one).copy(bytes, o.real + 16 * i);
        if (!synthetics.tryset(syntheticKey(address), bytes)) return false;
      }
      return true;
    },
    classify(id, name, classes) {
      return setRows(id, classes) && names.tryset(nameKey(name), u32(id));
    },
    standingNames() {
      const o = layout.synthetic;
      const standingAt = new Map<number, StandingName['synthetic'][number][]>();
      for (const { key, value } of entries(synthetics.fd, layout.synthetic_key.size, o.size)) {
        const family = key.readUInt32LE(layout.synthetic_key.family) === 6 ? 6 : 4;
        const id = value.readUInt32LE(o.name);
        const count = Math.min(value.readUInt32LE(o.count), limits.realAddresses);
        const addresses = Array.from({ length: count }, (_, i) => readAddress(value, o.real + 16 * i, family));
        const address = readAddress(key, layout.synthetic_key.address, family);
        standingAt.set(id, [...(standingAt.get(id) ?? []), { address, turn: value.readUInt32LE(o.turn), addresses }]);
      }
      return [...namesIn(names)].map(({ id, name }) => ({ id, name, synthetic: standingAt.get(id) ?? [] }));
    },
    unclaim(id, name) {
      const owner = u32(0);
      if (names.get(nameKey(name), owner) && owner.readUInt32LE(0) === id) names.delete(nameKey(name));
    },
    unclassify: (id) => void tables?.maps.name_rows.delete(u32(id)),
    namesInUse() {
      const ids = new Set<number>();
      for (const { value } of entries(flows.fd, layout.flow_key.size, layout.flow.size))
        for (const at of [layout.flow.name, layout.flow.claimed]) ids.add(value.readUInt32LE(at));
      return ids;
    },
    *flows() {
      for (const { key, value } of entries(flows.fd, layout.flow_key.size, layout.flow.size)) {
        const decoded = decodeFlowKey(key);
        yield { key: decoded, flow: decodeFlow(value, decoded.source.family) };
      }
    },
    forget: (key) => endFlow(key, 0),
    deny: (key, reason) => endFlow(key, reason),
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
    eventsLost() {
      const processors = Math.max(1, possibleProcessors());
      const size = layout.counters.size;
      const values = Buffer.alloc(size * processors);
      map('counts').get(u32(0), values);
      let lost = 0n;
      for (let i = 0; i < processors; i++) lost += values.readBigUInt64LE(i * size + layout.counters.events_lost);
      return lost;
    },
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
      const { size, dropped } = layout.counters;
      const values = Buffer.alloc(size * Math.max(1, possibleProcessors()));
      map('counts').get(u32(0), values);
      const sums = new Map<Reason, bigint>();
      for (const { number, code } of reasonTable) {
        let sum = 0n;
        for (let at = 0; at < values.length; at += size) sum += values.readBigUInt64LE(at + dropped + 8 * number);
        if (sum > 0n) sums.set(code, sum);
      }
      return sums;
    },
    programs: { fromAgent: object.programFd('from_agent'), toAgent: object.programFd('to_agent') },
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
