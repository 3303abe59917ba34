import type { Problems } from './diagnostic.ts';
import type { WarningCode } from './diagnostic-table.ts';
import type { Limits } from './limits.ts';
import { lintGroups } from './lint-groups.ts';
import { lintOrder } from './lint-order.ts';
import { lintRule } from './lint-rules.ts';
import type { EvaluationContext, PolicySet, Rule } from './model.ts';
import { child, type Tree } from './tree.ts';

/** What every lint needs. The set is valid. */
export interface Lint {
  readonly policy: PolicySet;
  readonly limits: Limits;
  /** Milliseconds since the epoch; absent: nothing is compared with the time. */
  readonly now?: number;
  /** How agents are to learn names; absent: nothing is said that does not hold in every mode. */
  readonly dnsMode?: EvaluationContext['dnsMode'];
  /** Warns at a key of what was written for `about`, or at all of it where the key is not written. */
  readonly warn: (code: WarningCode, about: object, key: string, message: string, help: string) => void;
  readonly warnAt: (code: WarningCode, node: Tree, message: string, help: string) => void;
  readonly nodes: ReadonlyMap<object, Tree>;
}

/** Looks for what is valid and probably not meant. */
export const lint = (
  policy: PolicySet,
  nodes: ReadonlyMap<object, Tree>,
  options: Pick<Lint, 'limits' | 'now' | 'dnsMode'>,
  problems: Problems,
): void => {
  const warn: Lint['warn'] = (code, about, key, message, help) => {
    const node = nodes.get(about);
    if (node !== undefined) problems.report(code, child(node, key) ?? node, message, help);
  };
  const warnAt: Lint['warnAt'] = (code, node, message, help) => problems.report(code, node, message, help);
  const all: Lint = { policy, nodes, warn, warnAt, ...options };
  lintGroups(all);
  for (const { rules } of policy.rulesets) {
    for (const rule of rules) if (rule.mode !== 'disabled') lintRule(all, rule);
  }
  lintOrder(all);
};

/** How a message names a rule elsewhere. */
export const showRule = (rule: Rule): string => {
  const { file, line, column } = rule.location;
  return `\`${rule.name}\` (${file}:${line}:${column})`;
};
