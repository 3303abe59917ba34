import { embeddedIPv4 } from '@cofferdam/net';
import type { Facts } from '@cofferdam/verdict';
import { type Bitmap, hasBit, lowestBit } from './bitmap.ts';
import {
  type AgentAddress,
  activeAt,
  destinationClass,
  type LoadedDestinationClass,
  type LoadedPlan,
  portClass,
} from './load.ts';
import { namesOf, readNames, sayOfNames } from './name-reading.ts';
import { both, either, requestOutcome, urlOutcome } from './request.ts';

/** Whose word counts: rules by mode, and whether the default and what is lifted with it permit. */
export interface View {
  /** Rules that are in the walk, whatever the time. */
  readonly rules: Bitmap;
  readonly monitored: boolean;
}

/** What the bit-parallel walk found; -1 where there is no such rule. */
export interface Walked {
  /** First rule that no fact contradicts. */
  readonly first: number;
  /** First rule that is satisfied. */
  readonly satisfied: number;
  /** A permit that no fact contradicts stands before `satisfied`. */
  readonly permitBefore: boolean;
  /** A rule that no fact contradicts, not behind `satisfied`, takes a TCP flow to the proxy. */
  readonly proxyBefore: boolean;
}

/** Where the flow goes, as classes. */
export interface Destination {
  readonly own: LoadedDestinationClass;
  /** Class of the IPv4 address inside an IPv6 destination. */
  readonly inner: LoadedDestinationClass | undefined;
}

export const destinationOf = (loaded: LoadedPlan, facts: Pick<Facts, 'destination'>): Destination => {
  const inner = facts.destination.family === 6 ? embeddedIPv4(facts.destination) : undefined;
  return {
    own: destinationClass(loaded, facts.destination),
    inner: inner === undefined ? undefined : destinationClass(loaded, inner),
  };
};

/** One word of the rules whose `to` holds the destination. `host` is the rules that name it by `hostname`, which reaches no reserved range. */
export const toWord = (loaded: LoadedPlan, { own, inner }: Destination, host: number, w: number): number => {
  const outer = own.to[w]! | (own.kind === 'plain' ? host : 0);
  if (inner === undefined) return outer;
  const within = inner.to[w]! | (inner.kind === 'plain' ? host : 0);
  const permit = loaded.properties.permit[w]!;
  // Of `public-internet` the inner address alone decides, so such a permit need not hold the outer one as well.
  const toPublic = inner.public && own.kind === 'plain' ? loaded.properties.toPublic[w]! : 0;
  return (((outer & within) | toPublic) & permit) | ((outer | within) & ~permit);
};

/**
 * The walk of DESIGN 3.5 over all rules at once, 32 rules a step:
 * 1. base: in the walk now, `from`, `to`, protocol and port hold;
 * 2. web, tls: for each, the rules it does not contradict and the rules it satisfies;
 * 3. request conditions and URL patterns, which few rules have: one by one;
 * 4. the first satisfied rule ends it, since no rule behind it counts.
 */
