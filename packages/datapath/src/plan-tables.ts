import { addressFromBytes, addressToBytes, type Prefix, parsePrefix, prefixCovers, prefixOf } from '@cofferdam/net';
import { destinationFlag, type KernelTables, type LoadedPlan, type NameSetClass, ruleFlag } from '@cofferdam/plan';
import { holderOf } from './holder.ts';
import {
  agentFlag,
  agentKey,
  destinationKey,
  kernelRuleFlag,
  layout,
  limits,
  planFlag,
  poolFlag,
  u32,
} from './layout.ts';
import { BPF_F_INNER_MAP, BPF_F_NO_PREALLOC, createMap, type KernelMap, MapType } from './libbpf.ts';
import { closeDescriptor } from './libc.ts';
import { kernelRow, type MakeMap, openRowTable } from './row-table.ts';

/** What the rules of a plan say of a name, or of a set of names together. */
export interface ClassifiedName {
  readonly id: number;
  readonly classes: NameSetClass;
}

/** The inner maps of one plan. They live as long as the outer maps or this process hold them. */
export interface PlanTables {
  readonly maps: Readonly<Record<PlanTableName, KernelMap>>;
  /** Says what the rules say of a name, or of a set of names. False: there is no room. */
  setName(id: number, classes: NameSetClass): boolean;
  /** Gives up this process's hold of the maps. */
  close(): void;
}

export type PlanTableName =
  | 'rows'
  | 'rule_words'
  | 'rule_infos'
  | 'headers'
  | 'agents'
  | 'destinations'
  | 'ports'
  | 'name_rows';

export interface PlanPlacement {
  /** Interface index of every agent interface that the plan names; '' where an agent names none. */
  readonly ifindexes: (name: string | undefined) => readonly number[];
  /** Prefixes of the synthetic pools. */
  readonly pools: readonly string[];
  /** Prefixes that hold the gateway's own addresses, pools among them: whatever else is in them is the gateway's. */
  readonly own: readonly string[];
  /** Boot time in nanoseconds of a moment in milliseconds since the epoch. */
  readonly bootTimeOf: (ms: number) => bigint;
}

/**
 * Lays a plan into fresh kernel maps, with what its rules say of the names that are in use. Nothing refers to them yet, so a failure half way
 * changes and leaves nothing.
 */
export const buildPlanTables = (
  loaded: LoadedPlan,
  tables: KernelTables,
  place: PlanPlacement,
  names: readonly ClassifiedName[],
): PlanTables => {
  const made: KernelMap[] = [];
  const close = (): void => {
    for (const { fd } of made) closeDescriptor(fd);
  };
  const make: MakeMap = (shape) => {
    const map = createMap(shape);
    made.push(map);
    return map;
  };
  try {
    return { ...layPlan(loaded, tables, place, names, make), close };
  } catch (e) {
    close();
    throw e;
  }
};

const layPlan = (
  loaded: LoadedPlan,
  tables: KernelTables,
  place: PlanPlacement,
  names: readonly ClassifiedName[],
  make: MakeMap,
): Omit<PlanTables, 'close'> => {
  if (tables.words > limits.ruleWords)
    throw new Error(`the plan has ${loaded.plan.rules.length} rules, the kernel takes ${limits.ruleWords * 64}`);
  const rows = openRowTable(
    loaded,
    tables,
    names.map(({ classes }) => classes),
    make,
  );
  const maps = {
    rows: rows.map,
    rule_words: ruleWords(loaded, make),
    rule_infos: ruleInfos(tables, make),
    headers: header(loaded, tables, place, make),
    agents: agents(tables, place, make),
    destinations: destinations(tables, place, make),
    ports: ports(tables, make),
    name_rows: make({
      type: MapType.hash,
      name: 'name_rows',
      keySize: 4,
      valueSize: layout.name_rows.size,
      entries: 65536,
      flags: BPF_F_NO_PREALLOC,
    }),
  };
  const setName = (id: number, classes: NameSetClass): boolean => {
    const value = rows.ofName(classes);
    return value !== undefined && maps.name_rows.tryset(u32(id), value);
  };
  if (!names.every(({ id, classes }) => setName(id, classes)))
    throw new Error('the plan has no room for what its rules say of the names in use');
  return { maps, setName };
};

