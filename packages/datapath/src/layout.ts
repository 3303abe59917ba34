import type { Address, DomainName, Family } from '@cofferdam/net';
import type { Fact, Stage } from '@cofferdam/verdict';
import { absent, unknown, unreadable } from '@cofferdam/verdict';

/**
 * The structures of ../bpf/layout.h, by byte offset. A test compares every size and offset here with the BTF of the compiled
 * program, so neither side can change alone. All numbers are little-endian but ports and addresses, which are as on the wire.
 */
export const layout = {
  bitmap: { size: 2600, words: 0, summary: 2560 },
  rule_word: {
    size: 80,
    enforced: 0,
    everything: 8,
    permit: 16,
    web: 24,
    any_web: 32,
    tls_required: 40,
    tls_absent: 48,
    needs_request: 56,
    needs_proxy: 64,
    to_public: 72,
  },
  rule_info: { size: 8, flags: 0 },
  plan_header: { size: 3088, revision: 0, flags: 4, words: 8, epochs: 12, epoch_from: 16, epoch_row: 2064 },
  control: { size: 20, slot: 0, live: 4, layout: 8, switches: 12, uplink: 16 },
  agent_key: { size: 24, ifindex: 0, family: 4, address: 8 },
  agent: { size: 32, holder: 0, id: 8, row: 12, flags: 16, mac: 20 },
  destination_key: { size: 24, bits: 0, family: 4, bytes: 5 },
  destination: { size: 8, row: 0, flags: 4 },
  port_page: { size: 1024, row: 0 },
  synthetic_key: { size: 20, family: 0, address: 4 },
  synthetic: { size: 148, name: 0, count: 4, turn: 8, first: 12, elsewhere: 16, real: 20 },
  name_rows: { size: 16, web: 0, sure: 4, host: 8, every: 12 },
  tracked_key: { size: 32, holder: 0, family: 8, address: 16 },
  name_set_key: { size: 8, set: 0, name: 4 },
  flow_key: {
    size: 44,
    ifindex: 0,
    family: 4,
    protocol: 5,
    source_port: 6,
    destination_port: 8,
    source: 12,
    destination: 28,
  },
  flow: {
    size: 200,
    start: 0,
    last: 8,
    first_byte: 16,
    bytes_out: 24,
    packets_out: 32,
    bytes_in: 40,
    packets_in: 48,
    generation: 56,
    real: 72,
    agent: 104,
    name: 108,
    claimed: 112,
    revision: 116,
    base: 120,
    judged_end: 124,
    client_ack: 128,
    server_base: 132,
    slot: 136,
    flags: 140,
    rule: 144,
    would_rule: 146,
    state: 148,
    reason: 149,
    stage: 150,
    tls: 151,
    claimed_state: 152,
    path: 153,
    would_verdict: 154,
    would_reason: 155,
    mac: 156,
  },
  event: { size: 512, kind: 0, name_length: 4, key: 8, flow: 56, name: 256 },
  quotas: { size: 40, flows: 0, hellos: 4, flow_interval: 8, flow_burst: 16, event_interval: 24, event_burst: 32 },
  agent_use: { size: 32, flows: 0, hellos: 4, flows_full_at: 8, events_full_at: 16, untold: 24 },
  dns_client: { size: 24, ifindex: 0, family: 4, protocol: 5, port: 6, address: 8 },
  flow_request: { size: 48, key: 0, reason: 44 },
  rule_hits: { size: 32, permitted: 0, denied: 8, would_deny: 16, last: 24 },
  counters: { size: 2064, events_lost: 0, fast: 8, dropped: 16 },
} as const;

export const limits = {
  ruleWords: 320,
  summaryWords: 5,
  epochs: 256,
  realAddresses: 8,
  nameBytes: 256,
  helloSlots: 1024,
  portPage: 256,
  portPages: 2 * 256 + 1,
  ruleDefault: 0xffff,
  layout: 4,
  agentKeys: 131_072,
} as const;

