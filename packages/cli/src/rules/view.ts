import { noUse, type ReportedRule, type RuleReference, type RuleUse, ruleKey, useData } from '@cofferdam/flows';
import type { PolicySet } from '@cofferdam/policy';

/** A rule as it is shown. */
export interface ShownRule {
  readonly rule: Omit<RuleReference, 'index'>;
  /** Absent: a log does not say. */
  readonly action?: 'permit' | 'deny';
  readonly mode?: 'enforce' | 'monitor' | 'disabled';
  readonly use: RuleUse;
  /** What is special about it; empty: nothing. */
  readonly remark: string;
}

export interface RulesView {
  /** In the order of the walk; those whose place is not known at the end. */
  readonly rules: readonly ShownRule[];
  readonly default: RuleUse;
}

/** What was counted, by rule, whatever it was counted in. */
export interface CountedRule extends Partial<Pick<ReportedRule, 'action' | 'mode'>> {
  readonly rule: Omit<RuleReference, 'index'>;
  readonly use: RuleUse;
}

export const viewOf = (counted: readonly CountedRule[], last: RuleUse): RulesView => ({
  rules: counted.map((each) => ({ ...each, remark: '' })),
  default: last,
});

/** The rules of a policy with what was counted for them. `missing`: said of those that nothing was said of at all. */
export const viewOfPolicy = (
  policy: PolicySet,
  counted: readonly CountedRule[],
  last: RuleUse,
  missing: string,
): RulesView => {
  const found = new Map(counted.map((each) => [ruleKey(each.rule), each]));
  const rules = policy.rulesets.flatMap(({ name: ruleset, tier, rules: own }) =>
    own.map(({ id, name, action, mode }): ShownRule => {
      const rule = { ...(id === undefined ? {} : { id }), name, ruleset, tier };
      const key = ruleKey(rule);
      const known = found.get(key);
      found.delete(key);
      return { rule, action, mode, use: known?.use ?? noUse, remark: known === undefined ? missing : '' };
    }),
  );
  const others = [...found.values()].map((each) => ({ ...each, remark: 'not in the policy' }));
  return { rules: [...rules, ...others], default: last };
};

/** For programs. */
export const viewData = ({ rules, default: last }: RulesView) => ({
  rules: rules.map(({ rule, action, mode, use, remark }) => ({
    ...rule,
    ...(action === undefined ? {} : { action }),
    ...(mode === undefined ? {} : { mode }),
    ...useData(use),
    ...(remark === '' ? {} : { remark }),
  })),
  default: useData(last),
});
