import type { Verdict } from '@cofferdam/verdict';
import { isByDefault } from './describe.ts';
import type { AnyRecord, RuleReference } from './record.ts';

/** How often a rule, or the default, decided or would have. */
export interface RuleUse {
  readonly permitted: number;
  readonly denied: number;
  /** Where it is not what decided, or decided otherwise: what it would have, with everything enforced. */
  readonly wouldPermit: number;
  readonly wouldDeny: number;
  /** Of the last of any of them, milliseconds since the epoch. Absent: never. */
  readonly last?: number;
}

export const noUse: RuleUse = { permitted: 0, denied: 0, wouldPermit: 0, wouldDeny: 0 };

/** What a rule is counted under, whatever plan it is in: its id, where it has one, else its ruleset and name. */
export const ruleKey = (rule: Pick<RuleReference, 'id' | 'ruleset' | 'name'> | undefined): string =>
  rule === undefined ? 'default' : JSON.stringify(rule.id === undefined ? [rule.ruleset, rule.name] : [rule.id]);

/** Something that was decided, by key of the rule. */
export interface Decided {
  readonly rule: string;
  readonly verdict: Verdict;
  /** Absent where nothing is monitored, or where a fact that it needs was not read. */
  readonly wouldBe?: { readonly rule: string; readonly verdict: Verdict };
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface RuleTally {
  /** The decision, and its would-be verdict where that is another. */
  readonly count: (decided: Decided) => void;
  /** Only the would-be verdict, of what is counted elsewhere. */
  readonly countWouldBe: (decided: Decided) => void;
  readonly of: (key: string) => RuleUse;
  /** Adds a use that was counted elsewhere. */
  readonly add: (key: string, use: RuleUse) => void;
  /** In the order of first sight. */
  readonly keys: () => Iterable<string>;
  readonly delete: (key: string) => void;
}

const later = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.max(a, b);

/** Two uses together. */
export const sumOfUses = (a: RuleUse, b: RuleUse): RuleUse => {
  if (a === noUse) return b;
  if (b === noUse) return a;
  const last = later(a.last, b.last);
  return {
    permitted: a.permitted + b.permitted,
    denied: a.denied + b.denied,
    wouldPermit: a.wouldPermit + b.wouldPermit,
    wouldDeny: a.wouldDeny + b.wouldDeny,
    ...(last === undefined ? {} : { last }),
  };
};

/** Counts by rule. As many keys as are given to it: its user bounds them. */
export const createRuleTally = (): RuleTally => {
  const uses = new Map<string, RuleUse>();
  const of = (key: string): RuleUse => uses.get(key) ?? noUse;
  const add = (key: string, use: RuleUse): void => void uses.set(key, sumOfUses(of(key), use));
  const countWouldBe = ({ rule, verdict, wouldBe, at }: Decided): void => {
    if (wouldBe === undefined || (wouldBe.rule === rule && wouldBe.verdict === verdict)) return;
    add(wouldBe.rule, { ...noUse, [wouldBe.verdict === 'permit' ? 'wouldPermit' : 'wouldDeny']: 1, last: at });
  };
  return {
    count(decided) {
      add(decided.rule, { ...noUse, [decided.verdict === 'permit' ? 'permitted' : 'denied']: 1, last: decided.at });
      countWouldBe(decided);
    },
    countWouldBe,
    of,
    add,
    keys: () => uses.keys(),
    delete: (key) => void uses.delete(key),
  };
};

/**
 * What a record says was decided, by which rule. Undefined where no rule had a part in it: answers of the DNS filter rest on none, and
 * denials that were only counted may rest on any.
 */
export const decidedIn = (r: AnyRecord): (Decided & { readonly references: readonly RuleReference[] }) | undefined => {
  if (r.kind === 'suppressed') return undefined;
  const at = r.end ?? r.start;
  if (r.kind === 'dns') {
    if (!isByDefault(r)) return undefined;
    const refused = { rule: 'default', verdict: 'deny' } as const;
    return { rule: 'default', verdict: r.verdict, wouldBe: refused, at, references: [] };
  }
  const would = r.wouldBe === 'unknown' ? undefined : r.wouldBe;
  return {
    rule: ruleKey(r.rule),
    verdict: r.verdict,
    ...(would === undefined ? {} : { wouldBe: { rule: ruleKey(would.rule), verdict: would.verdict } }),
    at,
    references: [r.rule, would?.rule].filter((rule) => rule !== undefined),
  };
};
