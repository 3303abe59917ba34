import type { PolicySet, Rule, SmartGroup } from '@cofferdam/policy';
import type { Draw } from './draw.ts';

/** What is enforced of a policy that was monitored as a whole: rules by their place in the walk, containment by group. */
export interface Promoted {
  readonly rules: ReadonlySet<number>;
  readonly containment: ReadonlySet<string>;
}

/** The policy with this much of it enforced and the rest monitored. Rules that are disabled stay so. */
export const promotedTo = (policy: PolicySet, { rules, containment }: Promoted): PolicySet => {
  let place = 0;
  const ruleOf = (rule: Rule): Rule => {
    const mode = rules.has(place++) ? 'enforce' : 'monitor';
    return rule.mode === 'disabled' ? rule : { ...rule, mode };
  };
  const groupOf = (group: SmartGroup): SmartGroup => ({
    ...group,
    containment: containment.has(group.name) ? 'enforce' : 'monitor',
  });
  return {
    ...policy,
    rulesets: policy.rulesets.map((ruleset) => ({ ...ruleset, rules: ruleset.rules.map(ruleOf) })),
    smartGroups: new Map([...policy.smartGroups].map(([name, group]) => [name, groupOf(group)])),
  };
};

/** A way from nothing enforced to everything: rule by rule in any order, containment group by group at the end. */
export const drawPromotion = (draw: Draw, policy: PolicySet): readonly Promoted[] => {
  const places = shuffled(draw, [...policy.rulesets.flatMap((ruleset) => ruleset.rules).keys()]);
  const groups = shuffled(draw, [...policy.smartGroups.keys()]);
  return [
    ...Array.from({ length: places.length + 1 }, (_, count) => ({
      rules: new Set(places.slice(0, count)),
      containment: new Set<string>(),
    })),
    ...groups.map((_, at) => ({ rules: new Set(places), containment: new Set(groups.slice(0, at + 1)) })),
  ];
};

const shuffled = <T>(draw: Draw, list: readonly T[]): readonly T[] => {
  const left = [...list];
  const taken: T[] = [];
  while (left.length > 0) taken.push(...left.splice(draw.between(0, left.length - 1), 1));
  return taken;
};
