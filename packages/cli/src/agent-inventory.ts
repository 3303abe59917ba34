import { type Address, err, ok, parseAddress, quote, type Result } from '@cofferdam/net';
import {
  agentMatches,
  type EvaluationContext,
  membersOf,
  type PolicySet,
  type Source,
  type Workload,
} from '@cofferdam/policy';
import { didYouMean, listed } from './nearest.ts';

/**
 * The agent of a run as inventory knows it. Its addresses are those of the run, whatever files
 * say of a workload of that name; what files say of its labels holds, and `--label` goes before it.
 */
export const runWorkload = (
  policy: PolicySet,
  agent: string,
  labels: Readonly<Record<string, string>>,
  addresses: readonly Address[],
): Workload => {
  const written = policy.inventory.find(({ name }) => name === agent);
  const { interface: _elsewhere, mac: _another, ...rest } = written ?? { name: agent, labels: {} };
  return { ...rest, addresses, labels: { ...rest.labels, ...labels } };
};

/** All of the inventory but those: they are destinations, by their names and labels. */
export const otherWorkloads = (policy: PolicySet, names: readonly string[]): readonly Workload[] =>
  policy.inventory.filter(({ name }) => !names.includes(name));

/** Addresses inside every run: of the command, and of its gateway. A test compares them with those of the gateway package. */
export const runAddresses = {
  agent: ['198.18.0.2', 'fdc0:ffe7:da11::2'].map((text) => parseAddress(text)!),
  gateway: ['198.18.0.1', 'fdc0:ffe7:da11::1', '198.18.0.6', 'fdc0:ffe7:da11::6'].map((text) => parseAddress(text)!),
} as const;

/** Agents that the SmartGroups speak of by name, in alphabetical order. */
export const agentNames = (policy: PolicySet): readonly string[] => {
  const selectors = [...policy.smartGroups.values()].flatMap(({ any }) => any);
  const names = selectors.flatMap((one) => (one.kind === 'workload' && one.agent !== undefined ? [one.agent] : []));
  return [...new Set(names)].sort();
};

/** The agent that was asked for, else the only one that the policy names, else `command` where it names none, as in `run`. */
export const chooseAgent = (policy: PolicySet, asked: string | undefined, option: string): Result<string> => {
  if (asked !== undefined) return ok(asked);
  const names = agentNames(policy);
  if (names.length === 0) return ok('command');
  if (names.length === 1) return ok(names[0]!);
  return err(
    'which-agent',
    `the policy speaks of ${names.length} agents`,
    `say which with \`${option}\`: ${listed(names)}`,
  );
};

/** Groups of the policy that hold the agent and stand in `from` of a rule; the built-in ones included. */
export const groupsOfAgent = (policy: PolicySet, context: EvaluationContext, source: Source): readonly string[] => {
  const names = new Set(policy.rulesets.flatMap(({ rules }) => rules.flatMap(({ from }) => from)));
  return [...names].filter((name) => agentMatches(membersOf(policy, context, name), source));
};

/** Says that no rule is about the agent, and which agents there are. */
export const unknownAgent = (policy: PolicySet, agent: string): Result<never> => {
  const names = agentNames(policy);
  const isEmpty = policy.rulesets.every(({ rules }) => rules.length === 0);
  const all = isEmpty
    ? 'it has no rules, so it permits nothing'
    : names.length === 0
      ? 'its groups select by label or address: try `--label`'
      : `it names ${listed(names, 'and')}`;
  return err('unknown-agent', `no rule of the policy is about ${quote(agent)}`, didYouMean(agent, names, all));
};

/** `key=value` of `--label`. */
export const parseLabels = (texts: readonly string[]): Result<Readonly<Record<string, string>>> => {
  const labels: Record<string, string> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 1)
      return err(
        'label',
        `${quote(text)} is not a label`,
        'write `--label KEY=VALUE`, such as `--label team=platform`',
      );
    labels[text.slice(0, equals)] = text.slice(equals + 1);
  }
  return ok(labels);
};
