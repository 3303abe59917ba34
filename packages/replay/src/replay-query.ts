import type { DnsRecord } from '@cofferdam/flows';
import { type Address, wireName } from '@cofferdam/net';
import { type AgentAddress, type LoadedPlan, resolvable, usableAddress } from '@cofferdam/plan';
import type { Reason, Verdict } from '@cofferdam/verdict';
import type { ReplayPlan } from './replay-flow.ts';
import type { Replayed } from './replayed.ts';

/** What hangs on the rules; other answers and refusals of the filter do not. */
const byRules: ReadonlySet<Reason> = new Set([
  'dns-answered',
  'dns-not-permitted',
  'dns-address-denied',
  'dns-budget',
  'dns-upstream',
]);

const decided = (verdict: Verdict, reason: Reason): Replayed => ({
  kind: 'decided',
  verdict,
  rule: 'default',
  stage: 'packet',
  reason,
});

/**
 * What the filter would have said of a query. Of a name that was refused nobody knows what it stands for, so that an address that
 * no permit holds may have come. Budgets of wildcards are not kept again.
 */
export const replayQuery = ({ loaded }: ReplayPlan, record: DnsRecord, agent: AgentAddress | undefined): Replayed => {
  const { verdict, reason, type, start } = record;
  if (!byRules.has(reason)) return decided(verdict, reason);
  if (agent === undefined) return decided('deny', 'unknown-agent');
  const name = wireName(record.name);
  if (name === undefined || !resolvable(loaded, agent.class, name, start)) return decided('deny', 'dns-not-permitted');
  if (reason === 'dns-upstream') return decided(verdict, reason);
  if (reason === 'dns-budget') return again(loaded, agent, record);
  if (type !== 'A' && type !== 'AAAA') return decided('permit', 'dns-answered');
  const isUsable = (address: Address): boolean => usableAddress(loaded, agent.class, name, address, start);
  if (record.addresses.length > 0)
    return record.addresses.some(isUsable) ? decided('permit', 'dns-answered') : decided('deny', 'dns-address-denied');
  return verdict === 'permit'
    ? decided('permit', 'dns-answered')
    : { kind: 'unknown', cause: 'address', rule: 'default' };
};

/** A budget that was spent is spent again where nothing lifts it; whether as much was asked is not known. */
const again = ({ plan }: LoadedPlan, { monitored }: AgentAddress, { verdict, reason }: DnsRecord): Replayed =>
  verdict === 'permit' && (plan.monitored || monitored)
    ? decided(verdict, reason)
    : { kind: 'unknown', cause: 'gateway', rule: 'default' };
