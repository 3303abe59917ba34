import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compile } from '@cofferdam/compiler';
import { decide, type LoadedPlan, loadPlan, wouldBe } from '@cofferdam/plan';
import { evaluatePrepared, type Prepared, prepare, type Rule, wouldBePrepared } from '@cofferdam/policy';
import { arbitraryScenarios, freeze, type Scenarios, thaw } from '@cofferdam/testkit';
import type { Decision, WouldBe } from '@cofferdam/verdict';
import * as fc from 'fast-check';

/**
 * The compiled plan against the reference evaluator: the same verdict, rule, stage, reason, path and binding at every step of every flow, and
 * the same would-be verdict. Nothing is compared loosely. A difference is shrunk and written to `finds/`, where it is tried again for ever;
 * it also prints the seed and path, which `COFFERDAM_SEED` and `COFFERDAM_PATH` replay.
 */

const finds = join(import.meta.dirname, 'finds');
const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);
const path = process.env.COFFERDAM_PATH;
const policies = Number(process.env.COFFERDAM_RUNS ?? 5_000);
const flowsOfEach = 20;

const digest = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

const compiled = ({ policy, context, at }: Scenarios): LoadedPlan =>
  loadPlan(compile(policy, { ...context, at, revision: 1, digest }).plan);

interface Difference {
  readonly flow: number;
  readonly step: number;
  readonly evaluator: { readonly decision: Decision; readonly wouldBe: WouldBe | undefined };
  readonly plan: { readonly decision: Decision; readonly wouldBe: WouldBe | undefined };
}

const sidesOf = (scenarios: Scenarios): Sides => ({
  prepared: prepare(scenarios.policy, scenarios.context),
  loaded: compiled(scenarios),
});

interface Sides {
  readonly prepared: Prepared;
  readonly loaded: LoadedPlan;
}

/** The first step at which the two do not say the same. */
const differenceIn = (scenarios: Scenarios, sides: Sides = sidesOf(scenarios)): Difference | undefined => {
  const { prepared, loaded } = sides;
  for (const [flow, steps] of scenarios.flows.entries())
    for (const [step, facts] of steps.entries()) {
      const evaluator = { decision: evaluatePrepared(prepared, facts), wouldBe: wouldBePrepared(prepared, facts) };
      const plan = { decision: decide(loaded, facts), wouldBe: wouldBe(loaded, facts) };
      if (!equal(evaluator, plan)) return { flow, step, evaluator, plan };
    }
  return undefined;
};

const equal = (a: object, b: object): boolean => {
  try {
    assert.deepStrictEqual(a, b);
    return true;
  } catch {
    return false;
  }
};

/** A plan knows schedules and expiries this far ahead. */
const horizon = 48 * 3_600_000;

/** A rule as it counts past the horizon: a timed permit is out of the walk, a scheduled deny in it at every hour. */
const pastHorizon = (rule: Rule, end: number): Rule => {
  const { schedule, expires, ...rest } = rule;
  if (schedule === undefined && expires === undefined) return rule;
  if (rule.action === 'permit' || (expires !== undefined && expires <= end)) return { ...rest, mode: 'disabled' };
  return rest;
};

/** The plan past its horizon against the evaluator over the policy that then counts. */
const differencePastHorizon = (scenarios: Scenarios): Difference | undefined => {
  const { policy, context, at, flows } = scenarios;
  const rulesets = policy.rulesets.map((ruleset) => ({
    ...ruleset,
    rules: ruleset.rules.map((rule) => pastHorizon(rule, at + horizon)),
  }));
  const later = flows.map((steps) => steps.map((facts) => ({ ...facts, at: facts.at + horizon })));
  const prepared = prepare({ ...policy, rulesets }, context);
  // Whether anything is monitored is asked of the rules that were compiled.
  const loaded = compiled(scenarios);
  const someMonitored = policy.rulesets.some(({ rules }) => rules.some(({ mode }) => mode === 'monitor'));
  return differenceIn({ ...scenarios, flows: later }, { prepared: { ...prepared, someMonitored }, loaded });
};

/** What differs, or what was thrown instead of an answer. */
const described = (difference: () => Difference | undefined): string => {
  try {
    return JSON.stringify(difference(), null, 2);
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
};

const keep = (scenarios: Scenarios): string => {
  const text = freeze(scenarios);
  const file = join(finds, `${digest(text).slice(0, 12)}.json`);
  mkdirSync(finds, { recursive: true });
  writeFileSync(file, `${text}\n`);
  return file;
};

const tryMany = (runs: number, difference: (scenarios: Scenarios) => Difference | undefined): void => {
  const result = fc.check(
    fc.property(arbitraryScenarios({ flows: flowsOfEach }), (scenarios) => difference(scenarios) === undefined),
    { seed, numRuns: runs, ...(path === undefined ? {} : { path }) },
  );
  if (!result.failed) return;
  const [smallest] = result.counterexample!;
  assert.fail(
    `COFFERDAM_SEED=${result.seed} COFFERDAM_PATH=${result.counterexamplePath}\nkept in ${keep(smallest)}\n` +
      `${described(() => difference(smallest))}\n${JSON.stringify(JSON.parse(freeze(smallest)))}`,
  );
};

test(`plan and evaluator decide ${policies * flowsOfEach} flows alike`, () =>
  tryMany(policies, (scenarios) => differenceIn(scenarios)));

test('past the horizon a timed permit is out of the walk and a scheduled deny in it', () =>
  tryMany(Math.ceil(policies / 10), differencePastHorizon));

const kept = readdirSync(finds, { withFileTypes: true }).filter((entry) => entry.name.endsWith('.json'));

for (const { name } of kept)
  test(`plan and evaluator agree on what was found before: ${name}`, () => {
    const scenarios = thaw(readFileSync(join(finds, name), 'utf8'));
    assert.equal(differenceIn(scenarios), undefined);
    assert.equal(differencePastHorizon(scenarios), undefined);
  });
