import { and, type Bitmap, emptyBitmap, lowestBit } from './bitmap.ts';
import { activeAt, type LoadedPlan } from './load.ts';
import type { PlanRule, PlanWeb } from './model.ts';
import { type RulePrefixes, rulePrefixes } from './rule-prefixes.ts';

/** What one permit lets an agent reach. */
export interface Reach {
  readonly rule: number;
  readonly name: string;
  readonly ruleset: string;
  /** Addresses in `to`, less those at which an earlier rule decides about every flow of this rule's ports. */
  readonly destinations: RulePrefixes;
  /** Reached by name, whatever they resolve to. */
  readonly hostnames: readonly string[];
  readonly ports: readonly ReachedPorts[];
  /** Names and URLs it is limited to; absent: any, or none at all. `any`: every name, but a name. */
  readonly web?: { readonly any: boolean; readonly domains: readonly string[]; readonly urls: readonly string[] };
  readonly tls: PlanRule['tls'];
  readonly http?: NonNullable<PlanRule['http']>;
  readonly mcp?: NonNullable<PlanRule['mcp']>;
  readonly schedule?: NonNullable<PlanRule['schedule']>;
  readonly expires?: number;
}

export interface ReachedPorts {
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  /** Inclusive; absent for icmp. */
  readonly range?: { readonly first: number; readonly last: number };
}

export interface Reachable {
  /** Containment of some address of the agent, or the whole run, is monitored: it reaches all that no rule denies. */
  readonly monitored: boolean;
  readonly reaches: readonly Reach[];
}

/**
 * What an agent, by its place in `agents` of the plan, reaches at a time: its enforced, active permits, without what earlier rules that
 * look at nothing but addresses and ports take from them. What earlier rules take away by name, TLS or request is not subtracted: this is
 * an upper bound. An IPv6 address that embeds an IPv4 address is reached only if that one is, too.
 */
export const reachable = (loaded: LoadedPlan, agent: number, at: number): Reachable => {
  const addresses = loaded.agents.filter((row) => row.agent === agent);
  const from = emptyBitmap(loaded.words);
  for (const { class: value } of addresses) {
    const bits = loaded.agentClasses[value]!.from;
    for (let w = 0; w < from.length; w++) from[w]! |= bits[w]!;
  }
  // A rule in front takes away only where it holds for every address of the agent.
  const always = addresses.map(({ class: value }) => loaded.agentClasses[value]!.from).reduce(and, from);
  const inWalk = and(loaded.plan.monitored ? loaded.none : loaded.properties.enforced, activeAt(loaded, at));
  const mine = and(from, inWalk);
  const plain = and(and(always, inWalk), unconditional(loaded));
  const segments = portSegments(loaded);
  const open = loaded.destinationClasses.map(() => emptyBitmap(loaded.words));
  const ports = loaded.plan.rules.map((): ReachedPorts[] => []);
  for (const { bits, ports: ranges } of segments) {
    const through = emptyBitmap(loaded.words);
    for (const [value, { to }] of loaded.destinationClasses.entries()) {
      addReached(mine, plain, to, bits, loaded.properties.permit, [open[value]!, through]);
    }
    // A hostname is reached by its name, whatever class its address is in.
    for (const [i, rule] of loaded.plan.rules.entries()) {
      const byName = rule.hostnames !== undefined && rule.action === 'permit' && bit(mine, i) && bit(bits, i);
      if (bit(through, i) || byName) ports[i]!.push(...ranges);
    }
  }
  const prefixes = rulePrefixes(loaded, (value) => open[value]!);
  const reaches = loaded.plan.rules.flatMap((rule, i): Reach[] =>
    ports[i]!.length === 0 ? [] : [reachOf(loaded, rule, i, prefixes[i]!, ports[i]!)],
  );
  return { monitored: loaded.plan.monitored || addresses.some(({ monitored }) => monitored), reaches };
};

