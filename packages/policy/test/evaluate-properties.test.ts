import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  evaluatePrepared,
  explainPrepared,
  finalDecisionPrepared,
  type PolicySet,
  prepare,
  type Rule,
  wouldBePrepared,
} from '@cofferdam/policy';
import { arbitraryScenario, arbitraryTraffic, live, promotedTo, type Scenario } from '@cofferdam/testkit';
import type { Decision, Facts } from '@cofferdam/verdict';
import * as fc from 'fast-check';

const seed = Number(process.env.COFFERDAM_SEED ?? Date.now() % 2 ** 31);

/** Tries one property on generated scenarios; a failure prints seed, path and the shrunk scenario. */
const holds = (name: string, property: (scenario: Scenario, place: number) => void, mode?: 'valid'): void => {
  test(name, () => {
    const scenarios = arbitraryScenario(mode === undefined ? {} : { mode });
    fc.assert(fc.property(scenarios, fc.nat(100), property), { seed, numRuns: 3000 });
  });
};

const withRules = (policy: PolicySet, change: (rules: readonly Rule[]) => readonly Rule[]): PolicySet => ({
  ...policy,
  rulesets: policy.rulesets.map((ruleset) => ({ ...ruleset, rules: change(ruleset.rules) })),
});

/** A rule put at a place of the first ruleset. */
const inserted = (policy: PolicySet, rule: Rule, place: number): PolicySet => {
  const [first, ...rest] = policy.rulesets;
  return { ...policy, rulesets: [{ ...first!, rules: first!.rules.toSpliced(place, 0, rule) }, ...rest] };
};

const anyRule = (policy: PolicySet, choice: number): Rule | undefined => {
  const rules = policy.rulesets.flatMap((ruleset) => ruleset.rules);
  return rules.length === 0 ? undefined : rules[choice % rules.length];
};

const permits = (decision: Decision): boolean => decision.kind === 'decided' && decision.verdict === 'permit';
const verdict = (decision: Decision): string => (decision.kind === 'decided' ? decision.verdict : 'undecided');

/** Every step of the scenario under a policy. */
const decisions = ({ context, facts }: Scenario, policy: PolicySet): Decision[] => {
  const prepared = prepare(policy, context);
  return facts.map((step) => evaluatePrepared(prepared, step));
};

const unmonitored = (policy: PolicySet): PolicySet => ({
  ...policy,
  smartGroups: new Map(
    [...policy.smartGroups].map(([name, group]) => [name, { ...group, containment: 'enforce' as const }]),
  ),
});

holds('default deny: without an enforced permit, nothing that is contained passes', (scenario) => {
  const { policy, context } = scenario;
  const denying = withRules(unmonitored(policy), (rules) =>
    rules.map((rule) => (rule.action === 'permit' ? { ...rule, mode: 'disabled' } : rule)),
  );
  const contained = { ...scenario, context: { ...context, monitor: false } };
  for (const decision of decisions(contained, denying)) assert.equal(permits(decision), false);
});

holds('a deny on top never permits more', (scenario, choice) => {
  const some = anyRule(scenario.policy, choice);
  if (some === undefined) return;
  const before = decisions(scenario, scenario.policy);
  const after = decisions(scenario, inserted(scenario.policy, { ...some, action: 'deny', mode: 'enforce' }, 0));
  for (const [step, decision] of after.entries()) if (permits(decision)) assert.ok(permits(before[step]!));
});

holds('a disabled rule changes nothing', (scenario, choice) => {
  const some = anyRule(scenario.policy, choice);
  if (some === undefined) return;
  const place = choice % (scenario.policy.rulesets[0]!.rules.length + 1);
  const after = decisions(scenario, inserted(scenario.policy, { ...some, mode: 'disabled' }, place));
  for (const [step, before] of decisions(scenario, scenario.policy).entries()) {
    const moved = before.rule !== 'default' && before.rule >= place ? before.rule + 1 : before.rule;
    assert.deepEqual(after[step], { ...before, rule: moved });
  }
});

holds('monitored rules never change what is enforced', (scenario) => {
  const without = withRules(scenario.policy, (rules) =>
    rules.map((rule) => (rule.mode === 'monitor' ? { ...rule, mode: 'disabled' } : rule)),
  );
  assert.deepEqual(decisions(scenario, without), decisions(scenario, scenario.policy));
});

const swapped = (policy: PolicySet, choice: number, may: (a: Rule, b: Rule) => boolean): PolicySet =>
  withRules(policy, (rules) => {
    const place = rules.length < 2 ? 0 : choice % (rules.length - 1);
    const [a, b] = [rules[place], rules[place + 1]];
    return a !== undefined && b !== undefined && may(a, b) ? rules.with(place, b).with(place + 1, a) : rules;
  });

/** What cannot be read denies at once where its rule waits first; behind another that waits, it denies once that one need not. */
const inTheEnd = (decision: Decision): string =>
  decision.kind === 'decided' && decision.reason.endsWith('-unreadable') ? 'undecided' : verdict(decision);

holds('order does not matter between neighbouring denies', (scenario, choice) => {
  const other = swapped(scenario.policy, choice, (a, b) => a.action === 'deny' && b.action === 'deny');
  assert.deepEqual(decisions(scenario, other).map(inTheEnd), decisions(scenario, scenario.policy).map(inTheEnd));
});

/** Says all it has to say at the first packet. */
const ofPacket = ({ web, tls, http, mcp }: Rule): boolean =>
  web === undefined && tls === 'either' && http === undefined && mcp === undefined;

