import { err, ok, quote, type Result } from '@cofferdam/net';
import type { PolicySet, Rule, Ruleset } from '@cofferdam/policy';
import { didYouMean, listed } from '../nearest.ts';

/** What counts as enforced though it is monitored. */
export interface Promotion {
  /** A rule's name, its id, or `ruleset/name`. */
  readonly rules: readonly string[];
  /** Names of SmartGroups. */
  readonly containment: readonly string[];
  readonly all: boolean;
}

export interface PromotedPolicy {
  readonly policy: PolicySet;
  /** `ruleset/name` in the order of the walk, then groups. */
  readonly promoted: readonly string[];
}

const fullName = ({ name: ruleset }: Ruleset, { name }: Rule): string => `${ruleset}/${name}`;

const isNamed = (wanted: string, ruleset: Ruleset, rule: Rule): boolean =>
  wanted === rule.name || wanted === rule.id || wanted === fullName(ruleset, rule);

const checkRule = ({ rulesets }: PolicySet, wanted: string): Result<undefined> => {
  const all = rulesets.flatMap((ruleset) => ruleset.rules.map((rule) => ({ ruleset, rule })));
  const found = all.filter(({ ruleset, rule }) => isNamed(wanted, ruleset, rule));
  const names = found.map(({ ruleset, rule }) => fullName(ruleset, rule));
  if (found.length === 0) {
    const monitored = all.filter(({ rule }) => rule.mode === 'monitor');
    const candidates = monitored.flatMap(({ ruleset, rule }) => [rule.name, fullName(ruleset, rule)]);
    return err('promote', `the policy has no rule ${quote(wanted)}`, didYouMean(wanted, candidates));
  }
  if (found.length > 1)
    return err('promote', `${quote(wanted)} is the name of ${found.length} rules`, `say which: ${listed(names)}`);
  const { mode } = found[0]!.rule;
  if (mode === 'monitor') return ok(undefined);
  return mode === 'enforce'
    ? err('promote', `${quote(wanted)} is enforced already`, 'leave it out')
    : err('promote', `${quote(wanted)} is disabled`, 'write `mode: monitor` or `mode: enforce` into it first');
};

const checkGroup = ({ smartGroups }: PolicySet, wanted: string): Result<undefined> => {
  const monitored = [...smartGroups.values()].filter(({ containment }) => containment === 'monitor');
  if (monitored.some(({ name }) => name === wanted)) return ok(undefined);
  if (smartGroups.has(wanted))
    return err('promote', `the containment of ${quote(wanted)} is not monitored`, 'leave it out');
  const names = monitored.map(({ name }) => name);
  return err('promote', `the policy has no SmartGroup ${quote(wanted)}`, didYouMean(wanted, names));
};

/** The policy as it would be once this much of it is promoted. */
export const promote = (policy: PolicySet, promotion: Promotion): Result<PromotedPolicy> => {
  const { rules, containment, all } = promotion;
  for (const checked of [
    ...rules.map((wanted) => checkRule(policy, wanted)),
    ...containment.map((wanted) => checkGroup(policy, wanted)),
  ])
    if (!checked.ok) return checked;
  const promoted: string[] = [];
  const ruleOf = (ruleset: Ruleset, rule: Rule): Rule => {
    const isMeant = all || rules.some((wanted) => isNamed(wanted, ruleset, rule));
    if (rule.mode !== 'monitor' || !isMeant) return rule;
    promoted.push(fullName(ruleset, rule));
    return { ...rule, mode: 'enforce' };
  };
  const rulesets = policy.rulesets.map((ruleset) => ({
    ...ruleset,
    rules: ruleset.rules.map((rule) => ruleOf(ruleset, rule)),
  }));
  const smartGroups = new Map(policy.smartGroups);
  for (const group of policy.smartGroups.values()) {
    if (group.containment !== 'monitor' || !(all || containment.includes(group.name))) continue;
    promoted.push(`containment of ${group.name}`);
    smartGroups.set(group.name, { ...group, containment: 'enforce' });
  }
  return ok({ policy: { ...policy, rulesets, smartGroups }, promoted });
};