const bit = (bits: Bitmap, i: number): boolean => ((bits[i >>> 5]! >>> (i & 31)) & 1) === 1;

/** Rules that are satisfied wherever addresses and ports are. */
const unconditional = ({ plan, words }: LoadedPlan): Bitmap => {
  const bits = emptyBitmap(words);
  for (const [i, { web, tls, http, mcp }] of plan.rules.entries()) {
    if (web === undefined && tls === 'either' && http === undefined && mcp === undefined)
      bits[i >>> 5]! |= 1 << (i & 31);
  }
  return bits;
};

interface Segment {
  readonly bits: Bitmap;
  readonly ports: ReachedPorts[];
}

const portSegments = ({ plan, portClasses }: LoadedPlan): Segment[] => {
  const segments = portClasses.map((bits): Segment => ({ bits, ports: [] }));
  for (const protocol of ['tcp', 'udp'] as const) {
    for (const { first, last, class: value } of plan.ports[protocol]) {
      segments[value]!.ports.push({ protocol, range: { first, last } });
    }
  }
  segments[plan.ports.icmp]!.ports.push({ protocol: 'icmp' });
  return segments;
};

/** Adds the permits up to the first rule that decides about every flow there. */
const addReached = (
  mine: Bitmap,
  plain: Bitmap,
  to: Bitmap,
  ports: Bitmap,
  permit: Bitmap,
  into: readonly Bitmap[],
): void => {
  for (let w = 0; w < mine.length; w++) {
    const here = to[w]! & ports[w]!;
    const ends = plain[w]! & here;
    const upTo = ends === 0 ? -1 : (2 << lowestBit(ends)) - 1;
    const reached = mine[w]! & here & permit[w]! & upTo;
    for (const bits of into) bits[w]! |= reached;
    if (ends !== 0) return;
  }
};

const reachOf = (
  { plan }: LoadedPlan,
  rule: PlanRule,
  index: number,
  destinations: RulePrefixes,
  ports: readonly ReachedPorts[],
): Reach => ({
  rule: index,
  name: rule.name,
  ruleset: rule.ruleset,
  destinations,
  hostnames: (rule.hostnames ?? []).map((id) => plan.hostnames[id]!),
  ports: joinedPorts(ports),
  ...(rule.web === undefined ? {} : { web: webTexts(plan, rule.web) }),
  tls: rule.tls,
  ...(rule.http === undefined ? {} : { http: rule.http }),
  ...(rule.mcp === undefined ? {} : { mcp: rule.mcp }),
  ...(rule.schedule === undefined ? {} : { schedule: rule.schedule }),
  ...(rule.expires === undefined ? {} : { expires: rule.expires }),
});

const protocols = ['tcp', 'udp', 'icmp'] as const;

/** Sorted, neighbours joined. */
const joinedPorts = (ports: readonly ReachedPorts[]): ReachedPorts[] =>
  protocols.flatMap((protocol): ReachedPorts[] => {
    const own = ports.filter((one) => one.protocol === protocol);
    if (protocol === 'icmp') return own.slice(0, 1);
    const ranges = own.flatMap(({ range }) => (range === undefined ? [] : [{ ...range }]));
    const joined: { first: number; last: number }[] = [];
    for (const range of ranges.sort((a, b) => a.first - b.first)) {
      const before = joined.at(-1);
      if (before !== undefined && before.last + 1 === range.first) before.last = range.last;
      else joined.push(range);
    }
    return joined.map((range) => ({ protocol, range }));
  });

/** The texts behind the places. */
export const webTexts = (
  { patterns, urls }: { readonly patterns: readonly string[]; readonly urls: readonly string[] },
  web: PlanWeb,
): { any: boolean; domains: string[]; urls: string[] } => ({
  any: web.any,
  domains: web.domains.map((id) => patterns[id]!),
  urls: web.urls.map((id) => urls[id]!),
});
