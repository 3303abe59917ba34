import { createHash } from 'node:crypto';
import { compile } from '@cofferdam/compiler';
import type { AnyRecord, FlowRecord } from '@cofferdam/flows';
import { type Address, parsePrefix } from '@cofferdam/net';
import { agentOf, type DnsMode, type LoadedPlan, loadPlan } from '@cofferdam/plan';
import type { EvaluationContext, PolicySet, Selector, Workload } from '@cofferdam/policy';
import { agentNamed, type ReplayPlan } from '@cofferdam/replay';
import { runAddresses } from '../agent-inventory.ts';

/**
 * Plans of one policy for the agents and times of a log. An agent that inventory has where the record says is that of the inventory. Any
 * other is the one of the record, with the labels that it had: addresses go from one agent to another, and those of all runs are the same.
 */
export interface Plans {
  /** Whether the plan has the agent of a record. */
  readonly knows: (record: AnyRecord) => boolean;
  /** Takes the agents of records into the inventory. */
  readonly learn: (records: readonly AnyRecord[]) => void;
  readonly at: (time: number) => ReplayPlan;
  /** The interface on which the plan has the agent of a record. */
  readonly interfaceOf: (record: FlowRecord) => string;
}

/** A plan knows its schedules for 48 hours. */
const day = 86_400_000;
/** Plans of so many days are kept: records of several gateways need not come in one order. */
const keptPlans = 8;

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

const isTimed = ({ rulesets }: PolicySet): boolean =>
  rulesets.some(({ rules }) => rules.some(({ schedule, expires }) => schedule !== undefined || expires !== undefined));

const everywhere: readonly Selector[] = ['0.0.0.0/0', '::/0'].flatMap((text): readonly Selector[] => {
  const prefix = parsePrefix(text);
  return prefix.ok ? [{ kind: 'cidr', prefix: prefix.value }] : [];
});

/** Every address in the place of each hostname. Undefined: no group names one. */
const withAnyHost = (policy: PolicySet): PolicySet | undefined => {
  const groups = [...policy.smartGroups.values()];
  if (!groups.some(({ any }) => any.some(({ kind }) => kind === 'hostname'))) return undefined;
  const widened = groups.map((group) => ({
    ...group,
    any: group.any.flatMap((one) => (one.kind === 'hostname' ? [one, ...everywhere] : [one])),
  }));
  return { ...policy, smartGroups: new Map(widened.map((group) => [group.name, group])) };
};

/** `dnsMode`: that of the gateway which recorded, since records hold what was known in it. */
export const createPlans = (policy: PolicySet, dnsMode: DnsMode): Plans => {
  const timed = isTimed(policy);
  const anyHost = withAnyHost(policy);
  const learnt = new Map<string, Workload>();
  let byDay = new Map<number, ReplayPlan>();

  const planOf = (set: PolicySet, at: number): LoadedPlan => {
    const context: EvaluationContext = {
      workloads: [...policy.inventory, ...learnt.values()],
      resolved: new Map(),
      dnsMode,
      gatewayAddresses: runAddresses.gateway,
      monitor: false,
    };
    return loadPlan(compile(set, { ...context, at, revision: 1, digest }).plan);
  };

  const at = (time: number): ReplayPlan => {
    const from = timed ? Math.floor(time / day) * day : 0;
    const before = byDay.get(from);
    if (before !== undefined) return before;
    const made = { loaded: planOf(policy, from), ...(anyHost && { anyHost: planOf(anyHost, from) }) };
    byDay.set(from, made);
    if (byDay.size > keptPlans) byDay.delete(byDay.keys().next().value!);
    return made;
  };

  /** Where inventory has the agent; undefined: nowhere. */
  const written = ({ agent: { name }, interface: on, source, start }: FlowRecord): string | undefined =>
    agentOf(at(start).loaded, on, source.address)?.name === name ? on : undefined;

  const isFlow = (record: AnyRecord): record is FlowRecord => record.kind === 'flow' || record.kind === 'request';

  const knows = (record: AnyRecord): boolean => {
    const { name } = record.agent;
    if (name === undefined || record.kind === 'suppressed') return true;
    const { loaded } = at(record.start);
    const { address } = record.source;
    if (!isFlow(record)) return agentNamed(loaded, name, address) !== undefined;
    return written(record) !== undefined || agentOf(loaded, ownInterface(name), address) !== undefined;
  };

  return {
    at,
    knows,
    learn(records) {
      let more = false;
      for (const record of records) {
        const { name, labels } = record.agent;
        if (name === undefined || record.kind === 'suppressed' || knows(record)) continue;
        const { address } = record.source;
        const before = learnt.get(name);
        if (before?.addresses.some((one) => sameAddress(one, address)) === true) continue;
        const {
          interface: _elsewhere,
          mac: _another,
          ...rest
        } = policy.inventory.find((one) => one.name === name) ?? {
          name,
        };
        const addresses = [...(before?.addresses ?? []), address];
        learnt.set(name, { ...rest, labels, ...before, addresses, interface: ownInterface(name) });
        more = true;
      }
      if (more) byDay = new Map();
    },
    interfaceOf: (record) => written(record) ?? ownInterface(record.agent.name ?? ''),
  };
};

/** No interface is called so. */
const ownInterface = (agent: string): string => `agent ${agent}`;

const sameAddress = (a: Address, b: Address): boolean => a.family === b.family && a.value === b.value;
