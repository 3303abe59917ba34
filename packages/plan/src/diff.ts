import { bitIndices } from './bitmap.ts';
import { canonicalJson } from './digest.ts';
import type { LoadedPlan } from './load.ts';
import type { PlanRule } from './model.ts';
import { webTexts } from './reach.ts';
import { rulePrefixes } from './rule-prefixes.ts';

/** A rule in its plan. */
export interface RulePlace {
  readonly index: number;
  readonly rule: PlanRule;
}

export interface RuleChange {
  readonly before: RulePlace;
  readonly after: RulePlace;
  /**
   * What differs, sorted: fields of the rule; `agents` and `destinations` where its groups, unchanged in name, hold others now; `order` where it
   * stands otherwise among the rules that both plans have.
   */
  readonly fields: readonly string[];
}

export interface PlanDiff {
  readonly added: readonly RulePlace[];
  readonly removed: readonly RulePlace[];
  readonly changed: readonly RuleChange[];
  readonly agentsAdded: readonly string[];
  readonly agentsRemoved: readonly string[];
}

/** How `after` differs from `before`. A rule is the same rule by its `id`, else by ruleset and name; of several with one name, by their order. */
export const diffPlans = (before: LoadedPlan, after: LoadedPlan): PlanDiff => {
  const old = described(before);
  const now = described(after);
  const kept = [...now.keys()].filter((key) => old.has(key));
  const moved = movedKeys(
    [...old.keys()].filter((key) => now.has(key)),
    kept,
  );
  const agentNames = ({ plan }: LoadedPlan): string[] => [...new Set(plan.agents.map(({ name }) => name))].sort();
  const [oldAgents, newAgents] = [agentNames(before), agentNames(after)];
  return {
    added: [...now].filter(([key]) => !old.has(key)).map(([, { place }]) => place),
    removed: [...old].filter(([key]) => !now.has(key)).map(([, { place }]) => place),
    changed: kept.flatMap((key): RuleChange[] => {
      const [a, b] = [old.get(key)!, now.get(key)!];
      const fields = [...new Set([...Object.keys(a.fields), ...Object.keys(b.fields)])]
        .filter((field) => a.fields[field] !== b.fields[field])
        .concat(moved.has(key) ? ['order'] : [])
        .sort();
      return fields.length === 0 ? [] : [{ before: a.place, after: b.place, fields }];
    }),
    agentsAdded: newAgents.filter((name) => !oldAgents.includes(name)),
    agentsRemoved: oldAgents.filter((name) => !newAgents.includes(name)),
  };
};

interface Described {
  readonly place: RulePlace;
  readonly fields: Readonly<Record<string, string>>;
}

const described = (loaded: LoadedPlan): Map<string, Described> => {
  const { plan } = loaded;
  const prefixes = rulePrefixes(loaded, (value) => loaded.destinationClasses[value]!.to);
  const holders = plan.rules.map((): string[] => []);
  const ofClass = loaded.agentClasses.map(({ from }) => bitIndices(from));
  for (const row of loaded.agents) for (const i of ofClass[row.class]!) holders[i]!.push(agentText(loaded, row));
  const found = new Map<string, Described>();
  for (const [index, rule] of plan.rules.entries()) {
    const values: Record<string, unknown> = {
      ...rule,
      web: rule.web && webTexts(plan, rule.web),
      resolve: rule.resolve && webTexts(plan, rule.resolve),
      hostnames: rule.hostnames?.map((id) => plan.hostnames[id]),
      destinations: prefixes[index],
      agents: holders[index]!.sort(),
    };
    const fields = Object.fromEntries(
      Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [[key, canonicalJson(value)]])),
    );
    found.set(freshKey(found, rule), { place: { index, rule }, fields });
  }
  return found;
};

const agentText = (loaded: LoadedPlan, { agent, name, interface: on }: LoadedPlan['agents'][number]): string =>
  JSON.stringify([name, on ?? null, loaded.plan.agents[agent]!.addresses.map(({ address }) => address)]);

const freshKey = (taken: ReadonlyMap<string, unknown>, { id, ruleset, name }: PlanRule): string => {
  const base = JSON.stringify(id === undefined ? [ruleset, name] : [id]);
  let key = base;
  for (let copy = 2; taken.has(key); copy++) key = `${base}${copy}`;
  return key;
};

/** The fewest keys that must have moved to make one order the other: those outside a longest run that kept its order. */
const movedKeys = (before: readonly string[], after: readonly string[]): Set<string> => {
  const places = new Map(before.map((key, place) => [key, place]));
  const sequence = after.map((key) => places.get(key)!);
  /** By length - 1: where the run of that length with the smallest end ends, as a place in `sequence`. */
  const ends: number[] = [];
  const previous: number[] = [];
  for (const [i, value] of sequence.entries()) {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sequence[ends[middle]!]! < value) low = middle + 1;
      else high = middle;
    }
    previous[i] = low === 0 ? -1 : ends[low - 1]!;
    ends[low] = i;
  }
  const inOrder = new Set<string>();
  for (let i = ends.at(-1) ?? -1; i !== -1; i = previous[i]!) inOrder.add(after[i]!);
  return new Set(after.filter((key) => !inOrder.has(key)));
};