const ruleWords = (loaded: LoadedPlan, make: MakeMap): KernelMap => {
  const o = layout.rule_word;
  const map = make({
    type: MapType.array,
    name: 'rule_words',
    keySize: 4,
    valueSize: o.size,
    entries: limits.ruleWords,
    flags: 0,
  });
  const p = loaded.properties;
  const enforced = loaded.plan.monitored ? loaded.none : p.enforced;
  const fields: readonly (readonly [number, Uint32Array])[] = [
    [o.enforced, enforced],
    [o.permit, p.permit],
    [o.web, p.web],
    [o.any_web, p.anyWeb],
    [o.tls_required, p.tlsRequired],
    [o.tls_absent, p.tlsAbsent],
    [o.needs_request, p.needsRequest],
    [o.needs_proxy, p.needsProxy],
    [o.to_public, p.toPublic],
  ];
  for (let word = 0; word * 2 < loaded.words; word++) {
    const bytes = Buffer.alloc(o.size);
    for (const half of [0, 1]) {
      const w = 2 * word + half;
      for (const [at, bits] of fields) bytes.writeUInt32LE(bits[w]!, at + 4 * half);
      bytes.writeUInt32LE((p.enforced[w]! | p.monitored[w]!) >>> 0, o.everything + 4 * half);
    }
    map.set(u32(word), bytes);
  }
  return map;
};

const ruleInfos = (tables: KernelTables, make: MakeMap): KernelMap => {
  const o = layout.rule_info;
  const map = make({
    type: MapType.array,
    name: 'rule_infos',
    keySize: 4,
    valueSize: o.size,
    entries: Math.max(1, tables.ruleFlags.length),
    flags: BPF_F_INNER_MAP,
  });
  const count = tables.ruleFlags.length;
  const values = Buffer.alloc(o.size * count);
  for (const [rule, flags] of tables.ruleFlags.entries()) {
    const drops = flags & ruleFlag.reject ? 0 : kernelRuleFlag.drops;
    values.writeUInt32LE(drops | (flags & ruleFlag.refuseEch ? kernelRuleFlag.refusesEch : 0), o.size * rule + o.flags);
  }
  map.setAll(new Uint8Array(Uint32Array.from({ length: count }, (_, i) => i).buffer), values, count);
  return map;
};

/** Whether a deny may hold a claimed name that was never classified, so that it has to be asked about. Exact names too: nobody installs them. */
const namesAreOpen = (loaded: LoadedPlan): boolean =>
  loaded.plan.rules.some(
    ({ action, web, mode }) =>
      action === 'deny' && mode !== 'disabled' && web !== undefined && (web.domains.length > 0 || web.urls.length > 0),
  );

const modeFlag = { synthetic: 0, track: planFlag.track, own: planFlag.own } as const;

const header = (loaded: LoadedPlan, tables: KernelTables, place: PlanPlacement, make: MakeMap): KernelMap => {
  const o = layout.plan_header;
  const map = make({ type: MapType.array, name: 'headers', keySize: 4, valueSize: o.size, entries: 1, flags: 0 });
  const bytes = Buffer.alloc(o.size);
  bytes.writeUInt32LE(tables.revision, o.revision);
  bytes.writeUInt32LE(
    (loaded.hasMonitored ? planFlag.monitored : 0) |
      (namesAreOpen(loaded) ? planFlag.namesOpen : 0) |
      (tables.monitored ? planFlag.runMonitored : 0) |
      modeFlag[tables.dnsMode],
    o.flags,
  );
  bytes.writeUInt32LE(tables.words, o.words);
  if (tables.epochs.length > limits.epochs)
    throw new Error(`the plan has ${tables.epochs.length} epochs, the kernel takes ${limits.epochs}`);
  bytes.writeUInt32LE(tables.epochs.length, o.epochs);
  for (const [i, epoch] of tables.epochs.entries()) {
    bytes.writeBigUInt64LE(i === 0 ? 0n : place.bootTimeOf(epoch.from), o.epoch_from + 8 * i);
    bytes.writeUInt32LE(kernelRow(epoch.row), o.epoch_row + 4 * i);
  }
  map.set(u32(0), bytes);
  return map;
};

