/** A failure of the randomised lab, made smaller, rule by rule and flow by flow, and put into words. */
import { type PolicySet, printPolicy } from '@cofferdam/policy';
import { describeFlow, type FlowSpec } from './random-lab-flows.ts';
import type { SentFlow } from './random-lab-packets.ts';
import type { RandomWorld } from './random-lab-world.ts';

export interface Case {
  readonly policy: PolicySet;
  readonly flows: readonly FlowSpec[];
}

export interface Wrong {
  readonly because: string;
  readonly flow?: SentFlow;
  /** Where its bytes were seen. */
  readonly trace?: readonly string[];
}

export interface Failure {
  readonly smallest: Case;
  readonly wrong: readonly Wrong[];
}

/** `run`: what is wrong with a case, nothing where it holds. */
export const shrink = async (
  run: (one: Case) => Promise<readonly Wrong[]>,
  first: Case,
  before: readonly Wrong[],
): Promise<Failure> => {
  let smallest = first;
  let wrong = before;
  let attempts = 0;
  const attempt = async (candidate: Case): Promise<boolean> => {
    if (++attempts > 120) return false;
    const found = await run(candidate);
    if (found.length === 0) return false;
    smallest = candidate;
    wrong = found;
    return true;
  };
  // A flow alone, where one is named and fails alone; else flow by flow.
  const named = wrong.find(({ flow }) => flow !== undefined)?.flow?.spec;
  if (named === undefined || !(await attempt({ ...smallest, flows: [named] })))
    for (const flow of first.flows) await attempt({ ...smallest, flows: smallest.flows.filter((one) => one !== flow) });
  for (const { rules } of first.policy.rulesets)
    for (const rule of rules) {
      const rulesets = smallest.policy.rulesets
        .map((one) => ({ ...one, rules: one.rules.filter((other) => other !== rule) }))
        .filter((one) => one.rules.length > 0);
      await attempt({ ...smallest, policy: { ...smallest.policy, rulesets } });
    }
  return { smallest, wrong };
};

/** All that a reader needs of a failure. */
export const describeFailure = (world: RandomWorld, { smallest: { policy, flows }, wrong }: Failure): string =>
  [
    ...wrong
      .slice(0, 12)
      .map(
        ({ because, flow, trace = [] }) =>
          (flow === undefined
            ? because
            : `${describeFlow(flow.spec)}\n  ${JSON.stringify(flow.expected)}\n  port ${flow.sourcePort}, sent to ${flow.written}: ${because}`) +
          trace.map((line) => `\n  seen ${line}`).join(''),
      ),
    `network: ${JSON.stringify(world.planned)}`,
    `flows:\n${flows.map((one) => `  ${describeFlow(one)}`).join('\n')}`,
    `policy:\n${printPolicy(policy)}`,
    `the gateway said:\n${world.gateway().stderr().split('\n').slice(-8).join('\n')}`,
  ].join('\n');
