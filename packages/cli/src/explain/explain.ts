import { type Address, parseAddress } from '@cofferdam/net';
import {
  type EvaluationContext,
  nextChanges,
  type PolicySet,
  type Prepared,
  prepare,
  type Source,
  scheduleActive,
  type Workload,
} from '@cofferdam/policy';
import type { Facts, RuleIndex } from '@cofferdam/verdict';
import {
  agentNames,
  chooseAgent,
  groupsOfAgent,
  otherWorkloads,
  parseLabels,
  runAddresses,
  runWorkload,
  unknownAgent,
} from '../agent-inventory.ts';
import type { Context } from '../command.ts';
import { dnsModeOf } from '../dns-mode.ts';
import { loadPolicy } from '../load-policy.ts';
import { answeredHere } from './answered-here.ts';
import type { explainCommand } from './command.ts';
import type { Explained } from './explained.ts';
import { adviceToExtend, hintFor } from './hint.ts';
import { groupOfAddress } from './look-up.ts';
import { allAnswered, type Names, namesOf } from './names.ts';
import { type Question, questionOf } from './question.ts';
import { explanationData, explanationText } from './render.ts';
import { answeredData, answeredText } from './render-answered.ts';
import { firstFacts, runStages } from './stages.ts';

const interfaceName = 'agent0';
/** Where another agent of the policy is the destination and inventory gives it no address. */
const peer: readonly Address[] = ['198.18.0.3', 'fdc0:ffe7:da11::3'].map((text) => parseAddress(text)!);

export const explain = (context: Context<typeof explainCommand.options>): number => {
  const { values, out, fail } = context;
  if (values.policy.length === 0) return fail('no policy is named', 'add `--policy FILE` or `--policy DIRECTORY`');
  const now = Date.now();
  const labels = parseLabels(values.label);
  if (!labels.ok) return fail(labels.error.message, labels.error.help);
  const asked = questionOf(values, now);
  if (!asked.ok) return fail(asked.error.message, asked.error.help);
  const loaded = loadPolicy(context, values.policy, now);
  if (loaded === undefined) return 1;
  const { policy } = loaded;

  const chosen = chooseAgent(policy, values.from, '--from');
  if (!chosen.ok) return fail(chosen.error.message, chosen.error.help);
  const agent = chosen.value;
  const question = asAgent(policy, asked.value);
  const inventory = inventoryOf(policy, agent, labels.value, question);
  const dnsMode = dnsModeOf(values.dns);
  const evaluation: EvaluationContext = {
    workloads: inventory.workloads,
    resolved: new Map(),
    dnsMode,
    gatewayAddresses: runAddresses.gateway,
    monitor: values.monitor,
  };

  const { name } = question.target;
  const looked = namesOf(policy, evaluation, agent, question);
  const { found } = looked;
  const here = answeredHere(question, found?.outcome === 'answered', dnsMode);
  if (here !== undefined) {
    const answered = { question, agent, here, dnsMode };
    if (values.json) out.line(JSON.stringify(answeredData(answered), null, 2));
    else out.write(answeredText(answered, out));
    return 0;
  }
  const destination = found?.address ?? question.target.address ?? inventory.receiver;
  if (destination === undefined) return fail('it is not said where the agent connects to', 'add `--to NAME:PORT`');
  const address = inventory.addresses.find(({ family }) => family === destination.family) ?? inventory.addresses[0]!;
  const workload = inventory.workloads[0]!;
  const source: Source = { address, workload };
  const groups = groupsOfAgent(policy, evaluation, source);
  if (groups.length === 0) {
    const { error } = unknownAgent(policy, agent) as { readonly error: { message: string; help: string } };
    return fail(error.message, error.help, 1);
  }

  // In own mode a `hostname` holds the addresses that the gateway resolved for it: no name is known at the first packet.
  const resolved = new Map(name === undefined || dnsMode !== 'own' ? [] : [[name, [destination]] as const]);
  const prepared = prepare(policy, { ...evaluation, resolved });
  const names = name === undefined || dnsMode === 'own' ? [] : [name];
  const facts = firstFacts(question, address, destination, names, interfaceName);
  const outcome = runStages(prepared, facts, question, looked);
  const group = groups.find((each) => policy.smartGroups.has(each)) ?? groups[0]!;
  const sought = looked.claimed ?? found;
  const assumedGroup = sought?.assumed === true ? groupOfAddress(policy, sought.address) : undefined;
  const denied = outcome.verdict === 'deny';
  const later = denied ? openingLater(prepared, facts, question, looked) : undefined;
  const expired = denied ? expiredBefore(prepared, facts, question, looked) : undefined;
  const explained: Explained = {
    policy,
    prepared,
    question,
    agent,
    groups: values.all ? undefined : new Set(groups),
    outcome,
    ...looked,
    hint:
      expired === undefined
        ? hintFor(outcome, question, { agent, group, names: looked, assumedGroup, dnsMode })
        : adviceToExtend(prepared, expired),
    ...(later !== undefined && { later }),
  };
  if (values.json) out.line(JSON.stringify(explanationData(explained), null, 2));
  else out.write(explanationText(explained, out));
  return 0;
};