export const planFlag = { monitored: 1, namesOpen: 2, runMonitored: 4, track: 8, own: 16 } as const;
export const agentFlag = { monitored: 1, macKnown: 2 } as const;
export const kernelRuleFlag = { drops: 1, refusesEch: 2 } as const;
export const poolFlag = 16;
export const row = { empty: 0, noName: 1, unknownName: 2, deniesByName: 3 } as const;
/** Rows that every plan has. */
export const fixedRows = 4;

export const flowState = { none: 0, pending: 1, binding: 2, permitted: 3, denied: 4, proxied: 5 } as const;
export const flowFlag = {
  synAnswered: 0x1,
  serverSpoke: 0x2,
  clientFin: 0x4,
  serverFin: 0x8,
  reset: 0x10,
  plainHttp: 0x40,
  ech: 0x800,
} as const;
export const eventKind = { verdict: 1, denied: 2, nameMiss: 3, end: 4 } as const;

const protocolNumber = { tcp: 6, udp: 17, icmp: 1 } as const;
export const protocolNames: ReadonlyMap<number, 'tcp' | 'udp' | 'icmp'> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
  [1, 'icmp'],
]);

export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};

/** 16 bytes; an IPv4 address takes the first four. */
export const addressBytes = (address: Address): Buffer => {
  const bytes = Buffer.alloc(16);
  writeAddress(bytes, 0, address);
  return bytes;
};

const writeAddress = (bytes: Buffer, at: number, { family, value }: Address): void => {
  if (family === 4) bytes.writeUInt32BE(Number(value), at);
  else {
    bytes.writeBigUInt64BE(value >> 64n, at);
    bytes.writeBigUInt64BE(BigInt.asUintN(64, value), at + 8);
  }
};

/** Reads numbers of 64 bits faster than a buffer does. */
export const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

export const readAddress = (bytes: Buffer, at: number, family: Family): Address =>
  family === 4
    ? { family, value: BigInt(bytes.readUInt32BE(at)) }
    : { family, value: (bytes.readBigUInt64BE(at) << 64n) | bytes.readBigUInt64BE(at + 8) };

export const agentKey = (ifindex: number, address: Address): Buffer => {
  const o = layout.agent_key;
  const key = Buffer.alloc(o.size);
  key.writeUInt32LE(ifindex, o.ifindex);
  key.writeUInt32LE(address.family, o.family);
  addressBytes(address).copy(key, o.address);
  return key;
};

export const destinationKey = (family: Family, bytes: Uint8Array, length: number): Buffer => {
  const o = layout.destination_key;
  const key = Buffer.alloc(o.size);
  key.writeUInt32LE(8 + length, o.bits);
  key[o.family] = family;
  key.set(bytes, o.bytes);
  return key;
};

export const syntheticKey = (address: Address): Buffer => {
  const o = layout.synthetic_key;
  const key = Buffer.alloc(o.size);
  key.writeUInt32LE(address.family, o.family);
  addressBytes(address).copy(key, o.address);
  return key;
};

/** `holder`: see `holderOf`. */
export const trackedKey = (holder: bigint, address: Address): Buffer => {
  const o = layout.tracked_key;
  const key = Buffer.alloc(o.size);
  key.writeBigUInt64LE(holder, o.holder);
  key.writeUInt32LE(address.family, o.family);
  addressBytes(address).copy(key, o.address);
  return key;
};

export const nameSetKey = (set: number, name: number): Buffer => {
  const o = layout.name_set_key;
  const key = Buffer.alloc(o.size);
  key.writeUInt32LE(set, o.set);
  key.writeUInt32LE(name, o.name);
  return key;
};

export const nameKey = (name: DomainName): Buffer => {
  const key = Buffer.alloc(limits.nameBytes);
  key.write(name, 'ascii');
  return key;
};

/** What every agent may take of what all share; 0: as much as there is. */
export interface Quotas {
  /** Live flows, and hellos that are kept while they are read. */
  readonly flows: number;
  readonly hellos: number;
  /** New flows a second, and how many can be saved up. */
  readonly flowRate: number;
  readonly flowBurst: number;
  /** The same for denials that user space is told of. */
  readonly eventRate: number;
  readonly eventBurst: number;
}

