import type { FlowRecord } from '@cofferdam/flows';
import type { Address } from '@cofferdam/net';
import {
  type AgentAddress,
  agentOf,
  type LoadedPlan,
  liftsDenials,
  type Revisited,
  resolvable,
  revisit,
  usableAddress,
} from '@cofferdam/plan';
import type { Facts, Reason } from '@cofferdam/verdict';
import type { LookUps } from './look-ups.ts';
import { factsOf, judgeOf } from './recorded-facts.ts';
import type { Cause, Replayed } from './replayed.ts';

/** A changed policy, as it stood at one time. */
export interface ReplayPlan {
  readonly loaded: LoadedPlan;
  /**
   * The same with every address in the place of each `hostname`: what one resolved to is in no record, so that only what both say is known.
   * Absent: the policy names no hostname.
   */
  readonly anyHost?: LoadedPlan;
}

const unknownBy = (cause: Cause, rule: Replayed['rule'] = 'default'): Replayed => ({ kind: 'unknown', cause, rule });

const denied = (reason: Reason): Replayed => ({
  kind: 'decided',
  verdict: 'deny',
  rule: 'default',
  stage: 'packet',
  reason,
});

/**
 * What the plan would have said of a flow or request, by the facts of its record alone:
 * 1. what no policy judges stays as it was;
 * 2. a name that the plan would not have let be resolved leads nowhere;
 * 3. the walk, on the address that was dialled; where it denies that one, the gateway would have tried the others of the name;
 * 4. what the gateway denied by itself it may deny again, so that only a denial is known.
 * `on`: the interface on which the plan has the agent.
 */
export const replayFlow = (
  plan: ReplayPlan,
  record: FlowRecord,
  lookUps: Pick<LookUps, 'of'>,
  on: string = record.interface,
): Replayed => {
  const { protocol, reason, stage, verdict } = record;
  const judge = judgeOf(record);
  if (judge === 'packet' || (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'icmp'))
    return { kind: 'decided', verdict, rule: 'default', stage, reason };
  const { loaded } = plan;
  const agent = agentOf(loaded, on, record.source.address);
  if (agent?.name !== record.agent.name && !(agent === undefined && record.agent.name === undefined))
    return unknownBy('agent');
  const worlds = factsOf(record, protocol, on);
  const walked = byAddress(plan, record, worlds, agent, lookUps);
  return judge === 'walk' ? walked : again(loaded, record, worlds[0]!, walked);
};

/** A verdict that the gateway gave by itself, where the walk now says this. */
const again = (loaded: LoadedPlan, record: FlowRecord, facts: Facts, walked: Replayed): Replayed => {
  if (walked.kind === 'decided' && walked.verdict === 'deny') return walked;
  const { reason, stage, verdict } = record;
  if (verdict === 'permit' && liftsDenials(loaded, facts)) return walked;
  // Certain whatever else is permitted: nobody answered, or the request names two hosts.
  if (walked.kind === 'decided' && (reason === 'upstream-unreachable' || reason === 'authority-mismatch'))
    return { kind: 'decided', verdict: 'deny', rule: walked.rule, stage, reason };
  return unknownBy('gateway', walked.rule);
};

const byAddress = (
  plan: ReplayPlan,
  record: FlowRecord,
  worlds: readonly Facts[],
  agent: AgentAddress | undefined,
  lookUps: Pick<LookUps, 'of'>,
): Replayed => {
  const at = (address: Address): Replayed =>
    agreed(worlds.map((facts) => walk(plan, { ...facts, destination: address })));
  const dialled = record.destination.address;
  const [name] = record.addressNames;
  const { loaded } = plan;
  const { dnsMode } = loaded.plan;
  if (agent !== undefined && dnsMode === 'track') {
    // The agent would not have been given the address for names that this plan does not let it resolve.
    const given = record.addressNames.filter(
      (one) =>
        resolvable(loaded, agent.class, one, record.start) &&
        usableAddress(loaded, agent.class, one, dialled, record.start),
    );
    return agreed(worlds.map((facts) => walk(plan, { ...facts, addressNames: given })));
  }
  if (agent !== undefined && dnsMode === 'own' && name !== undefined) {
    // The name would not have been resolved, and the address that the agent wrote is in no record.
    const there = at(dialled);
    return resolvable(loaded, agent.class, name, record.start) ? there : unknownBy('address', there.rule);
  }
  if (record.synthetic === undefined || name === undefined || agent === undefined) return at(dialled);

  if (!resolvable(loaded, agent.class, name, record.start)) return denied('dns-not-permitted');
  const isUsable = (address: Address): boolean => usableAddress(loaded, agent.class, name, address, record.start);
  const first = isUsable(dialled) ? at(dialled) : denied('dns-address-denied');
  // Past its first packet a flow stays where it is.
  if (first.kind === 'unknown' || first.verdict === 'permit' || first.stage !== 'packet') return first;
  const looked = lookUps.of(name);
  if (looked === undefined) return unknownBy('address', first.rule);
  const others = looked.filter((address) => !sameAddress(address, dialled) && isUsable(address)).map(at);
  return others.every((other) => other.kind === 'decided' && other.verdict === 'deny')
    ? first
    : unknownBy('address', first.rule);
};

const sameAddress = (a: Address, b: Address): boolean => a.family === b.family && a.value === b.value;

const walk = ({ loaded, anyHost }: ReplayPlan, facts: Facts): Replayed => {
  // Whatever was not read may have been said.
  const one = outcomeOf(loaded, revisit(loaded, { facts, cut: true }), facts);
  if (anyHost === undefined || one.kind === 'unknown') return one;
  const other = outcomeOf(anyHost, revisit(anyHost, { facts, cut: true }), facts);
  return sameOutcome(one, other) ? one : unknownBy('hostname', other.rule);
};

const outcomeOf = ({ plan }: LoadedPlan, revisited: Revisited, { tls }: Facts): Replayed => {
  const { kind, rule } = revisited;
  if (kind === 'unknown') return unknownBy('unread', rule);
  const refuses = rule !== 'default' && plan.rules[rule]!.ech === 'refuse';
  return refuses && revisited.verdict === 'permit' && tls.state === 'known' ? unknownBy('ech', rule) : revisited;
};

/** Named after one rule, so that no rule in between could have decided; `no-permit-reachable` looks at what might. */
const sameOutcome = (a: Replayed, b: Replayed): boolean =>
  a.kind === 'decided' &&
  b.kind === 'decided' &&
  a.verdict === b.verdict &&
  a.rule === b.rule &&
  a.reason === b.reason &&
  a.reason !== 'no-permit-reachable';

/** Where a record leaves open what was said, only what holds in each case is known. */
const agreed = ([first, ...others]: readonly Replayed[]): Replayed =>
  others.every((other) => first!.kind === 'decided' && other.kind === 'decided' && other.verdict === first!.verdict)
    ? first!
    : unknownBy('unread', first!.rule);
