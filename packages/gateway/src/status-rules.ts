import type { Kernel, RuleHits } from '@cofferdam/datapath';
import { noUse, type ReportedRule, type RuleTally, type RuleUse, ruleKey, sumOfUses } from '@cofferdam/flows';
import type { Plan } from '@cofferdam/plan';

/**
 * Uses of rules over all plans, by what the rule is and not by its place, so that they survive a change of the order.
 *
 * The kernel counts by place in the walk, and goes on counting while a plan is put in force. It is never written to: a reset would lose what
 * is counted between reading and writing. Instead the counts at the moment of the switch are remembered, and what they had grown by until then
 * belongs to the rules of the plan before. What is decided by the new plan between the switch and that reading, some milliseconds,
 * is counted for the rule that had the place before; what the old plan decides on another processor after it, for the one that has it now. No
 * decision is lost or counted twice.
 */
export interface RuleTotals {
  /** To be called as soon as the kernel has switched. */
  readonly renewed: (keys: readonly string[]) => void;
  /** In the order of the walk, and the default. */
  readonly uses: () => { readonly rules: readonly RuleUse[]; readonly default: RuleUse };
}

/** Rules that no plan in force has any more, and whose counts are kept all the same: a plan may come back. */
export const mostRetired = 4096;

interface Place {
  readonly permitted: bigint;
  readonly denied: bigint;
}

const none: Place = { permitted: 0n, denied: 0n };

export const planKeys = (plan: Plan): readonly string[] => plan.rules.map(ruleKey);

/** What a rule of the plan is in a report. */
export const reportedRule = (plan: Plan, place: number, use: RuleUse): ReportedRule => {
  const { id, name, ruleset, tier, action, mode } = plan.rules[place]!;
  return {
    rule: { ...(id === undefined ? {} : { id }), name, ruleset, tier },
    action,
    mode: plan.monitored && mode === 'enforce' ? 'monitor' : mode,
    use,
  };
};

export const createRuleTotals = (options: {
  readonly kernel: Pick<Kernel, 'hits'>;
  /** {@link planKeys} of the plan in force. */
  readonly keys: readonly string[];
  /** What this process counted itself. */
  readonly own: RuleTally;
  /** Milliseconds since the epoch of a boot time in nanoseconds. */
  readonly wallTime: (boot: bigint) => number;
  /** Whether the kernel counted for an earlier process, which nobody knows the rules of. */
  readonly standing: boolean;
}): RuleTotals => {
  const { kernel, own, wallTime } = options;
  let { keys } = options;
  const now = (places: number) => kernel.hits(places);
  const start = options.standing ? now(keys.length) : undefined;
  let base: readonly Place[] = start?.rules ?? [];
  let defaultBase: Place = start?.default ?? none;

  /** What was counted at a place since the plan in force took it. */
  const grown = (hits: RuleHits, before: Place): RuleUse => {
    const permitted = Number(hits.permitted - before.permitted);
    const denied = Number(hits.denied - before.denied);
    // Its last hit may be another rule's.
    if (permitted + denied === 0) return noUse;
    return { permitted, denied, wouldPermit: 0, wouldDeny: 0, last: wallTime(hits.last) };
  };

  return {
    renewed(next) {
      const hits = now(Math.max(keys.length, next.length));
      for (const [place, key] of keys.entries()) {
        const use = grown(hits.rules[place]!, base[place] ?? none);
        if (use !== noUse) own.add(key, use);
      }
      own.add('default', grown(hits.default, defaultBase));
      keys = next;
      base = hits.rules;
      defaultBase = hits.default;
      const standing = new Set(keys);
      const retired = [...own.keys()].filter((key) => key !== 'default' && !standing.has(key));
      for (const key of retired.slice(0, Math.max(0, retired.length - mostRetired))) own.delete(key);
    },
    uses() {
      const hits = now(keys.length);
      return {
        rules: keys.map((key, place) => sumOfUses(own.of(key), grown(hits.rules[place]!, base[place] ?? none))),
        default: sumOfUses(own.of('default'), grown(hits.default, defaultBase)),
      };
    },
  };
};
