import {
  type DomainName,
  type DomainPattern,
  domainPatternMatches,
  parseDomainPattern,
  parseUrlPattern,
  type UrlPattern,
} from '@cofferdam/net';
import { and, andNot, type Bitmap, bitmapOf, emptyBitmap, or } from './bitmap.ts';
import type { Plan, PlanWeb } from './model.ts';

/** What the rules say of one name. Bit i of each is rule i. The bitmaps are shared: never write into them. */
export interface NameClass {
  /** Rule has no `web`, or its `web` matches the name: a domain pattern, or the host of a URL pattern. */
  readonly web: Bitmap;
  /** Rule has no `web`, or a domain pattern of it matches: nothing more need be read for its `web`. */
  readonly sure: Bitmap;
  /** Rule has no `web`, or denies and a domain pattern of it matches, each of them where there are several names. */
  readonly every: Bitmap;
  /** A `hostname` in `to` of the rule equals the name. */
  readonly host: Bitmap;
  /** Permits that make the name resolvable: `web`, a `hostname` in `to`, or `resolve`. Of any mode. */
  readonly resolves: Bitmap;
}

/** What the rules say of several names together, any of which may be meant. */
export type NameSetClass = Omit<NameClass, 'resolves'>;

/** Finds what the rules say of names, without trying every pattern. */
export interface NameIndex {
  readonly classify: (name: DomainName) => NameClass;
  readonly join: (names: readonly DomainName[]) => NameSetClass;
  /** Of no name at all: `web` is the rules without `web`. */
  readonly nameless: NameClass;
  readonly urls: readonly UrlPattern[];
}

/** Classified names that are kept. A bound, since agents choose what they ask for. */
const keptNames = 4096;

/** The pattern's text must be valid: plans that come from outside are validated before they are loaded. */
const pattern = (text: string): DomainPattern => {
  const parsed = parseDomainPattern(text);
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.value;
};

const url = (text: string): UrlPattern => {
  const parsed = parseUrlPattern(text);
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.value;
};

export const buildNameIndex = (plan: Plan, words: number): NameIndex => {
  const urls = plan.urls.map(url);
  const domains = bySuffix(plan.patterns.map(pattern));
  const hosts = bySuffix(urls.map(({ host }) => host));
  const hostnames = new Map(plan.hostnames.map((name, i) => [name, i]));
  const rules = usersOf(plan);
  const noWeb = bitmapOf(
    words,
    plan.rules.flatMap((rule, i) => (rule.web === undefined ? [i] : [])),
  );
  const everySure = or(noWeb, bitmapOf(words, rules.anyWeb));
  const none = emptyBitmap(words);
  const nameless: NameClass = { web: noWeb, sure: noWeb, every: noWeb, host: none, resolves: none };
  const permitWeb = bitmapOf(
    words,
    plan.rules.flatMap(({ action, web }, i) => (web !== undefined && action === 'permit' ? [i] : [])),
  );

  const fresh = (name: DomainName): NameClass => {
    const domainIds = domains(name);
    const urlIds = hosts(name);
    const hostname = hostnames.get(name);
    const gather = (lists: readonly (readonly number[])[], ids: readonly number[]): number[] =>
      ids.flatMap((id) => lists[id] ?? []);
    const byDomain = gather(rules.domains, domainIds);
    const byUrl = gather(rules.urls, urlIds);
    const byHost = hostname === undefined ? [] : (rules.hostnames[hostname] ?? []);
    const resolved = [...gather(rules.resolveDomains, domainIds), ...gather(rules.resolveUrls, urlIds)];
    const sure = byDomain.length === 0 ? everySure : or(everySure, bitmapOf(words, byDomain));
    return {
      sure,
      every: andNot(sure, permitWeb),
      web: byUrl.length === 0 ? sure : or(sure, bitmapOf(words, byUrl)),
      host: byHost.length === 0 ? none : bitmapOf(words, byHost),
      resolves: bitmapOf(
        words,
        [...rules.anyWeb, ...rules.resolveAny, ...byDomain, ...byUrl, ...byHost, ...resolved].filter(
          (i) => plan.rules[i]!.action === 'permit',
        ),
      ),
    };
  };

  const kept = new Map<DomainName, NameClass>();
  const classify = (name: DomainName): NameClass => {
    const before = kept.get(name);
    if (before !== undefined) return before;
    const made = fresh(name);
    if (kept.size >= keptNames) kept.clear();
    kept.set(name, made);
    return made;
  };
  const join = (names: readonly DomainName[]): NameSetClass => {
    if (names.length === 0) return nameless;
    if (names.length === 1) return classify(names[0]!);
    const classes = names.map(classify);
    const union = (key: 'web' | 'sure' | 'host'): Bitmap => classes.map((one) => one[key]).reduce(or);
    const every = classes.map((one) => one.every).reduce(and);
    return { web: union('web'), sure: union('sure'), every, host: union('host') };
  };
  return { classify, join, nameless, urls };
};

/** Which patterns match a name: only those whose fixed part is a suffix of it are tried. Places of the patterns, rising. */
const bySuffix = (patterns: readonly DomainPattern[]): ((name: DomainName) => number[]) => {
  const places = new Map<string, number[]>();
  for (const [i, { fixed }] of patterns.entries()) {
    const before = places.get(fixed);
    if (before === undefined) places.set(fixed, [i]);
    else before.push(i);
  }
  return (name) => {
    const found: number[] = [];
    for (let at = 0; at !== -1; at = nextLabel(name, at)) {
      for (const i of places.get(name.slice(at)) ?? []) if (domainPatternMatches(patterns[i]!, name)) found.push(i);
    }
    return found.sort((a, b) => a - b);
  };
};

const nextLabel = (name: string, at: number): number => {
  const dot = name.indexOf('.', at);
  return dot === -1 ? -1 : dot + 1;
};

/** Rules by what they name. */
const usersOf = (plan: Plan) => {
  const lists = (length: number): number[][] => Array.from({ length }, () => []);
  const users = {
    anyWeb: [] as number[],
    resolveAny: [] as number[],
    domains: lists(plan.patterns.length),
    urls: lists(plan.urls.length),
    resolveDomains: lists(plan.patterns.length),
    resolveUrls: lists(plan.urls.length),
    hostnames: lists(plan.hostnames.length),
  };
  const add = (web: PlanWeb | undefined, rule: number, any: number[], domains: number[][], urls: number[][]): void => {
    if (web === undefined) return;
    if (web.any) any.push(rule);
    for (const id of web.domains) domains[id]!.push(rule);
    for (const id of web.urls) urls[id]!.push(rule);
  };
  for (const [i, rule] of plan.rules.entries()) {
    add(rule.web, i, users.anyWeb, users.domains, users.urls);
    add(rule.resolve, i, users.resolveAny, users.resolveDomains, users.resolveUrls);
    for (const id of rule.hostnames ?? []) users.hostnames[id]!.push(i);
  }
  return users;
};