const interval = (rate: number): bigint => (rate === 0 ? 0n : BigInt(Math.ceil(1e9 / rate)));

export const encodeQuotas = (quotas: Quotas): Buffer => {
  const o = layout.quotas;
  const bytes = Buffer.alloc(o.size);
  const [flow, event] = [interval(quotas.flowRate), interval(quotas.eventRate)];
  bytes.writeUInt32LE(quotas.flows, o.flows);
  bytes.writeUInt32LE(quotas.hellos, o.hellos);
  bytes.writeBigUInt64LE(flow, o.flow_interval);
  bytes.writeBigUInt64LE(flow * BigInt(Math.max(0, quotas.flowBurst - 1)), o.flow_burst);
  bytes.writeBigUInt64LE(event, o.event_interval);
  bytes.writeBigUInt64LE(event * BigInt(Math.max(0, quotas.eventBurst - 1)), o.event_burst);
  return bytes;
};

/** What one agent has taken. */
export interface AgentUse {
  readonly ifindex: number;
  /** Undefined: what no agent of the interface sent. */
  readonly address: Address | undefined;
  readonly flows: number;
  readonly hellos: number;
  /** Denials that user space was not told of, ever. */
  readonly untold: bigint;
}

export const decodeUse = (key: Buffer, value: Buffer): AgentUse => {
  const [k, v] = [layout.agent_key, layout.agent_use];
  const family = key.readUInt32LE(k.family);
  return {
    ifindex: key.readUInt32LE(k.ifindex),
    address: family === 0 ? undefined : readAddress(key, k.address, family === 6 ? 6 : 4),
    flows: value.readUInt32LE(v.flows),
    hellos: value.readUInt32LE(v.hellos),
    untold: value.readBigUInt64LE(v.untold),
  };
};

/** Who asked the DNS filter. */
export interface DnsClientKey {
  readonly ifindex: number;
  readonly protocol: 'tcp' | 'udp';
  readonly address: Address;
  readonly port: number;
}

export const encodeDnsClient = (client: DnsClientKey): Buffer => {
  const o = layout.dns_client;
  const key = Buffer.alloc(o.size);
  key.writeUInt32LE(client.ifindex, o.ifindex);
  key[o.family] = client.address.family;
  key[o.protocol] = protocolNumber[client.protocol];
  key.writeUInt16BE(client.port, o.port);
  addressBytes(client.address).copy(key, o.address);
  return key;
};

/** A flow by its ends, as the agent writes them. Ports of icmp: the echo identifier, and 0. */
export interface FlowKey {
  readonly ifindex: number;
  readonly protocol: 'tcp' | 'udp' | 'icmp' | number;
  readonly source: Address;
  readonly sourcePort: number;
  readonly destination: Address;
  readonly destinationPort: number;
}

export const encodeFlowKey = (flow: FlowKey): Buffer => {
  const o = layout.flow_key;
  const key = Buffer.alloc(o.size);
  key.writeUInt32LE(flow.ifindex, o.ifindex);
  key[o.family] = flow.source.family;
  key[o.protocol] = typeof flow.protocol === 'number' ? flow.protocol : protocolNumber[flow.protocol];
  key.writeUInt16BE(flow.sourcePort, o.source_port);
  key.writeUInt16BE(flow.destinationPort, o.destination_port);
  writeAddress(key, o.source, flow.source);
  writeAddress(key, o.destination, flow.destination);
  return key;
};

export const decodeFlowKey = (bytes: Buffer): FlowKey => {
  const o = layout.flow_key;
  // A packet that could not be read may have no family: it is shown as IPv4.
  const family: Family = bytes[o.family] === 6 ? 6 : 4;
  const number = bytes[o.protocol]!;
  return {
    ifindex: bytes.readUInt32LE(o.ifindex),
    protocol: protocolNames.get(number) ?? number,
    source: readAddress(bytes, o.source, family),
    sourcePort: bytes.readUInt16BE(o.source_port),
    destination: readAddress(bytes, o.destination, family),
    destinationPort: bytes.readUInt16BE(o.destination_port),
  };
};

