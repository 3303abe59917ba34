import {
  type Address,
  comparePrefixes,
  embeddingPrefixes,
  formatPrefix,
  type Prefix,
  reservedRanges,
  specialPurpose,
} from '@cofferdam/net';
import { type Bitmap, encodeBitmap, type PlanDestination, type PlanDestinationClass } from '@cofferdam/plan';
import type { EvaluationContext } from '@cofferdam/policy';
import { type GroupResolver, marksOf } from './groups.ts';
import { hostPrefix, type Mark, sweep, type Zone } from './prefix-sweep.ts';
import { makeRuleSets } from './rule-sets.ts';

export interface CompiledDestinations {
  readonly destinations: readonly PlanDestination[];
  readonly classes: readonly PlanDestinationClass[];
}

/**
 * Sorts every prefix that a `to` holds, gives each prefix the rules of all prefixes around it, and numbers the distinct outcomes. Prefixes
 * that say no more than the one around them are left out.
 */
export const compileDestinations = (
  rulesOf: ReadonlyMap<string, readonly number[]>,
  group: GroupResolver,
  context: EvaluationContext,
  toPublic: Bitmap,
  containedAgents: readonly Address[],
): CompiledDestinations => {
  const names = [...rulesOf.keys()];
  const marks: Mark[] = names.flatMap((name, id) => marksOf(id, group(name), context));
  const sets = makeRuleSets(
    toPublic.length,
    names.map((name) => rulesOf.get(name)!),
  );
  const zones = zonesOf(context, containedAgents);

  const classes: PlanDestinationClass[] = [];
  const numbers = new Map<string, number>();
  const classOf = (set: number, traits: Omit<PlanDestinationClass, 'to'>): number => {
    const key = `${set}|${traits.kind}|${traits.public}|${traits.contained}`;
    const before = numbers.get(key);
    if (before !== undefined) return before;
    const bits = traits.public ? sets.join(set, toPublic) : sets.bitmap(set);
    classes.push({ to: encodeBitmap(bits), ...traits });
    numbers.set(key, classes.length - 1);
    return classes.length - 1;
  };
  classOf(sets.none, { kind: 'plain', public: false, contained: false });

  const destinations: { prefix: Prefix; class: number }[] = [];
  for (const family of [4, 6] as const) {
    const regions = sweep(family, marks, zones, sets);
    const numbered = regions.map((r) => classOf(r.set, { kind: r.kind, public: r.public, contained: r.contained }));
    for (const [i, region] of regions.entries()) {
      if (region.parent !== -1 && numbered[region.parent] === numbered[i]) continue;
      destinations.push({ prefix: region.prefix, class: numbered[i]! });
    }
  }
  return {
    destinations: destinations
      .sort((a, b) => comparePrefixes(a.prefix, b.prefix))
      .map(({ prefix, class: number }) => ({ prefix: formatPrefix(prefix), class: number })),
    classes,
  };
};

const zonesOf = (context: EvaluationContext, containedAgents: readonly Address[]): Zone[] => [
  ...specialPurpose.map((prefix): Zone => ({ prefix, notPublic: true })),
  // An address that embeds IPv4 is public by the inner one alone.
  ...embeddingPrefixes.map((prefix): Zone => ({ prefix, notPublic: true })),
  ...reservedRanges.map(({ prefix }): Zone => ({ prefix, kind: 'reserved' })),
  ...context.gatewayAddresses.map((address): Zone => ({ prefix: hostPrefix(address), kind: 'gateway' })),
  ...containedAgents.map((address): Zone => ({ prefix: hostPrefix(address), contained: true })),
];
