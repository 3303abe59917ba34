import {
  type DomainPattern,
  domainPatternMatches,
  isExactPattern,
  isPublicInternet,
  type Prefix,
  prefixCovers,
  prefixesOverlap,
  privateNetworks,
  reservedRanges,
  specialPurpose,
} from '@cofferdam/net';
import type { PolicySet, Rule, Selector } from './model.ts';

/**
 * When one group holds all that another can hold, whatever the inventory. A `no` may be wrong (two groups that together
 * cover a third, a selector that happens to match fewer workloads); a `yes` is not.
 */
export type Side = 'from' | 'to';

/** The longest reserved range that the whole prefix lies in; such addresses are reached from inside that range only. */
const reservedAround = (prefix: Prefix): Prefix | undefined =>
  reservedRanges
    .map((range) => range.prefix)
    .filter((range) => prefixCovers(range, prefix))
    .sort((a, b) => b.length - a.length)[0];

const isPublicPrefix = (prefix: Prefix): boolean =>
  isPublicInternet(prefix.address) &&
  ![...specialPurpose, ...reservedRanges.map((range) => range.prefix)].some((other) => prefixesOverlap(other, prefix));

/** Whether a built-in group holds everything that a selector selects. */
const builtInCovers = (name: string, selector: Selector, side: Side): boolean => {
  if (selector.kind !== 'cidr') return name === 'anywhere';
  const { prefix } = selector;
  if (side === 'to' && reservedAround(prefix) !== undefined) return false;
  if (name === 'anywhere') return true;
  if (name === 'private-networks') return privateNetworks.some((outer) => prefixCovers(outer, prefix));
  return isPublicPrefix(prefix);
};

const selectorCovers = (outer: Selector, inner: Selector, side: Side): boolean => {
  if (outer.kind === 'cidr' && inner.kind === 'cidr') {
    if (!prefixCovers(outer.prefix, inner.prefix)) return false;
    const reserved = side === 'to' ? reservedAround(inner.prefix) : undefined;
    return reserved === undefined || prefixCovers(reserved, outer.prefix);
  }
  if (outer.kind === 'hostname' && inner.kind === 'hostname') return outer.name === inner.name;
  if (outer.kind !== 'workload' || inner.kind !== 'workload') return false;
  return (
    isWithin(outer.agent, inner.agent) &&
    labelsWithin(outer.labels, inner.labels) &&
    (outer.kubernetes === undefined ||
      (inner.kubernetes !== undefined &&
        outer.kubernetes.cluster === inner.kubernetes.cluster &&
        isWithin(outer.kubernetes.namespace, inner.kubernetes.namespace) &&
        labelsWithin(outer.kubernetes.labels, inner.kubernetes.labels))) &&
    (outer.cloud === undefined ||
      (inner.cloud !== undefined &&
        outer.cloud.provider === inner.cloud.provider &&
        outer.cloud.account === inner.cloud.account &&
        isWithin(outer.cloud.region, inner.cloud.region) &&
        isWithin(outer.cloud.network, inner.cloud.network) &&
        isWithin(outer.cloud.subnet, inner.cloud.subnet) &&
        labelsWithin(outer.cloud.tags, inner.cloud.tags)))
  );
};

const isWithin = (outer: string | undefined, inner: string | undefined): boolean =>
  outer === undefined || outer === inner;

type Labels = Readonly<Record<string, string>> | undefined;
const labelsWithin = (outer: Labels, inner: Labels): boolean =>
  Object.entries(outer ?? {}).every(
    ([key, value]) => inner !== undefined && Object.hasOwn(inner, key) && inner[key] === value,
  );

/** Answers are kept: rules ask about the same groups again and again. */
export class GroupScopes {
  readonly #policy: PolicySet;
  readonly #answers = new Map<string, boolean>();

  constructor(policy: PolicySet) {
    this.#policy = policy;
  }

  covers(outer: string, inner: string, side: Side): boolean {
    if (outer === inner) return true;
    const key = `${side} ${outer} ${inner}`;
    const kept = this.#answers.get(key);
    if (kept !== undefined) return kept;
    const answer = this.#compare(outer, inner, side);
    this.#answers.set(key, answer);
    return answer;
  }

  #compare(outer: string, inner: string, side: Side): boolean {
    const outerGroup = this.#policy.smartGroups.get(outer);
    const innerGroup = this.#policy.smartGroups.get(inner);
    if (innerGroup === undefined) {
      // Both are built in, or a written group would have to hold a built-in one.
      return outerGroup === undefined && outer === 'anywhere';
    }
    if (outerGroup === undefined) return innerGroup.any.every((selector) => builtInCovers(outer, selector, side));
    // Large lists against large lists are left alone: this is advice, and must stay cheap.
    if (outerGroup.any.length * innerGroup.any.length > 10_000) return false;
    return innerGroup.any.every((one) => outerGroup.any.some((other) => selectorCovers(other, one, side)));
  }

  allCover(outer: readonly string[], inner: readonly string[], side: Side): boolean {
    return inner.every((one) => outer.some((other) => this.covers(other, one, side)));
  }

  overlap(a: readonly string[], b: readonly string[], side: Side): boolean {
    return a.some((one) => b.some((other) => this.covers(one, other, side) || this.covers(other, one, side)));
  }
}

/** Whether the names and URLs of `outer` are all that `inner` can match of names. */
export const webCovers = (policy: PolicySet, outer: Rule, inner: Rule): boolean => {
  if (outer.web === undefined) return true;
  if (inner.web === undefined) return false;
  // A permit looks at the address name alone, a deny at the claimed name too, so there the same names match more.
  if (outer.action === 'permit' && inner.action === 'deny') return false;
  if (outer.web.includes('any-web')) return true;
  const left = inner.web.filter((name) => !outer.web?.includes(name));
  if (left.includes('any-web')) return false;
  const groupsOf = (names: readonly string[]) => names.flatMap((name) => policy.webGroups.get(name) ?? []);
  const domains = groupsOf(outer.web).flatMap((group) => group.domains);
  const urls = new Set(groupsOf(outer.web).flatMap((group) => group.urls.map((url) => url.text)));
  const wanted = groupsOf(left);
  const count = wanted.reduce((sum, group) => sum + group.domains.length + group.urls.length, 0);
  if (count * (domains.length + 1) > 10_000) return false;
  const covered = (pattern: DomainPattern) => domains.some((other) => patternCovers(other, pattern));
  return wanted.every(
    (group) => group.domains.every(covered) && group.urls.every((url) => urls.has(url.text) || covered(url.host)),
  );
};

export const patternCovers = (outer: DomainPattern, inner: DomainPattern): boolean => {
  if (outer.text === inner.text) return true;
  if (isExactPattern(inner)) return domainPatternMatches(outer, inner.fixed);
  // `**.example.com`: every name of at least one more label that ends so.
  return outer.text === `**.${outer.fixed}` && inner.text.endsWith(`.${outer.fixed}`);
};
