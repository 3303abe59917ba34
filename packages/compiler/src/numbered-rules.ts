import type { PolicySet, Rule, Ruleset } from '@cofferdam/policy';

/** A rule with its place in the walk. */
export interface NumberedRule {
  readonly index: number;
  readonly rule: Rule;
  readonly ruleset: Ruleset;
}

/** All rules of the set in the order of the walk; disabled ones have places too, so that places do not move when a mode changes. */
export const numberRules = (policy: PolicySet): NumberedRule[] =>
  policy.rulesets
    .flatMap((ruleset) => ruleset.rules.map((rule) => ({ rule, ruleset })))
    .map(({ rule, ruleset }, index) => ({ index, rule, ruleset }));

/** Rules that may decide or would decide, by the names in one of their lists. */
export const rulesByName = (
  rules: readonly NumberedRule[],
  names: (rule: Rule) => readonly string[],
): Map<string, number[]> => {
  const found = new Map<string, number[]>();
  for (const { index, rule } of rules) {
    if (rule.mode === 'disabled') continue;
    for (const name of new Set(names(rule))) {
      const before = found.get(name);
      if (before === undefined) found.set(name, [index]);
      else before.push(index);
    }
  }
  return found;
};