const agents = (tables: KernelTables, place: PlanPlacement, make: MakeMap): KernelMap => {
  const o = layout.agent;
  const map = make({
    type: MapType.hash,
    name: 'agents',
    keySize: layout.agent_key.size,
    valueSize: o.size,
    entries: limits.agentKeys,
    flags: BPF_F_NO_PREALLOC,
  });
  // Rows without an interface first: a row that names one counts before them.
  const inOrder = [...tables.agents].sort(
    (a, b) => Number(a.interface !== undefined) - Number(b.interface !== undefined),
  );
  for (const agent of inOrder) {
    const bytes = Buffer.alloc(o.size);
    bytes.writeBigUInt64LE(holderOf(agent.name), o.holder);
    bytes.writeUInt32LE(agent.agent, o.id);
    bytes.writeUInt32LE(kernelRow(agent.row), o.row);
    bytes.writeUInt32LE(
      (agent.monitored ? agentFlag.monitored : 0) | (agent.mac === undefined ? 0 : agentFlag.macKnown),
      o.flags,
    );
    if (agent.mac !== undefined) Buffer.from(agent.mac.replaceAll(':', ''), 'hex').copy(bytes, o.mac);
    // On interface 0, where no packet comes from: whether an address is an agent's at all.
    for (const ifindex of [0, ...place.ifindexes(agent.interface)]) map.set(agentKey(ifindex, agent.address), bytes);
  }
  return map;
};

const destinations = (tables: KernelTables, place: PlanPlacement, make: MakeMap): KernelMap => {
  const o = layout.destination;
  const map = make({
    type: MapType.lpmTrie,
    name: 'destinations',
    keySize: layout.destination_key.size,
    valueSize: o.size,
    entries: 1048576,
    flags: BPF_F_NO_PREALLOC,
  });
  const value = (planRow: number, flags: number): Buffer => {
    const bytes = Buffer.alloc(o.size);
    bytes.writeUInt32LE(kernelRow(planRow), o.row);
    bytes.writeUInt32LE(flags, o.flags);
    return bytes;
  };
  const none = tables.destinationClasses[0]!;
  map.set(destinationKey(4, new Uint8Array(4), 0), value(none.row, none.flags));
  map.set(destinationKey(6, new Uint8Array(16), 0), value(none.row, none.flags));
  const parse = (text: string): Prefix => {
    const parsed = parsePrefix(text);
    if (!parsed.ok) throw new Error(parsed.error.message);
    return parsed.value;
  };
  const [own, pools] = [place.own.map(parse), place.pools.map(parse)];
  const ours: readonly (readonly [Prefix, number])[] = [
    ...own.map((prefix) => [prefix, destinationFlag.gateway] as const),
    ...pools.map((prefix) => [prefix, poolFlag] as const),
  ];
  for (const [{ address, length }, flag] of ours)
    map.set(destinationKey(address.family, addressToBytes(address), length), value(0, flag));
  for (const prefix of tables.destinations) {
    const found = tables.destinationClasses[prefix.class]!;
    // Addresses of a pool stand for names and are judged by what they stand for, whatever a `cidr` says of them.
    const written = prefixOf(addressFromBytes(prefix.bytes), prefix.length);
    const isOurs = ours.some(([one]) => prefixCovers(one, written));
    if (isOurs && (found.flags & destinationFlag.gateway) === 0) continue;
    map.set(destinationKey(prefix.family, prefix.bytes, prefix.length), value(found.row, found.flags));
  }
  return map;
};

const ports = (tables: KernelTables, make: MakeMap): KernelMap => {
  const map = make({
    type: MapType.array,
    name: 'ports',
    keySize: 4,
    valueSize: layout.port_page.size,
    entries: limits.portPages,
    flags: 0,
  });
  const keys = Uint32Array.from({ length: limits.portPages }, (_, i) => i);
  const values = new Uint32Array(limits.portPages * limits.portPage);
  values.set(tables.tcp.map(kernelRow), 0);
  values.set(tables.udp.map(kernelRow), 65536);
  values[131072] = kernelRow(tables.icmp);
  map.setAll(new Uint8Array(keys.buffer), new Uint8Array(values.buffer), limits.portPages);
  return map;
};