/** The first opening, within a week, of a rule outside its hours that then permits the connection. */
const openingLater = (
  prepared: Prepared,
  facts: Facts,
  question: Question,
  names: Names,
): { readonly rule: RuleIndex; readonly at: number } | undefined => {
  const openings = prepared.rules.flatMap(({ rule: { schedule, mode, action } }) =>
    schedule === undefined || mode !== 'enforce' || action !== 'permit' || scheduleActive(schedule, facts.at)
      ? []
      : nextChanges(schedule, facts.at, facts.at + 8 * 86_400_000).slice(0, 1),
  );
  const answered = allAnswered(names);
  for (const at of openings.sort((a, b) => a - b)) {
    const { verdict, reason, rule } = runStages(prepared, { ...facts, at }, question, answered);
    if (verdict === 'permit' && reason === 'rule') return { rule, at };
  }
  return undefined;
};

/** A rule that has expired and permitted the connection until then. */
const expiredBefore = (
  prepared: Prepared,
  facts: Facts,
  question: Question,
  names: Names,
): Exclude<RuleIndex, 'default'> | undefined => {
  const answered = allAnswered(names);
  for (const { index, rule } of prepared.rules) {
    const { expires, mode, action } = rule;
    if (mode !== 'enforce' || action !== 'permit' || expires === undefined || expires > facts.at) continue;
    const before = runStages(prepared, { ...facts, at: expires - 1 }, question, answered);
    if (before.verdict === 'permit' && before.reason === 'rule' && before.rule === index) return index;
  }
  return undefined;
};

/** A name of one label that the policy gives to an agent is that agent: such names are not looked up. */
const asAgent = (policy: PolicySet, question: Question): Question & { readonly receiver?: string } => {
  const { name, ...rest } = question.target;
  if (name === undefined || name.includes('.') || !agentNames(policy).includes(name)) return question;
  return { ...question, target: rest, receiver: name };
};

interface Inventory {
  /** The agent first. */
  readonly workloads: readonly Workload[];
  readonly addresses: readonly Address[];
  readonly receiver?: Address;
}

const inventoryOf = (
  policy: PolicySet,
  agent: string,
  labels: Readonly<Record<string, string>>,
  question: Question & { readonly receiver?: string },
): Inventory => {
  const itself = parseAddress(agent);
  const addresses = itself === undefined ? runAddresses.agent : [itself];
  const workload = runWorkload(policy, agent, labels, addresses);
  const { receiver } = question;
  if (receiver === undefined || receiver === agent) {
    const workloads = [workload, ...otherWorkloads(policy, [agent])];
    return { workloads, addresses, ...(receiver === agent && { receiver: addresses[0]! }) };
  }
  const target: Workload = policy.inventory.find(({ name }) => name === receiver) ?? {
    name: receiver,
    addresses: peer,
    labels: {},
  };
  const address = target.addresses.find(({ family }) => family === addresses[0]!.family) ?? target.addresses[0];
  const workloads = [workload, target, ...otherWorkloads(policy, [agent, receiver])];
  return { workloads, addresses, ...(address !== undefined && { receiver: address }) };
};