export const walk = (
  loaded: LoadedPlan,
  agent: AgentAddress,
  destination: Destination,
  facts: Facts,
  view: View,
): Walked => {
  const { properties } = loaded;
  const from = loaded.agentClasses[agent.class]!.from;
  const ports = portClass(loaded, facts.protocol, facts.destinationPort ?? 0);
  const active = activeAt(loaded, facts.at);
  const tcp = facts.protocol === 'tcp';
  const reading = readNames(loaded, facts, view.monitored);
  const said = { sure: 0, url: 0, waits: 0 };
  const tls = facts.tls.state;

  let first = -1;
  let permitBefore = false;
  let proxyBefore = false;
  for (const w of fewer(loaded, from, ports)) {
    let may = from[w]! & ports[w]! & active[w]! & view.rules[w]!;
    if (may === 0) continue;
    may &= toWord(loaded, destination, reading.names.host[w]!, w) | (properties.web[w]! & reading.anywhere);
    if (may === 0) continue;

    const permit = properties.permit[w]!;
    sayOfNames(loaded, reading, w, said);
    const { url } = said;
    let satisfied = may & (said.sure | url);
    may &= said.sure | url | said.waits;

    if (tcp) {
      const required = properties.tlsRequired[w]!;
      const without = properties.tlsAbsent[w]!;
      if (tls === 'known') may &= ~without;
      else if (tls === 'absent') may &= ~required;
      else if (tls === 'unreadable' && view.monitored) may &= ~((required | without) & permit);
      else satisfied &= ~(required | without);
    }
    satisfied &= may;

    for (let left = may & (properties.needsRequest[w]! | url); left !== 0; left &= left - 1) {
      const bit = left & -left;
      const leaning = { permit: (permit & bit) !== 0, monitored: view.monitored };
      const rule = 32 * w + lowestBit(bit);
      const ofRequest = requestOutcome(loaded, rule, facts, leaning);
      const ofUrl =
        (url & bit) === 0
          ? 'yes'
          : either(urlOutcome(loaded, rule, facts, leaning), leaning.permit ? 'no' : reading.rest);
      const outcome = both(ofRequest, ofUrl);
      if (outcome === 'no') may &= ~bit;
      if (outcome !== 'yes') satisfied &= ~bit;
    }
    if (may === 0) continue;

    if (first === -1) first = 32 * w + lowestBit(may);
    if (satisfied !== 0) {
      const place = lowestBit(satisfied);
      const before = (1 << place) - 1;
      return {
        first,
        satisfied: 32 * w + place,
        permitBefore: permitBefore || (may & permit & before) !== 0,
        proxyBefore: proxyBefore || (may & properties.needsProxy[w]! & (before | (1 << place))) !== 0,
      };
    }
    permitBefore ||= (may & permit) !== 0;
    proxyBefore ||= (may & properties.needsProxy[w]!) !== 0;
  }
  return { first, satisfied: -1, permitBefore, proxyBefore };
};

/** Words that may have a bit in both rows. */
const fewer = ({ filled }: LoadedPlan, a: Bitmap, b: Bitmap): Uint16Array => {
  const [ofA, ofB] = [filled.get(a)!, filled.get(b)!];
  return ofA.length < ofB.length ? ofA : ofB;
};

/** Why a rule that is not contradicted and not satisfied can never be: the fact it waits for is unreadable. Undefined where it may yet be. */
export const unreadableFor = (
  loaded: LoadedPlan,
  rule: number,
  facts: Facts,
): 'hello-unreadable' | 'name-unreadable' | 'request-unreadable' | undefined => {
  const { tls, action, web, http, mcp } = loaded.plan.rules[rule]!;
  if (facts.protocol !== 'tcp') return undefined;
  if (tls !== 'either' && facts.tls.state === 'unreadable') return 'hello-unreadable';
  const { dnsMode } = loaded.plan;
  const names = loaded.names.join(namesOf(dnsMode, action, facts));
  const sure = hasBit(names.sure, rule);
  // Where the claimed name takes the place of address names, it comes before the request.
  const unclaimed = dnsMode !== 'synthetic' && facts.claimedName.state === 'unknown';
  const byUrl = !sure && !unclaimed && hasBit(names.web, rule);
  if (web !== undefined && facts.claimedName.state === 'unreadable') {
    // Where the host of a URL pattern matches, a deny waits for the request, whatever the claimed name.
    const waits =
      dnsMode === 'track'
        ? !hasBit(names.every, rule)
        : action === 'deny'
          ? !sure && !(byUrl && facts.request.state !== 'known')
          : dnsMode === 'own' && facts.addressNames.length === 0;
    if (waits) return facts.tls.state === 'unreadable' ? 'hello-unreadable' : 'name-unreadable';
  }
  if ((http !== undefined || byUrl) && facts.request.state === 'unreadable') return 'request-unreadable';
  const needsMcp = mcp !== undefined && action === 'permit';
  return needsMcp && facts.mcp.state === 'unreadable' ? 'request-unreadable' : undefined;
};
