import {
  type Address,
  type DomainName,
  type Family,
  type PathPattern,
  parseAddress,
  parsePathPattern,
  parsePrefix,
} from '@cofferdam/net';
import { type Bitmap, decodeBitmap, emptyBitmap, wordsFor } from './bitmap.ts';
import { buildLpm, type Lpm } from './lpm.ts';
import type { DestinationKind, Plan, PlanPortRange, PlanProperties } from './model.ts';
import { buildNameIndex, type NameClass, type NameIndex, type NameSetClass } from './name-classes.ts';

/** One address of an agent. */
export interface AgentAddress {
  /** Place in `agents` of the plan. */
  readonly agent: number;
  readonly name: string;
  readonly address: Address;
  /** Absent: any agent interface. */
  readonly interface?: string;
  readonly mac?: string;
  readonly class: number;
  /** Containment of the agent itself; a whole run may be monitored beside. */
  readonly monitored: boolean;
}

export interface LoadedDestinationClass {
  readonly to: Bitmap;
  readonly kind: DestinationKind;
  readonly public: boolean;
  readonly contained: boolean;
}

/** Conditions of a rule that are compared one by one, parsed. */
export interface RequestConditions {
  readonly methods?: ReadonlySet<string>;
  readonly paths?: readonly PathPattern[];
  readonly mcp?: { readonly methods?: ReadonlySet<string>; readonly tools?: ReadonlySet<string> };
}

/** A plan made ready to decide with. Nothing here changes after it was made but the names that were classified, which are kept for speed. */
export interface LoadedPlan {
  readonly plan: Plan;
  /** 32-bit words of every bitmap; even. */
  readonly words: number;
  readonly agents: readonly AgentAddress[];
  /** By interface (empty: any), family and address. */
  readonly agentsByInterface: ReadonlyMap<string, Readonly<Record<Family, ReadonlyMap<bigint, AgentAddress>>>>;
  readonly agentClasses: readonly { readonly from: Bitmap; readonly monitored: boolean }[];
  readonly destinations: Lpm;
  readonly destinationClasses: readonly LoadedDestinationClass[];
  readonly portClasses: readonly Bitmap[];
  /** Class of every port. */
  readonly tcp: Uint32Array;
  readonly udp: Uint32Array;
  readonly icmp: number;
  readonly epochs: readonly { readonly from: number; readonly active: Bitmap }[];
  readonly properties: { readonly [K in keyof PlanProperties]: Bitmap };
  readonly none: Bitmap;
  /** Of the bitmaps of agents and ports: places of their words that are not zero, so that a walk skips the others. */
  readonly filled: ReadonlyMap<Bitmap, Uint16Array>;
  readonly names: NameIndex;
  /** By rule; only rules with `http` or `mcp`. */
  readonly requests: ReadonlyMap<number, RequestConditions>;
  /** Whether any rule is monitored, so that flows have a would-be verdict. */
  readonly hasMonitored: boolean;
}

/**
 * Throws where the plan is not valid: `validatePlan` comes first for everything that was read from a disk or a network. What `compile`
 * returns is valid.
 */
export const loadPlan = (plan: Plan): LoadedPlan => {
  const words = wordsFor(plan.rules.length);
  const decoded = new Map<string, Bitmap>();
  const bits = (text: string): Bitmap => {
    const before = decoded.get(text);
    if (before !== undefined) return before;
    const made = must(decodeBitmap(text, plan.rules.length), 'bitmap', text);
    decoded.set(text, made);
    return made;
  };
  const agents = plan.agents.flatMap((agent, i) =>
    agent.addresses.map(
      (row): AgentAddress => ({
        agent: i,
        name: agent.name,
        address: must(parseAddress(row.address), 'address', row.address),
        ...(agent.interface === undefined ? {} : { interface: agent.interface }),
        ...(agent.mac === undefined ? {} : { mac: agent.mac }),
        class: row.class,
        monitored: plan.agentClasses[row.class]!.monitored,
      }),
    ),
  );
  const { properties } = plan;
  const agentClasses = plan.agentClasses.map(({ from, monitored }) => ({ from: bits(from), monitored }));
  const portClasses = plan.portClasses.map(bits);
  return {
    plan,
    words,
    agents,
    agentsByInterface: byInterface(agents),
    agentClasses,
    destinations: buildLpm(
      plan.destinations.map(({ prefix, class: value }) => ({ prefix: prefixOf(prefix), value })),
      0,
    ),
    destinationClasses: plan.destinationClasses.map((entry) => ({ ...entry, to: bits(entry.to) })),
    portClasses,
    tcp: spread(plan.ports.tcp),
    udp: spread(plan.ports.udp),
    icmp: plan.ports.icmp,
    epochs: plan.epochs.map(({ from, active }) => ({ from, active: bits(active) })),
    properties: {
      enforced: bits(properties.enforced),
      monitored: bits(properties.monitored),
      permit: bits(properties.permit),
      web: bits(properties.web),
      denyWeb: bits(properties.denyWeb),
      anyWeb: bits(properties.anyWeb),
      tlsRequired: bits(properties.tlsRequired),
      tlsAbsent: bits(properties.tlsAbsent),
      needsRequest: bits(properties.needsRequest),
      needsProxy: bits(properties.needsProxy),
      toPublic: bits(properties.toPublic),
    },
    none: emptyBitmap(words),
    filled: new Map([...agentClasses.map(({ from }) => from), ...portClasses].map((row) => [row, filledWords(row)])),
    names: buildNameIndex(plan, words),
    requests: requestConditions(plan),
    hasMonitored: plan.rules.some(({ mode }) => mode === 'monitor'),
  };
};