holds('order does not matter between neighbouring permits that look at the packet alone', (scenario, choice) => {
  const other = swapped(
    scenario.policy,
    choice,
    (a, b) => a.action === 'permit' && b.action === 'permit' && ofPacket(a) && ofPacket(b),
  );
  assert.deepEqual(decisions(scenario, other).map(verdict), decisions(scenario, scenario.policy).map(verdict));
});

const belying = new Set(['name-mismatch', 'name-unreadable', 'hello-unreadable', 'plain-http-unread']);

holds(
  'what is decided stays decided, but for a permit that a claimed name belies',
  (scenario) => {
    const said = decisions(scenario, scenario.policy);
    for (const [step, after] of said.entries()) {
      const before = said[step - 1];
      // What is denied for what could not be read is over: a generated sequence goes on, a flow does not.
      if (before?.kind !== 'decided' || before.reason.endsWith('-unreadable')) continue;
      assert.equal(after.kind, 'decided');
      if (after.kind !== 'decided' || after.verdict === before.verdict) continue;
      // A generated sequence reads what was not opened; a gateway does not.
      if (after.reason === 'would-need-opening') break;
      assert.ok(
        before.restsOnName && after.verdict === 'deny' && belying.has(after.reason),
        JSON.stringify({ before, after }),
      );
      assert.equal(after.rule, before.rule);
    }
  },
  'valid',
);

/**
 * Monitor first: the same traffic meets a policy that is monitored as a whole, and again after each rule that is promoted. How much of the
 * would-be verdicts may be `unknown` is measured too: a word that says nothing holds always.
 */
test('every would-be verdict on the way is the verdict once everything is promoted, or unknown', () => {
  const told = { verdicts: 0, unknown: 0 };
  const property = fc.property(arbitraryTraffic(), ({ policy, context, encounters, promotion }) => {
    const end = prepare(promotedTo(policy, promotion.at(-1)!), context);
    const ends = encounters.map(({ first, conduct }) => live(end, first, conduct));
    for (const promoted of promotion) {
      const prepared = prepare(promotedTo(policy, promoted), context);
      for (const [i, { first, conduct }] of encounters.entries()) {
        const { facts } = live(prepared, first, conduct);
        const would = wouldBePrepared(prepared, facts);
        if (would === undefined) continue;
        told[would === 'unknown' ? 'unknown' : 'verdicts']++;
        const { verdict, rule, reason } = ends[i]!;
        if (would === 'unknown') continue;
        assert.equal(would.verdict, verdict, JSON.stringify(conduct));
        // Where more is read, another denial may be named.
        const renamed = [would.reason, reason].includes('no-permit-reachable');
        if (!renamed) assert.deepEqual(would, { verdict, rule, reason }, JSON.stringify(conduct));
      }
    }
  });
  fc.assert(property, { seed, numRuns: 1500 });
  assert.ok(told.unknown > 0 && told.unknown < 0.2 * told.verdicts, JSON.stringify({ told, seed }));
});

holds('where nothing is monitored there is no would-be verdict, and no verdict is lifted', (scenario) => {
  const { policy, context, facts } = scenario;
  const enforced = withRules(unmonitored(policy), (rules) =>
    rules.map((rule) => (rule.mode === 'monitor' ? { ...rule, mode: 'disabled' } : rule)),
  );
  const prepared = prepare(enforced, { ...context, monitor: false });
  for (const step of facts) {
    const decision = evaluatePrepared(prepared, step);
    assert.equal(wouldBePrepared(prepared, step), undefined);
    assert.ok(decision.kind === 'undecided' || decision.reason !== 'monitored');
  }
});

holds('a flow that ends is decided, as before if it was', ({ policy, context, facts }) => {
  const prepared = prepare(policy, context);
  const last = facts.at(-1)!;
  const decision = evaluatePrepared(prepared, last);
  const final = finalDecisionPrepared(prepared, last);
  if (decision.kind === 'decided') assert.deepEqual(final, decision);
  // Monitoring lifts that nothing more came, and not what a rule denies to what was never read.
  else if (final.reason === 'rule-denies')
    assert.ok(
      final.verdict === 'deny' && final.rule !== 'default' && prepared.rules[final.rule]!.rule.action === 'deny',
    );
  else
    assert.deepEqual(
      [final.rule, final.path, ['undecided-closed', 'monitored'].includes(final.reason)],
      [decision.rule, decision.path, true],
    );
});

holds('explain ends in the rule that decides, and shows every rule before it once', ({ policy, context, facts }) => {
  const prepared = prepare(policy, context);
  for (const step of facts) {
    const { steps, decision } = explainPrepared(prepared, step);
    const deciding = steps.filter(({ outcome }) => outcome === 'decides').map(({ index }) => index);
    assert.deepEqual(deciding, decision.kind === 'decided' ? [decision.rule] : []);
    const shown = steps.flatMap(({ index }) => (index === 'default' ? [] : [index]));
    assert.deepEqual(shown, [...shown.keys()]);
    for (const { because } of steps) assert.match(because, /^[^\n]+[^.\n]$/);
  }
});

holds('the path is fixed by the first packet', ({ policy, context, facts }) => {
  const prepared = prepare(policy, context);
  const { path } = evaluatePrepared(prepared, facts[0]!);
  for (const step of facts) {
    const { path: _fixed, ...open } = step;
    // In own mode the proxy dials another address than the first packet was sent to.
    const first: Facts = { ...open, destination: facts[0]!.destination };
    const decision = evaluatePrepared(prepared, first);
    assert.equal(decision.path, path);
  }
});