const factStates: readonly Fact<true>[] = [unknown, absent, unreadable, { state: 'known', value: true }];
const stages: readonly Stage[] = ['packet', 'name', 'request'];
const wouldVerdicts = [undefined, 'permit', 'deny', 'unknown'] as const;

/** What the kernel holds of a flow. Times are nanoseconds since boot. */
export interface KernelFlow {
  readonly start: bigint;
  readonly last: bigint;
  readonly firstByte: bigint;
  readonly toDestination: { readonly bytes: bigint; readonly packets: bigint };
  readonly toAgent: { readonly bytes: bigint; readonly packets: bigint };
  readonly real: Address;
  readonly agent: number;
  /** Id of the address name, or of the set of them; 0: none. */
  readonly name: number;
  readonly revision: number;
  readonly flags: number;
  /** Undefined: the default. */
  readonly rule: number | undefined;
  readonly wouldRule: number | undefined;
  readonly wouldVerdict: 'permit' | 'deny' | 'unknown' | undefined;
  readonly wouldReason: number;
  readonly state: number;
  readonly reason: number;
  readonly stage: Stage;
  readonly tls: Fact<true>;
  readonly claimed: Fact<true>;
  /** 1 + index of the hello it holds; 0: none. */
  readonly slot: number;
}

const ruleOf = (value: number): number | undefined => (value === limits.ruleDefault ? undefined : value);

export const decodeFlow = (bytes: Buffer, family: Family): KernelFlow => {
  const o = layout.flow;
  const view = viewOf(bytes);
  const u64 = (at: number): bigint => view.getBigUint64(at, true);
  return {
    start: u64(o.start),
    last: u64(o.last),
    firstByte: u64(o.first_byte),
    toDestination: { bytes: u64(o.bytes_out), packets: u64(o.packets_out) },
    toAgent: { bytes: u64(o.bytes_in), packets: u64(o.packets_in) },
    real: readAddress(bytes, o.real, family),
    agent: bytes.readUInt32LE(o.agent),
    name: bytes.readUInt32LE(o.name),
    revision: bytes.readUInt32LE(o.revision),
    flags: bytes.readUInt32LE(o.flags),
    rule: ruleOf(bytes.readUInt16LE(o.rule)),
    wouldRule: ruleOf(bytes.readUInt16LE(o.would_rule)),
    wouldVerdict: wouldVerdicts[bytes[o.would_verdict]!],
    wouldReason: bytes[o.would_reason]!,
    state: bytes[o.state]!,
    reason: bytes[o.reason]!,
    stage: stages[bytes[o.stage]!] ?? 'packet',
    tls: factStates[bytes[o.tls]!] ?? unknown,
    claimed: factStates[bytes[o.claimed_state]!] ?? unknown,
    slot: bytes.readUInt32LE(o.slot),
  };
};

/** The bytes of a key, each a character: tells flows apart at less cost than what they say. */
export const flowId = (bytes: Buffer, at = 0): string => bytes.toString('latin1', at, at + layout.flow_key.size);

export interface KernelEvent {
  readonly kind: number;
  /** See {@link flowId}. */
  readonly id: string;
  readonly key: FlowKey;
  readonly flow: KernelFlow;
  /** The claimed name as it was read, folded to lower case; empty: none. */
  readonly name: string;
}

export const decodeEvent = (bytes: Buffer): KernelEvent => {
  const o = layout.event;
  const key = decodeFlowKey(bytes.subarray(o.key, o.key + layout.flow_key.size));
  const length = Math.min(bytes.readUInt32LE(o.name_length), 253);
  return {
    kind: bytes.readUInt32LE(o.kind),
    id: flowId(bytes, o.key),
    key,
    flow: decodeFlow(bytes.subarray(o.flow, o.flow + layout.flow.size), key.source.family),
    name: bytes.toString('latin1', o.name, o.name + length),
  };
};
