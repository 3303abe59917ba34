import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Address, DomainName } from '@cofferdam/net';
import { kernelTables, type LoadedPlan, type NameClass } from '@cofferdam/plan';
import {
  addressBytes,
  decodeEvent,
  decodeFlow,
  decodeFlowKey,
  encodeFlowKey,
  type FlowKey,
  flowState,
  type KernelEvent,
  type KernelFlow,
  layout,
  limits,
  nameKey,
  syntheticKey,
} from './layout.ts';
import { attachTc, type BpfObject, entries, type KernelMap, loadBpfObject, openRing, quietLibbpf } from './libbpf.ts';
import { bootTime, closeDescriptor, interfaceIndex } from './libc.ts';
import { buildPlanTables, type PlanPlacement, type PlanTableName, type PlanTables } from './plan-tables.ts';

/** Where `make build` puts the compiled program. */
export const kernelObjectFile = fileURLToPath(new URL('../../../build/cofferdam.bpf.o', import.meta.url));

/** A name as the kernel keeps it across plans. */
export interface InstalledName {
  readonly id: number;
  readonly name: DomainName;
  readonly synthetic: readonly Address[];
  /** Real addresses of both families, in the order of dialling; at most 8 of each family count. */
  readonly addresses: readonly Address[];
}

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
  /**
   * Builds a plan's tables beside those in force and switches to them in one step. `names`: all that are installed, classified by
   * this plan. Throws, and changes nothing, where the plan does not fit.
   */
  apply(plan: LoadedPlan, placement: Omit<PlanPlacement, 'bootTimeOf'>, names?: readonly ClassifiedName[]): void;
  /** Makes a name known. False: there is no room for what the rules say of it. */
  install(name: InstalledName, classes: NameClass): boolean;
  /** Classifies a name that a client claimed and that stands for no address. False: there is no room. */
  classify(id: number, name: DomainName, classes: NameClass): boolean;
  flows(): Generator<{ readonly key: FlowKey; readonly flow: KernelFlow }>;
  /** Forgets a flow and gives its hello back. */
  forget(key: FlowKey): void;
  /** Marks a flow as denied; its next packet is rejected. */
  deny(key: FlowKey, reason: number): void;
  /** Hands all waiting events to the receiver given at the start. */
  poll(): number;
  eventsLost(): bigint;
  readonly programs: { readonly fromAgent: number; readonly toAgent: number };
  readonly object: BpfObject;
  close(): void;
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};

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
): Kernel => {
  quietLibbpf();
  const object = loadBpfObject(objectFile, sizes);
  const map = (name: string): KernelMap => object.map(name);
  const control = map('control');
  const synthetics = map('synthetics');
  const names = map('names');
  const flows = map('flows');
  const freeHellos = map('free_hellos');
  for (let i = 0; i < (sizes.free_hellos ?? limits.helloSlots); i++) freeHellos.set(Buffer.alloc(0), u32(i));
  const ring = openRing(map('events').fd, (sample) => receive(decodeEvent(sample)));
  let tables: PlanTables | undefined;
  let slot = 1;

  const setRows = (id: number, classes: NameClass): boolean => {
    if (tables === undefined) return false;
    const rows = tables.nameRows(classes);
    return rows !== undefined && tables.maps.name_rows.tryset(u32(id), rows);
  };

  const forget = (key: FlowKey): void => {
    const bytes = encodeFlowKey(key);
    const value = Buffer.alloc(layout.flow.size);
    if (!flows.get(bytes, value)) return;
    const held = value.readUInt32LE(layout.flow.slot);
    if (flows.delete(bytes) && held !== 0) freeHellos.set(Buffer.alloc(0), u32(held - 1));
  };

  return {
    attach(interfaceName) {
      const ifindex = interfaceIndex(interfaceName);
      if (ifindex === 0) throw new Error(`no interface \`${interfaceName}\` here`);
      attachTc(ifindex, 'ingress', object.programFd('from_agent'));
      attachTc(ifindex, 'egress', object.programFd('to_agent'));
      return ifindex;
    },
    apply(loaded, placement, installed = []) {
      const built = buildPlanTables(loaded, kernelTables(loaded), { ...placement, bootTimeOf });
      for (const { id, classes } of installed) {
        const rows = built.nameRows(classes);
        if (rows === undefined) throw new Error('the plan has no room for what its rules say of the names in use');
        built.maps.name_rows.set(u32(id), rows);
      }
      const next = 1 - slot;
      for (const name of Object.keys(built.maps) as PlanTableName[]) map(name).set(u32(next), u32(built.maps[name].fd));
      const word = Buffer.alloc(layout.control.size);
      word.writeUInt32LE(next, layout.control.slot);
      word.writeUInt32LE(1, layout.control.live);
      control.set(u32(0), word);
      // The outer maps hold the old tables until the next plan takes their slot, for packets that are under way.
      if (tables !== undefined) for (const { fd } of Object.values(tables.maps)) closeDescriptor(fd);
      tables = built;
      slot = next;
    },
    install(installed, classes) {
      // The plan's rows first, the way to the name last: nothing is judged by half of it.
      if (!setRows(installed.id, classes)) return false;
      if (!names.tryset(nameKey(installed.name), u32(installed.id))) return false;
      const o = layout.synthetic;
      for (const address of installed.synthetic) {
        const real = installed.addresses
          .filter(({ family }) => family === address.family)
          .slice(0, limits.realAddresses);
        const bytes = Buffer.alloc(o.size);
        bytes.writeUInt32LE(installed.id, o.name);
        bytes.writeUInt32LE(real.length, o.count);
        for (const [i, one] of real.entries()) addressBytes(one).copy(bytes, o.real + 16 * i);
        if (!synthetics.tryset(syntheticKey(address), bytes)) return false;
      }
      return true;
    },
    classify(id, name, classes) {
      return setRows(id, classes) && names.tryset(nameKey(name), u32(id));
    },
    *flows() {
      for (const { key, value } of entries(flows.fd, layout.flow_key.size, layout.flow.size)) {
        const decoded = decodeFlowKey(key);
        yield { key: decoded, flow: decodeFlow(value, decoded.source.family) };
      }
    },
    forget,
    deny(key, reason) {
      const bytes = encodeFlowKey(key);
      const value = Buffer.alloc(layout.flow.size);
      if (!flows.get(bytes, value)) return;
      value[layout.flow.state] = flowState.denied;
      value[layout.flow.reason] = reason;
      flows.set(bytes, value);
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
