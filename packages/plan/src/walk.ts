import { embeddedIPv4 } from '@cofferdam/net';
import type { Facts } from '@cofferdam/verdict';
import { type Bitmap, emptyBitmap, hasBit, lowestBit } from './bitmap.ts';
import {
  type AgentAddress,
  activeAt,
  destinationClass,
  type LoadedDestinationClass,
  type LoadedPlan,
  portClass,
} from './load.ts';
import type { NameClass } from './name-classes.ts';
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

/** The classes of the flow's names, joined. */
interface NameBits {
  readonly web: Bitmap;
  readonly sure: Bitmap;
  readonly host: Bitmap;
}

const joinNames = (loaded: LoadedPlan, facts: Facts): NameBits => {
  const { addressNames } = facts;
  if (addressNames.length === 0) return loaded.names.nameless;
  if (addressNames.length === 1) return loaded.names.classify(addressNames[0]!);
  const joined = { web: emptyBitmap(loaded.words), sure: emptyBitmap(loaded.words), host: emptyBitmap(loaded.words) };
  for (const name of addressNames) {
    const one = loaded.names.classify(name);
    for (let w = 0; w < loaded.words; w++) {
      joined.web[w]! |= one.web[w]!;
      joined.sure[w]! |= one.sure[w]!;
      joined.host[w]! |= one.host[w]!;
    }
  }
  return joined;
};

/** What becomes of the denies with `web` that match no name of the flow. */
const restOfDenies = (facts: Facts, monitored: boolean): 'yes' | 'no' | 'waits' => {
  if (facts.protocol !== 'tcp') return 'no';
  switch (facts.claimedName.state) {
    case 'unknown':
      return 'waits';
    case 'unreadable':
      return monitored ? 'yes' : 'waits';
    case 'known':
      return 'no';
    case 'absent': {
      const readable = facts.tls.state === 'known' || facts.plainHttpSeen || facts.request.state === 'known';
      return facts.addressNames.length === 0 && readable ? 'yes' : 'no';
    }
  }
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
  const { properties, words } = loaded;
  const from = loaded.agentClasses[agent.class]!.from;
  const ports = portClass(loaded, facts.protocol, facts.destinationPort ?? 0);
  const active = activeAt(loaded, facts.at);
  const names = joinNames(loaded, facts);
  const tcp = facts.protocol === 'tcp';
  const claimed: NameClass | undefined =
    tcp && facts.claimedName.state === 'known' ? loaded.names.classify(facts.claimedName.value) : undefined;
  const rest = restOfDenies(facts, view.monitored);
  const tls = facts.tls.state;

  let first = -1;
  let permitBefore = false;
  let proxyBefore = false;
  for (let w = 0; w < words; w++) {
    let may = from[w]! & ports[w]! & active[w]! & view.rules[w]!;
    if (may === 0) continue;
    may &= toWord(loaded, destination, names.host[w]!, w);
    if (may === 0) continue;

    const permit = properties.permit[w]!;
    const denyWeb = properties.denyWeb[w]!;
    let sure = names.sure[w]!;
    let url = names.web[w]!;
    if (claimed !== undefined) {
      sure |= claimed.sure[w]! & denyWeb;
      url |= claimed.web[w]! & denyWeb;
    }
    if (rest === 'yes') sure |= denyWeb;
    url &= ~sure;
    let satisfied = may & (sure | url);
    may &= sure | url | (rest === 'waits' ? denyWeb : 0);

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
        (url & bit) === 0 ? 'yes' : either(urlOutcome(loaded, rule, facts, leaning), leaning.permit ? 'no' : rest);
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

/** Why a rule that is not contradicted and not satisfied can never be: the fact it waits for is unreadable. Undefined where it may yet be. */
export const unreadableFor = (
  loaded: LoadedPlan,
  rule: number,
  facts: Facts,
): 'hello-unreadable' | 'name-unreadable' | 'request-unreadable' | undefined => {
  const { tls, action, web, http, mcp } = loaded.plan.rules[rule]!;
  if (facts.protocol !== 'tcp') return undefined;
  if (tls !== 'either' && facts.tls.state === 'unreadable') return 'hello-unreadable';
  const names = facts.addressNames.map((name) => loaded.names.classify(name));
  // The claimed name has no part in the match of a permit.
  if (action === 'deny' && facts.claimedName.state === 'known') {
    names.push(loaded.names.classify(facts.claimedName.value));
  }
  const sure = names.some((name) => hasBit(name.sure, rule));
  const byUrl = !sure && names.some((name) => hasBit(name.web, rule));
  // Where the host of a URL pattern matches, the rule waits for the request, whatever the claimed name.
  const needsName = web !== undefined && action === 'deny' && !sure && !(byUrl && facts.request.state !== 'known');
  if (needsName && facts.claimedName.state === 'unreadable') {
    return facts.tls.state === 'unreadable' ? 'hello-unreadable' : 'name-unreadable';
  }
  if ((http !== undefined || byUrl) && facts.request.state === 'unreadable') return 'request-unreadable';
  const needsMcp = mcp !== undefined && action === 'permit';
  return needsMcp && facts.mcp.state === 'unreadable' ? 'request-unreadable' : undefined;
};