const filledWords = (row: Bitmap): Uint16Array => {
  const places: number[] = [];
  for (let w = 0; w < row.length; w++) if (row[w] !== 0) places.push(w);
  return Uint16Array.from(places);
};

const must = <T>(value: T | undefined, what: string, text: string): T => {
  if (value === undefined) throw new Error(`the plan holds an invalid ${what}: \`${text.slice(0, 100)}\``);
  return value;
};

const prefixOf = (text: string) => {
  const parsed = parsePrefix(text);
  return must(parsed.ok ? parsed.value : undefined, 'prefix', text);
};

const byInterface = (agents: readonly AgentAddress[]): LoadedPlan['agentsByInterface'] => {
  const found = new Map<string, Record<Family, Map<bigint, AgentAddress>>>();
  for (const row of agents) {
    const key = row.interface ?? '';
    const rows = found.get(key) ?? { 4: new Map(), 6: new Map() };
    rows[row.address.family].set(row.address.value, row);
    found.set(key, rows);
  }
  return found;
};

const spread = (ranges: readonly PlanPortRange[]): Uint32Array => {
  const classes = new Uint32Array(65536);
  for (const { first, last, class: value } of ranges) classes.fill(value, first, last + 1);
  return classes;
};

const requestConditions = (plan: Plan): Map<number, RequestConditions> => {
  const found = new Map<number, RequestConditions>();
  for (const [i, { http, mcp }] of plan.rules.entries()) {
    if (http === undefined && mcp === undefined) continue;
    found.set(i, {
      ...(http?.methods === undefined ? {} : { methods: new Set(http.methods) }),
      ...(http?.paths === undefined ? {} : { paths: http.paths.map(pathOf) }),
      ...(mcp === undefined
        ? {}
        : {
            mcp: {
              ...(mcp.methods === undefined ? {} : { methods: new Set(mcp.methods) }),
              ...(mcp.tools === undefined ? {} : { tools: new Set(mcp.tools) }),
            },
          }),
    });
  }
  return found;
};

const pathOf = (text: string): PathPattern => {
  const parsed = parsePathPattern(text);
  return must(parsed.ok ? parsed.value : undefined, 'path pattern', text);
};

/** The agent behind a source on an interface; undefined where inventory knows none, or gives the address to another interface. */
export const agentOf = (loaded: LoadedPlan, onInterface: string, source: Address): AgentAddress | undefined =>
  loaded.agentsByInterface.get(onInterface)?.[source.family].get(source.value) ??
  loaded.agentsByInterface.get('')?.[source.family].get(source.value);

/** Rules inside their schedule and not expired at `ms`. Before the first epoch the first counts, after the last the last, which is closed. */
export const activeAt = (loaded: LoadedPlan, ms: number): Bitmap => {
  const { epochs } = loaded;
  let low = 0;
  let high = epochs.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (epochs[middle]!.from <= ms) low = middle;
    else high = middle;
  }
  return epochs[low]!.active;
};

export const destinationClass = (loaded: LoadedPlan, address: Address): LoadedDestinationClass =>
  loaded.destinationClasses[loaded.destinations.lookup(address)]!;

/** Class of a protocol and port. A port that is no number of 16 bits is none. */
export const portClass = (loaded: LoadedPlan, protocol: 'tcp' | 'udp' | 'icmp', port: number): Bitmap =>
  loaded.portClasses[protocol === 'icmp' ? loaded.icmp : (protocol === 'tcp' ? loaded.tcp : loaded.udp)[port]!]!;

export const classifyName = (loaded: LoadedPlan, name: DomainName): NameClass => loaded.names.classify(name);

export const classifyNames = (loaded: LoadedPlan, names: readonly DomainName[]): NameSetClass =>
  loaded.names.join(names);
