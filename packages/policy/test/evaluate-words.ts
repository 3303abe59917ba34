import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EvaluationContext, evaluate, explainWalk, type PolicySet, type Rule, wouldBe } from '@cofferdam/policy';
import { contextOf, type PolicyWords, policyOf } from '@cofferdam/testkit';
import type { Facts } from '@cofferdam/verdict';

/** A decision in words: `permit 0 rule packet kernel`, `+name` where it rests on one, or `undecided 0 proxy`. */
export const inWords = (policy: PolicySet, facts: Facts, context: EvaluationContext): string => {
  const decision = evaluate(policy, context, facts);
  assert.deepEqual(explainWalk(policy, context, facts).decision, decision);
  if (decision.kind === 'undecided') return `undecided ${decision.rule} ${decision.path}`;
  const { verdict, rule, reason, stage, path, restsOnName } = decision;
  return `${verdict} ${rule} ${reason} ${stage} ${path}${restsOnName ? ' +name' : ''}`;
};

export const wouldBeInWords = (policy: PolicySet, facts: Facts, context: EvaluationContext): string => {
  const would = wouldBe(policy, context, facts);
  if (would === undefined || would === 'unknown') return would ?? 'none';
  return `${would.verdict} ${would.rule} ${would.reason}`;
};

/** A sentence of the language, a policy, a flow, and what becomes of it. `would` is compared where it is given. */
export interface Row {
  readonly sentence: string;
  readonly rules: readonly Rule[];
  readonly facts: Facts;
  readonly says: string;
  readonly would?: string;
  readonly words?: PolicyWords;
  readonly context?: Partial<EvaluationContext>;
}

export const tryRows = (section: string, rows: readonly Row[]): void => {
  for (const { sentence, rules, facts, says, would, words, context } of rows)
    test(`${section}: ${sentence}`, () => {
      const policy = policyOf(rules, words);
      const where = contextOf(policy, context);
      assert.equal(inWords(policy, facts, where), says);
      if (would !== undefined) assert.equal(wouldBeInWords(policy, facts, where), would);
    });
};
